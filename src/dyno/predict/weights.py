"""What vLLM's weights take of a card: loading is replayed, tensor after tensor, in PyTorch's allocator.

While it loads, vLLM has the allocator split no block of 20 MiB or more (vllm/v1/worker/gpu_worker.py, since 0.21): such
a tensor is counted with all of the block it lies in, which may be one that another has left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from dyno.model.spec import ModelSpec, Role, Weights
from dyno.predict.allocator import Allocator
from dyno.predict.constants import MIB
from dyno.predict.lengths import rotary_positions
from dyno.predict.setup import Setup

ELEMENT_BYTES = 2  # of a weight that is not quantized: vLLM serves float32 in 16 bits unless it is told not to
_WIDE = ("F32", "F64")
_MAX_SPLIT, _LIMITED_SINCE = 20 * MIB, (0, 21)
_FP8_METHODS = ("fp8", "fbgemm_fp8", "compressed-tensors", "modelopt")
# Of hidden and intermediate sizes: Marlin's, and those of what Hopper takes, OpenAI's Triton kernels.
_MARLIN_TILES, _TILES = (256, 128), {9: (1, 64)}
_DEEP_GEMM, _VENDORED_SINCE = 32 * MIB, (0, 20)  # its cuBLASLt workspace; part of vLLM's wheel


@dataclass(frozen=True, slots=True)
class _Tensors:
    """Alike ones. `full_bytes` is one before it is quantized while loading, 0 where it is not."""

    role: Role
    count: int
    nbytes: float
    full_bytes: float = 0


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Torch's allocator once loading has given back what it no longer needs."""

    allocated_bytes: int
    stranded_bytes: int


def allocated(nbytes: float) -> int:
    """What one tensor of so many bytes is counted as in torch's allocated memory."""
    return Allocator().take(nbytes)[0]


def weights_bytes(setup: Setup) -> int:
    """Bytes on each card after loading, `Model loading took ...`."""
    described = sum(group.count * tensor_bytes(setup, group) / _padding(setup, group) for group in setup.model.weights)
    more = _stored_bytes(setup) - described if setup.model.stored and not setup.online else 0
    return round(_loaded(setup).allocated_bytes + more + _expanding_bytes(setup))


def stranded_bytes(setup: Setup) -> int:
    """What loading leaves free between the weights, where only small tensors will ever go."""
    return _loaded(setup).stranded_bytes


def _loaded(setup: Setup) -> _Loaded:
    """By the model's shape."""
    tensors = tuple(tensors for group in setup.model.weights for tensors in _tensors(setup, group))
    workspace = _DEEP_GEMM if _deep_gemm(setup) else 0
    limit = _MAX_SPLIT if setup.release >= _LIMITED_SINCE else None
    return _load(tensors, setup.model.num_hidden_layers, _rotary_tables(setup.model), workspace, limit)


def _tensors(setup: Setup, group: Weights) -> Iterator[_Tensors]:
    """A group's, and its scales, which are tensors of their own."""
    nbytes, scales = _parts(setup, group)
    full = ELEMENT_BYTES * group.rows * group.columns / _shards(setup, group)
    yield _Tensors(group.role, group.count, nbytes, full if setup.online and not group.kept else 0)
    if scales:
        yield _Tensors(group.role, group.count, scales)


@lru_cache(maxsize=256)
def _load(
    tensors: tuple[_Tensors, ...], depth: int, tables: tuple[float, ...], workspace: int, max_split: int | None
) -> _Loaded:
    pool = Allocator(max_split)
    pool.take(workspace)
    turned = False
    for one in _in_order(tensors, depth):
        if one.role in ("mlp", "router", "experts") and not turned:  # after the first attention
            turned = True
            for table in tables:
                _turn(pool, table)
        if not one.full_bytes:
            pool.take(one.nbytes)
    for one in _in_order(tensors, depth):
        if one.full_bytes:
            full = pool.take(one.full_bytes)
            pool.take(one.nbytes)
            pool.give(full)
    return _Loaded(pool.allocated_bytes, pool.stranded_bytes)


