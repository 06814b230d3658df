"""The scheduler's decisions, with steps of a second each so that they can be counted."""

from dataclasses import replace

import pytest
from models import QWEN3_4B, setup

from dyno.hardware.gpus import find_card
from dyno.predict.demand import Asked, Demand
from dyno.predict.rates import generic
from dyno.predict.roofline import costs
from dyno.predict.scheduler import Engine, simulate

_KNOWN = costs(setup(QWEN3_4B, async_scheduling=False), generic(find_card("H200")).rates)
# One second a step, whatever is in it.
STEP = replace(_KNOWN, stream_s=0.0, token_s=0.0, head_s=0.0, moved_s=0.0, kinds=(), fixed_s=1.0, request_s=0.0,
               host_s=0.0, host_request_s=0.0, pieces_s=0.0, eager_s=0.0, asynchronous=False)  # fmt: skip
ASYNC = replace(STEP, asynchronous=True)
ENGINE = Engine(100, 10, 1000, 16, lambda length: -(-length // 16), 0.0, 0.0)


def same(number, input_len=10, output_len=5, **more):
    return tuple(Asked(input_len, output_len, **more) for _ in range(number))


def test_one_request_has_its_first_token_after_its_prompt_and_the_rest_a_step_each():
    served = simulate(Demand(same(1), 1), ENGINE, STEP)
    assert served.first_s == (1.0,)
    assert served.last_s == (5.0,)


def test_a_prompt_longer_than_the_budget_is_cut():
    served = simulate(Demand(same(1, input_len=250), 1), ENGINE, STEP)
    assert served.first_s == (3.0,)


def test_the_budget_is_shared_first_come_first_served():
    served = simulate(Demand(same(3, input_len=60), 3), ENGINE, STEP)
    assert served.first_s == (1.0, 2.0, 2.0)


def test_no_more_run_than_sequences_and_the_next_comes_in_when_one_is_done():
    served = simulate(Demand(same(3, output_len=4), 3), replace(ENGINE, max_num_seqs=2), STEP)
    assert served.first_s == (1.0, 1.0, 5.0)
    assert served.last_s == (4.0, 4.0, 8.0)


def test_clients_wait_for_their_answers():
    served = simulate(Demand(same(4, output_len=4), 2), ENGINE, STEP)
    assert served.sent_s == (0.0, 0.0, 4.0, 4.0)
    assert served.last_s == (4.0, 4.0, 8.0, 8.0)


def test_an_open_loop_keeps_its_times():
    requests = (Asked(10, 5, 0.0), Asked(10, 5, 2.5), Asked(10, 5, 100.0))
    served = simulate(Demand(requests, None), ENGINE, STEP)
    assert served.sent_s == (0.0, 2.5, 100.0)
    assert served.first_s == (1.0, 4.0, 101.0)


def test_async_scheduling_sees_what_comes_one_step_later():
    requests = (Asked(10, 9, 0.0), Asked(10, 5, 2.5))
    assert simulate(Demand(requests, None), ENGINE, ASYNC).first_s[1] == 5.0


def test_when_blocks_run_short_the_last_one_in_is_computed_again():
    engine = replace(ENGINE, blocks=8)
    served = simulate(Demand(same(2, input_len=48, output_len=40), 2), engine, STEP)
    assert served.preemptions >= 1
    assert served.first_s == (1.0, 1.0)
    assert served.last_s[0] == 40.0
    assert served.last_s[1] > served.last_s[0]
    assert served.computed > 2 * (48 + 39)


def test_a_prompt_waits_until_all_of_it_finds_blocks():
    served = simulate(Demand(same(2, input_len=80, output_len=4), 2), replace(ENGINE, blocks=9), STEP)
    assert served.first_s == (1.0, 5.0)


def test_a_beginning_that_was_computed_is_not_computed_again():
    requests = same(2, input_len=300, output_len=2, prefix=0, prefix_len=288)
    served = simulate(Demand(requests, 1), ENGINE, STEP)
    assert served.first_s == (3.0, 5.0)
    again = simulate(Demand(requests, 1), replace(ENGINE, prefix_caching=False), STEP)
    assert again.first_s == (3.0, 7.0)


def test_the_server_works_in_turns_on_requests_that_come_together():
    served = simulate(Demand(same(3, output_len=1), 3), replace(ENGINE, admit_s=10.0, front_s=1.0), STEP)
    assert served.first_s == (29.0, 30.5, 32.0)


def test_a_request_waits_for_its_turn_among_the_answers_that_are_streamed():
    engine = replace(ENGINE, front_s=1.0, turn_s=2.0)
    served = simulate(Demand((*same(2, output_len=30), Asked(10, 5, 5.5)), None), engine, STEP)
    assert served.first_s == (2.0, 2.0, 12.0)
    served = simulate(Demand((Asked(10, 10), Asked(10, 50), Asked(10, 5)), 2), engine, STEP)
    assert served.sent_s[2] == 11.0
    assert served.first_s[2] == 15.0


def test_the_first_token_takes_longer_the_longer_the_prompt_was_and_no_other():
    plain, read = (simulate(Demand(same(1), 1), replace(ENGINE, prompt_s=each), STEP) for each in (0.0, 0.1))
    assert read.first_s[0] == plain.first_s[0] + 1.0
    assert read.last_s == plain.last_s


def test_with_async_scheduling_tokens_are_looked_at_once_the_next_step_is_launched():
    slow_host = replace(ASYNC, fixed_s=1.0, host_s=2.0, largest_graph=512, pieces_s=3.0)
    served = simulate(Demand(same(1), 1), ENGINE, slow_host)
    assert served.first_s == (5.0 + 2.0,)  # a prompt's step, then one that a graph holds
    assert served.last_s[0] - served.first_s[0] == 4 * 2.0 - 2.0


def test_jumping_over_steps_takes_as_long_as_counting_them():
    known = replace(STEP, kinds=_KNOWN.kinds, fixed_s=1e-3)
    jumped = simulate(Demand(same(1, input_len=10, output_len=101), 1), ENGINE, known)
    counted = sum(1e-3 + known.read_s([(1, 10 + step)]) for step in range(100))
    assert jumped.last_s[0] - jumped.first_s[0] == pytest.approx(counted)


@pytest.mark.parametrize("clients", [1, 7, 64])
@pytest.mark.parametrize("blocks", [12, 40, 4000])
def test_every_request_is_served_whatever_room_there_is(clients, blocks):
    requests = tuple(Asked(1 + 37 * number % 150, 1 + 11 * number % 23, prefix=number % 3, prefix_len=1 + number % 40)
                     for number in range(64))  # fmt: skip
    for known in (STEP, ASYNC):
        served = simulate(Demand(requests, clients), replace(ENGINE, blocks=blocks), known)
        assert all(sent < first <= last for sent, first, last in
                   zip(served.sent_s, served.first_s, served.last_s, strict=True))  # fmt: skip
        assert served.computed >= sum(asked.output_len - 1 for asked in requests)
