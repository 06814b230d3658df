"""The peak of vLLM's profile run: one batch of max_num_batched_tokens, then the logits of max_num_seqs.

Measured on vLLM 0.26 (H200, Qwen3-4B): with a warm compile cache the peak is the widest moment of a layer; the first
start of a model adds what TorchInductor benchmarks while it compiles (`benchmark_combo_kernel`, on since torch 2.9),
which holds a copy of the embedding.
"""

from dyno.predict.constants import MIB
from dyno.predict.setup import Setup
from dyno.predict.weights import allocated

_BYTES = 2  # of an activation
_COMBO_KERNELS = (0, 12)  # the first release with torch 2.9
_HOPPER_WORKSPACE, _WORKSPACE = 32 * MIB, 8_519_680  # torch's cuBLAS workspace by default
_MLA_WORKSPACE_TOKENS = 64 * 1024
_MULTIPROCESSORS = 128  # of a card that does not say


def activation_bytes(setup: Setup, *, cold: bool) -> int:
    """Torch's peak above the weights. `cold`: this start compiles, nothing of it is in the cache."""
    running = forward_bytes(setup) + workspace_bytes(setup)
    if not cold or setup.eager:
        return max(running, logits_bytes(setup))
    # What a benchmark empties the L2 cache with outlives it, but not the first experts, whose workspace grows.
    flush = (setup.card.l2_bytes if setup.card and not setup.model.num_experts else None) or 0
    compiling = benchmark_bytes(setup) if setup.release >= _COMBO_KERNELS else 0
    return max(running + flush, compiling, logits_bytes(setup))


def forward_bytes(setup: Setup) -> int:
    """The widest moment of the profile's pass; the experts' workspace, once grown, is there in every layer."""
    return layer_bytes(setup) + expert_workspace_bytes(setup)


def layer_bytes(setup: Setup, *, profiling: bool = True) -> int:
    """The widest moment of a layer, in tensors of max_num_batched_tokens rows, without what experts work in."""
    model, tp = setup.model, setup.tensor_parallel
    queries = model.num_attention_heads * model.head_dim // tp
    widest = [2 * model.hidden_size, queries]  # residual and normed input, attention's output
    moments = [_attention(setup, profiling)]
    if model.intermediate_size:
        moments.append(_mlp(setup))
    if model.num_experts:
        router = allocated(setup.max_num_batched_tokens * model.num_experts * 4)
        moments.append(_rows(setup, *widest, model.hidden_size) + router)
    return max(moments)


def passing_bytes(setup: Setup, tokens: int) -> list[int]:
    """The tensors that so many tokens hold in a dense layer, one by one: both sums, attention's and the MLP's."""
    model, tp = setup.model, setup.tensor_parallel
    widths = [model.hidden_size, model.hidden_size, model.num_attention_heads * model.head_dim // tp,
              2 * model.intermediate_size // tp, model.intermediate_size // tp]  # fmt: skip
    return [tokens * width * _BYTES for width in widths if width]


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
    passed = _rows(setup, setup.model.hidden_size) + expert_workspace_bytes(setup)  # the pass before has left it
    return allocated(one * _BYTES) + sampling + passed + workspace_bytes(setup)


def sampler_buffer_bytes(setup: Setup) -> int:
    """topk_topp_triton.py's own: a row of the vocabulary for every multiprocessor at work."""
    rows = min(setup.max_num_seqs, (setup.card.sm_count if setup.card else None) or _MULTIPROCESSORS)
    return allocated(rows * setup.model.vocab_size * 4)


def workspace_bytes(setup: Setup) -> int:
    """What cuBLAS works in, which PyTorch allocates at the first product."""
    capability = setup.card.capability if setup.card else (0, 0)
    return _HOPPER_WORKSPACE if capability[0] in (9, 10) else _WORKSPACE


def expert_workspace_bytes(setup: Setup) -> int:
    """TritonExperts.workspace_shapes: one workspace that stays, two rows for each token and expert it goes to."""
    model, tp = setup.model, setup.tensor_parallel
    if not model.num_experts:
        return 0
    width = model.moe_intermediate_size // tp
    rows = setup.max_num_batched_tokens * model.experts_per_token
    return allocated(rows * (max(width, model.hidden_size) + max(2 * width, model.hidden_size)) * _BYTES)


def expanded_bytes(setup: Setup) -> int:
    """The widest context that an MLA layer expands out of its latents; profiling makes room for it."""
    heads = setup.model.num_attention_heads // setup.tensor_parallel
    return allocated(context_tokens(setup) * heads * setup.model.mla_expanded_dim * _BYTES)


def context_tokens(setup: Setup) -> int:
    """MLACommonMetadataBuilder.determine_chunked_prefill_workspace_size."""
    pages = setup.max_num_seqs * setup.block_size
    return max(min(max(8 * setup.max_model_len, 4 * pages), _MLA_WORKSPACE_TOKENS), pages)


def _mlp(setup: Setup) -> int:
    """Both sums, attention's output, gate and up, and their product; compiled code hands FP8 layers theirs in FP8."""
    model, tp = setup.model, setup.tensor_parallel
    read = (model.hidden_size, model.intermediate_size // tp)
    narrow = 1 if _fp8(setup) and not setup.eager else _BYTES
    wide = (model.hidden_size, model.num_attention_heads * model.head_dim // tp, 2 * model.intermediate_size // tp)
    return _rows(setup, *wide) + sum(allocated(setup.max_num_batched_tokens * width * narrow) for width in read)


def _attention(setup: Setup, profiling: bool) -> int:
    """Projections. Profiling, an MLA layer also holds the widest context that it would expand out of its latents."""
    model, tp = setup.model, setup.tensor_parallel
    heads = model.num_attention_heads // tp
    if not model.uses_mla:
        queries = heads * model.head_dim
        return _rows(setup, 2 * model.hidden_size, 2 * queries + 2 * model.num_key_value_heads * model.head_dim // tp)
    wide = heads * model.mla_expanded_dim  # queries without their rotary part, and outputs
    expanded = expanded_bytes(setup) if profiling else 0
    latent = model.caches[0].head_dim
    sums = 2 if setup.eager else 1  # compiled code lets go of the normed one before attention runs
    return _rows(setup, sums * model.hidden_size, wide, heads * model.rotary_dim, latent) + expanded


def _rows(setup: Setup, *widths: int) -> int:
    return sum(allocated(setup.max_num_batched_tokens * width * _BYTES) for width in widths)


def _fp8(setup: Setup) -> bool:
    how = setup.model.quantized
    return "fp8" in (setup.online or "") or bool(how and how.bits == 8)
