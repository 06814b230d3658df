"""What vLLM's weights take of a card: the bytes, and what PyTorch's allocator rounds them up to."""

from math import ceil

from dyno.model.spec import ModelSpec, Weights
from dyno.predict.constants import MIB
from dyno.predict.setup import Setup

# PyTorch's CUDACachingAllocator: from 10 MiB on a segment of whole 2 MiB, whose rest is only split off above 1 MiB.
_SEGMENT, _LARGE, _KEPT = 2 * MIB, 10 * MIB, MIB

# Measured once: online FP8 of a Qwen3-4B leaves 41 MiB more than its rounded weights and scales, over 36 layers.
_ONLINE_LEFTOVER = 1.14 * MIB


def allocated(nbytes: float) -> int:
    """What one tensor of so many bytes is counted as in torch's allocated memory."""
    size = 512 * ceil(nbytes / 512)
    if size < _LARGE:
        return size
    rest = -size % _SEGMENT
    return size + (rest if rest <= _KEPT else 0)


def weights_bytes(setup: Setup) -> int:
    """Bytes on each card after loading, `Model loading took ...`."""
    model = setup.model
    exact = sum(group.count * tensor_bytes(setup, group) for group in model.weights)
    rounded = sum(group.count * allocated(tensor_bytes(setup, group)) for group in model.weights)
    stored = _stored_bytes(setup) if model.stored and not setup.online else None
    leftover = _ONLINE_LEFTOVER * model.num_hidden_layers if setup.online else 0
    leftover += _expanding_bytes(setup)
    return round((exact if stored is None else stored) + (rounded - exact) + _rotary_bytes(model) + leftover)


def element_bytes(dtype: str) -> int:
    """Bytes of a weight that is not quantized: vLLM serves float32 checkpoints in 16 bits unless it is told not to."""
    del dtype
    return 2


def _expanding_bytes(setup: Setup) -> float:
    """What makes keys and values out of an MLA latent is kept in 16 bits too where it is quantized."""
    model = setup.model
    if not model.uses_mla or not (setup.online or model.quantized):
        return 0
    rows = model.num_attention_heads * model.mla_expanded_dim
    return sum(2 * group.parameters / setup.tensor_parallel for group in model.weights if group.rows == rows)


def tensor_bytes(setup: Setup, group: Weights) -> float:
    """One tensor of a group on each card, its scales included."""
    elements = group.rows * group.columns / _shards(setup, group)
    bits, per_row, group_bits = _width(setup, group)
    return elements * (bits + group_bits) / 8 + (per_row * group.rows / _shards(setup, group))


def _width(setup: Setup, group: Weights) -> tuple[float, float, float]:
    """Bits of a weight, bytes of scale a row, bits of shared scale (and zero) a weight."""
    plain = 8.0 * element_bytes(setup.model.dtype)
    if group.kept:
        return plain, 0, 0
    if setup.online:
        blocks = 32 / 128**2 if "block" in setup.online else 0
        return (8, 0 if blocks else 4, blocks) if "fp8" in setup.online or "int8" in setup.online else (plain, 0, 0)
    how = setup.model.quantized
    if how is None or group.role not in how.roles:
        return plain, 0, 0
    if not how.group:
        return how.bits, 4, 0
    scale = {"mxfp4": 8, "modelopt_fp4": 8, "modelopt": 8, "fp8": 32}.get(how.method, 16)
    zero = how.bits if how.method.startswith(("awq", "gptq")) else 0
    return how.bits, 0, (scale + zero) / how.group


def _shards(setup: Setup, group: Weights) -> int:
    return 1 if group.role in ("norm", "router", "other") else setup.tensor_parallel


def _stored_bytes(setup: Setup) -> float:
    """The headers' own figure, in 16 bits at most, sharded, and without an output head that is tied."""
    tp, model = setup.tensor_parallel, setup.model
    skipped = ("lm_head",) if model.tie_word_embeddings else ()
    return sum(min(part.nbytes, 2 * part.parameters) / (1 if part.role in ("norm", "router", "other") else tp)
               for part in model.stored if part.role not in skipped)  # fmt: skip


def _rotary_bytes(model: ModelSpec) -> float:
    """Cosines and sines of every position, in the model's dtype."""
    return model.max_position_embeddings * model.rotary_dim * element_bytes(model.dtype)
