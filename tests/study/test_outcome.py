import pytest
from made import failed, journal, pair, step, whole

from dyno.study.outcome import judge, screened_best


def outcome(steps, **given):
    made, spec = journal(steps, **given)
    return judge(made, spec, "study")


def six(ours, theirs=100.0):
    """Six pairs whose ratio scatters by one percent."""
    scatter = (0.99, 1.0, 1.01)
    return [each for n in range(6) for each in pair(n, 10 + 2 * n, "fast", ours * scatter[n % 3], theirs)]


SCREEN = [*whole(0, "baseline"), *whole(1, "eager", 90.0), *whole(2, "fast", 130.0), *whole(3, "baseline", 110.0)]


def test_screening_alone_ranks_but_never_proves():
    made = outcome(SCREEN)
    assert made.verdict is None
    assert made.recommended.candidate.name == "baseline"
    assert made.rows[2].ratio == pytest.approx(130 / (100 * 110) ** 0.5)


def test_a_proven_candidate_is_recommended():
    made = outcome(SCREEN + six(130), confirm=("fast", 6))
    assert made.verdict.answer == "better"
    assert made.recommended.candidate.name == "fast"
    assert made.verdict.launches == 12


def test_the_baseline_is_recommended_when_the_best_candidate_is_worse():
    made = outcome(SCREEN + six(80), confirm=("fast", 6))
    assert (made.verdict.answer, made.recommended.candidate.name) == ("worse", "baseline")


def test_launches_that_chose_a_candidate_do_not_prove_it():
    made = outcome([*SCREEN[:4], *whole(2, "fast", 1e6), *SCREEN[6:], *six(130)], confirm=("fast", 6))
    assert made.verdict.ratio == pytest.approx(1.3, rel=0.02)


def test_where_every_candidate_may_change_the_output_the_best_of_them_is_confirmed_and_the_baseline_stays():
    made, spec = journal(SCREEN, altering=("eager", "fast"))
    assert screened_best(judge(made, spec, "s"), spec).candidate.name == "fast"
    told = outcome(SCREEN + six(130), altering=("eager", "fast"), confirm=("fast", 6))
    assert (told.verdict.answer, told.recommended.candidate.name) == ("better", "baseline")
    assert told.recommended.why.endswith("fast, is better, but may change the output.")
    assert told.also_fast.why.startswith("It is faster")


def test_a_failed_candidate_is_a_row_with_its_cause():
    row = outcome([*whole(0, "baseline"), failed(1, "eager")]).rows[1]
    assert (row.state, row.cause) == ("failed", "KV cache too small")


def test_a_void_run_gives_no_figure():
    row = outcome([*whole(0, "baseline"), step(1, "eager", state="void", void=("tokens differ",))]).rows[1]
    assert (row.state, row.cause, row.ratio) == ("void", "tokens differ", None)


def test_a_candidate_that_was_not_launched_is_pending():
    assert outcome(whole(0, "baseline")).rows[1].state == "pending"


def test_what_breaks_a_limit_is_never_recommended():
    made = outcome(SCREEN, limits={"ttft_p95": "10 ms"})
    assert made.recommended is None
    assert [check.met for check in made.rows[0].checks] == [False]


def test_a_candidate_is_recommended_by_screening_when_the_baseline_cannot_start():
    made = outcome([failed(0, "baseline"), *SCREEN[2:6]])
    assert made.recommended.candidate.name == "fast"
    assert "baseline failed" in made.recommended.why


def test_what_can_change_the_output_is_named_but_not_recommended_unless_allowed():
    made = outcome(SCREEN, altering=("fast",))
    assert made.recommended.candidate.name == "baseline"
    assert made.also_fast.candidate.name == "fast"
    assert made.also_fast.why == "Screens faster, but can change the output: accuracy not tested."
    proven = outcome(SCREEN + six(130), altering=("fast",), confirm=("fast", 6)).also_fast
    assert proven.why == "It is faster, but can change the output: accuracy not tested."
    allowed = outcome(SCREEN + six(130), altering=("fast",), confirm=("fast", 6), allow_output_change=True)
    assert allowed.recommended.candidate.name == "fast"
    assert allowed.also_fast.candidate.name == "eager"


def test_the_best_of_the_screening_is_what_gets_confirmed_and_it_keeps_output_and_limits():
    made, spec = journal(SCREEN, altering=("fast",))
    assert screened_best(judge(made, spec, "study"), spec).candidate.name == "eager"
    made, spec = journal(SCREEN)
    assert screened_best(judge(made, spec, "study"), spec).candidate.name == "fast"


def test_lower_is_better_for_a_latency():
    steps = [step(launch, name, figures={"ttft_ms.p95": value})
             for launch, name, value in ((0, "baseline", 50.0), (1, "eager", 40.0), (2, "fast", 60.0))]  # fmt: skip
    made, spec = journal(steps, objective="ttft_p95")
    assert screened_best(judge(made, spec, "study"), spec).candidate.name == "eager"


