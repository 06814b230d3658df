"""What no formula gives, as it was measured; each constant carries the ids of the starts it was fitted on."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Constants:
    """Bytes, and how far off they were for models they were not fitted on (one standard deviation).

    `context` is in use before vLLM first looks; `other` is what vLLM calls non-torch. CUDA graphs take `graph_layer`
    for every captured size and layer, and `graph_token` for every token of the sizes that are captured whole (decode),
    layer and element of the hidden size. `kept` stays in PyTorch's allocator beyond known workspaces, `kept_logit`
    with every sequence and word of the vocabulary.
    """

    fitted_on: tuple[str, ...]
    context: float
    context_off: float
    other: float
    other_off: float
    graph_layer: float
    graph_token: float
    graph_off: float  # of the logarithm
    kept: float
    kept_logit: float
    kept_off: float


# One H200, vLLM 0.26, a Qwen3-4B (benchmarks/boots/): free 139.29 of 139.80 GiB in a fresh process, "non-torch" 0.22.
HOPPER = Constants(
    fitted_on=("h200-default", "h200-batched", "h200-fp8", "h200-small"),
    context=522 * MIB,
    context_off=20 * MIB,
    other=225 * MIB,
    other_off=18 * MIB,
    graph_layer=0.19 * MIB,
    graph_token=25.4 / 36,
    graph_off=0.25,
    kept=23 * MIB,
    kept_logit=9.3,
    kept_off=80 * MIB,
)


def unmeasured(known: Constants) -> Constants:
    """The same for cards that nobody has measured: a little less of what a smaller chip has, and far less sure."""
    return Constants((*known.fitted_on,), 450 * MIB, 120 * MIB, 210 * MIB, 80 * MIB, known.graph_layer,
                     known.graph_token, known.graph_off, known.kept, known.kept_logit, known.kept_off)  # fmt: skip


def constants_for(capability: tuple[int, int], measured: Constants = HOPPER) -> Constants:
    """Those of a card's generation."""
    return measured if capability[0] == 9 else unmeasured(measured)
