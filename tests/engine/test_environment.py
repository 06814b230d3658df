import json
import sys
from pathlib import Path

import pytest

from dyno.engine.adopt import adopt_environment
from dyno.engine.environment import (
    current_environment,
    environment_folder,
    environment_in_use,
    environment_lock,
    install_log,
    list_environments,
    load_catalog,
    load_environment,
    prune_environments,
    remove_environment,
    use_environment,
)
from dyno.errors import Busy, EnvironmentBroken, InputError
from dyno.home import engine_cache_folder
from dyno.testing.fake_site import write_site


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))


@pytest.fixture
def site(tmp_path) -> str:
    return str(write_site(tmp_path / "site"))


@pytest.fixture
def adopt(site):
    return lambda name: adopt_environment(name, sys.executable, (site,))


def spoil(name: str, old: str, new: str) -> Path:
    path = environment_folder(name) / "environment.json"
    path.write_text(path.read_text().replace(old, new))
    return path


def test_an_adopted_interpreter_says_what_its_vllm_is(adopt, site):
    environment = adopt("a")
    assert (environment.version, environment.platform, environment.kind) == ("0.32.0+cpu", "cpu", "adopted")
    assert (environment.python, environment.pythonpath) == (sys.executable, (site,))
    assert list_environments() == (environment,) == (load_environment("a"),)


def test_the_flags_come_from_vllms_own_parser(adopt):
    flags = {flag.name: flag for flag in load_catalog(adopt("a")).flags}
    assert flags["max_num_seqs"].kind == "int"
    assert (flags["max_model_len"].kind, flags["max_model_len"].words) == ("size", ("auto",))
    assert flags["gpu_memory_utilization"].kind == "float"
    assert flags["tensor_parallel_size"].options == ("--tensor-parallel-size", "-tp")
    assert "fp8" in flags["kv_cache_dtype"].choices
    assert (flags["enforce_eager"].kind, flags["enforce_eager"].negatable) == ("switch", True)
    assert flags["enforce_eager"].options == ("--enforce-eager",)
    assert flags["served_model_name"].nargs == "+"


KINDS = """
import argparse, json
def folded(text): return text.lower().replace("-", "_")
def optional(read): return lambda text: None if text == "None" else read(text)
def make_arg_parser(parser):
    parser.add_argument("--config-json", type=json.loads)
    parser.add_argument("--backend", type=folded)
    parser.add_argument("--count", type=optional(int))
    parser.add_argument("--plain")
    parser.add_argument("--only-on", action="store_true")
    return parser
"""


def test_an_older_vllm_is_read_too_and_its_types_are_found_by_trying_them(tmp_path):
    for name, text in {
        "vllm/__init__.py": "__version__ = '0.26.0'",
        "vllm/platforms.py": "class current_platform: device_type = 'cuda'",
        "vllm/utils.py": "from argparse import ArgumentParser as FlexibleArgumentParser",
        "vllm/entrypoints/openai/cli_args.py": KINDS,
    }.items():
        path = tmp_path / "old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = adopt_environment("old", sys.executable, (str(tmp_path / "old"),))
    assert (environment.version, environment.platform, environment.torch_version) == ("0.26.0", "cuda", "")
    flags = load_catalog(environment).flags
    assert [(flag.kind, flag.words, flag.negatable) for flag in flags] == [
        ("json", (), False), ("folded", (), False), ("int", ("None",), False), ("str", (), False),
        ("switch", (), False)]  # fmt: skip


def test_an_interpreter_without_vllm_is_not_adopted():
    with pytest.raises(EnvironmentBroken, match="No module named 'vllm'"):
        adopt_environment("a", sys.executable)
    assert list_environments() == ()


def test_a_vllm_that_finds_no_device_is_not_adopted(tmp_path):
    site = write_site(tmp_path / "site", platform="")
    with pytest.raises(EnvironmentBroken, match="finds no device"):
        adopt_environment("a", sys.executable, (str(site),))
    assert not environment_folder("a").exists()


