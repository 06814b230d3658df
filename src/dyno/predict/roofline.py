"""How long one step of an engine takes: a roofline over what it reads and computes, and what else there is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2

from dyno.hardware.gpus import Card
from dyno.model.spec import CacheLayers, ModelSpec, Weights
from dyno.predict import kv_cache
from dyno.predict.rates import Rates
from dyno.predict.setup import Setup
from dyno.predict.weights import ELEMENT_BYTES, tensor_bytes

# Where no source is named a constant was settled on the H200's points (benchmarks/README.md), of both models together.
_SMOOTH = 3.5  # of the maximum of computing and reading, which overlap but not wholly
_NOMINAL_CPU = (50e9, 1e12)  # bytes a second, FLOP/s: what a CPU's rates are shares of
_CHUNK_BYTES = 2  # of an activation
# Activations that a token moves in a layer besides GEMMs: norms, rotary, residuals, and the MLP's gate.
_MOVED_HIDDEN, _MOVED_MLP = 14, 5
# Experts in one kernel reach less of the peaks than one GEMM, and routing comes on top of a layer's own time: guesses.
_EXPERTS, _ROUTING = 0.7, 1.5
# Seconds for FLOP/s of one SM: a tile of a GEMM is begun and ended in a time that counts the more, the faster it is
# computed, and the less, the longer the sums are (800 terms on an H200 in 16 bits).
_BEGINNING = 800 * 132 / 989e12
# 8 bits in and out: activations are quantized in every layer. An FP8 KV cache, too, is written and read with more ado.
_QUANTIZING, _FP8_KV_LAYER, _FP8_KV_REQUEST = 1.12, 1.06, 1.5
# Of launching a layer's dozen of kernels one by one: attention's, and a graph of all else.
_PIECEWISE = 0.5
_HOST_REQUEST = 0.02  # of host_s, for every further request: scheduling, detokenizing, streaming
# Of FlashAttention 3's (Hopper's own, and nobody else's): (prefill, decode of 8 KV heads), which grows with the square
# root of them. FlashInfer: 722 us for a prefill against 554 us (sgl-project/sglang pull request 6151). FlexAttention:
# 90 % of FlashAttention 2 (pytorch.org/blog/flexattention), which has half of 3 (arXiv 2407.08608); decode is a guess.
_HOPPER = 9
_SLOWER: Mapping[str, tuple[float, float]] = {
    "TRITON_ATTN": (0.14, 0.22), "FLEX_ATTENTION": (0.45, 0.5), "FLASHINFER": (0.77, 1.0),
}  # fmt: skip
_MLA_ROPE = 64
# Bytes a second between two cards, one way: NVLink by name, else PCIe, over which two transfers share the way.
_NVLINK: Mapping[str, float] = {"A100": 300e9, "H100 SXM": 450e9, "H100 NVL": 300e9, "H200": 450e9, "B200": 900e9}
_PCIE_LANE: Mapping[int, float] = {3: 0.98e9, 4: 1.97e9, 5: 3.94e9}
_LINK_LATENCY_S = 3.5e-6  # of an all-reduce in one shot, which more cards make hardly longer


@dataclass(frozen=True, slots=True)
class Kind:
    """Layers that read the KV cache alike. Seconds for a token of context, of a new token and of a prompt's."""

    window: int  # 0: all of it
    decode_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What a step of one setup is made of, in seconds: the card's time and the host's for it."""

    stream_s: float  # all weights but experts, once
    token_s: float  # computing them for a token
    head_s: float  # computing the logits of a sampled token
    experts_s: float  # all experts, once
    expert_token_s: float
    routed: float  # share of the experts that a token goes to
    moved_s: float  # activations of a token
    kinds: tuple[Kind, ...]
    sparse: float  # share of the decode bandwidth that one request reaches, 1 where the kernel splits it
    fixed_s: float
    request_s: float
    link_s: float
    link_token_s: float
    host_s: float
    host_request_s: float
    pieces_s: float  # launching graphs of pieces, and attention between them
    eager_s: float  # launching every kernel
    largest_graph: int
    asynchronous: bool

    def read_s(self, cohorts: Iterable[tuple[int, float]]) -> float:
        """Attention of one new token for each of (how many, context length)."""
        total = 0.0
        number = 0
        for count, context in cohorts:
            number += count
            for kind in self.kinds:
                seen = min(context, kind.window) if kind.window else context
                total += count * seen * kind.decode_s
        return total / min(1.0, self.sparse * number**0.5) if number and self.sparse < 1 else total

    def chunk_s(self, tokens: int, before: int) -> float:
        """Attention of a piece of a prompt that begins after so many tokens."""
        total = 0.0
        for kind in self.kinds:
            mean = before + tokens / 2
            seen = min(mean, kind.window) if kind.window else mean
            total += max(tokens * seen * kind.prefill_s, (before + tokens) * kind.decode_s)
        return total

    def card_s(self, tokens: int, sampled: int, requests: int, attention_s: float) -> float:
        """The card's time for a forward of so many tokens of so many requests, of which some are sampled."""
        dense = _either(tokens * self.token_s + sampled * self.head_s, self.stream_s)
        if self.experts_s:
            touched = 1.0 - (1.0 - self.routed) ** tokens
            dense += _either(tokens * self.expert_token_s, self.experts_s * touched)
        return (dense + tokens * (self.moved_s + self.link_token_s) + attention_s + self.fixed_s + self.link_s
                + requests * self.request_s)  # fmt: skip

    def launch_s(self, tokens: int, requests: int, prompts: bool = False) -> float:
        """The processor's time for a step: one graph holds it whole where every request has one token in it.

        Where there are tokens of prompts graphs hold all but attention; of more tokens than the largest, nothing.
        """
        pieces_s = self.pieces_s if prompts else 0.0
        launching = self.eager_s if tokens > self.largest_graph else pieces_s
        return self.host_s + launching + requests * self.host_request_s

    def step_s(self, requests: int, attention_s: float) -> float:
        """One of many steps with a token of every request."""
        card, host = self.card_s(requests, requests, requests, attention_s), self.launch_s(requests, requests)
        return max(card, host) if self.asynchronous else card + host


