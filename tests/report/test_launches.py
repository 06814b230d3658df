"""Every launch and what became of it."""

from tests.study.made import failed, journal, step, whole

from dyno.report.findings import audit_sentence
from dyno.report.launches import cut_short, launches_table
from dyno.study.outcome import judge


def test_every_launch_is_told_with_its_state_and_what_was_cut_is_named():
    steps = [
        step(-1, "eager", "startup", phase="warm"),
        *whole(0, "baseline"),
        step(1, "eager", "startup"),
        step(1, "eager", state="interrupted", figures={}),
        step(1, "eager"),
        failed(2, "fast"),
        step(3, "fast", "startup"),
        step(3, "fast", state="interrupted", figures={}),
        step(4, "baseline", "startup", block=2),
        step(4, "baseline", state="void", void=("late",), block=2),
    ]
    made, spec = journal(steps, blocks=2)
    outcome = judge(made, spec, "s")
    assert [(row[1], row[-1]) for row in launches_table(outcome).rows] == [
        ("-1", "complete"), ("0", "complete"), ("1", "interrupted in throughput; complete"),
        ("2", "failed in startup: KV cache too small"), ("3", "interrupted in throughput"),
        ("4", "void: throughput")]  # fmt: skip
    assert cut_short(outcome) == 2
    assert audit_sentence(outcome).endswith("1 is void and in no figure, 1 failed, 2 were interrupted.")
    assert {row.candidate.name: row.state for row in outcome.rows} == {
        "baseline": "complete", "eager": "complete", "fast": "failed"}  # fmt: skip


def test_a_launch_of_a_dyno_that_kept_no_word_of_interruptions_is_cut_short_where_others_went_on():
    made, spec = journal([*whole(0, "baseline"), step(1, "eager", "startup")])
    outcome = judge(made, spec, "s")
    assert launches_table(outcome).rows[1][-1] == "cut short before throughput"
    assert cut_short(outcome) == 1