def test_wrong_paths_are_reported_together(tmp_path):
    with pytest.raises(InputError) as caught:
        adopt_environment("a", str(tmp_path / "python"), (str(tmp_path / "x"), str(tmp_path / "y")))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(InputError, match="cannot be the name"):
        adopt_environment(name, sys.executable)


def test_the_first_is_in_use_until_another_is_chosen(adopt):
    first, second = adopt("a"), adopt("b")
    assert current_environment() == first
    assert use_environment("b") == second == current_environment()
    assert current_environment("a") == first


def test_without_one_in_use_the_only_one_is_taken_and_of_several_none(adopt):
    for name in "abc":
        adopt(name)
    remove_environment("a")
    assert environment_in_use() is None
    with pytest.raises(EnvironmentBroken, match=r"\(b, c\); choose: `dyno env use NAME`"):
        current_environment()
    remove_environment("b")
    assert current_environment().name == "c"


def test_without_any_the_remedy_is_to_install_one():
    with pytest.raises(EnvironmentBroken, match="`dyno env install`"):
        current_environment()


def test_an_unknown_name_gets_its_nearest(adopt):
    adopt("cpu-main")
    with pytest.raises(EnvironmentBroken, match="did you mean 'cpu-main'"):
        current_environment("cpu-mian")
    with pytest.raises(EnvironmentBroken, match="no engine environment 'x'"):
        remove_environment("x")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{", "nonsense", "Invalid JSON"),
        ('"schema_version": 1', '"schema_version": 2', "schema_version: Input should be 1"),
        ('"kind"', '"more": 1, "kind"', "environment.more: Unexpected keyword argument"),
        ('"platform": "cpu"', '"platform": 3', "environment.platform"),
    ],
)
def test_a_broken_file_is_named_with_its_remedy_and_can_be_removed(adopt, old, new, problem):
    adopt("a")
    path = spoil("a", old, new)
    for read in (list_environments, lambda: load_environment("a"), current_environment):
        with pytest.raises(EnvironmentBroken) as caught:
            read()
        assert str(path) in str(caught.value)
        assert problem in str(caught.value)
        assert "`dyno env remove a`" in str(caught.value)
    remove_environment("a")
    assert list_environments() == ()


def test_an_interpreter_that_went_away_is_said(adopt):
    adopt("a")
    spoil("a", sys.executable, "/nowhere/python")
    with pytest.raises(EnvironmentBroken, match="/nowhere/python is gone"):
        current_environment()


def test_only_one_at_a_time_changes_an_environment(adopt):
    adopt("a")
    with environment_lock("a"):
        for change in (adopt, remove_environment):
            with pytest.raises(Busy, match="engine environment a is in use by process"):
                change("a")
    assert load_environment("a")


def test_prune_removes_what_nothing_needs_and_says_how_much(adopt):
    adopt("kept")
    half_made = environment_folder("half") / "venv" / "big"
    half_made.parent.mkdir(parents=True)
    half_made.write_bytes(bytes(2048))
    install_log("kept").parent.mkdir()
    install_log("kept").write_text("x")
    install_log("gone").write_text("x")
    engine_cache_folder().mkdir(parents=True)
    lines = prune_environments()
    assert [line.split(" /")[0] for line in lines] == ["removed half-made environment", "removed install log"]
    assert lines[0].endswith(": 2 KiB")
    assert install_log("kept").exists()
    assert engine_cache_folder().exists()
    remove_environment("kept")
    assert "removed engines' cache" in prune_environments()[-1]
    assert prune_environments() == []


def test_prune_leaves_an_installation_that_is_going_on():
    environment_folder("half").mkdir(parents=True)
    with environment_lock("half"):
        assert prune_environments()[0].startswith("kept ")
    assert environment_folder("half").exists()


def test_what_is_known_of_an_environment_is_one_json_file_with_a_schema_version(adopt):
    adopt("a")
    (file,) = environment_folder("a").iterdir()
    assert json.loads(file.read_text())["schema_version"] == 1
