"""The terms of a setup, corrected by starts that were seen on such a card.

What a machine and its engine share (context, non-torch, what stays in the allocator, a graph's cost) is corrected by
boots of any model; how far models of one machine lie apart is known, and a boot of another model says so much less.
What neither the setup nor a boot says, whose sampler draws tokens, is judged by what the boots took.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import exp, hypot, log, pi, sqrt
from statistics import fmean

from dyno.predict.constants import HOPPER, MIB, Constants
from dyno.predict.graphs import graph_bytes
from dyno.predict.setup import Release, Setup
from dyno.predict.terms import (
    SURE,
    Boot,
    Term,
    Terms,
    activation_spread,
    kept_apart,
    kept_off,
    known_constants,
    other_off,
    other_offs,
    prior_terms,
    supposed,
)
from dyno.predict.weights import weights_bytes

_SAME_MODEL = 8 * MIB  # between starts of one model: vLLM says GiB to two decimals
_GRAPHS_APART, _GRAPHS_SHARED = 0.06, 0.1  # of the logarithm, between models of one machine, and between machines
_RARE = 0.05  # how seldom a machine is unlike all that were measured
_FLASHINFER = 0.35  # how likely its sampler is where nothing is said: the default, but it has to be built first
_FAIR = 0.1  # share of a world that is taken seriously
_SAID = log(30)  # odds that what one start was told holds for another
_LEAST = 1e-200  # a density that nothing is divided by in vain
_CLEAR = log(20)  # odds from which a boot is believed


@dataclass(frozen=True, slots=True)
class _Machines:
    """How far machines lie from those that were measured: where they are alike, where not, and as a term has it."""

    alike: float
    far: float
    expected: float = 0.0


_OTHER, _KEPT = _Machines(3 * MIB, 150 * MIB), _Machines(16 * MIB, 400 * MIB)


def terms(setup: Setup, boots: Sequence[Boot] = (), *, cold: bool = True, measured: Constants = HOPPER) -> Terms:
    """The terms of a setup, corrected by boots of the same kind of card."""
    seen = [boot for boot in boots if _same_machine(boot.setup, setup)]
    if setup.flashinfer_sampler is not None and all(boot.setup.flashinfer_sampler is not None for boot in seen):
        return _corrected_terms(setup, seen, cold, measured)
    share = _flashinfer_share(seen, setup.release, measured)
    worlds = []
    for weight, flashinfer in ((share, True), (1 - share, False)):
        boots = [supposed(boot, flashinfer) for boot in seen]
        worlds.append((weight, _corrected_terms(setup.supposing(flashinfer), boots, cold, measured)))
    return _mixed(worlds)


def only_warm(setup: Setup, boots: Sequence[Boot], measured: Constants = HOPPER) -> bool:
    """Whether every boot that tells found the compile cache filled, and there is one."""
    odds = [_cold_odds(boot, measured) for boot in boots if _same_machine(boot.setup, setup)]
    clear = [each for each in odds if abs(each) > _CLEAR]
    return bool(clear) and max(clear) < 0


def _corrected_terms(setup: Setup, seen: Sequence[Boot], cold: bool, measured: Constants) -> Terms:
    prior, known = prior_terms(setup, measured, cold), known_constants(setup, measured)
    other = [(boot, other_off(boot, measured, own=_same_model(boot.setup, setup)),
              hypot(known.other_off, activation_spread(boot.setup))) for boot in seen]  # fmt: skip
    kept = [(boot, kept_off(boot, measured), kept_apart(boot, setup, known)) for boot in seen]
    return replace(
        prior,
        weights=_weights(setup, prior.weights, seen),
        other=_corrected(setup, prior.other, _known_machines(_OTHER, known), other),
        graphs=_graphs(prior.graphs, seen, measured),
        kept=_corrected(setup, prior.kept, _known_machines(_KEPT, known), kept),
    )


def _known_machines(machines: _Machines, known: Constants) -> _Machines:
    """Where such a card was not measured, machines lie farther off."""
    return replace(machines, alike=max(machines.alike, known.machine_off), expected=known.machine_off)


def _flashinfer_share(seen: Sequence[Boot], release: Release, measured: Constants) -> float:
    """How likely FlashInfer's sampler draws where nothing says so: as in boots that say, and by what others took."""
    odds = log(_FLASHINFER / (1 - _FLASHINFER))
    for boot in seen:
        if boot.setup.flashinfer_sampler is None:
            with_it, without = (_likelihood(supposed(boot, drawn), measured) for drawn in (True, False))
            odds += log(with_it / without)
        elif boot.setup.release == release:
            odds += _SAID if boot.setup.flashinfer_sampler else -_SAID
    return 1 / (1 + exp(-max(-50.0, min(50.0, odds))))


