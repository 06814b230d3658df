"""CUDA graphs: what capturing them takes, and what the V1 runner expects that it takes.

vllm/v1/attention/backends/flash_attn.py, vllm/v1/worker/gpu_model_runner.py (profile_cudagraph_memory) of 0.26.
"""

from dataclasses import replace

from dyno.predict.activations import layer_bytes, passing_bytes, workspace_bytes
from dyno.predict.allocator import Allocator
from dyno.predict.constants import MIB, Constants
from dyno.predict.setup import Setup

_SPLITS = 32  # flash_attn_max_num_splits_for_cuda_graph
_LEAST_GRAPH = MIB  # what the V1 runner counts for every graph after the first


def graph_features(setup: Setup) -> tuple[float, float]:
    """What CUDA graphs grow with beside their pools: layers that are captured whole; buffers of the largest such."""
    if not setup.graphs:
        return 0.0, 0.0
    whole = whole_sizes(setup)
    return float(len(whole) * setup.model.num_hidden_layers), float(split_bytes(setup, max(whole, default=0)))


def graph_bytes(setup: Setup, known: Constants) -> float:
    """CUDA graphs before any was seen."""
    layers, splits = graph_features(setup)
    if setup.v2_runner or not layers:
        return pools_bytes(setup) + known.graph_layer * layers + known.graph_split * splits
    return _estimated(setup, known)


def pools_bytes(setup: Setup) -> int:
    """The largest batch that is captured runs twice on the capture's stream: to warm up, and in the graphs' pool."""
    if not setup.graphs or not setup.capture_sizes:
        return 0
    pool = Allocator()
    how = setup.model.quantized
    quantized = setup.online or (how and "mlp" in how.roles)  # such layers are no products of cuBLAS
    for nbytes in (0 if quantized else workspace_bytes(setup), *passing_bytes(setup, max(setup.capture_sizes))):
        pool.take(nbytes)
    return 2 * pool.reserved_bytes


def split_bytes(setup: Setup, tokens: int) -> int:
    """FlashAttention 3's sums of a batch that may be captured: every head's, in 32 bits, once for each split."""
    model = setup.model
    if not setup.graphs or setup.card is None or setup.card.capability[0] != 9:
        return 0
    values = [cache.head_dim - model.rotary_dim if cache.kind == "mla" else cache.v_head_dim
              for cache in model.caches if cache.kind != "state"]  # fmt: skip
    heads = model.num_attention_heads // setup.tensor_parallel
    return _SPLITS * heads * tokens * max(0, *values, 0) * 4


def whole_sizes(setup: Setup) -> tuple[int, ...]:
    """The sizes that are captured twice: in pieces, and whole for batches that only decode."""
    return tuple(size for size in setup.capture_sizes if size <= setup.max_num_seqs)


def _estimated(setup: Setup, known: Constants) -> float:
    """The first graph with all that it allocates, then as much for every other as the second took of each kind."""
    whole, largest = whole_sizes(setup), max(setup.capture_sizes)
    first = layer_bytes(replace(setup, max_num_batched_tokens=largest), profiling=False) + workspace_bytes(setup)
    each = max(_LEAST_GRAPH, known.graph_layer * setup.model.num_hidden_layers)
    others = (len(setup.capture_sizes) - 1) * _LEAST_GRAPH + max(0, len(whole) - 1) * each
    return first + split_bytes(setup, max(whole, default=0)) + others
