"""vLLM's KV cache to the page: layers make groups, groups share blocks, requests hold blocks.

vllm/v1/kv_cache_interface.py and vllm/v1/core/kv_cache_utils.py of 0.26 and 0.32; _align_hybrid_block_size of
vllm/platforms/interface.py for models with a state.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, lcm

from dyno.model.spec import CacheLayers
from dyno.predict.lengths import longest_len
from dyno.predict.setup import Setup

_FLOAT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
_MAMBA_CHUNK = 256  # tokens, of Mamba 2's kernels; Nemotron-H's config may say 128


@dataclass(frozen=True, slots=True)
class Page:
    """What one layer keeps in one block. `tokens` is the block size of its kind."""

    cache: CacheLayers
    tokens: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Pool:
    """All blocks of one worker: every block id costs `bytes_per_block` and serves one group."""

    bytes_per_block: int
    groups: tuple[Page, ...]  # one entry a group
    layers_per_group: int

    def blocks_per_request(self, setup: Setup, length: int) -> int:
        """Blocks that a request of `length` tokens holds at most, over all groups."""
        return sum(_blocks(setup, page, length) for page in self.groups)


def element_bytes(dtype: str) -> float:
    """Bytes of one element in a cache of vLLM's `kv_cache_dtype`, scales in the page included."""
    if dtype == "nvfp4":
        return 9 / 16
    if dtype == "int4_per_token_head":
        return 0.5
    return _FLOAT_BYTES.get(dtype, 1)


def pool(setup: Setup) -> Pool:
    """The pool that vLLM makes of the model's layers."""
    pages = _aligned(setup, [_page(setup, cache, setup.block_size) for cache in setup.model.caches])
    pages = pages if setup.hybrid_manager else [_promoted(page) for page in pages]
    kinds = {(page.cache.kind, page.cache.window, page.nbytes, page.tokens) for page in pages}
    if len(kinds) == 1:
        layers = sum(page.cache.layers for page in pages)
        return Pool(pages[0].nbytes * layers, (pages[0],), layers)
    if len({(page.cache.kind, page.cache.window) for page in pages}) == 1:  # one kind in several sizes: one group
        return Pool(sum(page.nbytes * page.cache.layers for page in pages), (pages[0],), 1)
    pages = _one_size(pages)
    size = _group_size([page.cache.layers for page in pages])
    groups = [page for page in pages for _ in range(ceil(page.cache.layers / size))]
    return Pool(pages[0].nbytes * size, tuple(groups), size)


def bytes_per_token(setup: Setup) -> float:
    """What one more token of a long request costs: layers with a state or a window that is full cost nothing.

    Where no layer keeps all tokens (`grows` is false), what a token costs as long as the windows are not full.
    """
    growing = grows(setup)
    return sum(_page(setup, cache, 1).nbytes * cache.layers for cache in setup.model.caches
               if (_grows(setup, cache) if growing else cache.window > 0))  # fmt: skip


def grows(setup: Setup) -> bool:
    """Whether a request of the model's layers takes more with every token, however long it is."""
    return any(_grows(setup, cache) for cache in setup.model.caches)


def blocks_in(setup: Setup, kv_cache_bytes: int) -> int:
    """Blocks that vLLM makes of so many bytes."""
    return setup.blocks or max(0, kv_cache_bytes) // pool(setup).bytes_per_block


def usable_bytes(setup: Setup, kv_cache_bytes: int) -> int:
    """What the check at start counts on: since 0.29 without the block that is never used."""
    spare = pool(setup).bytes_per_block if setup.release >= (0, 29) else 0
    return blocks_in(setup, kv_cache_bytes) * pool(setup).bytes_per_block - spare if setup.blocks else (
        kv_cache_bytes - spare)  # fmt: skip


def needed_bytes(setup: Setup, length: int) -> int:
    """What one request of `length` tokens needs, which vLLM asks for before it starts."""
    shared = pool(setup)
    return shared.blocks_per_request(setup, length) * shared.bytes_per_block


def capacity(setup: Setup, kv_cache_bytes: int, length: int) -> tuple[int, float]:
    """Tokens and the most requests of `length` tokens, as vLLM logs them."""
    shared = pool(setup)
    blocks = blocks_in(setup, kv_cache_bytes)
    concurrency = blocks / max(1, shared.blocks_per_request(setup, length))
    if setup.release < (0, 24):  # blocks shared out among the groups, whatever a request holds of them
        return blocks // len(shared.groups) * min(page.tokens for page in shared.groups), concurrency
    return int(concurrency * length), concurrency


