"""A proof as the runner makes it, with launches that are made by hand, and two studies side by side."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import ENGINE, HARDWARE, failed, journal, pair, prepared, step

from dyno.engine.failures import Cause, Failure
from dyno.errors import InputError
from dyno.study.compare import Told, compare_studies
from dyno.study.journal import LookLine, append, read_journal
from dyno.study.outcome import judge
from dyno.study.pairs import looks_due, proven, search_from
from dyno.study.schedule import next_confirm
from dyno.study.spec import parse_spec
from dyno.study.store import check_resumable, create_study
from dyno.study.trial import Step

SPREAD = json.loads((Path(__file__).parents[1] / "data/launch_spread.json").read_text())


def proof(steps, asked=None, **spec):
    """A journal of a proof with these steps, and its spec."""
    made, understood = journal(steps, candidates=("B",), prove={"max_pairs": 20} | (asked or {}), **spec)
    first, second = made.study.candidates
    return replace(made, study=replace(made.study, candidates=(replace(first, name="A"), second))), understood


def ab(number, ours, theirs, **changes):
    """Both launches of a proof's pair."""
    return tuple(replace(each, candidate="A") if each.candidate == "baseline" else each
                 for each in pair(number, 2 * number, "B", ours, theirs, **changes))  # fmt: skip


def several(pairs):
    return [each for number, (ours, theirs) in enumerate(pairs) for each in ab(number, ours, theirs)]


CLEAR = [(150, 100), (151, 100), (149, 100), (150, 100)]


def drive(rng, series, effect, drift):
    """A whole proof over made launches: the runner's loop without engines. Returns verdict and launches made."""
    made, spec = proof([])
    steps: list[Step] = []
    while plan := next_confirm(("A", "B"), spec.prove.max_pairs, steps, 1):
        figure = rng.choice(series) * (1 + drift) ** plan.launch * (effect if plan.candidate == "B" else 1)
        given = {"phase": "confirm", "pair": plan.pair}
        steps += [step(plan.launch, plan.candidate, test, figure, **given) for test in plan.tests]
        now = replace(made, steps=tuple(steps))
        if plan.place % 2 == 0 and looks_due(now, spec.prove):
            (verdict,) = proven(now, spec.prove)
            if verdict.answer != "inconclusive":
                break
    return verdict, len({each.launch for each in steps})


@pytest.mark.parametrize("effect", [1.0, 1.5])
def test_the_order_of_launches_and_the_stop_hold_together(effect):
    verdict, launches = drive(np.random.default_rng(1), SPREAD[2]["output_throughput"], effect, -0.003)
    assert verdict.answer == ("better" if effect > 1 else "equivalent")
    assert launches == 2 * verdict.pairs


def test_a_proof_is_a_verdict_a_metric_and_recommends_what_is_better_in_one_and_worse_in_none():
    made, spec = proof(several(CLEAR), {"metrics": ("output_throughput", "ttft_p95")}, allow_output_change=True)
    outcome = judge(made, spec, "study")
    # made's steps all have the same ttft: no difference at all
    assert [(each.metric, each.answer) for each in outcome.verdicts] == [
        ("output_throughput", "better"), ("ttft_p95", "equivalent")]  # fmt: skip
    assert outcome.verdict == outcome.verdicts[0]
    assert outcome.recommended.candidate.name == "B"


def test_what_crashed_once_is_not_better():
    crash = replace(failed(9, "B"), phase="confirm", pair=4)
    made, spec = proof([*several(CLEAR), crash])
    (verdict,) = proven(made, spec.prove)
    assert (verdict.answer, verdict.note) == ("inconclusive", "1 of 5 launches of B failed: KV cache too small")
    assert judge(made, spec, "study").recommended.candidate.name == "A"


