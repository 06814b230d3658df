import json

import pytest

from dyno.cli.main import run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path))
    return tmp_path


def test_the_machine_is_shown_with_what_to_do(capsys):
    assert run(["doctor"]) in (0, 1)
    shown = capsys.readouterr().out
    assert "RAM" in shown
    assert "dyno env install" in shown


def test_json_is_one_object_and_the_exit_code_says_whether_there_is_an_error(capsys):
    code = run(["doctor", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"schema_version", "hardware", "kind", "environments", "findings"}
    assert code == int(any(finding["level"] == "error" for finding in result["findings"]))
    assert result["hardware"]["ram_total_bytes"] > 0


def test_a_broken_environment_is_a_finding_not_the_end(home, capsys):
    (home / "envs" / "half").mkdir(parents=True)
    (home / "envs" / "half" / "environment.json").write_text("{")
    assert run(["doctor", "--json"]) == 1
    first = json.loads(capsys.readouterr().out)["findings"][0]
    assert "half/environment.json" in first["what"]
    assert "dyno env remove half" in first["remedy"]
