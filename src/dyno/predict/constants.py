"""What no formula gives, as it was measured; each constant carries the ids of the starts it was fitted on."""

from dataclasses import dataclass, replace

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Constants:
    """Bytes, and how far off they were for models they were not fitted on (one standard deviation).

    `context` is in use before vLLM first looks; `other` is what vLLM calls non-torch; `kept` is in use when ready
    beyond all that is known. Those three belong to a machine and its engine, and `machine_off` is how far another
    machine's may lie from them; `other_off` and `kept_off` are how far models of one machine lie apart. Beside
    their pools, graphs take `graph_layer` for every layer of a batch that is captured whole, and `graph_split` times
    the buffers of the attention's splits.
    """

    fitted_on: tuple[str, ...]
    context: float
    other: float
    other_off: float
    kept: float
    kept_off: float
    machine_off: float
    graph_layer: float
    graph_split: float
    graph_off: float  # of the logarithm


# Before any start was seen: logs that others published. The context is there before a model is: alike for all.
UNSEEN = Constants(
    fitted_on=(),
    context=527 * MIB,
    other=230 * MIB,
    other_off=30 * MIB,
    kept=50 * MIB,
    kept_off=60 * MIB,
    machine_off=100 * MIB,
    graph_layer=0.2 * MIB,
    graph_split=1.6,
    graph_off=0.25,
)

# One H200, vLLM 0.26: `python benchmarks/memory.py --fit`; another machine's driver may keep more or less.
HOPPER = Constants(
    fitted_on=(
        "llama-3b-fp8",
        "qwen3-4b",
        "llama-3b",
        "llama-3b-eager",
        "qwen3-4b-fp8kv",
        "gemma3-1b",
        "deepseek-lite",
        "qwen3-moe",
        "h200-8b-baseline",
        "h200-8b-fp8-both",
        "h200-8b-fp8-kv",
        "h200-8b-fp8-weights",
        "h200-default",
        "h200-batched",
        "h200-fp8",
        "h200-default-warm",
        "h200-batched-warm",
        "h200-small",
        "h200-demo-eager",
    ),
    context=527 * MIB,
    other=233 * MIB,
    other_off=5 * MIB,
    kept=56 * MIB,
    kept_off=50 * MIB,
    machine_off=30 * MIB,
    graph_layer=0.228 * MIB,
    graph_split=1.59,
    graph_off=0.15,
)


def unmeasured(known: Constants) -> Constants:
    """The same for cards that nobody has measured: a little less of what a smaller chip has, and far less sure."""
    return replace(known, context=450 * MIB, other=210 * MIB, machine_off=100 * MIB, graph_off=0.25)


def constants_for(capability: tuple[int, int], measured: Constants = HOPPER) -> Constants:
    """Those of a card's generation."""
    return measured if capability[0] == 9 else unmeasured(measured)
