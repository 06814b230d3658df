"""What the card cannot do, and what it can: `--gpu`."""

from collections.abc import Iterator

from dyno.lint.case import Case, Hit, Rules
from dyno.lint.tables import LEAST_CAPABILITY

RULES = Rules()
_FP8_CARD = (8, 9)
_FP8 = ("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "fbgemm_fp8")


@RULES.rule(
    "DYN501",
    "error",
    "This card cannot compute with such weights",
    "get_min_capability() of vllm/model_executor/layers/quantization",
)
def quantization(case: Case) -> Iterator[Hit]:
    """Every quantization method names the lowest compute capability that its kernels run on."""
    item, weights = case.item("quantization"), case.weights
    least = LEAST_CAPABILITY.get(weights or "")
    if item and case.card and least and case.card.capability < least:
        yield Hit(item, f"{item.written} {weights} needs compute capability {_shown(least)}, {case.card.name} has "
                  f"{_shown(case.card.capability)}", "use another checkpoint or card")  # fmt: skip


@RULES.rule("DYN502", "note", "FP8 on this card", "vllm/platforms/cuda.py: supports_fp8 = has_device_capability(89)")
def fp8(case: Case) -> Iterator[Hit]:
    """Tensor cores of Ada (8.9), Hopper and Blackwell multiply FP8 natively. Below 8.9 vLLM keeps FP8 weights and
    computes in 16 bits (Marlin): memory is saved, time is not."""
    item = case.item("quantization")
    if item and case.card and case.weights in _FP8:
        native = case.card.capability >= _FP8_CARD
        how = "native: weights and activations are FP8" if native else "weights only: it computes in 16 bits"
        yield Hit(
            item,
            f"{item.written} {case.weights} on {case.card.name} ({_shown(case.card.capability)}) is {how}",
            "nothing to do",
        )


@RULES.rule("DYN503", "error", "bfloat16 on a card without it", "vllm/platforms/cuda.py: check_if_supports_dtype")
def bfloat16(case: Case) -> Iterator[Hit]:
    """bfloat16 begins at compute capability 8.0."""
    item = case.item("dtype")
    if item and case.card and case.value("dtype") == "bfloat16" and case.card.capability < (8, 0):
        yield Hit(
            item,
            f"{item.written} bfloat16: {case.card.name} has compute capability {_shown(case.card.capability)}, "
            "bfloat16 begins at 8.0",
            "write half",
        )


@RULES.rule(
    "DYN504",
    "error",
    "The card is too old for this release",
    "vllm: CUDA wheels since 0.8; compute capability 7.0, since 0.11 7.5",
)
def too_old(case: Case) -> Iterator[Hit]:
    """The CUDA wheels hold no kernels for it."""
    least = (7, 5) if case.known.since("0.11.0") else (7, 0)
    items = [item for item in case.items if item.kind in ("positional", "image", "flag", "keyword")]
    if case.card and items and case.card.capability < least:
        yield Hit(
            items[0],
            f"{case.card.name} has compute capability {_shown(case.card.capability)}, vLLM {case.known.version} "
            f"begins at {_shown(least)}",
            "use another card or an older release",
        )


def _shown(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