def test_a_pair_with_a_void_launch_is_left_out():
    void = whole(10, "baseline", phase="confirm", pair=0, state="void")
    steps = [*SCREEN, *void, *(each for each in six(130) if each.launch != 10)]
    assert outcome(steps, confirm=("fast", 6)).verdict.pairs == 5


def test_pairs_are_never_made_across_blocks():
    split = [
        *whole(10, "baseline", phase="confirm", pair=0),
        *whole(11, "fast", 200.0, phase="confirm", pair=0, block=2),
    ]
    made = outcome([*SCREEN, *split, *pair(1, 12, "fast", 130, 100, block=2)], confirm=("fast", 2), blocks=2)
    assert made.verdict.pairs == 1


def test_ratios_are_to_the_baseline_of_the_same_block():
    other = [
        *whole(4, "baseline", 200.0, block=2),
        *whole(5, "eager", 190.0, block=2),
        *whole(6, "baseline", 200.0, block=2),
    ]
    made = outcome([*SCREEN[:2], *SCREEN[4:], *other], blocks=2)
    assert made.rows[1].ratio == pytest.approx(0.95)


def test_a_candidate_that_crashed_while_being_confirmed_is_not_better_and_not_recommended():
    broken = failed(0, "x").failure
    crashed = [step(launch, "fast", "startup", state="failed", phase="confirm", pair=pair, failure=broken)
               for pair, launch in ((3, 17), (4, 19))]  # fmt: skip
    steps = [*SCREEN, *(each for each in six(130) if each.launch not in (17, 19)), *crashed]
    made = outcome(steps, confirm=("fast", 6))
    assert (made.verdict.answer, made.verdict.note) == (
        "inconclusive",
        "2 of 6 launches of fast failed: KV cache too small",
    )
    assert made.rows[2].state == "failed"
    assert made.recommended.candidate.name == "baseline"


def test_a_confirmation_that_is_not_finished_says_nothing_final():
    made = outcome(SCREEN + six(130)[:12], confirm=("fast", 6))
    assert (made.verdict.answer, made.verdict.note) == ("inconclusive", "3 of 6 pairs are made so far")
    assert made.recommended.candidate.name == "baseline"


def test_an_engine_that_died_in_any_test_makes_a_failed_row():
    died = step(1, "eager", "long_context", state="failed", failure=failed(0, "x").failure)
    row = outcome([*whole(0, "baseline"), *whole(1, "eager", 200.0), died]).rows[1]
    assert (row.state, row.cause) == ("failed", "KV cache too small")


def test_a_limit_on_memory_is_held_against_the_highest_peak_of_any_test_of_any_launch():
    def peak(launch, scenario, gib):
        return step(launch, "baseline", scenario, figures={"output_throughput": 1.0, "rss_peak_bytes": gib * 2**30})

    steps = [peak(0, "throughput", 9), peak(0, "memory", 12), peak(1, "throughput", 9), peak(1, "memory", 9)]
    check = outcome(steps, limits={"ram": "10 GiB"}).rows[0].checks[0]
    assert (check.value, check.met) == (12 * 2**30, False)


def test_a_row_without_a_baseline_of_its_block_never_outranks_a_ratio():
    alone = whole(5, "eager", 9000.0, block=2)
    made, spec = journal([*SCREEN, *alone], blocks=2)
    assert screened_best(judge(made, spec, "study"), spec).candidate.name == "fast"


def test_a_speedup_over_the_baseline_is_a_floor_that_the_baseline_itself_does_not_reach():
    made = outcome(SCREEN, limits={"speedup": "1.2x"})
    assert [row.checks[0].met for row in made.rows] == [False, False, True]
    assert outcome(SCREEN, limits={"speedup": "1.5x"}).recommended is None


def test_a_limit_at_a_prompt_length_adds_the_test_that_measures_it_and_is_held_against_it():
    long = step(0, "baseline", "context", figures={"8192.ttft_ms": 2500.0, "ttft_ms.p50": 9.0})
    made, spec = journal([*whole(0, "baseline"), long], limits={"ttft@8K": "2 s"})
    assert "context" in spec.tests
    check = judge(made, spec, "study").rows[0].checks[0]
    assert (check.value, check.met) == (2500.0, False)


def test_throughput_at_the_limits_is_what_ranks_and_nothing_is_recommended_where_it_is_nothing():
    def at(launch, name, rate, clients, ttft):
        figures = {"output_throughput": rate, "capacity_concurrency": clients, "ttft_ms.p95": ttft}
        return step(launch, name, figures=figures)

    keep = {"limits": {"ttft_p95": "1 s"}}
    none = [at(0, "baseline", 0.0, 0.0, 1500), at(1, "eager", 0.0, 0.0, 1200)]
    assert outcome(none, **keep).recommended is None
    made = outcome([*none[:1], at(1, "eager", 90.0, 7.5, 990)], **keep)
    assert made.at_limits
    assert made.recommended.candidate.name == "eager"
    assert not outcome(none, **keep, workload={"concurrency": 4}).at_limits
    assert not outcome(none, limits={"vram": "1 GiB"}).at_limits
