"""The peak of vLLM's profile run: one batch of max_num_batched_tokens, then the logits of max_num_seqs.

Measured on vLLM 0.26 (H200, Qwen3-4B): with a warm compile cache the peak is the widest moment of a layer; the first
start of a model adds what TorchInductor benchmarks while it compiles (`benchmark_combo_kernel`, on since torch 2.9),
which holds a copy of the embedding.
"""

from dataclasses import replace
from math import ceil

from dyno.predict.constants import MIB
from dyno.predict.setup import Setup
from dyno.predict.weights import allocated

_BYTES = 2  # of an activation
_COMBO_KERNELS = (0, 12)  # the first release with torch 2.9
_HOPPER_WORKSPACE, _WORKSPACE = 32 * MIB, 8_519_680  # torch's cuBLAS workspace by default
_MLA_WORKSPACE_TOKENS = 64 * 1024
_FLASHINFER_WORKSPACE = 394 * MIB  # VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE
_MULTIPROCESSORS = 128  # of a card that does not say


def activation_bytes(setup: Setup, *, cold: bool) -> int:
    """Torch's peak above the weights. `cold`: this start compiles, nothing of it is in the cache."""
    running = forward_bytes(setup) + workspace_bytes(setup)
    if not cold or setup.eager:
        return max(running, logits_bytes(setup))
    flush = (setup.card.l2_bytes if setup.card else None) or 0  # what a benchmark empties the L2 cache with
    compiling = benchmark_bytes(setup) if setup.release >= _COMBO_KERNELS else 0
    return max(running + flush, compiling, logits_bytes(setup))


def forward_bytes(setup: Setup, *, profiling: bool = True) -> int:
    """The widest moment of a layer, in tensors of max_num_batched_tokens rows."""
    model, tp = setup.model, setup.tensor_parallel
    queries = model.num_attention_heads * model.head_dim // tp
    widest = [2 * model.hidden_size, queries]  # residual and normed input, attention's output
    moments = [_attention(setup, profiling)]
    if model.intermediate_size:
        moments.append(_rows(setup, *widest, 2 * model.intermediate_size // tp, model.intermediate_size // tp))
    if model.num_experts:
        moments.append(_rows(setup, *widest, model.hidden_size) + _experts(setup))
    return max(moments)


def benchmark_bytes(setup: Setup) -> int:
    """What Inductor holds to time the first kernel of the graph: embedding, and the two tensors it makes of it."""
    model = setup.model
    embedding = allocated(model.vocab_size // setup.tensor_parallel * model.hidden_size * _BYTES)
    quantized = allocated(setup.max_num_batched_tokens * model.hidden_size) if _fp8(setup) else 0
    return embedding + _rows(setup, model.hidden_size, model.hidden_size) + quantized


def logits_bytes(setup: Setup) -> int:
    """The logits of every sequence; the V1 runner also samples them: in 32 bits, as probabilities and with noise."""
    one = setup.max_num_seqs * setup.model.vocab_size
    sampling = 0 if setup.v2_runner else 3 * allocated(one * 4) + sampler_buffer_bytes(setup)
    return allocated(one * _BYTES) + sampling + workspace_bytes(setup)


def sampler_buffer_bytes(setup: Setup) -> int:
    """topk_topp_triton.py's own: a row of the vocabulary for every multiprocessor at work."""
    rows = min(setup.max_num_seqs, (setup.card.sm_count if setup.card else None) or _MULTIPROCESSORS)
    return allocated(rows * setup.model.vocab_size * 4)


def kept_bytes(setup: Setup) -> int:
    """What stays in PyTorch's allocator once the engine is ready, as far as it is known: workspaces and a forward pass.

    The pass is the warm-up's, two tokens a sequence; capturing graphs empties the allocator before it, so that without
    graphs the largest pass stays.
    """
    warm_up = min(2 * setup.max_num_seqs, setup.max_num_batched_tokens)
    tokens = warm_up if setup.graphs else setup.max_num_batched_tokens
    warmed = replace(setup, max_num_batched_tokens=tokens)
    forward = forward_bytes(warmed, profiling=False)
    if setup.model.num_experts:  # whose workspaces stay as large as they ever were
        forward += _experts(setup) - _experts(warmed)
    flashinfer = _FLASHINFER_WORKSPACE if _uses_flashinfer(setup) else 0
    latents = allocated(_context_tokens(setup) * setup.model.caches[0].head_dim * _BYTES) if setup.model.uses_mla else 0
    tables = 2 * 4 * setup.max_num_seqs * ceil(setup.max_model_len / setup.block_size)  # of blocks, int32, and a copy
    return workspace_bytes(setup) + sampler_buffer_bytes(setup) + forward + flashinfer + latents + tables


def workspace_bytes(setup: Setup) -> int:
    """What cuBLAS works in, which PyTorch allocates at the first product."""
    capability = setup.card.capability if setup.card else (0, 0)
    return _HOPPER_WORKSPACE if capability[0] in (9, 10) else _WORKSPACE


def _uses_flashinfer(setup: Setup) -> bool:
    """First choice on data-centre Blackwell, and for an FP8 cache where there is no FlashAttention 3."""
    generation = setup.card.capability[0] if setup.card else 0
    return generation == 10 or (setup.kv_dtype.startswith("fp8") and generation in (8, 12))


def _attention(setup: Setup, profiling: bool) -> int:
    """Projections. Profiling, an MLA layer also holds the widest context that it would expand out of its latents."""
    model, tp = setup.model, setup.tensor_parallel
    heads = model.num_attention_heads // tp
    if not model.uses_mla:
        queries = heads * model.head_dim
        return _rows(setup, 2 * model.hidden_size, 2 * queries + 2 * model.num_key_value_heads * model.head_dim // tp)
    wide = heads * model.mla_expanded_dim
    expanded = allocated(_context_tokens(setup) * wide * _BYTES) if profiling else 0
    return _rows(setup, 2 * model.hidden_size, wide, wide) + expanded


def _context_tokens(setup: Setup) -> int:
    """MLACommonMetadataBuilder.determine_chunked_prefill_workspace_size."""
    pages = setup.max_num_seqs * setup.block_size
    return max(min(max(8 * setup.max_model_len, 4 * pages), _MLA_WORKSPACE_TOKENS), pages)


def _experts(setup: Setup) -> int:
    """TritonExperts.workspace_shapes: two workspaces, a row for each token and expert it goes to."""
    model, tp = setup.model, setup.tensor_parallel
    width = model.moe_intermediate_size // tp
    rows = setup.max_num_batched_tokens * model.experts_per_token
    return (allocated(rows * max(width, model.hidden_size) * _BYTES)
            + allocated(rows * max(2 * width, model.hidden_size) * _BYTES)
            + allocated(setup.max_num_batched_tokens * model.num_experts * 4))  # fmt: skip


def _rows(setup: Setup, *widths: int) -> int:
    return sum(allocated(setup.max_num_batched_tokens * width * _BYTES) for width in widths)


def _fp8(setup: Setup) -> bool:
    how = setup.model.quantized
    return "fp8" in (setup.online or "") or bool(how and how.bits == 8)
