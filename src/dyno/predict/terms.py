"""The terms of a card's memory before any start was seen, how sure each is, and how far off a start was."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, hypot, log2

from dyno.predict.activations import activation_bytes
from dyno.predict.constants import MIB, Constants, constants_for
from dyno.predict.graphs import graph_bytes
from dyno.predict.kept import kept_bytes
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


@dataclass(frozen=True, slots=True, eq=False)
class Boot:
    """A start that was seen; another one that told the same is another."""

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


SURE = 1.28  # standard deviations between a figure and its low and high: 80 of 100 fall between, as with latencies

_MEASURED = (0, 26)
_MOST_BOOTS = 2048  # whose distance is kept: a plan asks for it again and again
_REPLAYED, _REPACKED = 2 * MIB, 0.002  # how far weights are off: replayed, and stored in a form that kernels repack
_LINKS = Term(350 * MIB, 200 * MIB)  # of several cards; nobody measured it yet
_MEASURED_SEQS, _A_DOUBLING = 256, 60 * MIB  # starts with 1,024 sequences kept 53 to 159 MiB less than was expected
_HELD = Term(25 * MIB, 25 * MIB)  # of the allocator, since 0.27; nobody measured it yet


def known_constants(setup: Setup, measured: Constants) -> Constants:
    """The constants of a setup's card."""
    return constants_for(setup.card, measured)


def prior_terms(setup: Setup, measured: Constants, cold: bool) -> Terms:
    """The terms before any start was seen. `cold`: this start compiles."""
    known = known_constants(setup, measured)
    weights, graphs = weights_bytes(setup), graph_bytes(setup, known)
    links = _LINKS if setup.tensor_parallel > 1 else Term(0)  # NCCL's buffers, before vLLM first looks
    held = _HELD if setup.release >= (0, 27) else Term(0)  # vLLM asks the card, so that free blocks count too
    return Terms(
        weights=Term(weights, _weights_spread(setup, weights)),
        activation=Term(activation_bytes(setup, cold=cold), activation_spread(setup)),
        other=Term(known.other + held.nbytes, hypot(known.machine_off, known.other_off, held.spread)),
        graphs=Term(graphs, known.graph_off * graphs),
        context=Term(known.context + links.nbytes, links.spread),
        kept=Term(known.kept + kept_bytes(setup, cold=cold), hypot(known.machine_off, known.kept_off, _beyond(setup))),
    )


def kept_apart(boot: Boot, setup: Setup, known: Constants) -> float:
    """How far what is kept in a boot may lie from what another setup of the machine keeps."""
    return hypot(known.kept_off, _beyond(boot.setup) - _beyond(setup))


def _beyond(setup: Setup) -> float:
    """How far more sequences than were measured one by one move what is kept."""
    return _A_DOUBLING * log2(max(1.0, setup.max_num_seqs / _MEASURED_SEQS))


def own_spread(setup: Setup, known: Constants) -> float:
    """How far a model's weights, its peak and what the budget holds of its graphs are off together."""
    graphs = known.graph_off * graph_bytes(setup, known) if setup.graphs_budgeted else 0.0
    return hypot(_weights_spread(setup, weights_bytes(setup)), activation_spread(setup), graphs)


def _weights_spread(setup: Setup, weights: float) -> float:
    how = setup.model.quantized
    return _REPLAYED + (_REPACKED * weights if how and how.bits < 8 else 0.0)


def activation_spread(setup: Setup) -> float:
    """How far the peak's formula is off: little where it was measured, least for dense layers, compiled."""
    model = setup.model
    if model.is_hybrid or model.multimodal:
        off = 100 * MIB
    else:
        off = 4 * MIB if model.num_experts or model.uses_mla or setup.eager else 2 * MIB
    measured = setup.release == _MEASURED and not (setup.eager and setup.graphs)  # graphs of what was not compiled
    return off if measured else hypot(off, 60 * MIB)


def other_off(boot: Boot, measured: Constants, *, own: bool = False) -> float | None:
    """What the KV cache did not get and no term explains.

    What loading leaves behind beyond the weights is in it, which a machine's models share; not so where the boot is
    the model's `own`, whose weights are known.

    A boot does not say whether it compiled: the peak that explains it better is taken.
    """
    offs = other_offs(boot, measured, own=own)
    return min(offs, key=abs) if offs else None


@lru_cache(maxsize=_MOST_BOOTS)
def other_offs(boot: Boot, measured: Constants, *, own: bool = False) -> tuple[float, float] | None:
    """The same had the boot compiled, and had it found its code in the cache."""
    told, setup = boot.facts.kv_cache_bytes, boot.setup
    if told is None or setup.card is None or setup.kv_cache_bytes:
        return None
    prior = prior_terms(setup, measured, cold=True)
    graphs = (boot.facts.graph_bytes or prior.graphs.nbytes) if setup.graphs_budgeted else 0.0
    weights = (boot.facts.weights_bytes if own else None) or prior.weights.nbytes
    left = requested_bytes(setup) - told - weights - graphs - prior.other.nbytes
    return left - activation_bytes(setup, cold=True), left - activation_bytes(setup, cold=False)


@lru_cache(maxsize=_MOST_BOOTS)
def kept_off(boot: Boot, measured: Constants) -> float | None:
    """What the card has in use beyond all terms."""
    facts, offs = boot.facts, other_offs(boot, measured, own=True)
    if facts.device_used_bytes is None or facts.kv_cache_bytes is None:
        return None
    cold = offs is None or abs(offs[0]) <= abs(offs[1])
    prior = prior_terms(boot.setup, measured, cold)
    graphs = facts.graph_bytes if facts.graph_bytes is not None else prior.graphs.nbytes
    other = prior.other.nbytes + (min(offs, key=abs) if offs else 0.0)
    return (facts.device_used_bytes - facts.kv_cache_bytes - (facts.weights_bytes or prior.weights.nbytes) - graphs
            - prior.context.nbytes - other - prior.kept.nbytes)  # fmt: skip


@lru_cache(maxsize=_MOST_BOOTS)
def supposed(boot: Boot, flashinfer: bool) -> Boot:
    """The same with a sampler that is supposed, unless it was told."""
    return replace(boot, setup=boot.setup.supposing(flashinfer))


def requested_bytes(setup: Setup) -> int:
    """What vLLM asks for: the share of what CUDA sees of the card, rounded up."""
    return ceil((setup.card.cuda_bytes if setup.card else 0) * setup.utilization)
