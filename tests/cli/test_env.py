import json
import sys

import pytest

from dyno.cli.main import run
from dyno.engine.environment import environment_folder, environment_lock
from dyno.testing.fake_site import write_site


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    return str(write_site(tmp_path / "site"))


@pytest.fixture
def dyno(capsys):
    """Runs one command line: its exit code, stdout and stderr."""

    def dyno(*words):
        code = run(["env", *words])
        return code, *capsys.readouterr()

    return dyno


@pytest.fixture
def adopt(dyno, site):
    return lambda name: dyno("adopt", "--name", name, "--python", sys.executable, "--pythonpath", site, "--json")


def test_adopt_prints_what_it_found_and_progress_apart(adopt, site):
    code, out, err = adopt("lab")
    assert code == 0
    found = json.loads(out)
    assert (found["name"], found["version"], found["platform"]) == ("lab", "0.32.0+cpu", "cpu")
    assert found["pythonpath"] == [site]
    assert err.startswith("verifying ")


def test_adopt_reports_wrong_paths_together_and_ends_with_2(dyno):
    code, out, err = dyno("adopt", "--name", "x", "--python", "/no/python", "--pythonpath", "/no/a:/no/b")
    assert (code, out) == (2, "")
    assert err.count("no such") == 3


def test_list_marks_the_one_in_use(dyno, adopt):
    adopt("a")
    adopt("b")
    code, out, _err = dyno("list")
    assert code == 0
    assert [line[:4] for line in out.splitlines()] == ["* a:", "  b:"]
    listed = json.loads(dyno("list", "--json")[1])
    assert (listed["in_use"], [each["name"] for each in listed["environments"]]) == ("a", ["a", "b"])


def test_list_without_any_says_how_to_get_one(dyno):
    assert "`dyno env install`" in dyno("list")[1]
    assert json.loads(dyno("list", "--json")[1]) == {"in_use": None, "environments": []}


def test_use_switches(dyno, adopt):
    adopt("a")
    adopt("b")
    assert dyno("use", "b")[0] == 0
    assert json.loads(dyno("list", "--json")[1])["in_use"] == "b"
    code, _out, err = dyno("use", "c")
    assert code == 3
    assert "no engine environment 'c'" in err


def test_removing_the_one_in_use_says_so(dyno, adopt):
    adopt("a")
    adopt("b")
    assert "it was the one in use" not in dyno("remove", "b")[1]
    assert "it was the one in use" in dyno("remove", "a")[1]


def test_prune_says_what_it_removed(dyno):
    environment_folder("half").mkdir(parents=True)
    assert "half-made environment" in json.loads(dyno("prune", "--json")[1])["pruned"][0]
    assert dyno("prune") == (0, "nothing to prune\n", "")


def test_install_refuses_what_is_no_release_with_2(dyno):
    code, out, err = dyno("install", "--vllm", "newest", "--json")
    assert code == 2
    assert "--vllm newest: not a release" in err
    assert json.loads(out)["error"]["exit_code"] == 2


def test_install_refuses_a_name_that_is_being_worked_on_with_3(dyno):
    with environment_lock("mine"):
        code, _out, err = dyno("install", "--name", "mine")
    assert code == 3
    assert "engine environment mine is in use by process" in err
