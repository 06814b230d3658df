"""Arguments that this release takes one by one and refuses together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod

from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.source import UNKNOWN, Value
from dyno.lint.together import EXCLUDES, NEEDS, RELATIONS, Need
from dyno.units import format_bytes

RULES = Rules()
_CONFIG = "vllm/config of 0.32.0"
_ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
_CARDS_ONLY: Mapping[str, tuple[str, tuple[Value, ...]]] = {  # since when the CPU engine refuses which values
    **dict.fromkeys(("enable_sleep_mode", "enable_cumem_allocator", "enable_eplb", "enable_trace_replay",
                     "enable_batch_sharded_sampling", "return_sampling_mask"), ("0.0.0", (True,))),
    "enable_return_routed_experts": ("0.31.0", (True,)),
    "kda_prefill_backend": ("0.0.0", ("flashkda", "fused")),
}  # fmt: skip
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_FP8_WEIGHTS = ("fp8", "modelopt", "quark", "fbgemm_fp8")


@RULES.rule(
    "DYN401",
    "error",
    "fp8_e5m2 with FP8 weights",
    "vllm/model_executor/layers/attention: BaseKVCacheMethod; 0.6.2 to 0.33",
)
def e5m2_with_fp8(case: Case) -> Iterator[Hit]:
    """An FP8 checkpoint brings scales for e4m3, and the layer ends with "fp8_e5m2 kv-cache is not supported with fp8
    checkpoints"."""
    item, weights = case.item("kv_cache_dtype"), case.weights
    if item and case.value("kv_cache_dtype") == "fp8_e5m2" and weights in _FP8_WEIGHTS:
        yield Hit(item, f"{item.written} fp8_e5m2 is refused with FP8 weights ({weights})", "write fp8, which is e4m3",
                  Change(item, (Setting("kv_cache_dtype", "fp8"),)))  # fmt: skip


@RULES.rule("DYN402", "error", "Backend cannot read this KV cache", "vllm/v1/attention/backends/fa_utils.py")
def backend_and_cache(case: Case) -> Iterator[Hit]:
    """FLASH_ATTN reads an FP8 cache only on compute capability 9.0 (and 10.0 with FlashAttention 4), and e5m2 nowhere.
    FLASHINFER and TRITON_ATTN read both."""
    backend, dtype = str(case.backend).upper(), str(case.value("kv_cache_dtype"))
    item = case.item("kv_cache_dtype")
    if item is None or not backend.startswith("FLASH_ATTN") or "MLA" in backend or not dtype.startswith("fp8"):
        return
    where = f"on compute capability {case.card.capability[0]}.{case.card.capability[1]}" if case.card else "on any card"
    if dtype == "fp8_e5m2" or (case.card and case.card.capability[0] not in (9, 10)):
        yield Hit(item, f"{backend} cannot read an {dtype} KV cache {where}",
                  "leave the backend out so that vLLM chooses, or name FLASHINFER or TRITON_ATTN")  # fmt: skip


@RULES.rule(
    "DYN403", "error", "KV offloading with expandable segments", "vllm/config/vllm.py: _verify_kv_transfer_compat"
)
def offload_and_segments(case: Case) -> Iterator[Hit]:
    """The allocator may move the memory that a KV connector has pinned; vLLM refuses the two together unless its own
    allocator is on (sleep mode)."""
    connector = case.item("kv_offloading_size") or case.item("kv_transfer_config")
    variable = next((case.variables[name] for name in _ALLOCATORS if name in case.variables), None)
    if connector and variable and "expandable_segments:True" in str(variable.value) and case.known.since("0.20.0") \
            and not case.is_on("enable_sleep_mode") and variable.name == _ALLOCATORS[0]:  # fmt: skip
        yield Hit(
            variable,
            f"{variable.name}=expandable_segments:True is refused with {connector.written}",
            "leave it out",
            Change(variable),
        )


@RULES.rule(
    "DYN404",
    "error",
    "KV offloading larger than /dev/shm",
    "vllm/v1/kv_offload: shared region; Docker's default of 64 MiB",
)
def offload_and_shm(case: Case) -> Iterator[Hit]:
    """Since 0.20 the buffer is one file in /dev/shm: 64 MiB in a container unless --shm-size or --ipc=host says
    otherwise. Since 0.28 the start ends with "Insufficient space in /dev/shm", before with a crash."""
    item, size = case.item("kv_offloading_size"), case.value("kv_offloading_size")
    facts = case.configuration.facts
    if item is None or not isinstance(size, int | float) or facts is None or not case.known.since("0.20.0"):
        return
    if facts.get("ipc") == "host":
        return
    have = _bytes(facts.get("shm_size", "64 MiB"))
    if have is not None and size * 2**30 > have:
        yield Hit(item, f"{item.written} {size:g} GiB: the container has {format_bytes(have)} of /dev/shm",
                  f"give it more: shm_size: {size + 1:.0f}gb, or ipc: host")  # fmt: skip