def longest(setup: Setup, kv_cache_bytes: int) -> int:
    """The longest request that fits, at most as long as the model allows; vLLM's own estimate."""
    usable = usable_bytes(setup, kv_cache_bytes)
    return largest(lambda length: needed_bytes(setup, length) <= usable, longest_len(setup.model, setup.release))


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` for which `fits` holds, when it holds for all smaller ones; 0 for none."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _grows(setup: Setup, cache: CacheLayers) -> bool:
    kept = cache.window >= setup.max_model_len or (cache.window > 0 and not setup.hybrid_manager)
    return kept or cache.kind in ("full", "mla")


def _page(setup: Setup, cache: CacheLayers, tokens: int) -> Page:
    dtype = setup.model.dtype if setup.kv_dtype == "auto" else setup.kv_dtype
    size = min(element_bytes(dtype), 2) if setup.kv_dtype == "auto" else element_bytes(dtype)
    tp = setup.tensor_parallel
    if cache.kind == "state":
        own = min(2, _FLOAT_BYTES.get(setup.model.dtype, 2))
        recurrent = "float32" if setup.card is None else None  # what vLLM's CPU kernels take
        kept = (cache.state[0], *((elements, recurrent or dtype) for elements, dtype in cache.state[1:]))
        parts = (elements // tp * _FLOAT_BYTES.get(dtype or "", own) for elements, dtype in kept)
        return Page(cache, setup.max_model_len, sum(parts))
    if cache.kind == "mla":
        return Page(cache, tokens, round(tokens * (656 if dtype == "fp8_ds_mla" else cache.head_dim * size)))
    heads = max(1, cache.kv_heads // tp)
    scales = 8 if dtype.endswith("_per_token_head") else 0
    return Page(cache, tokens, round(tokens * heads * ((cache.head_dim + cache.v_head_dim) * size + scales)))


def _blocks(setup: Setup, page: Page, length: int) -> int:
    kind, window = page.cache.kind, page.cache.window
    if kind == "sliding":
        return ceil(min(window - 1 + setup.in_flight_tokens, length) / page.tokens) + 1
    if kind == "chunked":
        return ceil(min(window + setup.in_flight_tokens, length) / page.tokens)
    if kind == "state":
        checkpoints = 1 if setup.mamba2 and setup.release >= (0, 32) else 0
        return {"none": 1, "align": 2 + checkpoints, "all": ceil(length / page.tokens)}[setup.mamba_mode]
    return ceil(length / page.tokens)


def _aligned(setup: Setup, pages: list[Page]) -> list[Page]:
    """Attention's block grows until its page holds a state; states are padded to it."""
    states = [page for page in pages if page.cache.kind == "state"]
    attention = [page for page in pages if page.cache.kind != "state"]
    if not states or not attention:
        return pages
    token_bytes = max(page.nbytes // page.tokens for page in attention)
    state_bytes = max(page.nbytes for page in states)
    step = lcm(_MAMBA_CHUNK, setup.block_size) if setup.mamba_mode == "all" else setup.block_size
    tokens = max(setup.block_size, step * ceil(state_bytes / (step * token_bytes)))
    padded = token_bytes * tokens
    return [Page(page.cache, tokens if setup.mamba_mode != "none" else page.tokens, padded)
            if page.cache.kind == "state" else _page(setup, page.cache, tokens) for page in pages]  # fmt: skip


def _promoted(page: Page) -> Page:
    """Without the hybrid manager, windows and chunks are kept whole."""
    if not page.cache.window:
        return page
    return replace(page, cache=replace(page.cache, kind="full", window=0))


def _one_size(pages: list[Page]) -> list[Page]:
    """Pages of one size: smaller ones take more tokens where that fits exactly, else they are padded."""
    most = max(page.nbytes for page in pages)
    return [replace(page, nbytes=most, tokens=page.tokens * (most // page.nbytes)
                    if page.cache.kind != "state" and most % page.nbytes == 0 else page.tokens)
            for page in pages]  # fmt: skip


def _group_size(layers: list[int]) -> int:
    """Layers of a group: as many as the rarest kind has, unless the commonest has less than half as many more."""
    return max(layers) if max(layers) < min(layers) * 1.5 else min(layers)
