"""The terms of a card's memory that no formula gives: what was measured, how sure it is, and how boots correct it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, hypot, log, sqrt
from statistics import fmean

from dyno.predict.activations import activation_bytes, kept_bytes
from dyno.predict.constants import HOPPER, MIB, Constants, constants_for
from dyno.predict.setup import Setup
from dyno.predict.weights import weights_bytes


@dataclass(frozen=True, slots=True)
class Term:
    """Bytes, and one standard deviation of what they may be off by."""

    nbytes: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What one start told; None where it did not. `device_used_bytes` is of the whole card, when ready."""

    weights_bytes: int | None = None
    kv_cache_bytes: int | None = None
    kv_cache_tokens: int | None = None
    graph_bytes: int | None = None
    device_used_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Boot:
    """A start that was seen."""

    setup: Setup
    facts: Facts


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one setup. `context` is in use before vLLM first looks, `kept` what its caching allocator keeps."""

    weights: Term
    activation: Term
    other: Term
    graphs: Term
    context: Term
    kept: Term


def terms(setup: Setup, boots: Sequence[Boot] = (), *, cold: bool = True, measured: Constants = HOPPER) -> Terms:
    """The terms of a setup, corrected by boots of the same kind of card."""
    prior = _prior(setup, measured, cold)
    seen = [boot for boot in boots if _same_machine(boot.setup, setup)]
    return replace(
        prior,
        weights=_weights(setup, prior.weights, seen),
        other=_corrected(setup, prior.other, [(boot, other_off(boot, measured)) for boot in seen]),
        graphs=_graphs(prior.graphs, seen, measured),
        kept=_corrected(setup, prior.kept, [(boot, kept_off(boot, measured)) for boot in seen]),
    )


def _prior(setup: Setup, measured: Constants, cold: bool) -> Terms:
    known = constants_for(setup.card.capability if setup.card else (0, 0), measured)
    weights = weights_bytes(setup)
    return Terms(
        weights=Term(weights, 0.0005 * weights + (_ONLINE if setup.online else 4 * MIB)),
        activation=Term(activation_bytes(setup, cold=cold), _activation_spread(setup)),
        other=_other(setup, known),
        graphs=Term(graphs := graph_bytes(setup, known), hypot(known.graph_off * graphs, _estimate_spread(setup))),
        context=_context(setup, known),
        kept=Term(known.kept + known.kept_logit * sampled(setup) + kept_bytes(setup), known.kept_off),
    )


def _estimate_spread(setup: Setup) -> float:
    """Where graphs are budgeted, vLLM's own estimate of them is what counts, which is off too."""
    return 60 * MIB if setup.graphs_budgeted else 0.0


def _context(setup: Setup, known: Constants) -> Term:
    """With several cards also NCCL's buffers and those of vLLM's own all-reduce, before vLLM first looks."""
    links = _LINKS if setup.tensor_parallel > 1 else Term(0)
    return Term(known.context + links.nbytes, hypot(known.context_off, links.spread))


def _other(setup: Setup, known: Constants) -> Term:
    """Since 0.27 vLLM asks the card what is in use, so that what its allocator holds and does not use counts too."""
    held = _HELD if setup.release >= (0, 27) else Term(0)
    return Term(known.other + held.nbytes, hypot(known.other_off, held.spread))


_MEASURED = (0, 26)
_V1_SAMPLER = 1.5
_ONLINE = 30 * MIB  # what quantizing while loading leaves behind was measured once
_LINKS = Term(350 * MIB, 200 * MIB)  # nobody measured it yet
_HELD = Term(25 * MIB, 25 * MIB)  # nobody measured it yet


def _activation_spread(setup: Setup) -> float:
    """How far the peak's formula is off: little where it was measured, dense layers, compiled."""
    model = setup.model
    plain = not (model.num_experts or model.uses_mla or model.is_hybrid or model.multimodal)
    off = (10 * MIB if not setup.eager else 30 * MIB) if plain else 100 * MIB
    return off if setup.release == _MEASURED else hypot(off, 60 * MIB)


def graph_features(setup: Setup) -> tuple[float, float]:
    """What CUDA graphs grow with: sizes and layers; tokens captured whole, layers and hidden size."""
    if not setup.graphs:
        return 0.0, 0.0
    layers = setup.model.num_hidden_layers
    whole = sum(size for size in setup.capture_sizes if size <= setup.max_num_seqs)
    return float(len(setup.capture_sizes) * layers), float(whole * layers * setup.model.hidden_size)


def graph_bytes(setup: Setup, known: Constants) -> float:
    """CUDA graphs before any was seen."""
    sizes, tokens = graph_features(setup)
    return known.graph_layer * sizes + known.graph_token * tokens