def _likelihood(boot: Boot, measured: Constants) -> float:
    known = known_constants(boot.setup, measured)
    found = kept_off(boot, measured)
    return 1.0 if found is None else _density(found, _known_machines(_KEPT, known), known.kept_off)


def _cold_odds(boot: Boot, measured: Constants) -> float:
    """The logarithm of how much better a peak that compiling has explains a boot than one without; 0 if alike."""
    if (offs := other_offs(boot, measured)) is None:
        return 0.0
    known = known_constants(boot.setup, measured)
    apart, machines = hypot(known.other_off, activation_spread(boot.setup)), _known_machines(_OTHER, known)
    cold, warm = (_density(off, machines, apart) for off in offs)
    return log(cold / warm)


def _density(off: float, machines: _Machines, apart: float) -> float:
    """How likely it is that a boot is so far off, up to a factor; `apart` is how far models lie apart."""
    alike, far = (_normal(off, hypot(spread, apart)) for spread in (machines.alike, machines.far))
    return (1 - _RARE) * alike + _RARE * far


def _normal(off: float, spread: float) -> float:
    return max(_LEAST, exp(-((off / spread) ** 2) / 2) / spread / sqrt(2 * pi))


def _mixed(worlds: Sequence[tuple[float, Terms]]) -> Terms:
    """Every term as it is on average, and so unsure that each world with a fair share is within low and high."""
    mixed = {}
    for field in fields(Terms):
        shares = [(share, getattr(terms, field.name)) for share, terms in worlds]
        centre = sum(share * term.nbytes for share, term in shares)
        within = max(term.spread for _, term in shares)
        far = max(min(1.0, share / _FAIR) * abs(term.nbytes - centre) for share, term in shares)
        mixed[field.name] = Term(centre, hypot(within, far / SURE))
    return Terms(**mixed)


def _mean(shares: Sequence[tuple[float, Term]]) -> Term:
    centre = sum(share * term.nbytes for share, term in shares)
    return Term(centre, sqrt(sum(share * (term.spread**2 + (term.nbytes - centre) ** 2) for share, term in shares)))


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
    common = max(_GRAPHS_SHARED, prior.spread / prior.nbytes)
    known = len(off) / _GRAPHS_APART**2 + 1 / common**2
    expected = prior.nbytes * exp(sum(off) / _GRAPHS_APART**2 / known)
    return Term(expected, expected * hypot(sqrt(1 / known), _GRAPHS_APART))


def _corrected(
    setup: Setup, prior: Term, machines: _Machines, boots: Sequence[tuple[Boot, float | None, float]]
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
    known = sum(1 / apart**2 for _, apart in told)
    machine = _shared(sum(off / apart**2 for off, apart in told) / known, 1 / known, machines)
    of_models = sqrt(max(0.0, prior.spread**2 - machines.expected**2))
    return Term(prior.nbytes + machine.nbytes, hypot(machine.spread, of_models))


def _shared(off: float, variance: float, machines: _Machines) -> Term:
    """What of an offset is the machine's: a small one is shared with the scatter of models, a large one believed.

    Machines are alike but for a few, whose offset may be anything.
    """
    kinds = []
    for share, spread in ((1 - _RARE, machines.alike), (_RARE, machines.far)):
        apart = sqrt(spread**2 + variance)
        believed = (spread / apart) ** 2
        kinds.append((share * _normal(off, apart), Term(off * believed, sqrt(variance * believed))))
    whole = sum(share for share, _ in kinds)
    return _mean([(share / whole, term) for share, term in kinds])
