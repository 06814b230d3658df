"""What is kept of vLLM's releases, against the installed CPU engine itself."""

import json

import pytest
from lint_differential import DATA
from lint_truth import Truth

from dyno.engine.catalog_releases import release
from dyno.engine.environment import Environment, list_environments, load_catalog

TOLD = ("options", "kind", "words", "negatable", "nargs", "inverses")
OF_THE_MACHINE = {"mm_processor_device"}  # its choices are the devices of the machine that is asked
EVERY = 10


@pytest.fixture(scope="module")
def engine() -> Environment:
    engine = next((each for each in list_environments() if each.kind == "venv" and each.platform == "cpu"), None)
    assert engine, "no CPU engine: `make test` installs it, or `dyno env install --vllm cpu`"
    return engine


@pytest.mark.real
def test_the_data_of_a_release_is_what_the_engine_tells_of_itself(engine):
    told = {flag.name: flag for flag in load_catalog(engine).flags}
    kept = {flag.name: flag for flag in release(engine.version.partition("+")[0]).flags}
    assert kept.keys() == told.keys()
    for name, flag in told.items():
        assert [getattr(kept[name], each) for each in TOLD] == [getattr(flag, each) for each in TOLD], name
        assert name in OF_THE_MACHINE or set(kept[name].choices) == set(flag.choices), name


@pytest.mark.real
def test_recorded_answers_are_the_engine_s_own(engine, tmp_path):
    version = engine.version.partition("+")[0]
    rows = json.loads((DATA / f"{version}.json").read_text(encoding="utf-8"))[::EVERY]
    answers = Truth(engine.python, tmp_path, is_own=True).answers(version, rows)
    assert [bool(answer) for answer in answers] == [bool(row["answer"]) for row in rows]
