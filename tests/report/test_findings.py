"""What the audit found, and the tables of the longer tests, in words."""

from dataclasses import replace

import pytest
from tests.report.kept import keep

from dyno.report.findings import audit_sentence, note_lines, void_lines
from dyno.report.matrix import matrix_table
from dyno.report.tables import decision_table, growth_text, leak, tables
from dyno.verdict.decision import decide

OTHERS = "other processes took {} of a processor while none of the 2 was to spare: python (process 7) {}"


def test_how_much_counts_is_one_sentence(outcome):
    assert audit_sentence(outcome) == "Of 46 tests in 16 launches, 44 count, 1 is void and in no figure, 1 failed."
    complete = tuple(step for step in outcome.steps if step.state == "complete")
    assert audit_sentence(replace(outcome, steps=complete)).startswith("All 44 tests in 14 launches count")
    assert audit_sentence(replace(outcome, steps=())) == "Nothing has been measured yet."


def test_one_cause_is_told_once_with_where_it_occurred(outcome):
    void = next(step for step in outcome.steps if step.void)
    said = [("ttft", 6, "the counter says 12"), ("context", 6, "context-2048: the counter says 1,024"),
            ("ttft", 7, "the counter says 14"), ("ttft", 7, "3 of 8 requests failed")]  # fmt: skip
    steps = [replace(void, scenario=test, launch=launch, void=(reason,)) for test, launch, reason in said]
    assert void_lines(replace(outcome, steps=tuple(steps))) == (
        "batched-256, ttft, context (launches 6, 7): first in ttft: the counter says 12.",
        "batched-256, ttft (launch 7): 3 of 8 requests failed.",
    )


def test_of_equal_notes_the_worst_is_told_and_in_how_many_launches(outcome):
    notes = (*(f"Launch {n}, throughput: {OTHERS.format(took, took)}." for n, took in ((3, 0.8), (4, 1.4), (9, 0.9))),
             "Went on after an interruption, 9 tests finished.")  # fmt: skip
    worst = f"Launch 4, throughput: {OTHERS.format(1.4, 1.4)}. The same, and less, in 2 other launches."
    assert note_lines(replace(outcome, notes=notes)) == (worst, notes[3])


def test_notes_that_differ_in_numbers_alone_are_told_once(outcome):
    again = tuple(f"Went on after an interruption, {tests} tests finished." for tests in (9, 41, 120))
    assert note_lines(replace(outcome, notes=again)) == (f"{again[0]} The same with 41, 120.",)
    assert note_lines(replace(outcome, notes=again[:1] * 2)) == again[:1]


def test_the_longer_tests_have_tables_of_their_own(outcome, tmp_path):
    made = tables(keep(tmp_path, outcome))
    assert made.keys() == {"throughput", "concurrency", "sustained", "soak"}
    capacity = dict(zip(made["concurrency"].headers, made["concurrency"].rows[0], strict=True))
    assert capacity["Clients within limits"] == "8"
    assert (capacity["TTFT p50/p95/p99 ms"], capacity["KV use"]) == ("404/768/800", "3.1%")
    assert capacity["Queue efficiency"] == "75%"
    assert made["sustained"].rows[0] == ("baseline", "320", "160", "50%", "30 s", "88 °C")
    assert made["soak"].rows[0][-1] == "it grows: +2.86 MiB an hour [+0.954, +4.77]"
    assert "Card memory" not in made["soak"].headers  # nobody told


def test_throughput_at_the_limits_tells_with_how_many_clients(outcome):
    figures = {"capacity_concurrency": 5.5, "capacity_output_throughput": 734.0, "queue_efficiency": 0.9}
    row = replace(outcome.rows[0], metrics={"throughput": figures})
    made = tables(replace(outcome, rows=(row,)))["concurrency"]
    told = dict(zip(made.headers, made.rows[0], strict=True))
    assert (told["Clients within limits"], told["Queue efficiency"]) == ("5.5", "90%")


def test_the_ladder_has_a_column_a_length(outcome):
    figures = {
        "2048.ttft_ms": 50.0,
        "2048.tpot_ms": 8.0,
        "2048.kv_usage": 0.004,
        "8192.ttft_ms": 200.0,
        "ttft_ms.p50": 1,
    }
    row = replace(outcome.rows[0], metrics={"context": figures})
    table = tables(replace(outcome, rows=(row,)))["context"]
    assert table.headers == ("Candidate", "Figure", "2K", "8K")
    latencies = (("baseline", "TTFT ms", "50", "200"), ("baseline", "TPOT ms", "8", "-"))
    assert table.rows == latencies  # KV use was not seen at every length
    row = replace(row, metrics={"context": figures | {"8192.kv_usage": 0.016}})
    assert tables(replace(outcome, rows=(row,)))["context"].rows == (*latencies, ("baseline", "KV use", "0.4%", "1.6%"))


def test_a_criterion_that_nobody_measured_says_so_in_the_decision():
    made = decide([("output_throughput", 0.6), ("temperature", 0.4)], {"a": {"output_throughput": 100.0},
                                                                      "b": {"output_throughput": 50.0}})  # fmt: skip
    table = decision_table(made)
    assert table.headers == ("Candidate", "output_throughput, 60%", "temperature, 40%", "Total of 100")
    assert table.rows == (("a", "100", "-", "100.0"), ("b", "50", "-", "50.0"))
    assert "Nobody measured temperature: no score, and no weight. a leads b by 50.0 points" in table.caption


@pytest.mark.parametrize(("slope", "low", "high", "text"), [
    (2**20, 2**19, 2**21, "it grows: +1 MiB an hour [+0.5, +2]"),
    (0.0, 0.0, 0.0, "no growth can be told from none: +0 MiB an hour [+0, +0]"),
    (-(2**20), -(2**21), -(2**19), "it shrinks: -1 MiB an hour [-2, -0.5]"),
    (None, None, None, "too few readings for a slope"),
])  # fmt: skip
def test_a_leak_is_told_by_its_interval(slope, low, high, text):
    parts = {"slope": slope, "low": low, "high": high}
    assert growth_text(*leak({f"rss_bytes_per_h.{part}": value for part, value in parts.items()}, "rss_bytes")) == text


def test_of_one_configuration_nothing_is_ranked_and_columns_without_figures_are_left_out(outcome):
    row = replace(outcome.rows[1], metrics={"throughput": {"output_throughput": 512.7}}, checks=())
    headers, rows = matrix_table(replace(outcome, rows=(row,)))
    assert headers == ("Candidate", "Throughput tok/s", "State")
    assert rows == (("all-cores", "513", "measured"),)