def test_void_pairs_do_not_count_towards_a_look():
    steps = several([*CLEAR[:3], (1, 100)])
    steps[-1] = replace(steps[-1], state="void", void=("tokens differ",))
    made, spec = proof(steps)
    assert looks_due(made, spec.prove) == 0
    made = replace(made, steps=(*made.steps, *ab(4, 150, 100)))
    assert looks_due(made, spec.prove) == 1
    (verdict,) = proven(made, spec.prove)
    assert (verdict.answer, verdict.note) == ("better", "1 pairs void and left out")


def test_what_was_decided_at_each_look_is_in_the_journal(tmp_path):
    made, spec = proof(several(CLEAR))
    create_study(tmp_path / "s", prepared(made), HARDWARE)
    line = LookLine(4, proven(made, spec.prove), False, "now")
    append(tmp_path / "s", line)
    assert read_journal(tmp_path / "s").looks == (line,)


def test_a_proof_does_not_go_on_with_another_release_on_either_side():
    made, _ = proof([])
    other = replace(ENGINE, name="old", version="0.31.0+cpu")
    made = replace(made, study=replace(made.study, engines=(other,)))
    check_resumable(made, {}, ENGINE, HARDWARE, (other,))
    with pytest.raises(InputError, match=r"was vLLM 0.31.0\+cpu on cpu, is now vLLM 0.32.0\+cpu"):
        check_resumable(made, {}, ENGINE, HARDWARE, (replace(other, version="0.32.0+cpu"),))


@pytest.mark.parametrize(("wrong", "said"), [
    ({"prove": {"max_pairs": 1}}, "prove.max_pairs: 1 must be at least 2"),
    ({"prove": {"margin": "x"}}, "prove.margin: 'x' is not a share"),
    ({"prove": {"margin": "0 %"}}, "prove.margin: '0 %' must be more than 0"),
    ({"prove": {"metrics": ["ttft"]}}, "'ttft' is not known"),
    ({"prove": {"margn": 1}}, "prove.margn: unknown key; did you mean 'margin'?"),
    ({"prove": {"metrics": ["ttft_p95"]}, "limits": {"ttft_p95": 1}, "objective": "output_throughput"},
     "prove.metrics: ttft_p95 cannot be compared where the number of clients follows from the limits"),
    ({"prove": {}, "limits": {"ttft@8K": "2 s"}}, "limits.ttft@8192: a proof does not measure that"),
    ({"tests": ["backend"]}, "'backend' is a proof of its own; ask for it with: dyno prove MODEL --backends all"),
    ({"prove": {}, "candidates": {"x": "", "y": ""}}, "prove: needs exactly one candidate"),
    ({"weights": {"ready": "0"}}, "weights.ready: '0' must be more than 0"),
    ({"weights": {"ready": "much"}}, "weights.ready: 'much' is not a share"),
])  # fmt: skip
def test_what_a_proof_cannot_use_is_named(wrong, said):
    with pytest.raises(InputError) as refused:
        parse_spec({"model": "./m", "candidates": {"B": ""}} | wrong)
    assert any(said in problem for problem in refused.value.problems), refused.value.problems


def test_a_spec_with_weights_gets_a_decision_over_what_was_measured():
    made, spec = journal([step(0, "baseline"), step(1, "fast", figure=200.0)],
                         weights={"output_throughput": "80 %", "maintenance": "20 %"})  # fmt: skip
    decision = judge(made, spec, "study").decision
    assert [(option.name, option.total) for option in decision.options] == [("fast", 100.0), ("baseline", 50.0)]
    assert [criterion.measured for criterion in decision.criteria] == [True, False]


def told(name, pairs, **spec):
    return Told(name, *proof(several(pairs), **spec))


def test_the_ratio_to_its_own_baseline_is_what_is_compared():
    # The second machine is ten times as fast; B's gain on it is gone.
    made = compare_studies(told("old", CLEAR), told("new", [(10 * b / 1.5, 10 * a) for b, a in CLEAR]), 0.02)
    (change,) = made.compared
    assert (change.metric, change.answer, change.baseline) == ("output_throughput", "worse", "old")
    assert change.ratio == pytest.approx(1 / 1.5)
    assert "Figures themselves" in made.not_compared[0]


