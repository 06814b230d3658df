"""KV blocks in the host's memory (`--kv-offloading-size`): what there is room for, and what it holds.

vLLM maps the whole size as one file in /dev/shm and touches every page of it, so that it must fit there as well as in
memory. It keeps blocks that were evicted, for prompts that begin alike: a running request gets no longer by it.
"""

from dataclasses import dataclass

from dyno.predict import kv_cache
from dyno.predict.memory import Host
from dyno.predict.setup import GIB, Setup

STEP_BYTES = 16 * GIB
# What is left to the system, and what an engine's own processes have resident: 3.6 to 3.9 GiB on an H200, vLLM 0.26.
SYSTEM_BYTES, ENGINE_BYTES = 4 * GIB, 4 * GIB


@dataclass(frozen=True, slots=True)
class Offload:
    """`used_bytes` is what runs on the host already, `safe_bytes` the largest size; tokens are of long prompts."""

    ram_bytes: int
    system_bytes: int
    used_bytes: int
    engine_bytes: int
    shm_bytes: int | None
    safe_bytes: int
    safe_tokens: int
    step_tokens: int  # that the next 16 GiB bring
    asked_bytes: int
    asked_tokens: int


def size_offload(setup: Setup, host: Host) -> Offload | None:
    """None where the host's memory is not known, or there is no card to offload from."""
    if setup.card is None or host.ram_bytes is None or host.ram_free_bytes is None:
        return None
    room = host.ram_free_bytes - SYSTEM_BYTES - ENGINE_BYTES
    safe = max(0, room if host.shm_free_bytes is None else min(room, host.shm_free_bytes))
    return Offload(
        host.ram_bytes, SYSTEM_BYTES, host.ram_bytes - host.ram_free_bytes, ENGINE_BYTES, host.shm_free_bytes, safe,
        _tokens(setup, safe), _tokens(setup, STEP_BYTES), setup.offload_bytes, _tokens(setup, setup.offload_bytes),
    )  # fmt: skip


def _tokens(setup: Setup, nbytes: int) -> int:
    """Whole blocks of all cards together, in tokens of the layers that keep every one."""
    shared = kv_cache.pool(setup)
    keeping = max((page.tokens for page in shared.groups if page.cache.kind in ("full", "mla")), default=0)
    groups = sum(page.cache.kind in ("full", "mla") for page in shared.groups)
    return nbytes // (shared.bytes_per_block * setup.tensor_parallel) // max(1, groups) * keeping
