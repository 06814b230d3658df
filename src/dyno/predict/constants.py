"""What no formula gives, as it was measured; each constant carries the ids of the starts it was fitted on."""

from dataclasses import dataclass, replace

from dyno.hardware.gpus import Card

MIB = 2**20
_HOPPER = 9


@dataclass(frozen=True, slots=True)
class Constants:
    """Bytes, and how far off they were for models they were not fitted on (one standard deviation).

    `context` is in use before vLLM first looks; `other` is what vLLM calls non-torch; `kept` is in use when ready
    beyond all that is known. Those three belong to a machine and its engine, and `machine_off` is how far another
    machine with such a card may lie from them; `other_off` and `kept_off` are how far models of one machine lie
    apart. Beside their pools, graphs take `graph_layer` for every layer of a batch that is captured whole, and
    `graph_split` times the buffers of the attention's splits.
    """

    card: str  # the one that was measured
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
    card="",
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

# H200s of several hosts, vLLM 0.26: `python benchmarks/memory.py --fit`.
HOPPER = Constants(
    card="H200",
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
        "own-llama-3b",
        "own-llama-3b-warm",
        "own-llama-3b-eager",
        "own-llama-3b-fp8",
        "off-llama-3b",
        "own-llama-3b-full",
        "own-llama-3b-full-warm",
        "off-llama-3b-full",
        "own-qwen3-4b",
        "own-qwen3-4b-warm",
        "own-qwen3-4b-fp8kv",
        "own-qwen3-1.7b",
        "own-qwen3-1.7b-warm",
        "off-qwen3-1.7b",
        "own-qwen3-4b-64",
        "own-qwen3-4b-full",
        "own-qwen3-moe",
        "own-qwen3-moe-warm",
        "own-deepseek-lite",
        "own-deepseek-lite-warm",
        "own-qwen3-moe-eager",
        "off-qwen3-moe-eager",
        "own-deepseek-lite-eager",
        "off-qwen3-moe",
        "own-gemma3-1b",
        "own-gemma3-1b-warm",
        "own-gemma3-1b-eager",
        "own-qwen2.5-3b",
        "own-qwen2.5-3b-warm",
        "h200-default",
        "h200-batched",
        "h200-fp8",
        "h200-default-warm",
        "h200-batched-warm",
        "h200-small",
        "h200-demo-eager",
    ),
    context=527 * MIB,
    other=232.9 * MIB,
    other_off=2.91 * MIB,
    kept=38.46 * MIB,
    kept_off=20 * MIB,
    machine_off=0.9699 * MIB,
    graph_layer=0.2266 * MIB,
    graph_split=1.595,
    graph_off=0.06,
)


def unmeasured(known: Constants) -> Constants:
    """The same for cards that nobody has measured: a little less of what a smaller chip has, and far less sure."""
    return replace(known, context=450 * MIB, other=210 * MIB, machine_off=100 * MIB, graph_off=0.25)


def constants_for(card: Card | None, measured: Constants = HOPPER) -> Constants:
    """Those of a card: as measured, of another of its generation, or of one that nobody has measured."""
    if card is None or card.capability[0] != _HOPPER:
        return unmeasured(measured)
    return measured if card.name == measured.card else replace(measured, machine_off=30 * MIB)