def _in_order(tensors: tuple[_Tensors, ...], depth: int) -> Iterator[_Tensors]:
    """One by one as the model is made: the embedding, layer after layer, the head."""
    ends = ("embedding", "lm_head")
    yield from (group for group in tensors if group.role == ends[0])
    for layer in range(depth):
        for group in tensors:
            if group.role not in ends:
                here = group.count * (layer + 1) // depth - group.count * layer // depth
                yield from (group for _ in range(here))
    yield from (group for group in tensors if group.role == ends[1])


def _turn(pool: Allocator, table: float) -> None:
    """RotaryEmbedding._compute_cos_sin_cache: angles, cosines and sines in 32 bits, then both together in 16."""
    halves = [pool.take(table) for _ in range(3)]
    both = pool.take(2 * table)
    pool.give(*halves)
    pool.take(table)
    pool.give(both)


def _rotary_tables(model: ModelSpec) -> tuple[float, ...]:
    """Bytes of each table of cosines and sines of every position."""
    if not model.rotary_dim:
        return ()
    tables = 2 if model.rotary_dim > model.head_dim and not model.uses_mla else 1  # windows have one of their own
    return (rotary_positions(model) * model.rotary_dim * ELEMENT_BYTES / tables,) * tables


def _deep_gemm(setup: Setup) -> bool:
    """Whether vLLM asks DeepGEMM how to scale activations in FP8, for which that makes room (input_quant_fp8.py)."""
    generation = setup.card.capability[0] if setup.card else 0
    how = setup.model.quantized
    weights = "fp8" in (setup.online or "") or bool(how and how.bits == 8 and how.method in _FP8_METHODS)
    quantizes = weights or setup.model.uses_mla or setup.kv_dtype.startswith("fp8")
    return quantizes and generation in (9, 10, 12) and setup.release >= _VENDORED_SINCE


def _expanding_bytes(setup: Setup) -> float:
    """What makes keys and values out of an MLA latent is kept in 16 bits too where it is quantized."""
    model = setup.model
    if not model.uses_mla or not (setup.online or model.quantized):
        return 0
    rows = model.num_attention_heads * model.mla_expanded_dim
    return sum(2 * group.parameters / setup.tensor_parallel for group in model.weights if group.rows == rows)


def tensor_bytes(setup: Setup, group: Weights) -> float:
    """One tensor of a group on each card, its scales included."""
    return sum(_parts(setup, group))


def _parts(setup: Setup, group: Weights) -> tuple[float, float]:
    """The tensor itself, and its scales, which are another."""
    rows = group.rows / _shards(setup, group)
    bits, per_row, group_bits = _width(setup, group)
    padded = _padding(setup, group)
    return padded * rows * group.columns * bits / 8, padded * rows * (per_row + group.columns * group_bits / 8)


def _padding(setup: Setup, group: Weights) -> float:
    """How much larger MXFP4 experts are made for the kernels of a card: fused_moe/oracle/mxfp4.py of 0.26 and 0.32."""
    model, card = setup.model, setup.card
    if card is None or group.role != "experts" or model.quantized is None or model.quantized.method != "mxfp4":
        return 1.0
    tile, inner = _TILES.get(card.capability[0], _MARLIN_TILES)
    hidden, width = model.hidden_size, model.moe_intermediate_size / setup.tensor_parallel
    return tile * ceil(hidden / tile) / hidden * inner * ceil(width / inner) / width


def _width(setup: Setup, group: Weights) -> tuple[float, float, float]:
    """Bits of a weight, bytes of scale a row, bits of shared scale (and zero) a weight."""
    plain = 8.0 * ELEMENT_BYTES
    if group.kept:
        return plain, 0, 0
    if setup.online:
        blocks = 32 / 128**2 if "block" in setup.online else 0
        rows = 4 if "ptpc" in setup.online or "channel" in setup.online else 0
        return (8, rows, blocks) if "fp8" in setup.online or "int8" in setup.online else (plain, 0, 0)
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
    """The headers' own figure, floats in 16 bits at most, sharded, and without an output head that is tied.

    Whole numbers are packed weights, several in each.
    """
    tp, model = setup.tensor_parallel, setup.model
    skipped = ("lm_head",) if model.tie_word_embeddings else ()
    parts = ((part.role, 2 * part.parameters if part.dtype in _WIDE else part.nbytes)
             for part in model.stored if part.role not in skipped)  # fmt: skip
    return sum(nbytes / (1 if role in ("norm", "router", "other") else tp) for role, nbytes in parts)