@RULES.rule("DYN405", "warning", "/dev/shm is the host's", "Docker: --ipc; vllm/v1/kv_offload")
def host_shm(case: Case) -> Iterator[Hit]:
    """With ipc: host the container has the host's /dev/shm, half of its RAM by default, and shm_size has no effect; the
    offloading buffer has to fit into what is free there."""
    item, size = case.item("kv_offloading_size"), case.value("kv_offloading_size")
    facts = case.configuration.facts or {}
    if item and facts.get("ipc") == "host" and isinstance(size, int | float) and case.known.since("0.20.0"):
        idle = f"; shm_size: {facts['shm_size']} has no effect" if "shm_size" in facts else ""
        yield Hit(item, f"{item.written} needs {size:g} GiB free in the host's /dev/shm, which is half of its RAM by "
                  f"default{idle}", f"see `df -h /dev/shm`: it needs more than {size:g} GiB")  # fmt: skip


@RULES.rule("DYN406", "error", "Not on the CPU", "vllm/config/model.py; vllm/platforms/cpu.py")
def not_on_cpu(case: Case) -> Iterator[Hit]:
    """Sleep mode and its allocator need CUDA's virtual memory, experts are balanced on cards only; the CPU engine
    ends with "... is not supported on current platform"."""
    for name, (since, refused) in _CARDS_ONLY.items() if case.platform == "cpu" else ():
        item, value = case.item(name), case.value(name)
        if item and case.flag(item) and value in refused and case.known.since(since):
            what = item.written if value is True else f"{item.written} {value}"
            yield Hit(item, f"{what}: the CPU engine does not have it", "leave it out", Change(item))


@RULES.rule("DYN407", "warning", "No metrics", "vllm/v1/metrics/loggers.py")
def no_metrics(case: Case) -> Iterator[Hit]:
    """With it /metrics has not one series of vLLM's: no queue length, no cache use, no latency."""
    item = case.item("disable_log_stats")
    if (
        item
        and case.configuration.entry in ("serve", "api_server", "yaml", "fragment")
        and case.is_on("disable_log_stats")
    ):
        yield Hit(
            item, f"{item.written} takes every vllm: series off /metrics: nothing can be monitored", "leave it out"
        )


@RULES.rule("DYN408", "warning", "Scales without an FP8 cache", "vllm/model_executor/layers/attention")
def scales_without_fp8(case: Case) -> Iterator[Hit]:
    """Scales are worked out for an FP8 cache only."""
    item, dtype = case.item("calculate_kv_scales"), case.value("kv_cache_dtype")
    if item and case.flag(item) and dtype is not UNKNOWN and not str(dtype).startswith("fp8"):
        yield Hit(item, f"{item.written} does nothing without an FP8 KV cache", "leave it out", Change(item))


@RULES.rule("DYN409", "error", "Needs another flag", _CONFIG)
def requires(case: Case) -> Iterator[Hit]:
    """vLLM refuses the one without the other."""
    for need in NEEDS if case.closed else ():
        item, value = case.item(need.name), case.value(need.name)
        if item is None or not case.flag(item) or value is UNKNOWN or value in need.off:
            continue
        if not case.known.since(need.since) or (need.until and case.known.since(need.until)):
            continue
        if need.unless and case.item(need.unless):
            continue
        if not any(case.known.flag(other.partition(".")[0]) or other.isupper() for other in need.others):
            continue
        if not any(_satisfied(case, need, other) for other in need.others):
            named = " or ".join(_named(need, other) for other in need.others)
            yield Hit(item, f"{item.written}{_key(need.name)} needs {named}", f"give {named}, or leave it out")


def _satisfied(case: Case, need: Need, other: str) -> bool:
    if other.isupper():
        variable = case.variables.get(other)
        return variable is not None and variable.value not in ("", "0")
    value = case.value(other)
    if value is UNKNOWN:
        return True
    if need.least is not None:
        return isinstance(value, int) and value >= need.least
    return str(value).lower() in need.values if need.values else value is not None and value is not False


def _named(need: Need, other: str) -> str:
    if other.isupper():
        return f"{other}=1"
    what = "or".join(f" {value} " for value in need.values).rstrip() if need.values else ""
    least = f" {need.least} or more" if need.least is not None else ""
    flag, dot, key = other.partition(".")
    return f"--{flag.replace('_', '-')}{dot}{key}{what}{least}"


def _key(name: str) -> str:
    """The key that a rule speaks of, as it follows the name of its flag."""
    return f": {name.partition('.')[2]}" if "." in name else ""


@RULES.rule("DYN410", "error", "Exclude each other", _CONFIG)
def excludes(case: Case) -> Iterator[Hit]:
    """vLLM refuses the two together."""
    for one, other in EXCLUDES:
        first, second = case.item(one), case.item(other)
        off = () if "." in other else (False,)  # a key and its flag exclude each other whatever they say
        if first and second and case.flag(first) and _is_set(case, one, off) and _is_set(case, other, off):
            message = f"{first.written} and {second.written}{_key(other)} exclude each other"
            yield Hit(first, message, "leave one of them out")


