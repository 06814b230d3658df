from dataclasses import replace

import pytest
from made import failed, pair, step, whole

from dyno.engine.failures import Cause
from dyno.study.schedule import (
    LaunchPlan,
    Order,
    affordable_pairs,
    next_confirm,
    next_screen,
    screen_order,
)

TESTS = ("startup", "throughput")
ORDER = Order(("a", "b", "c"), TESTS, seed=7)


def screen(order, block=1, steps=()):
    """The launches a screening makes when every one succeeds."""
    steps, made = list(steps), []
    while plan := next_screen(order, steps, block):
        made.append(plan)
        steps += whole(plan.launch, plan.candidate, block=block)
    return made


def confirm(decided, steps, block=1):
    steps, made = list(steps), []
    while plan := next_confirm(("baseline", decided[0]), decided[1], steps, block):
        made.append(plan)
        steps += whole(plan.launch, plan.candidate, block=block, phase="confirm", pair=plan.pair)
    return made


def test_the_baseline_is_screened_first_and_last_and_every_candidate_once():
    names = [plan.candidate for plan in screen(ORDER)]
    assert names[0] == names[-1] == "baseline"
    assert sorted(names[1:-1]) == ["a", "b", "c"]


def test_the_order_follows_from_the_seed():
    assert screen_order(ORDER, (), 1) == screen_order(ORDER, (), 1)
    assert len({screen_order(Order(("a", "b", "c"), TESTS, seed), (), 1) for seed in range(20)}) > 1


def test_without_candidates_the_baseline_is_measured_once():
    assert [plan.candidate for plan in screen(Order((), TESTS, 0))] == ["baseline"]


def test_an_interrupted_launch_owes_only_the_tests_it_has_not_finished():
    plan = next_screen(ORDER, [step(0, "baseline", "startup")], 1)
    assert (plan.launch, plan.tests) == (0, ("throughput",))


def test_a_failed_launch_owes_nothing_more():
    names = screen_order(ORDER, (), 1)
    done = [*whole(0, "baseline"), failed(1, names[1])]
    assert next_screen(ORDER, done, 1).launch == 2


def test_another_block_screens_what_is_left_between_baselines_of_its_own():
    names = screen_order(ORDER, (), 1)
    done = [*whole(0, "baseline"), *whole(1, names[1]), step(2, names[2], "startup")]
    second = screen(ORDER, block=2, steps=done)
    assert [plan.candidate for plan in second] == ["baseline", names[2], names[3], "baseline"]
    assert [plan.launch for plan in second] == [3, 4, 5, 6]


def test_another_block_screens_nothing_when_all_was_screened():
    done = [step for plan in screen(ORDER) for step in whole(plan.launch, plan.candidate)]
    assert screen(ORDER, block=2, steps=done) == []


def test_pairs_alternate_their_order_so_that_drift_cancels():
    made = confirm(("a", 3), whole(0, "baseline"))
    assert [plan.candidate for plan in made] == ["baseline", "a", "a", "baseline", "baseline", "a"]
    assert [plan.pair for plan in made] == [0, 0, 1, 1, 2, 2]
    assert [plan.launch for plan in made] == [1, 2, 3, 4, 5, 6]


def test_a_pair_split_by_a_change_of_block_is_launched_again_whole():
    before = [*whole(0, "baseline"), *pair(0, 1, "a", 2.0, 1.0), *whole(3, "a", phase="confirm", pair=1)]
    made = confirm(("a", 3), before, block=2)
    assert [plan.pair for plan in made] == [1, 1, 2, 2]
    third = [
        *before,
        *whole(4, "a", block=2, phase="confirm", pair=1),
        *whole(5, "baseline", block=2, phase="confirm", pair=1),
    ]
    assert [plan.pair for plan in confirm(("a", 3), third, block=3)] == [2, 2]


def test_launches_that_are_compared_get_the_same_prompts_and_others_do_not():
    def seed(phase, pair, candidate, test):
        return LaunchPlan(9, 1, phase, pair, candidate, TESTS, 1, 1).seed(0, test)

    assert seed("screen", None, "a", "ttft") == seed("screen", None, "baseline", "ttft")
    assert seed("confirm", 0, "a", "throughput") == seed("confirm", 0, "baseline", "throughput")
    different = {seed("screen", None, "a", "ttft"), seed("screen", None, "a", "throughput"),
                 seed("confirm", 0, "a", "throughput"), seed("confirm", 1, "a", "throughput")}  # fmt: skip
    assert len(different) == 4


@pytest.mark.parametrize(("left_s", "pairs"), [(None, 6), (10_000, 6), (600, 5), (250, 2), (239, 0), (0, 0), (-500, 0)])
def test_the_budget_says_how_many_pairs_and_one_alone_proves_nothing(left_s, pairs):
    assert affordable_pairs(6, left_s, pair_s=120) == pairs


def test_a_screening_that_was_cut_short_takes_no_steps_of_the_confirmation_for_its_own():
    names = screen_order(ORDER, (), 1)
    done = [*whole(0, "baseline"), *whole(1, names[1]), *whole(2, "x", phase="confirm", pair=0)]
    plan = next_screen(ORDER, done, 1)
    assert (plan.launch, plan.candidate, plan.tests) == (2, names[2], TESTS)


def test_a_test_to_be_taken_again_is_still_owed():
    first = (step(0, "baseline", "startup"), step(0, "baseline", state="void", again=True))
    assert next_screen(ORDER, first, 1).tests == ("throughput",)
    assert next_screen(ORDER, (*first, step(0, "baseline")), 1).launch == 1


def test_in_rounds_of_three_everyone_has_every_place_once_so_that_a_linear_drift_cancels():
    steps, places = list(whole(0, "baseline")), dict.fromkeys(("baseline", "a", "b"), 0)
    for place in range(9):
        plan = next_confirm(("baseline", "a", "b"), 3, steps, 1)
        places[plan.candidate] += place
        steps += whole(plan.launch, plan.candidate, phase="confirm", pair=plan.pair)
    assert next_confirm(("baseline", "a", "b"), 3, steps, 1) is None
    assert set(places.values()) == {12}


def test_what_others_are_compared_with_is_launched_again_in_the_block_that_needs_it():
    order = Order(("a", "b"), TESTS, 7, against=(("b", "a"),))
    done = [*whole(0, "baseline"), *whole(1, "a"), *whole(3, "baseline")]
    second = [plan.candidate for plan in screen(order, block=2, steps=done)]
    assert sorted(second[1:-1]) == ["a", "b"]


def test_a_candidate_that_was_not_ready_in_time_when_it_warmed_is_not_launched_again():
    late = failed(-1, "a", phase="warm")
    late = replace(late, failure=replace(late.failure, cause=Cause.TIMEOUT))
    assert "a" not in screen_order(ORDER, [late], 1)
    assert "a" in screen_order(ORDER, [failed(-1, "a", phase="warm")], 1)
