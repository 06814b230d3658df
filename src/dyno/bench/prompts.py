"""Prompts from a seed: token ids, exact in length, or words of ASCII letters."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dyno.bench.arrivals import request_lengths
from dyno.bench.record import Load, Target
from dyno.model.synthetic import words

Prompt = list[int] | str

_WORDS = words(4096)  # known one by one to the demo model; about two tokens each to others
GUESSED_TOKENS_PER_WORD = 2.0

_WARM_UP, _MEASURED, _POOL = 0, 1, 4


def by_ids(target: Target) -> bool:
    """Whether prompts for this server are token ids; chat takes none."""
    return target.token_ids is not None and not target.chat


def measured_prompts(target: Target, load: Load, tokens_per_word: float) -> Iterator[Prompt]:
    """The prompts of a load, the same for the same seed. `tokens_per_word` is for servers that take words."""
    chance = np.random.default_rng([load.seed, _MEASURED])
    pool = [_draw(chance, target, load.prefix_len, tokens_per_word) for _ in range(load.prefixes)]
    inputs, _ = request_lengths(load)
    least = 1 if load.prefix_len else 0  # a prompt that were a prefix alone would repeat
    chosen = np.random.default_rng([load.seed, _POOL]).integers(load.prefixes, size=len(inputs)).tolist()
    for which, tokens in zip(chosen, inputs.tolist(), strict=True):
        rest = _draw(chance, target, max(least, tokens - load.prefix_len), tokens_per_word)
        yield _prompt(target, np.concatenate([pool[which], rest]))


def warm_up_prompt(target: Target, load: Load) -> Prompt:
    """A prompt that shares nothing with the measured ones."""
    chance = np.random.default_rng([load.seed, _WARM_UP])
    return _prompt(target, _draw(chance, target, load.input_len, GUESSED_TOKENS_PER_WORD))


def length(prompt: Prompt) -> int:
    """In ids or in words."""
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


def _draw(chance: np.random.Generator, target: Target, tokens: int, tokens_per_word: float) -> NDArray[np.int64]:
    if target.token_ids is not None and not target.chat:
        return chance.integers(*target.token_ids, size=tokens)
    return chance.integers(len(_WORDS), size=max(1, round(tokens / tokens_per_word)) if tokens else 0)


def _prompt(target: Target, drawn: NDArray[np.int64]) -> Prompt:
    return drawn.tolist() if by_ids(target) else " ".join(_WORDS[number] for number in drawn.tolist())
