"""What no catalog can know: successors and their values, names that people invent, what a release ignores.

Every entry was looked up in vLLM's own sources of the releases it speaks of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dyno.lint.source import Value

Settings = tuple[tuple[str, Value], ...]
Translate = Callable[[Value], Settings]


@dataclass(frozen=True, slots=True)
class Successor:
    """What took the place of a flag that is gone. `to` gives nothing where nothing did."""

    note: str
    to: Translate = lambda _: ()
    needs: str | None = None  # a flag that the release must have for `to` to hold


def _rename(name: str) -> Translate:
    return lambda value: ((name, value),)


def _fp8_cache(value: Value) -> Settings:
    return (("kv_cache_dtype", value if isinstance(value, str) and value.startswith("fp8") else "fp8"),)


_V0 = "it belonged to the V0 engine"

SUCCESSORS: Mapping[str, Successor] = {
    "swap_space": Successor("the V1 engine has no CPU swap: what is preempted is computed again; "
                            "--kv-offloading-size keeps evicted prefix blocks in RAM"),
    "num_scheduler_steps": Successor(f"{_V0}; asynchronous scheduling, on by default since 0.14, took its place"),
    "preemption_mode": Successor(f"{_V0}; what is preempted is always computed again"),
    "max_seq_len_to_capture": Successor("the graphs of the V1 engine are sized in tokens of a batch, "
                                        "--max-cudagraph-capture-size, not in sequence length"),
    "use_v2_block_manager": Successor("it did nothing since 0.6.6"),
    "calculate_kv_scales": Successor("scales come from the checkpoint, else they are 1.0"),
    "quantized_kv_cache": Successor("the flag is --kv-cache-dtype", _fp8_cache, "kv_cache_dtype"),
}  # fmt: skip
