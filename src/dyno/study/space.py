"""Which configurations a study tries: the user's, or a table by hardware."""

from collections.abc import Callable
from dataclasses import dataclass

from dyno.engine.args import EngineArgs
from dyno.errors import InputError
from dyno.study.trial import Candidate

BASELINE = "baseline"

# Flags that change what the model computes, not only how fast: weights, KV cache or arithmetic of another dtype.
ALTERING_FLAGS = frozenset({"quantization", "kv_cache_dtype", "dtype", "hf_overrides", "calculate_kv_scales"})


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A default candidate: what it changes, and one sentence why it may be faster here."""

    name: str
    change: str
    reason: str


_CPU = (
    Suggestion("all-cores", "VLLM_CPU_NUM_OF_RESERVED_CPU=0",
               "vLLM keeps one core for its server; on few cores the model is better off with all of them."),
    Suggestion("eager", "--enforce-eager", "Starts fastest: nothing is compiled; each token costs a little more."),
    Suggestion("no-prefix-caching", "--no-enable-prefix-caching",
               "Saves hashing where prompts never repeat; repeated prefixes then cost their full price."),
    Suggestion("batched-256", "--max-num-batched-tokens 256",
               "Smaller prefill chunks let waiting prompts start sooner, at the price of the time per token."),
    Suggestion("fp8-kv", "--kv-cache-dtype fp8", "Half the bytes per KV token: twice the context in the same memory."),
    Suggestion("all-cores-batched-256", "VLLM_CPU_NUM_OF_RESERVED_CPU=0 --max-num-batched-tokens 256",
               "All cores and sooner starts together."),
)  # fmt: skip

_CUDA = (
    Suggestion("batched-16384", "--max-num-batched-tokens 16384",
               "Larger prefill batches use the tensor cores better under many long prompts."),
    Suggestion("batched-2048", "--max-num-batched-tokens 2048",
               "Smaller prefill chunks disturb running decodes less and need less activation memory."),
    Suggestion("seqs-512", "--max-num-seqs 512", "More sequences a step, when the KV cache holds them."),
    Suggestion("flashinfer", "--attention-backend FLASHINFER",
               "Another attention kernel; which one is faster depends on card, batch and length."),
    Suggestion("throughput-mode", "--performance-mode throughput", "vLLM's own preset for throughput."),
    Suggestion("eager", "--enforce-eager", "Shows what CUDA graphs and compilation are worth on this card."),
)  # fmt: skip

_CUDA_SMALL = (
    Suggestion("lean-graphs", "--max-num-seqs 64 --max-num-batched-tokens 2048",
               "On a small card fewer sequences leave memory that graphs and activations would take to the KV cache."),
)  # fmt: skip

_CUDA_FP8 = (
    Suggestion("fp8-weights", "--quantization fp8", "Half the weight bytes to read for every token."),
    Suggestion("fp8-kv", "--kv-cache-dtype fp8", "Half the bytes per KV token: twice the context in the same memory."),
    Suggestion("fp8-both", "--quantization fp8 --kv-cache-dtype fp8", "Both savings together."),
)  # fmt: skip

# FP8 tensor cores exist from compute capability 8.9 (Ada) on; vLLM's supports_fp8 asks for the same.
FP8_CAPABILITY = (8, 9)
SMALL_CARD_BYTES = 17 * 2**30


def suggestions(
    platform: str, capability: tuple[int, int] | None, memory_bytes: int | None, quantized: bool
) -> tuple[Suggestion, ...]:
    """The default candidates for an engine's platform and its card. A quantized checkpoint keeps its weights."""
    if platform != "cuda":
        return _CPU
    small = _CUDA_SMALL if memory_bytes is not None and memory_bytes <= SMALL_CARD_BYTES else ()
    if capability is None or capability < FP8_CAPABILITY:
        return _CUDA + small
    fp8 = tuple(each for each in _CUDA_FP8 if not (quantized and "--quantization" in each.change))
    return fp8 + _CUDA + small


def build_candidates(
    baseline: EngineArgs,
    pinned: EngineArgs,
    changes: tuple[Suggestion, ...],
    parse: Callable[[str], EngineArgs],
) -> tuple[Candidate, ...]:
    """The baseline first, then one candidate per change: the baseline with the change on top, and what is pinned.

    InputError names every change that does not parse, and every flag that is both pinned and set elsewhere.
    """
    problems = _clashes("baseline", baseline, pinned)
    candidates = [Candidate(BASELINE, baseline.overlay(pinned), "What everything else is compared with.")]
    for suggestion in changes:
        try:
            change = parse(suggestion.change)
        except InputError as error:
            problems += [f"candidates.{suggestion.name}: {problem}" for problem in error.problems]
            continue
        problems += _clashes(f"candidates.{suggestion.name}", change, pinned)
        args = baseline.overlay(change).overlay(pinned)
        candidates.append(
            Candidate(suggestion.name, args, suggestion.reason, alters_output(baseline.overlay(pinned), args))
        )
    if problems:
        raise InputError(*problems)
    return tuple(candidates)


def alters_output(baseline: EngineArgs, args: EngineArgs) -> bool:
    """Whether a configuration may answer differently from the baseline, so that its accuracy has to be tested."""
    return any(baseline.flag(name) != args.flag(name) for name in ALTERING_FLAGS)


def _clashes(where: str, args: EngineArgs, pinned: EngineArgs) -> list[str]:
    pins = {f"--{name.replace('_', '-')}": value for name, value in pinned.flags} | dict(pinned.env)
    named = [f"--{name.replace('_', '-')}" for name, _ in args.flags] + [name for name, _ in args.env]
    return [f"{where}: {name} is pinned to {pins[name]!r} for every candidate; take it out of one of the two"
            for name in named if name in pins]  # fmt: skip