def test_a_study_whose_launches_failed_or_were_void_is_named_and_settles_less():
    first, second = told("old", CLEAR), told("new", [(10 * b / 1.5, 10 * a) for b, a in CLEAR])
    *steps, last = second.journal.steps
    void = replace(
        second, journal=replace(second.journal, steps=(*steps, replace(last, state="void", void=("steal",))))
    )
    made = compare_studies(first, void, 0.02)
    assert made.disturbed == (f"new: 1 of {len(CLEAR)} pairs of output_throughput void and left out",)
    assert made.compared[0].answer == "worse"
    broken = replace(last, state="failed", failure=Failure(Cause.KILLED, "died", "", ""))
    made = compare_studies(replace(second, journal=replace(second.journal, steps=(*steps, broken))), first, 0.02)
    assert made.disturbed[0].startswith("new: 1 of ")
    assert (made.compared[0].answer, made.compared[0].note) == ("inconclusive", made.disturbed[0])


def test_a_candidate_with_other_flags_or_without_pairs_is_named_and_not_compared():
    first, second = told("old", CLEAR), told("new", CLEAR)
    other = replace(second.candidates[1], args=replace(second.candidates[1].args, env=(("FAKE_FAST", "1"),)))
    study = replace(second.journal.study, candidates=(second.candidates[0], other))
    made = compare_studies(first, replace(second, journal=replace(second.journal, study=study)), 0.02)
    assert made.compared == ()
    assert "B: not the same flags in both studies." in made.not_compared


def test_studies_with_other_workloads_are_refused():
    with pytest.raises(InputError, match="nothing may be compared, as the workload differs"):
        compare_studies(told("old", CLEAR), told("new", CLEAR, workload="long"), 0.02)


def test_throughputs_at_other_limits_are_not_compared():
    limits = {"ttft_p95": "2 s"}
    same = [told(name, CLEAR, limits=limits) for name in ("old", "new")]
    assert compare_studies(*same, 0.02).compared[0].answer == "equivalent"
    with pytest.raises(InputError, match=r"the concurrency of throughputs differs: the workload's and as many as keep"):
        compare_studies(told("old", CLEAR), same[1], 0.02)


def test_another_machine_or_release_is_said():
    first, second = told("old", CLEAR), told("new", CLEAR)
    study = replace(second.journal.study, engine=replace(ENGINE, version="0.33.0+cpu"))
    made = compare_studies(first, replace(second, journal=replace(second.journal, study=study)), 0.02)
    assert made.settings == ("engine: vLLM 0.32.0+cpu on cpu, then vLLM 0.33.0+cpu on cpu",)
    assert made.compared[0].answer == "equivalent"


def looked(launch, name, clients, bound=None):
    return step(launch, name, figures={"capacity_concurrency": clients, "bound_concurrency": bound})


def test_a_search_begins_where_the_candidates_own_launches_ended_and_asks_for_no_more_than_the_first_found_useful():
    assert (search_from([], "B", 16).start, search_from([], "B", 16).most) == (16, None)
    steps = [looked(0, "A", 20.4), looked(1, "B", 41.0), looked(2, "B", 39.6), looked(3, "A", 21.0)]
    assert (search_from(steps, "B", 16).start, search_from(steps, "C", 16).start) == (40, 21)
    assert search_from([looked(0, "A", 64, 64.0), looked(1, "B", 30, 30.0)], "A", 16).most == 64
    assert search_from([looked(0, "A", 0.0)], "A", 16).start == 16


def test_a_launch_that_keeps_the_limits_with_no_client_ends_a_proof_without_a_winner():
    none = [replace(each, figures={"output_throughput": 0.0, "capacity_concurrency": 0.0})
            if each.candidate == "B" else each for each in ab(0, 1, 100)]  # fmt: skip
    made, spec = proof(none, limits={"ttft_p95": "1 s"})
    (verdict,) = proven(made, spec.prove)
    assert (verdict.answer, verdict.note) == (
        "inconclusive", "B kept the limits with not even one client in 1 of 1 launches")  # fmt: skip
