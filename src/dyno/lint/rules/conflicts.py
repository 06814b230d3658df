"""Arguments that this release takes one by one and refuses together."""

import re
from collections.abc import Iterator, Mapping

from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.source import UNKNOWN, Value
from dyno.lint.tables import EXCLUDES, RELATIONS, REQUIRES
from dyno.units import format_bytes

RULES = Rules()
_CONFIG = "vllm/config of 0.32.0"
_ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
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
    """Sleep mode needs CUDA's virtual memory; the CPU engine ends with "Sleep mode is not supported on current
    platform"."""
    item = case.item("enable_sleep_mode")
    if item and case.platform == "cpu" and case.value("enable_sleep_mode") is True:
        yield Hit(item, f"{item.written}: the CPU engine has no sleep mode", "leave it out", Change(item))


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
    for name, needs, since in REQUIRES:
        item = case.item(name)
        if (
            item
            and case.flag(item)
            and case.is_on(name)
            and case.known.since(since)
            and case.closed
            and not case.is_on(needs)
        ):
            yield Hit(
                item,
                f"{item.written} needs --{needs.replace('_', '-')}",
                f"give --{needs.replace('_', '-')}, or leave it out",
            )


@RULES.rule("DYN410", "error", "Exclude each other", _CONFIG)
def excludes(case: Case) -> Iterator[Hit]:
    """vLLM refuses the two together."""
    for one, other, since in EXCLUDES:
        first, second = case.item(one), case.item(other)
        if first and second and case.is_on(one) and case.is_on(other) and case.known.since(since) and case.flag(first):
            yield Hit(first, f"{first.written} and {second.written} exclude each other", "leave one of them out")


@RULES.rule("DYN411", "error", "Numbers that do not go together", _CONFIG)
def relations(case: Case) -> Iterator[Hit]:
    """vLLM compares them when it builds its configuration, and ends with a ValueError."""
    for low, high, default, since, until in RELATIONS:
        item, other = case.item(low), case.item(high)
        small, large = case.value(low), case.value(high) if other else default
        numbers = isinstance(small, int) and isinstance(large, int) and not isinstance(small, bool)
        if item and numbers and small > large and case.known.since(since) and not (until and case.known.since(until)):  # type: ignore[operator]
            yield Hit(
                item,
                f"{item.written} {small} is more than {high} {large}",
                f"lower it, or raise --{high.replace('_', '-')}",
            )


@RULES.rule("DYN412", "error", "Prompts longer than a batch", "vllm/config/scheduler.py: verify_max_model_len")
def batch_and_length(case: Case) -> Iterator[Hit]:
    """Without chunked prefill a prompt has to fit into one batch: max_num_batched_tokens must not be less than
    max_model_len."""
    item, batch, length = (
        case.item("max_num_batched_tokens"),
        case.value("max_num_batched_tokens"),
        case.value("max_model_len"),
    )
    if (
        item
        and case.value("enable_chunked_prefill") is False
        and isinstance(batch, int)
        and isinstance(length, int)
        and batch < length
    ):
        yield Hit(item, f"{item.written} {batch} is less than max_model_len {length} and chunked prefill is off",
                  "raise it, or leave chunked prefill on")  # fmt: skip


@RULES.rule("DYN413", "warning", "Backend of an offloading that is off", "vllm/config/cache.py: kv_offloading_size")
def backend_without_size(case: Case) -> Iterator[Hit]:
    """Offloading begins with --kv-offloading-size; until 0.13 the backend alone is refused, since 0.14 ignored."""
    item = case.item("kv_offloading_backend")
    if (
        item
        and case.flag(item)
        and case.closed
        and case.item("kv_offloading_size") is None
        and case.configuration.entry != "mention"
    ):
        how = "ignored" if case.known.since("0.14.0") else "refused"
        yield Hit(
            item,
            f"{item.written} without --kv-offloading-size is {how}",
            "give --kv-offloading-size GiB, or leave it out",
        )


@RULES.rule("DYN414", "error", "Asynchronous scheduling with such speculation", "vllm/config/vllm.py: async_scheduling")
def async_and_speculation(case: Case) -> Iterator[Hit]:
    """Left alone, vLLM switches asynchronous scheduling off for n-gram, suffix and Medusa speculation; asked for, it
    refuses the two together."""
    item, method = case.item("async_scheduling"), _speculative(case).get("method")
    if item and case.value("async_scheduling") is True and method in ("ngram", "suffix", "medusa", "mlp_speculator"):
        yield Hit(
            item, f"{item.written} is refused with speculation by {method}", "leave it out: vLLM decides", Change(item)
        )


@RULES.rule("DYN415", "error", "How many tokens to guess", "vllm/config/speculative.py")
def tokens_to_guess(case: Case) -> Iterator[Hit]:
    """Only a draft model may name a number of its own; n-gram and suffix speculation have none."""
    item, config = case.item("speculative_config"), _speculative(case)
    if item and config.get("method") in ("ngram", "ngram_gpu") and "num_speculative_tokens" not in config:
        yield Hit(item, f"{item.written} has no num_speculative_tokens", 'add "num_speculative_tokens": 4')


@RULES.rule("DYN416", "error", "Length of nothing", "vllm/config/model.py: max_model_len")
def no_length(case: Case) -> Iterator[Hit]:
    """A length is at least 1; -1 and auto, since 0.13, ask for the most that fits."""
    item, length = case.item("max_model_len"), case.value("max_model_len")
    if item and isinstance(length, int) and length < 1 and not (length == -1 and case.known.since("0.13.0")):
        yield Hit(
            item, f"{item.written} {length} is no length", "write the tokens of the longest prompt and its answer"
        )


def _speculative(case: Case) -> Mapping[str, Value]:
    value = case.value("speculative_config")
    return value if isinstance(value, Mapping) else {}


def _bytes(text: str) -> float | None:
    """Docker's sizes: `16gb` and `16g` are GiB."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)i?b?\s*", text.lower())
    return float(found[1]) * 2 ** (10 * " kmgt".index(found[2] or " ")) if found else None
