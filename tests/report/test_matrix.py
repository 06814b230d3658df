from dataclasses import replace

import pytest

from dyno.report.matrix import (
    bound_text,
    check_text,
    is_recommended,
    limits_text,
    matrix_table,
    number,
    state_text,
)
from dyno.report.wording import recommendation
from dyno.study.outcome import Recommendation
from dyno.verdict.limits import check_limits
from dyno.workload import parse_limits


@pytest.mark.parametrize(("value", "text"), [
    (None, "-"), (0.0, "0"), (0.0421, "0.0421"), (33.44, "33.4"), (99.96, "100"), (512.7, "513"), (116736, "116,736"),
])  # fmt: skip
def test_numbers_have_three_figures_and_thousands_set_apart(value, text):
    assert number(value) == text


def test_every_row_fills_every_column(outcome):
    headers, rows = matrix_table(outcome)
    assert len(rows) == len(outcome.rows)
    assert {len(cells) for cells in rows} == {len(headers)}
    assert headers[0] == "Candidate"


def test_a_card_counts_before_the_host_s_memory(outcome):
    headers, rows = matrix_table(outcome)
    assert rows[0][headers.index("Memory GiB")] == "3.1"
    first = outcome.rows[0]
    on_gpu = replace(first, metrics=first.metrics | {"memory": {"device_peak_bytes": 11 * 2**30}})
    assert matrix_table(replace(outcome, rows=(on_gpu,)))[1][0][headers.index("Memory GiB")] == "11"


def test_states_are_said_in_words(outcome, unproven):
    assert [state_text(row, outcome) for row in outcome.rows] == [
        "measured", "recommended", "measured", "accuracy not tested",
        "void: 1,024 tokens by usage, 1,030 by vLLM's counters", "failed: KV cache too small", "measured"]  # fmt: skip
    assert state_text(unproven.rows[0], unproven) == "not run yet"


def test_a_baseline_that_nothing_was_confirmed_against_is_not_called_recommended(outcome):
    first = outcome.rows[0]
    stays = replace(outcome, verdict=None, recommended=Recommendation(first.candidate, "Nothing else was proven."))
    assert state_text(first, stays) == "nothing confirmed against it"
    assert not is_recommended(first, stays)
    assert recommendation(stays) == ("Nothing is recommended: no candidate was confirmed against baseline, so it "
                                     "stays.")  # fmt: skip
    cut = replace(stays, verdict=replace(outcome.verdict, answer="inconclusive", low=None, high=None))
    assert state_text(first, cut) == "nothing confirmed against it"
    confirmed = replace(stays, verdict=outcome.verdict)
    assert state_text(first, confirmed) == "recommended"


def test_limits_name_what_is_missed_and_what_was_not_measured(outcome):
    baseline, _, eager, *_ = outcome.rows
    assert limits_text(baseline) == "kept"
    assert limits_text(eager) == "missed: ttft_p95 2,310 ms (at most 2,000 ms)"
    assert limits_text(replace(eager, checks=())) == "-"


@pytest.mark.parametrize(("name", "bound", "figure", "value", "texts"), [
    ("vram", "11 GiB", "device_peak_bytes", 2**33, ("kept: vram 8 GiB", "at most 11 GiB")),
    ("temperature", "82 C", "temperature_peak_c", 83.0, ("missed: temperature 83 °C", "at most 82 °C")),
    ("ready", "3 min", "ready_s", 31.2, ("kept: ready 31.2 s", "at most 3 min 00 s")),
    ("output_throughput", 400, "output_throughput", 335.0,
     ("missed: output_throughput 335 tok/s", "at least 400 tok/s")),
    ("accuracy_drop", "2 %", "nothing", 0.0, ("not measured: accuracy_drop", "at most 2.00%")),
])  # fmt: skip
def test_limits_are_shown_in_their_own_units(name, bound, figure, value, texts):
    (check,) = check_limits(parse_limits({name: bound}), {figure: value})
    assert (check_text(check), bound_text(check.limit)) == texts