def _is_set(case: Case, name: str, off: Sequence[Value]) -> bool:
    value = case.value(name)
    return value is not None and value is not UNKNOWN and not any(value is each for each in off)


@RULES.rule("DYN411", "error", "Numbers that do not go together", _CONFIG)
def relations(case: Case) -> Iterator[Hit]:
    """vLLM compares them when it builds its configuration, and ends with a ValueError."""
    for low, high, default in RELATIONS:
        item, other = case.item(low), case.item(high)
        small, large = case.value(low), case.value(high) if other else default
        if item is None or (flag := case.flag(item)) is None or not case.is_built(flag):
            continue
        numbers = isinstance(small, int) and isinstance(large, int) and not isinstance(small, bool)
        if numbers and small > large:  # type: ignore[operator]
            yield Hit(
                item,
                f"{item.written} {small} is more than {high} {large}",
                f"lower it, or raise --{high.replace('_', '-')}",
            )


@RULES.rule("DYN412", "error", "Prompts longer than a batch", "vllm/config/scheduler.py: verify_max_model_len")
def batch_and_length(case: Case) -> Iterator[Hit]:
    """Without chunked prefill a prompt has to fit into one batch: max_num_batched_tokens must not be less than
    max_model_len. The V1 engine before 0.11 splits prompts whatever is asked."""
    item, batch, length = (
        case.item("max_num_batched_tokens"),
        case.value("max_num_batched_tokens"),
        case.value("max_model_len"),
    )
    if (
        item
        and case.known.since("0.11.0")
        and case.value("enable_chunked_prefill") is False
        and isinstance(batch, int)
        and isinstance(length, int)
        and batch < length
    ):
        yield Hit(item, f"{item.written} {batch} is less than max_model_len {length} and chunked prefill is off",
                  "raise it, or leave chunked prefill on")  # fmt: skip


@RULES.rule("DYN413", "warning", "Backend of an offloading that is off", "vllm/config/cache.py: kv_offloading_size")
def backend_without_size(case: Case) -> Iterator[Hit]:
    """Offloading begins with --kv-offloading-size; since 0.14 the backend alone is accepted and ignored."""
    item = case.item("kv_offloading_backend")
    if (
        item
        and case.flag(item)
        and case.closed
        and case.known.since("0.14.0")
        and case.item("kv_offloading_size") is None
        and case.configuration.entry != "mention"
    ):
        yield Hit(
            item,
            f"{item.written} without --kv-offloading-size is ignored",
            "give --kv-offloading-size GiB, or leave it out",
        )


@RULES.rule("DYN418", "error", "Context parallelism that does not fit", "vllm/config/parallel.py: dcp_size")
def context_parallel(case: Case) -> Iterator[Hit]:
    """The decode context is spread over the ranks of tensor parallelism, whose number has to be divisible by it."""
    item, size = case.item("decode_context_parallel_size"), case.value("decode_context_parallel_size")
    ranks = case.value("tensor_parallel_size") if case.item("tensor_parallel_size") else 1
    if item is None or not case.closed or case.item("prefill_context_parallel_size"):
        return
    if isinstance(size, int) and size > 0 and isinstance(ranks, int) and ranks % size:
        yield Hit(item, f"{item.written} {size}: tensor_parallel_size {ranks} is not divisible by it",
                  "choose a divisor, or raise --tensor-parallel-size")  # fmt: skip


@RULES.rule("DYN419", "error", "Ranks that the nodes cannot share", "vllm/engine/arg_utils.py: world_size % nnodes")
def nodes(case: Case) -> Iterator[Hit]:
    """The ranks of tensor, pipeline and data parallelism are shared out evenly among the nodes."""
    item, count = case.item("nnodes"), case.value("nnodes")
    sizes = [case.value(name) if case.item(name) else 1 for name in _PARALLEL]
    if item is None or not case.closed or not isinstance(count, int) or count < 2:
        return
    if all(isinstance(size, int) for size in sizes) and prod(sizes) % count:  # type: ignore[arg-type]
        yield Hit(item, f"{item.written} {count}: {prod(sizes)} ranks are not divisible by it",  # type: ignore[arg-type]
                  "raise --tensor-parallel-size or --pipeline-parallel-size")  # fmt: skip


@RULES.rule("DYN416", "error", "Length of nothing", "vllm/config/model.py: max_model_len")
def no_length(case: Case) -> Iterator[Hit]:
    """A length is at least 1; -1 and auto, since 0.13, ask for the most that fits."""
    item, length = case.item("max_model_len"), case.value("max_model_len")
    if item and isinstance(length, int) and length < 1 and not (length == -1 and case.known.since("0.13.0")):
        yield Hit(
            item, f"{item.written} {length} is no length", "write the tokens of the longest prompt and its answer"
        )


def _bytes(text: str) -> float | None:
    """Docker's sizes: `16gb` and `16g` are GiB."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)i?b?\s*", text.lower())
    return float(found[1]) * 2 ** (10 * " kmgt".index(found[2] or " ")) if found else None
