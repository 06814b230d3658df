"""Dyno beside what vLLM said when it was asked: recorded for eight releases, asked anew of the CPU engine."""

import json

import lint_public
import lint_seeds
import pytest
from lint_differential import EXPLAINED, case_of, rows_of, score
from lint_truth import RELEASES, Truth

from dyno.engine.catalog_releases import release
from dyno.engine.environment import Environment, list_environments, load_catalog

TOLD = ("options", "kind", "words", "negatable", "nargs", "inverses")
OF_THE_MACHINE = {"mm_processor_device"}  # its choices are the devices of the machine that is asked
EVERY = 10


@pytest.mark.parametrize("version", RELEASES)
def test_errors_are_what_vllm_refuses_but_for_two_in_a_hundred(version):
    found = score(version)
    assert found.is_good, str(found)
    differing = {row.command for row in found.accepts} | {row.command for row, _ in found.rejects}
    assert differing == set(json.loads(EXPLAINED.read_text(encoding="utf-8")).get(version, {}))


@pytest.mark.parametrize("version", RELEASES)
def test_the_seeds_become_what_vllm_took(version):
    kept = [each for each in lint_seeds.recorded() if each["release"] == version]
    assert {each["seed"] for each in kept} == {"000", "001", "002", "003", "004"}
    assert [each for each in kept if each["refused"]] == []
    told = json.loads(json.dumps([lint_seeds.as_row(each) for each in lint_seeds.repaired(version)]))
    assert told == [{name: value for name, value in each.items() if name != "refused"} for each in kept]


def test_public_configurations_are_judged_as_vllm_judges_them():
    counted = lint_public.count()
    assert len(lint_public.rows()) >= 20
    assert counted.accused == ()
    assert len(counted.missed) <= 0.05 * counted.errors


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
    rows = rows_of(version)[::EVERY]
    seeds = [each for each in lint_seeds.recorded() if each["release"] == version]
    cases = [*(case_of(row.command) for row in rows), *(lint_seeds.asked(tmp_path, each["case"]) for each in seeds)]
    answers = Truth(engine.python, tmp_path, is_own=True).answers(version, cases)
    refused = [*(row.refused for row in rows), *(each["refused"] for each in seeds)]
    assert [bool(answer.refused) for answer in answers] == [bool(each) for each in refused]
