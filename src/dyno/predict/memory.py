"""The memory of one engine on one card, before it is started."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

from dyno.predict import kv_cache
from dyno.predict.constants import HOPPER, Constants
from dyno.predict.corrected import only_warm, terms
from dyno.predict.setup import GIB, Setup, refusals
from dyno.predict.terms import SURE, Boot, Terms, requested_bytes
from dyno.units import format_bytes

# vLLM's CPU engine: what its worker has resident beside the weights, and its default until 0.10.
_CPU_WORKER_BYTES, _CPU_DEFAULT_BYTES = round(0.53 * GIB), 4 * GIB


@dataclass(frozen=True, slots=True)
class Host:
    """What else there is: memory in use on the card by others, and the machine's own memory; None where unknown."""

    card_used_bytes: int = 0
    ram_bytes: int | None = None
    ram_free_bytes: int | None = None
    shm_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a card's memory goes. `low` and `high` bound `kv_cache_bytes`, which is vLLM's own figure at start.

    `cold_kv_cache_bytes` is what a start has that compiles, `warm_kv_cache_bytes` one whose compile cache is filled;
    `first_kv_cache_bytes` what the first start has, which has to be enough: the former, unless the cache is told to be
    filled already.
    `kv_bytes_per_token` is what one more token costs; within their window, where every layer has one.
    `device_used_bytes` is what nvidia-smi shows when the engine is ready, others' memory included.
    """

    requested_bytes: int
    weights_bytes: int
    activation_bytes: int
    other_bytes: int
    graph_bytes: int
    graphs_budgeted: bool
    kv_bytes_per_token: float
    kv_cache_bytes: int
    kv_cache_tokens: int
    max_concurrency: float
    low_bytes: int
    high_bytes: int
    first_kv_cache_bytes: int
    cold_kv_cache_bytes: int
    warm_kv_cache_bytes: int
    device_used_bytes: int
    device_spread_bytes: int
    blocks: int
    block_bytes: int
    block_size: int


def predict_memory(
    setup: Setup,
    boots: Sequence[Boot] = (),
    host: Host | None = None,
    measured: Constants = HOPPER,
    *,
    warm: bool | None = False,
) -> Memory:
    """What the engine's start will find. Nothing is refused here; `reasons_against` says what vLLM would refuse.

    `warm`: its compile cache is filled; None: as it was in all boots that tell, and else empty.
    """
    host = host or Host()
    filled = only_warm(setup, boots, measured) if warm is None else warm
    first, later = (terms(setup, boots, cold=cold, measured=measured) for cold in (True, False))
    known = later if filled else first
    available = _available(setup, known, host)
    spread = 0.0 if setup.kv_cache_bytes else _spread(setup, known)
    length = _length(setup, available)
    shared = kv_cache.pool(setup)
    tokens, concurrency = kv_cache.capacity(setup, max(0, available), length)
    blocks = kv_cache.blocks_in(setup, available)
    graphs = round(known.graphs.nbytes)
    return Memory(
        requested_bytes=_requested(setup, host),
        weights_bytes=round(known.weights.nbytes),
        activation_bytes=round(known.activation.nbytes) if setup.card else 0,
        other_bytes=round(known.other.nbytes) if setup.card else _CPU_WORKER_BYTES,
        graph_bytes=graphs,
        graphs_budgeted=setup.graphs_budgeted,
        kv_bytes_per_token=kv_cache.bytes_per_token(setup),
        kv_cache_bytes=available,
        kv_cache_tokens=tokens,
        max_concurrency=round(concurrency, 3),
        low_bytes=round(available - SURE * spread),
        high_bytes=round(available + SURE * spread),
        first_kv_cache_bytes=available if warm else _available(setup, first, host),
        cold_kv_cache_bytes=_available(setup, first, host),
        warm_kv_cache_bytes=_available(setup, later, host),
        device_used_bytes=_device_used(setup, known, host, blocks * shared.bytes_per_block),
        device_spread_bytes=round(SURE * _device_spread(setup, known)) if setup.card else 0,
        blocks=blocks,
        block_bytes=shared.bytes_per_block,
        block_size=shared.groups[0].tokens,
    )


def fitted(setup: Setup, memory: Memory) -> Setup:
    """The setup with the longest length that fits, where that is what was asked (`max_model_len` auto)."""
    length = min(setup.max_model_len, kv_cache.longest(setup, memory.first_kv_cache_bytes))
    return replace(setup, max_model_len=length) if setup.auto_fit and length else setup


def reasons_against(setup: Setup, memory: Memory, host: Host | None = None) -> tuple[str, ...]:
    """Everything for which vLLM would refuse to start, or the card would be too small for it; empty when it fits."""
    return (*refusals(setup), *lacking(setup, memory, host or Host()))


def lacking(setup: Setup, memory: Memory, host: Host) -> tuple[str, ...]:
    """What there is too little memory for."""
    reasons: list[str] = []
    if setup.card:
        free = setup.card.cuda_bytes - host.card_used_bytes
        if memory.requested_bytes > free:
            reasons.append(f"vLLM asks for {format_bytes(memory.requested_bytes)} (gpu_memory_utilization "
                           f"{setup.utilization:g}), {format_bytes(free)} is free")  # fmt: skip
        if memory.device_used_bytes > setup.card.cuda_bytes:
            over = memory.device_used_bytes - setup.card.cuda_bytes
            reasons.append(f"{format_bytes(memory.device_used_bytes)} would be in use when ready, "
                           f"{setup.card.name} has {format_bytes(setup.card.cuda_bytes)}: {format_bytes(over)} too much"
                           )  # fmt: skip
    elif host.ram_free_bytes is not None:
        free = host.ram_free_bytes
        wanted = {"KV cache": memory.kv_cache_bytes, "weights and worker": memory.weights_bytes + memory.other_bytes}
        reasons += [f"{format_bytes(nbytes)} of {what} are asked for, {format_bytes(free)} of the host's memory are "
                    "free" for what, nbytes in wanted.items() if nbytes > free]  # fmt: skip
    reasons += _too_small(setup, memory)
    if setup.offload_bytes and host.shm_free_bytes is not None and setup.offload_bytes > host.shm_free_bytes:
        reasons.append(f"kv_offloading_size {format_bytes(setup.offload_bytes)}: /dev/shm has "
                       f"{format_bytes(host.shm_free_bytes)} free")  # fmt: skip
    return tuple(reasons)


def _too_small(setup: Setup, memory: Memory) -> list[str]:
    if memory.first_kv_cache_bytes <= 0:
        return [f"no memory is left for the KV cache: weights {format_bytes(memory.weights_bytes)}, activations "
                f"{format_bytes(memory.activation_bytes)} and others {format_bytes(memory.other_bytes)} of "
                f"{format_bytes(memory.requested_bytes)}"]  # fmt: skip
    usable = kv_cache.usable_bytes(setup, memory.first_kv_cache_bytes)
    needed = kv_cache.needed_bytes(setup, setup.max_model_len)
    if needed <= usable:
        return []
    fits = kv_cache.longest(setup, memory.first_kv_cache_bytes)
    longest = f"the longest that fits is {fits}" if fits else "no length fits"
    there = memory.blocks * memory.block_bytes if setup.blocks else memory.first_kv_cache_bytes
    return [f"one request of max_model_len {setup.max_model_len} needs {format_bytes(needed)} of KV cache, "
            f"{format_bytes(there)} is there; {longest}"]  # fmt: skip


def _requested(setup: Setup, host: Host) -> int:
    return requested_bytes(setup) if setup.card else ceil((host.ram_bytes or 0) * setup.utilization)


def _available(setup: Setup, known: Terms, host: Host) -> int:
    """vLLM's `Available KV cache memory`: 0.18 to 0.26 from its own sums, since 0.27 from what the card says; alike
    as long as nobody else takes or frees memory meanwhile."""
    if setup.kv_cache_bytes:
        return setup.kv_cache_bytes
    if setup.card is None:
        if setup.release < (0, 11):
            return _CPU_DEFAULT_BYTES
        return round(_requested(setup, host) - known.weights.nbytes - _CPU_WORKER_BYTES)
    graphs = known.graphs.nbytes if setup.graphs_budgeted else 0
    taken = known.weights.nbytes + known.activation.nbytes + known.other.nbytes + graphs
    return round(requested_bytes(setup) - taken)


def _spread(setup: Setup, known: Terms) -> float:
    if setup.card is None:
        return 0.05 * GIB + 0.02 * known.weights.nbytes
    parts = [known.weights, known.activation, known.other, *([known.graphs] if setup.graphs_budgeted else [])]
    return sqrt(sum(part.spread**2 for part in parts))


def _device_used(setup: Setup, known: Terms, host: Host, kv_bytes: int) -> int:
    if setup.card is None:
        return 0
    parts = (known.context, known.weights, known.other, known.graphs, known.kept)
    return round(host.card_used_bytes + kv_bytes + sum(part.nbytes for part in parts))


def _device_spread(setup: Setup, known: Terms) -> float:
    """Weights and others are taken from the KV cache again, so that only the rest moves what is in use."""
    parts = [known.context, known.kept, known.activation]
    parts += [] if setup.graphs_budgeted else [known.graphs]
    return sqrt(sum(part.spread**2 for part in parts))


def _length(setup: Setup, available: int) -> int:
    return (
        max(1, min(setup.max_model_len, kv_cache.longest(setup, available))) if setup.auto_fit else setup.max_model_len
    )
