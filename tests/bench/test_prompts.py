"""Prompts repeat only what is meant to repeat."""

import pytest

from dyno.bench.arrivals import request_lengths
from dyno.bench.prompts import length, measured_prompts, warm_up_prompt
from dyno.bench.record import Lengths, Load, Target

IDS = Target("http://h", "m", token_ids=(100, 4000))
WORDS = Target("http://h", "m")
LOAD = Load(concurrency=2, num_requests=20, input_len=64, output_len=8, seed=1)


def test_ids_are_exact_in_length_and_from_their_range() -> None:
    prompts = list(measured_prompts(IDS, LOAD, 1.0))
    assert [len(prompt) for prompt in prompts] == [64] * 20
    assert all(100 <= token < 4000 for prompt in prompts for token in prompt)


def test_one_seed_is_the_same_requests_and_another_shares_no_start() -> None:
    again, other = list(measured_prompts(IDS, LOAD, 1.0)), list(measured_prompts(IDS, Load(2, 20, 64, 8, seed=2), 1.0))
    assert again == list(measured_prompts(IDS, LOAD, 1.0))
    starts = {tuple(prompt[:4]) for prompt in [*again, *other, warm_up_prompt(IDS, LOAD)]}
    assert len(starts) == 41


def test_only_the_prefix_is_shared() -> None:
    prompts = list(measured_prompts(IDS, Load(1, 6, 64, 8, seed=1, prefix_len=48), 1.0))
    assert len({tuple(prompt[:48]) for prompt in prompts}) == 1
    assert len({tuple(prompt[48:52]) for prompt in prompts}) == 6
    assert warm_up_prompt(IDS, LOAD)[:4] != prompts[0][:4]


def test_words_come_near_the_length_that_the_server_counts() -> None:
    assert {length(prompt) for prompt in measured_prompts(WORDS, LOAD, 1.6)} == {40}
    assert all(prompt.isascii() for prompt in measured_prompts(WORDS, LOAD, 1.6))


def test_chat_takes_words_whatever_ids_are_known() -> None:
    chat = Target("http://h", "m", chat=True, token_ids=(100, 4000))
    assert all(isinstance(prompt, str) for prompt in [*measured_prompts(chat, LOAD, 2.0), warm_up_prompt(chat, LOAD)])


def test_a_pool_holds_so_many_beginnings_and_each_prompt_has_an_end_of_its_own() -> None:
    prompts = list(measured_prompts(IDS, Load(1, 40, 64, 8, seed=1, prefix_len=48, prefixes=4), 1.0))
    assert len({tuple(prompt[:48]) for prompt in prompts}) == 4
    assert len({tuple(prompt[48:]) for prompt in prompts}) == 40


@pytest.mark.parametrize("lengths", [Lengths("uniform", 0.5), Lengths("lognormal", 0.5)])
def test_what_follows_the_prefix_is_drawn_and_the_mean_stays_what_was_asked_for(lengths) -> None:
    load = Load(1, 2000, 64, 8, seed=1, prefix_len=48, lengths=lengths)
    seen = [length(prompt) for prompt in measured_prompts(IDS, load, 1.0)]
    assert min(seen) > 48
    assert sum(seen) / len(seen) == pytest.approx(64, rel=0.01)
    assert seen == request_lengths(load)[0].tolist()