def costs(setup: Setup, rates: Rates) -> Costs | None:
    """The costs of a setup's steps; None for a card whose bandwidth or FLOP/s nobody knows."""
    peaks = _peaks(setup.card)
    if peaks is None:
        return None
    bandwidth, flops = peaks
    model, tp = setup.model, setup.tensor_parallel
    dense = [group for group in model.weights if group.role not in ("embedding", "lm_head", "experts")]
    experts = [group for group in model.weights if group.role == "experts"]
    head = model.vocab_size * model.hidden_size / tp
    streaming = bandwidth * rates.weights
    routed = model.experts_per_token / model.num_experts if model.num_experts else 1.0
    slow_prefill, slow_decode = _slower(setup)
    link, latency = _link(setup, rates)
    whole = setup.graphs and bool(setup.capture_sizes)
    eager = model.num_hidden_layers * rates.eager_s
    moved = model.num_hidden_layers * (_MOVED_HIDDEN * model.hidden_size + _MOVED_MLP * _width(model) / tp)
    return Costs(
        stream_s=(_bytes(setup, dense) + head * ELEMENT_BYTES) / streaming,
        token_s=_gemm_s(setup, rates, dense),
        head_s=2 * head / (flops * rates.gemm),
        experts_s=_bytes(setup, experts) / (streaming * _EXPERTS),
        expert_token_s=_gemm_s(setup, rates, experts) * routed / _EXPERTS,
        routed=routed,
        moved_s=moved * _CHUNK_BYTES / streaming,
        kinds=tuple(_kind(setup, rates, cache, slow_prefill) for cache in model.caches if cache.kind != "state"),
        sparse=slow_decode * (max(1, model.num_key_value_heads // tp) / 8) ** 0.5 if slow_decode < 1 else 1.0,
        fixed_s=_fixed_s(setup, rates) + _states_s(setup, streaming),
        request_s=rates.request_s * (_FP8_KV_REQUEST if setup.kv_dtype.startswith("fp8") else 1.0),
        link_s=latency,
        link_token_s=link,
        host_s=rates.host_s,
        host_request_s=rates.host_s * _HOST_REQUEST,
        pieces_s=_PIECEWISE * eager,
        eager_s=eager,
        largest_graph=setup.capture_sizes[-1] if whole else 0,
        asynchronous=setup.asynchronous,
    )


def _slower(setup: Setup) -> tuple[float, float]:
    hopper = setup.card is not None and setup.card.capability[0] == _HOPPER
    return _SLOWER.get(setup.attention_backend, (1.0, 1.0)) if hopper else (1.0, 1.0)


def _either(computing_s: float, reading_s: float) -> float:
    """The longer of the two, and a little more where they are alike."""
    if computing_s < 0.1 * reading_s:
        return reading_s
    if reading_s < 0.1 * computing_s:
        return computing_s
    return float((computing_s**_SMOOTH + reading_s**_SMOOTH) ** (1 / _SMOOTH))


def _peaks(card: Card | None) -> tuple[float, float] | None:
    if card is None:
        return _NOMINAL_CPU
    if not card.bandwidth_bytes_s or not card.bf16_flops:
        return None
    return card.bandwidth_bytes_s, card.bf16_flops


def _bytes(setup: Setup, groups: Iterable[Weights]) -> float:
    return sum(group.count * tensor_bytes(setup, group) for group in groups)


def _gemm_s(setup: Setup, rates: Rates, groups: Iterable[Weights]) -> float:
    """Computing with all of them for one token."""
    peaks = _peaks(setup.card)
    sms = setup.card.sm_count if setup.card and setup.card.sm_count else float("inf")
    total = 0.0
    for group in groups:
        if group.role in ("norm", "other") or peaks is None:
            continue
        low = tensor_bytes(setup, group) < 1.5 * group.rows * group.columns / setup.tensor_parallel
        fast = _low_flops(setup) if low else None
        speed = fast * rates.gemm_low if fast else peaks[1] * rates.gemm
        began = _BEGINNING * (fast or peaks[1]) / sms / group.columns
        total += 2 * group.parameters / setup.tensor_parallel / speed * (1 + began)
    return total


def low_bits(setup: Setup) -> bool:
    """Whether GEMMs take activations of 8 bits or less, which is another rate."""
    return _low_flops(setup) is not None


def _low_flops(setup: Setup) -> float | None:
    """FLOP/s of GEMMs on quantized weights, None where only the weights are and 16 bits are computed with."""
    how, card = setup.model.quantized, setup.card
    if card is None or (how is None and not setup.online):
        return None
    bits = 8.0 if how is None else how.bits
    weights_only = how is not None and how.method.startswith(("awq", "gptq", "auto-round", "bitsandbytes", "moe_wna16"))
    if weights_only or (how is not None and how.method == "compressed-tensors" and bits < 8):
        return None
    if bits < 8:
        return card.fp4_flops
    return card.fp8_flops if card.capability >= (8, 9) else None


def _kind(setup: Setup, rates: Rates, cache: CacheLayers, slower: float) -> Kind:
    """Layers that keep keys and values, or a latent of them."""
    bandwidth, flops = _peaks(setup.card) or _NOMINAL_CPU
    model = setup.model
    heads = model.num_attention_heads / setup.tensor_parallel
    if cache.kind == "mla":
        kept = cache.head_dim * min(2.0, kv_cache.element_bytes(_kv_dtype(setup)))
        per_pair, wide = 2 * heads * (model.mla_expanded_dim + _MLA_ROPE), 2 * heads * 2 * cache.head_dim
    else:
        held = max(1.0, cache.kv_heads / setup.tensor_parallel)
        kept = held * (cache.head_dim + cache.v_head_dim) * min(2.0, kv_cache.element_bytes(_kv_dtype(setup)))
        per_pair = wide = 2 * heads * (cache.head_dim + cache.v_head_dim)
    reading = max(kept / (bandwidth * rates.decode), wide / (flops * rates.gemm))
    prefill = per_pair / (flops * rates.prefill * slower)
    return Kind(cache.window, cache.layers * reading, cache.layers * prefill)


def _kv_dtype(setup: Setup) -> str:
    return setup.model.dtype if setup.kv_dtype == "auto" else setup.kv_dtype


def _states_s(setup: Setup, streaming: float) -> float:
    """Layers with a state read and write it with every token; of one request, as most steps have few."""
    states = [cache for cache in setup.model.caches if cache.kind == "state"]
    elements = sum(cache.layers * sum(size for size, _ in cache.state) for cache in states)
    return 2 * elements * 2 / setup.tensor_parallel / streaming


def _width(model: ModelSpec) -> int:
    return model.intermediate_size + model.moe_intermediate_size * model.experts_per_token


def _fixed_s(setup: Setup, rates: Rates) -> float:
    """Of all layers, whatever the step."""
    layer = rates.layer_s
    layer *= _QUANTIZING if low_bits(setup) else 1.0
    layer *= _FP8_KV_LAYER if setup.kv_dtype.startswith("fp8") else 1.0
    layer *= _ROUTING if setup.model.num_experts else 1.0
    return layer * setup.model.num_hidden_layers


def _link(setup: Setup, rates: Rates) -> tuple[float, float]:
    """Two all-reduces a layer: seconds for a token, and for a step whatever its size."""
    tp, card = setup.tensor_parallel, setup.card
    if tp == 1 or card is None:
        return 0.0, 0.0
    named = next((speed for name, speed in _NVLINK.items() if card.name.startswith(name)), None)
    generation, lanes = card.pcie or (4, 16)
    speed = (named or _PCIE_LANE.get(generation, 1.97e9) * lanes / 2) * rates.link
    layers = setup.model.num_hidden_layers
    moved = 2 * layers * setup.model.hidden_size * _CHUNK_BYTES * 2 * (tp - 1) / tp
    return moved / speed, 2 * layers * (1 + log2(tp)) ** 0.5 * _LINK_LATENCY_S / rates.link
