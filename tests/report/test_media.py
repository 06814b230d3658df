"""The terminal, markdown and JSON."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.report.kept import keep

from dyno.report.jsonout import outcome_json
from dyno.report.markdown import render_markdown
from dyno.report.terminal import render_terminal
from dyno.report.wording import verdict_sentence

COMMAND = "env VLLM_CPU_NUM_OF_RESERVED_CPU=0 vllm serve ./demo-model"


def printed(outcome, width):
    file = StringIO()
    render_terminal(outcome, Console(file=file, width=width))
    return file.getvalue()


def test_markdown_is_as_recorded(outcome):
    assert render_markdown(outcome) == (Path(__file__).parent / "expected.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_terminal_of_any_width_shows_names_verdict_and_an_unbroken_command(outcome, width):
    text = printed(outcome, width)
    assert f"  {COMMAND}" in text.splitlines()
    assert "all-cores" in text
    words = " ".join(text.split())
    assert verdict_sentence(outcome) in words
    assert "missed: ttft_p95 2,310 ms (at most 2,000 ms)" in words
    assert "Remedy: Lower VLLM_CPU_KVCACHE_SPACE." in words
    assert all(len(line) <= max(width, len(COMMAND) + 2) for line in text.splitlines())


def test_a_terminal_too_narrow_for_a_table_gets_its_rows_as_lines(outcome, tmp_path):
    kept = keep(tmp_path, outcome)
    narrow = " ".join(printed(kept, 80).split())
    assert "baseline: Clients within limits 8, tok/s there 320, Knee, clients 4," in narrow
    assert "Queue efficiency 75%" in narrow
    assert "p50/p95/p99" in printed(kept, 200)


def test_square_brackets_in_names_are_shown_not_obeyed(outcome):
    assert "[1.49, 1.58]" in printed(outcome, 120)


def test_a_study_that_proved_nothing_is_shown_too(unproven):
    assert "No verdict" in printed(unproven, 100)
    assert "not run yet" in render_markdown(unproven)


def test_json_has_the_stable_names(outcome):
    told = json.loads(json.dumps(outcome_json(outcome), allow_nan=False))
    assert set(told) == {"study", "rows", "verdict", "recommended", "machine", "engine", "model", "workload",
                         "objective", "limits", "notes"}  # fmt: skip
    assert told["rows"][5] == {"name": "kv-40g", "state": "failed", "cause": "KV cache too small", "launches": 1,
                               "metrics": {}}  # fmt: skip
    assert told["rows"][0]["metrics"]["throughput"]["output_throughput"] == 335.0
    assert told["verdict"].keys() == {"candidate", "answer", "metric", "ratio", "low", "high", "launches"}
    assert (told["verdict"]["answer"], told["verdict"]["launches"]) == ("better", 8)
    assert told["recommended"] == {"name": "all-cores", "argv": ["vllm", "serve", "./demo-model"],
                                   "env": {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}}  # fmt: skip
    assert told["limits"][0] == {"name": "ttft_p95", "bound": 2000.0, "side": "at most"}


def test_json_of_an_unproven_study_has_nulls(unproven):
    told = outcome_json(unproven)
    assert told["verdict"] is None
    assert told["recommended"] is None
