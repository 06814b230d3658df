"""What stays in PyTorch's allocator once an engine is ready: what vLLM holds for good, and what its warm-up touched.

The warm-up is replayed: its allocations decide how much the allocator keeps, as it gives nothing back. Capturing
graphs empties it before. vllm/v1/worker/gpu/warmup.py and sample/ of 0.26; gpu_worker.py for the V1 runner.
"""

from math import ceil

from dyno.predict.activations import (
    context_tokens,
    expanded_bytes,
    expert_workspace_bytes,
    passing_bytes,
    sampler_buffer_bytes,
    workspace_bytes,
)
from dyno.predict.allocator import Allocator
from dyno.predict.constants import MIB
from dyno.predict.graphs import split_bytes
from dyno.predict.setup import Setup
from dyno.predict.weights import stranded_bytes

_BYTES = 2  # of an activation, and of a logit
_SMALL = MIB  # torch keeps smaller blocks apart
_CHUNK = 1024  # prompt tokens whose logits are made at once
_SEQUENCE_BYTES = 17 * 1024  # tables of forbidden and of biased tokens, for every sequence
_FP8_CACHE = 32 * MIB  # measured twice; whose it is was not found
_FLASHINFER_WORKSPACE = 394 * MIB  # VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE


def kept_bytes(setup: Setup, *, cold: bool) -> int:
    """Bytes beyond weights, KV cache and graphs, as far as they are known. `cold`: this start compiles."""
    pool = Allocator()
    _passes(pool, setup)
    if setup.v2_runner:
        _sample(pool, setup)
    else:
        _sample_in_32_bits(pool, setup)
    cache = _FP8_CACHE if setup.kv_dtype.startswith("fp8") else 0
    return pool.reserved_bytes + _held(setup) + _left(setup, cold) + stranded_bytes(setup) + cache


def _held(setup: Setup) -> int:
    """What is never given back: workspaces, tables, and the V2 runner's counts of every word of the vocabulary."""
    model, sequences = setup.model, setup.max_num_seqs
    masks = 2 * (model.vocab_size // 8)  # of a prompt's words, and of those that a grammar allows
    counts = sequences * (model.vocab_size * 4 + masks + _SEQUENCE_BYTES) if setup.v2_runner else 0
    flashinfer = _FLASHINFER_WORKSPACE if _uses_flashinfer(setup) else 0
    return workspace_bytes(setup) + expert_workspace_bytes(setup) + counts + flashinfer + sum(_late(setup))


def _late(setup: Setup) -> list[int]:
    """What is made once the KV cache is there: both tables of blocks, and MLA's latents of a context."""
    model = setup.model
    table = 4 * setup.max_num_seqs * ceil(setup.max_model_len / setup.block_size)
    latents = context_tokens(setup) * model.caches[0].head_dim * _BYTES if model.uses_mla else 0
    return [latents, table, table]


def _left(setup: Setup, cold: bool) -> int:
    """What profiling leaves free beside that which stays in the same segment, and nothing later fits in.

    cuBLAS works in what Inductor's benchmarks emptied the L2 cache with; without them the experts work in what MLA
    expanded a context into.
    """
    if cold and not setup.eager:
        hole = ((setup.card.l2_bytes if setup.card else None) or 0) - workspace_bytes(setup)
    else:
        hole = expanded_bytes(setup) - expert_workspace_bytes(setup) if setup.model.num_experts else 0
    hole = max(0, hole)
    for nbytes in _late(setup):
        hole -= nbytes if _SMALL < nbytes <= hole else 0
    return hole


def _passes(pool: Allocator, setup: Setup) -> None:
    """Without graphs the widest layer of the largest pass stays; with them what the warm-up's attention splits."""
    tokens = 2 * _warmed(setup) if setup.v2_runner else min(setup.max_num_seqs, setup.max_num_batched_tokens)
    if setup.graphs and setup.v2_runner and tokens <= max(setup.capture_sizes, default=0):
        if splits := split_bytes(setup, tokens):
            pool.give(pool.take(splits))
        return
    if setup.graphs:  # of this size there is none, and the V1 runner does not use it
        for _ in range(2):
            _layer(pool, setup, tokens)
        return
    pool.give(*[pool.take(nbytes) for nbytes in passing_bytes(setup, setup.max_num_batched_tokens)])


def _layer(pool: Allocator, setup: Setup, tokens: int) -> None:
    """A dense layer of compiled code, which lets go of a tensor as soon as it can."""
    model, tp = setup.model, setup.tensor_parallel
    row, head = tokens * _BYTES, model.head_dim
    hidden, inner = row * model.hidden_size, row * model.intermediate_size // tp
    queries, keys = (row * heads * head // tp for heads in (model.num_attention_heads, model.num_key_value_heads))
    residual, normed = pool.take(hidden), pool.take(hidden)
    heads = [pool.take(nbytes) for nbytes in (queries + 2 * keys, queries, keys)]
    pool.give(normed)
    attention = pool.take(queries)
    pool.give(*heads)
    projected = pool.take(hidden)
    pool.give(attention)
    normed = pool.take(hidden)
    both = pool.take(2 * inner)
    pool.give(normed)
    product = pool.take(inner)
    pool.give(both)
    summed = pool.take(hidden)
    pool.give(product, residual, projected, summed)


def _sample(pool: Allocator, setup: Setup) -> None:
    """The V2 runner's: logits, a copy of them for log probabilities, and then the prompts' logits."""
    sequences, row = _warmed(setup), setup.model.vocab_size * _BYTES
    used = [pool.take(sequences * row) for _ in range(2)]
    if setup.flashinfer_sampler is not False:  # in 32 bits, masked, and as probabilities
        used += [pool.take(2 * sequences * row) for _ in range(3)]
    else:
        pool.take(sampler_buffer_bytes(setup))
    pool.give(*used)
    held = [pool.take(min(_CHUNK, 2 * sequences - start) * row) for start in range(0, 2 * sequences, _CHUNK)[:2]]
    pool.give(*held)


def _sample_in_32_bits(pool: Allocator, setup: Setup) -> None:
    """The V1 runner's: logits, in 32 bits, as probabilities, and noise; its buffer is there since profiling.

    Where FlashInfer draws first, the buffer lies in what that has left. Eager passes leave something that fits better.
    """
    one = min(setup.max_num_seqs, setup.max_num_batched_tokens) * setup.model.vocab_size
    if setup.flashinfer_sampler is not False and setup.graphs:
        pool.give(pool.take(one * 4))
    for nbytes in (sampler_buffer_bytes(setup), one * _BYTES, one * 4, one * 4, one * 4):
        pool.take(nbytes)


def _warmed(setup: Setup) -> int:
    """Sequences of the warm-up, each of two tokens."""
    return min(setup.max_num_seqs, max(1, setup.max_num_batched_tokens // 2))


def _uses_flashinfer(setup: Setup) -> bool:
    """First choice on data-centre Blackwell, and for an FP8 cache where there is no FlashAttention 3."""
    generation = setup.card.capability[0] if setup.card else 0
    return generation == 10 or (setup.kv_dtype.startswith("fp8") and generation in (8, 12))
