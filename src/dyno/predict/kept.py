"""What stays in PyTorch's allocator once an engine is ready: what vLLM holds for good, and what its warm-up touched.

The warm-up is replayed: its allocations decide how much the allocator keeps, as it gives nothing back. Capturing
graphs empties it before. vllm/v1/worker/gpu/warmup.py and sample/ of 0.26; gpu_worker.py for the V1 runner.
"""

from math import ceil

from dyno.predict.activations import (
    context_tokens,
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
_CHUNK = 1024  # prompt tokens whose logits are made at once
_SEQUENCE_BYTES = 17 * 1024  # tables of forbidden and of biased tokens, for every sequence
_FP8_CACHE = 32 * MIB  # measured twice; whose it is was not found
_FLASHINFER_WORKSPACE = 394 * MIB  # VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE


def kept_bytes(setup: Setup) -> int:
    """Bytes beyond weights, KV cache and graphs, as far as they are known."""
    pool = Allocator()
    _passes(pool, setup)
    if setup.v2_runner:
        _sample(pool, setup)
    else:
        _sample_in_32_bits(pool, setup)
    cache = _FP8_CACHE if setup.kv_dtype.startswith("fp8") else 0
    return pool.reserved_bytes + _held(setup) + stranded_bytes(setup) + cache


def _held(setup: Setup) -> int:
    """What is never given back: workspaces, tables, and the V2 runner's counts of every word of the vocabulary."""
    model, sequences = setup.model, setup.max_num_seqs
    tables = 2 * 4 * sequences * ceil(setup.max_model_len / setup.block_size)  # of blocks, int32, and a copy
    counts = sequences * (model.vocab_size * 4 + model.vocab_size // 8 + _SEQUENCE_BYTES) if setup.v2_runner else 0
    latents = context_tokens(setup) * model.caches[0].head_dim * _BYTES if model.uses_mla else 0
    flashinfer = _FLASHINFER_WORKSPACE if _uses_flashinfer(setup) else 0
    return workspace_bytes(setup) + expert_workspace_bytes(setup) + tables + counts + latents + flashinfer


def _passes(pool: Allocator, setup: Setup) -> None:
    """Without graphs the widest layer of the largest pass stays; with them what the warm-up's attention splits."""
    tokens = 2 * _warmed(setup)
    if setup.graphs and tokens <= max(setup.capture_sizes, default=0):
        if splits := split_bytes(setup, tokens) if setup.v2_runner else 0:
            pool.give(pool.take(splits))
        return
    rows = tokens if setup.graphs else setup.max_num_batched_tokens
    pool.give(*[pool.take(nbytes) for nbytes in passing_bytes(setup, rows)])


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
    """The V1 runner's: logits, in 32 bits, as probabilities, and noise; its buffer is there since profiling."""
    one = min(setup.max_num_seqs, setup.max_num_batched_tokens) * setup.model.vocab_size
    for nbytes in (sampler_buffer_bytes(setup), one * _BYTES, one * 4, one * 4, one * 4):
        pool.take(nbytes)


def _warmed(setup: Setup) -> int:
    """Sequences of the warm-up, each of two tokens."""
    return min(setup.max_num_seqs, max(1, setup.max_num_batched_tokens // 2))


def _uses_flashinfer(setup: Setup) -> bool:
    """First choice on data-centre Blackwell, and for an FP8 cache where there is no FlashAttention 3."""
    generation = setup.card.capability[0] if setup.card else 0
    return generation == 10 or (setup.kv_dtype.startswith("fp8") and generation in (8, 12))
