"""The flags that `dyno plan` understands, as people write them."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dyno.engine.args import EngineArgs, FlagValue
from dyno.errors import InputError, nearest, shown

_SCALES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_SWITCH: Mapping[str, bool] = {"true": True, "false": False}
_MOST = 2**31 - 1  # that vLLM's kernels count to
_MOST_BYTES = 2**50
_MOST_SERVERS = 256
_MOST_CARDS = 1024

# Those of vLLM's whose size is known here: of the others nobody looked what they keep beside the values.
KV_DTYPES = (
    "auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla", "nvfp4",
    "int4_per_token_head", "int8_per_token_head", "fp8_per_token_head",
)  # fmt: skip
DTYPES = ("auto", "half", "float16", "bfloat16")  # 16 bits: of 32 nothing was measured
MODES = ("balanced", "interactivity", "throughput")


@dataclass(frozen=True, slots=True)
class Kind:
    """How a flag's value is read from text (ValueError, KeyError where it is none), and what it is in words."""

    read: Callable[[str], FlagValue]
    told: str


def _whole(text: str) -> int:
    scale = _SCALES.get(text[-1:], 1)
    return int(float(text[:-1]) * scale) if scale > 1 else int(text)


def _within(text: str, least: int, most: int) -> int:
    if not least <= (number := _whole(text)) <= most:
        raise ValueError
    return number


def _from_to(least: int, most: int) -> Kind:
    such = ", such as 8192 or 8k" if most >= _MOST else ""
    return Kind(lambda text: _within(text, least, most), f"a whole number from {least} to {most}{such}")


def _length(text: str) -> int:
    return -1 if text in ("auto", "-1") else _within(text, 1, _MOST)


def _share(text: str) -> float:
    if not 0 < (number := float(text)) <= 1:
        raise ValueError
    return number


def _gibibytes(text: str) -> float:
    if not 0 <= (number := float(text)) <= _MOST_BYTES / 2**30:
        raise ValueError
    return number


def _object(text: str) -> str:
    if not isinstance(json.loads(text), dict):
        raise ValueError
    return text


def _one_of(words: Sequence[str]) -> Kind:
    return Kind(lambda text: words[words.index(text)], f"one of {', '.join(words)}")


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError
    return text


_LEVEL = re.compile(r"^-O=?(?=\d$)")
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")
_COUNT, _SWITCHES = _from_to(1, _MOST), Kind(lambda text: _SWITCH[text.lower()], "true or false")
_NAMES = Kind(_word, "a name")

FLAGS: Mapping[str, Kind] = {
    "max_model_len": Kind(_length, f"{_COUNT.told}, or auto"),
    **dict.fromkeys(("max_num_batched_tokens", "max_num_seqs", "num_gpu_blocks_override"), _COUNT),
    "kv_cache_memory_bytes": _from_to(1, _MOST_BYTES),
    "block_size": _from_to(1, 2**20),
    "tensor_parallel_size": _from_to(1, _MOST_CARDS),
    "api_server_count": _from_to(1, _MOST_SERVERS),
    "optimization_level": _from_to(0, 3),
    "gpu_memory_utilization": Kind(_share, "a number above 0 and at most 1"),
    "kv_offloading_size": Kind(_gibibytes, f"a number of GiB from 0 to {_MOST_BYTES // 2**30}"),
    **dict.fromkeys(("enforce_eager", "enable_prefix_caching", "async_scheduling", "enable_chunked_prefill",
                     "disable_hybrid_kv_cache_manager", "enable_expert_parallel"), _SWITCHES),
    "kv_cache_dtype": _one_of(KV_DTYPES),
    "compilation_config": Kind(_object, "a JSON object"),
    "dtype": _one_of(DTYPES),
    "performance_mode": _one_of(MODES),
    **dict.fromkeys(("quantization", "load_format", "attention_backend"), _NAMES),
}  # fmt: skip
VARIABLES: Mapping[str, Kind] = {
    "VLLM_CPU_KVCACHE_SPACE": _from_to(0, 2**20),
    "VLLM_USE_V2_MODEL_RUNNER": _from_to(0, 1),
    "VLLM_USE_FLASHINFER_SAMPLER": _from_to(0, 1),
}
_SHORT = {"tp": "tensor_parallel_size", "q": "quantization", "kv_cache_memory": "kv_cache_memory_bytes"}


def parse_settings(settings: Iterable[str], model: str) -> EngineArgs:
    """`flag=value` words, with `-` or `_`, as EngineArgs. InputError has every problem."""
    given: dict[str, FlagValue] = {}
    problems: list[str] = []
    for word in settings:
        name, equals, text = (part.strip() for part in word.partition("="))
        try:
            if not equals or not text:
                raise InputError(f"--set: {shown(word)} is not FLAG=VALUE")
            name = name if name in VARIABLES else _name(name)
            value = read_value(name, text, "--set: ")
            if given.setdefault(name, value) != value:
                raise InputError(f"--set: {name} is given twice, as {given[name]} and as {value}; name one of them")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    flags = ((name, value) for name, value in given.items() if name not in VARIABLES)
    return EngineArgs(model, tuple(flags), tuple((name, str(given[name])) for name in VARIABLES if name in given))


def parse_words(words: Sequence[str], model: str) -> EngineArgs:
    """The words after `vllm serve MODEL`; flags that nothing depends on are passed over.

    InputError has every value that is none.
    """
    flags: dict[str, FlagValue] = {}
    problems: list[str] = []
    rest = list(words)
    while rest:
        option, equals, text = _LEVEL.sub("--optimization-level=", rest.pop(0)).partition("=")
        if not option.startswith("-"):
            continue
        plain = option.lstrip("-").replace("-", "_")
        name = _SHORT.get(plain, plain)
        if plain.startswith("no_") and plain.removeprefix("no_") in FLAGS:
            flags[plain.removeprefix("no_")] = False
        elif FLAGS.get(name) is _SWITCHES:
            flags[name] = True
        elif name in FLAGS:
            try:
                flags[name] = read_value(name, text if equals else rest.pop(0) if rest else "")
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(*problems)
    return EngineArgs(model, tuple(flags.items()))


def read_value(name: str, text: str, where: str = "") -> FlagValue:
    """The value of a flag or variable, from text. InputError, which begins with `where`, says what it must be."""
    kind = FLAGS.get(name) or VARIABLES[name]
    try:
        return kind.read(text)
    except (ValueError, KeyError, OverflowError, RecursionError):
        raise InputError(f"{where}{name}: {shown(text)} is not {kind.told}") from None


def _name(text: str) -> str:
    plain = text.lstrip("-").replace("-", "_")
    name = _SHORT.get(plain, plain)
    if name not in FLAGS:
        raise InputError(f"--set: {shown(text)} is not a flag that plan understands{nearest(name, tuple(FLAGS))}; "
                         f"it does {', '.join(FLAGS)} and {', '.join(VARIABLES)}")  # fmt: skip
    return name
