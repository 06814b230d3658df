"""The terms of a card's memory that no formula gives: what was measured, how sure it is, and how boots correct it.

What a machine and its engine share (context, non-torch, what stays in the allocator, a graph's cost) is corrected by
boots of any model; how far models of one machine lie apart is known, and a boot of another model says so much less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, hypot, log, sqrt
from statistics import fmean

from dyno.predict.activations import activation_bytes
from dyno.predict.constants import HOPPER, MIB, Constants, constants_for
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


_MEASURED = (0, 26)
_REPLAYED, _REPACKED = 2 * MIB, 0.002  # how far weights are off: replayed, and stored in a form that kernels repack
_LINKS = Term(350 * MIB, 200 * MIB)  # of several cards; nobody measured it yet
_HELD = Term(25 * MIB, 25 * MIB)  # of the allocator, since 0.27; nobody measured it yet
_SAME_MODEL = 8 * MIB  # between starts of one model: vLLM says GiB to two decimals
_GRAPHS_APART = 0.06  # of the logarithm, between models of one machine


def terms(setup: Setup, boots: Sequence[Boot] = (), *, cold: bool = True, measured: Constants = HOPPER) -> Terms:
    """The terms of a setup, corrected by boots of the same kind of card."""
    prior, known = _prior(setup, measured, cold), _known(setup, measured)
    seen = [boot for boot in boots if _same_machine(boot.setup, setup)]
    other = [(boot, other_off(boot, measured, own=_same_model(boot.setup, setup)),
              hypot(known.other_off, activation_spread(boot.setup))) for boot in seen]  # fmt: skip
    kept = [(boot, kept_off(boot, measured), known.kept_off) for boot in seen]
    return replace(
        prior,
        weights=_weights(setup, prior.weights, seen),
        other=_corrected(setup, prior.other, known.machine_off, other),
        graphs=_graphs(prior.graphs, seen, measured),
        kept=_corrected(setup, prior.kept, known.machine_off, kept),
    )


def _known(setup: Setup, measured: Constants) -> Constants:
    return constants_for(setup.card.capability if setup.card else (0, 0), measured)


def _prior(setup: Setup, measured: Constants, cold: bool) -> Terms:
    known = _known(setup, measured)
    weights, graphs = weights_bytes(setup), graph_bytes(setup, known)
    links = _LINKS if setup.tensor_parallel > 1 else Term(0)  # NCCL's buffers, before vLLM first looks
    held = _HELD if setup.release >= (0, 27) else Term(0)  # vLLM asks the card, so that free blocks count too
    return Terms(
        weights=Term(weights, _weights_spread(setup, weights)),
        activation=Term(activation_bytes(setup, cold=cold), activation_spread(setup)),
        other=Term(known.other + held.nbytes, hypot(known.machine_off, known.other_off, held.spread)),
        graphs=Term(graphs, known.graph_off * graphs),
        context=Term(known.context + links.nbytes, links.spread),
        kept=Term(known.kept + kept_bytes(setup), hypot(known.machine_off, known.kept_off)),
    )


def own_spread(setup: Setup) -> float:
    """How far a model's weights and its peak are off together."""
    return hypot(_weights_spread(setup, weights_bytes(setup)), activation_spread(setup))


def _weights_spread(setup: Setup, weights: float) -> float:
    how = setup.model.quantized
    return _REPLAYED + (_REPACKED * weights if how and how.bits < 8 else 0.0)


def activation_spread(setup: Setup) -> float:
    """How far the peak's formula is off: little where it was measured, least for dense layers, compiled."""
    model = setup.model
    if model.is_hybrid or model.multimodal:
        off = 100 * MIB
    else:
        off = 5 * MIB if model.num_experts or model.uses_mla or setup.eager else 2 * MIB
    return off if setup.release == _MEASURED else hypot(off, 60 * MIB)


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
    told = [boot.facts.weights_bytes for boot in boots if _same_model(boot.setup, setup) and boot.facts.weights_bytes
            and (boot.setup.kv_dtype == setup.kv_dtype)]  # fmt: skip
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
    common = sqrt(max(1e-9, (prior.spread / prior.nbytes) ** 2 - _GRAPHS_APART**2 / 2))
    known = len(off) / _GRAPHS_APART**2 + 1 / common**2
    expected = prior.nbytes * exp(sum(off) / _GRAPHS_APART**2 / known)
    return Term(expected, expected * hypot(sqrt(1 / known), _GRAPHS_APART))


def _corrected(
    setup: Setup, prior: Term, machine_off: float, boots: Sequence[tuple[Boot, float | None, float]]
) -> Term:
    """A term from how far it was off in each boot, None where a boot does not tell, and how far models lie apart.

    Boots of the same model say all. Of others' only what the machine shares is taken: the best guess of it between
    nothing and what they say, the scatter of models against that of machines.
    """
    own = [off for boot, off, _ in boots if off is not None and _same_model(boot.setup, setup)]
    if own:
        return Term(prior.nbytes + fmean(own), _SAME_MODEL)
    told = [(off, apart) for _, off, apart in boots if off is not None]
    if not told:
        return prior
    known = sum(1 / apart**2 for _, apart in told) + 1 / machine_off**2
    shared = sum(off / apart**2 for off, apart in told) / known
    of_models = sqrt(max(0.0, prior.spread**2 - machine_off**2))
    return Term(prior.nbytes + shared, hypot(sqrt(1 / known), of_models))


def other_off(boot: Boot, measured: Constants, *, own: bool = False) -> float | None:
    """What the KV cache did not get and no term explains.

    What loading leaves behind beyond the weights is in it, which a machine's models share; not so where the boot is
    the model's `own`, whose weights are known.

    A boot does not say whether it compiled: the peak that explains it better is taken.
    """
    told, setup = boot.facts.kv_cache_bytes, boot.setup
    if told is None or setup.card is None or setup.kv_cache_bytes:
        return None
    prior = _prior(setup, measured, cold=True)
    graphs = (boot.facts.graph_bytes or prior.graphs.nbytes) if setup.graphs_budgeted else 0.0
    weights = (boot.facts.weights_bytes if own else None) or prior.weights.nbytes
    left = requested_bytes(setup) - told - weights - graphs
    peaks = (activation_bytes(setup, cold=True), activation_bytes(setup, cold=False))
    return min((left - peak - prior.other.nbytes for peak in peaks), key=abs)


def kept_off(boot: Boot, measured: Constants) -> float | None:
    """What the card has in use beyond all terms."""
    facts, prior = boot.facts, _prior(boot.setup, measured, cold=True)
    if facts.device_used_bytes is None or facts.kv_cache_bytes is None:
        return None
    graphs = facts.graph_bytes if facts.graph_bytes is not None else prior.graphs.nbytes
    other = prior.other.nbytes + (other_off(boot, measured, own=True) or 0.0)
    return (facts.device_used_bytes - facts.kv_cache_bytes - (facts.weights_bytes or prior.weights.nbytes) - graphs
            - prior.context.nbytes - other - prior.kept.nbytes)  # fmt: skip


def requested_bytes(setup: Setup) -> int:
    """What vLLM asks for: the share of what CUDA sees of the card, rounded up."""
    return ceil((setup.card.cuda_bytes if setup.card else 0) * setup.utilization)
