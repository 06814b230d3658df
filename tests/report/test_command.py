"""`dyno report` on a study folder."""

import json

import pytest
import typer
from typer.testing import CliRunner

from dyno.cli.report import report
from dyno.engine.environment import Environment
from dyno.errors import InputError
from dyno.model.spec import ModelSpec
from dyno.study.journal import BlockLine, ConfirmLine, StepLine, append
from dyno.study.prepare import Prepared
from dyno.study.spec import parse_spec
from dyno.study.store import create_study


@pytest.fixture
def folder(outcome, tmp_path, monkeypatch):
    """A study in ./studies with the steps of the outcome made by hand."""
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "studies" / "demo"
    model = ModelSpec("./demo-model", None, "Qwen3ForCausalLM", 4096, 2048, 1024, 4, 16, 4, 64, "bfloat16")
    engine = Environment("cpu", "venv", "/env/bin/python", (), "cpu", "0.32.0+cpu", "3.11.2", "2.9.0")
    spec = {"model": "./demo-model", "limits": {"ttft_p95": "2 s", "ram": "4 GiB"}}
    candidates = tuple(row.candidate for row in outcome.rows)
    create_study(study, Prepared(*parse_spec(spec), engine, model, candidates, None, ()), outcome.machine)
    append(study, BlockLine(1, "machine", outcome.machine, "2026-01-01T00:00:00+00:00"))
    append(study, ConfirmLine("all-cores", 4, 4, "2026-01-01T00:10:00+00:00"))
    for step in outcome.steps:
        append(study, StepLine(step))
    return study


def run(*words):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.usefixtures("folder")
def test_the_newest_study_is_shown_in_the_terminal_by_default():
    result = run()
    assert result.exit_code == 0
    assert "all-cores" in result.stdout
    assert "Nothing is recommended" in result.stdout  # of its rounds none is whole


def test_json_is_one_object_on_stdout(folder):
    assert json.loads(run("--json", "--study", str(folder)).stdout)["study"] == "demo"
    assert run("--json").stdout == run("--format", "json").stdout


def test_html_goes_into_the_study_and_its_path_to_stdout(folder):
    assert run("--format", "html", "--study", str(folder)).stdout.split() == [str(folder / "report.html")]
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("format", "start"), [
    ("terminal", "./demo-model on"), ("markdown", "**"), ("html", "<!doctype html>"), ("json", "{"),
])  # fmt: skip
def test_any_format_can_go_to_a_file(format, start, tmp_path):
    file = tmp_path / "out"
    assert run("--format", format, "--output", str(file)).stdout.split() == [str(file)]
    assert file.read_text(encoding="utf-8").startswith(start)


@pytest.mark.usefixtures("folder")
def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"--output .*gone.out: cannot be written"):
        run("--format", "markdown", "--output", str(tmp_path / "gone" / "out"))