def sampled(setup: Setup) -> int:
    """Logits of the sampler's warm-up: every sequence that a batch of two tokens each has room for.

    The V1 runner holds half as much again of each: 14 bytes, in 16 bits, as numbers, probabilities and noise.
    """
    sequences = min(setup.max_num_seqs, max(1, setup.max_num_batched_tokens // 2))
    return round(sequences * setup.model.vocab_size * (1.0 if setup.v2_runner else _V1_SAMPLER))


def _same_machine(one: Setup, other: Setup) -> bool:
    return (one.card is None) == (other.card is None) and (
        one.card is None or other.card is None or one.card.name == other.card.name
    )


def _same_model(one: Setup, other: Setup) -> bool:
    a, b = one.model, other.model
    return (a.architecture, a.weights, one.online, a.quantized, one.tensor_parallel) == (
        b.architecture, b.weights, other.online, b.quantized, other.tensor_parallel)  # fmt: skip


def _weights(setup: Setup, prior: Term, boots: Sequence[Boot]) -> Term:
    """As a start of the same model told; where it is quantized while loading, as it left behind with other models."""
    told = [boot.facts.weights_bytes for boot in boots if _same_model(boot.setup, setup) and boot.facts.weights_bytes]
    if told:
        return Term(fmean(told), 5 * MIB)
    alike = [boot for boot in boots if setup.online and boot.setup.online == setup.online]
    left = [(boot.facts.weights_bytes - weights_bytes(boot.setup)) / boot.setup.model.num_hidden_layers
            for boot in alike if boot.facts.weights_bytes]  # fmt: skip
    return Term(prior.nbytes + fmean(left) * setup.model.num_hidden_layers, prior.spread / 2) if left else prior


def _graphs(prior: Term, boots: Sequence[Boot], measured: Constants) -> Term:
    """The same factor for all models of a machine, from what the boots took over what they were expected to."""
    off = [log(boot.facts.graph_bytes / expected) for boot in boots
           if boot.facts.graph_bytes and (expected := graph_bytes(boot.setup, measured))]  # fmt: skip
    if not off or not prior.nbytes:
        return prior
    each = 0.08
    known = len(off) / each**2
    mean = sum(off) / each**2 / (known + 1 / measured.graph_off**2)
    expected = prior.nbytes * exp(mean)
    return Term(expected, expected * sqrt(1 / (known + 1 / measured.graph_off**2) + each**2))


def _corrected(setup: Setup, prior: Term, boots: Sequence[tuple[Boot, float | None]]) -> Term:
    """A term that a machine's engines share, from how far it was off in each boot; None where a boot does not tell.

    A boot of another model says less of this one, by how far the formulas may be off for it.
    """
    weight = total = 0.0
    for boot, off in boots:
        if off is not None:
            sure = 4 * MIB if _same_model(boot.setup, setup) else max(12 * MIB, _activation_spread(boot.setup))
            weight += 1 / sure**2
            total += off / sure**2
    known = weight + 1 / prior.spread**2
    return Term(prior.nbytes + total / known, sqrt(1 / known))


def other_off(boot: Boot, measured: Constants) -> float | None:
    """What the KV cache did not get and no term explains.

    A boot does not say whether it compiled: the peak that explains it better is taken.
    """
    told, setup = boot.facts.kv_cache_bytes, boot.setup
    if told is None or setup.card is None or setup.kv_cache_bytes:
        return None
    prior = _prior(setup, measured, cold=True)
    graphs = (boot.facts.graph_bytes or prior.graphs.nbytes) if setup.graphs_budgeted else 0.0
    left = requested_bytes(setup) - told - (boot.facts.weights_bytes or weights_bytes(setup)) - graphs
    expected = prior.other.nbytes
    peaks = (activation_bytes(setup, cold=True), activation_bytes(setup, cold=False))
    return min((left - peak - expected for peak in peaks), key=abs)


def kept_off(boot: Boot, measured: Constants) -> float | None:
    """What the card has in use beyond all terms."""
    facts, prior = boot.facts, _prior(boot.setup, measured, cold=True)
    if facts.device_used_bytes is None or facts.kv_cache_bytes is None:
        return None
    graphs = facts.graph_bytes if facts.graph_bytes is not None else prior.graphs.nbytes
    return (facts.device_used_bytes - facts.kv_cache_bytes - (facts.weights_bytes or prior.weights.nbytes) - graphs
            - prior.context.nbytes - prior.other.nbytes - prior.kept.nbytes)  # fmt: skip


def requested_bytes(setup: Setup) -> int:
    """What vLLM asks for: the share of what CUDA sees of the card, rounded up."""
    return ceil((setup.card.cuda_bytes if setup.card else 0) * setup.utilization)
