"""Whether a load proves anything: pure rules over what is known of it, each threshold beside its rule.

A rule voids when what it found could have moved a figure by more than 1 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dyno.bench.cost import NOT_LOOKED_AT, ClientCost
from dyno.bench.counters import Counters
from dyno.bench.record import Load
from dyno.bench.stats import Records, e2el_ms, total, ttft_ms
from dyno.hardware.nvml import THROTTLE_REASONS
from dyno.hardware.sampler import Samples
from dyno.units import format_bytes

Reasons = list[str]
MOVED = 0.01


@dataclass(frozen=True, slots=True)
class PhysicalBounds:
    """What no figure can beat, by its name: `{"tpot_ms.p50": 3.1}` at least, `{"output_throughput": 9000}` at most."""

    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is about one load. `details` are the server's own words, `reconciled` the figures of `reconcile`."""

    records: Records
    counted: Counters
    load: Load
    details: Sequence[str] = ()
    client: ClientCost = NOT_LOOKED_AT
    reconciled: Mapping[str, float | None] = field(default_factory=dict)
    shared_host: bool = False


def void_reasons(evidence: Evidence) -> tuple[str, ...]:
    """Why the load is void, in sentences for a person; empty when it is valid."""
    late = () if evidence.shared_host else _late(evidence.records, evidence.client)
    return (*_server(evidence), *_busy(evidence.client), *late, *_wild(evidence.reconciled))


UNMEANT_HITS = 0.05  # of the prompt tokens; a chat template in front of every prompt stays below it


def _server(evidence: Evidence) -> Reasons:
    records, counted, reasons = evidence.records, evidence.counted, Reasons()
    if errors := records.errors:
        kinds = ", ".join(f"{kind} ({number})" for kind, number in sorted(errors.items(), key=lambda item: -item[1]))
        said = next((f'; the server said: "{detail}"' for detail in evidence.details if detail), "")
        reasons.append(f"{sum(errors.values())} of {len(records.outcomes)} requests failed: {kinds}{said}")
    told = total(records.output_tokens)
    if not errors and None not in (told, counted.generation_tokens) and told != counted.generation_tokens:
        reasons.append(f"the server's usage says {told} output tokens, its counter {counted.generation_tokens:.0f}; "
                       "somebody else used it, or tokens were lost")  # fmt: skip
    hits, queries = counted.prefix_cache_hits, counted.prefix_cache_queries
    meant = evidence.load.prefix_len * len(records.outcomes)
    if hits and queries and hits - meant > UNMEANT_HITS * queries:
        shared = f"prompts share only {meant} of them" if meant else "no prompt repeats"
        reasons.append(f"the prefix cache answered {hits:.0f} of {queries:.0f} prompt tokens though {shared}; "
                       "use another seed")  # fmt: skip
    return reasons


# Up to here what the client costs is what the lags say. Above it a second in which tokens come a quarter faster than on
# average is one in which the client is behind, and stamps are then of its reading.
BUSY_CLIENT = 0.8
CLIENT_START_S = 0.5  # less work than that is mostly the opening of connections
ONE_TURN_S = 0.05  # less lag than that, over all requests, is one turn of the scheduler
NO_LAG_MS = 1.0  # a timer's own grain: nothing shorter can be told from none
# What the kernel tells of first tokens is exact, but some 0.05 ms of it are the way from its network to any reader. A
# mean also has the one pause of the client that the others do not share, so it keeps the allowance of a lag.
ANY_READER_MS = 0.1
FEW_FIRSTS = 20  # tell of one pause of the machine, not of a client


def _busy(client: ClientCost) -> Reasons:
    if client.cpu_s <= max(CLIENT_START_S, BUSY_CLIENT * client.wall_s):
        return []
    return [f"the client used {client.cpu_s / client.wall_s:.0%} of a processor, so it may have been the bottleneck; "
            "use more client processes or a faster machine"]  # fmt: skip


def _late(records: Records, client: ClientCost) -> Reasons:
    """Sending late lowers the rate by lag over e2el; stamping late adds to every ttft, the shortest of the figures.

    On a host that is always shared the client waits for its neighbours as the engine does, and voids nothing by it.
    """
    reasons, done, ttft = Reasons(), records.completed, _mean(ttft_ms(records))
    late_s = float((records.sent_ns - records.intended_ns)[done].sum()) / 1e9
    if late_s > max(ONE_TURN_S, MOVED * (answering_s := float(e2el_ms(records).sum()) / 1e3)):
        reasons.append(f"the client sent {late_s / done.sum() * 1e3:.1f} ms late on average, "
                       f"{late_s / answering_s:.1%} of a request's time")  # fmt: skip
    if _matters(lag := _mean(np.asarray(client.loop_lag_ms, dtype=np.float64)), ttft):
        reasons.append(f"the client's loop was {lag:.1f} ms behind on average, {lag / ttft:.1%} of a first token's "
                       "time; leave it a processor of its own")  # fmt: skip
    if _matters(backlog := (client.backlog_s or 0) * 1000, ttft):
        reasons.append(f"answers lay unread for {backlog:.1f} ms on average, {backlog / ttft:.1%} of a first token's "
                       "time; the client could not keep up")  # fmt: skip
    return [*reasons, *_read_late(client.first_late_ms, ttft_ms(records))]


def _read_late(first_late_ms: Sequence[float], ttft: NDArray[np.float64]) -> Reasons:
    """First tokens come in bursts, in which a client is slower than at a random moment."""
    late, known = np.asarray(first_late_ms, dtype=np.float64), ttft[~np.isnan(ttft)]
    if len(late) < FEW_FIRSTS or not len(known):
        return []
    mean, half = float(late.mean()), float(np.median(late))
    if half <= max(ANY_READER_MS, MOVED * float(np.median(known))) and not _matters(mean, float(known.mean())):
        return []
    return [f"first tokens lay unread for {mean:.2f} ms on average and half of them for {half:.2f} ms or longer, "
            f"{mean / known.mean():.1%} and {half / np.median(known):.1%} of a first token's time; leave the client a "
            "processor of its own, or use more client processes"]  # fmt: skip


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _matters(lag_ms: float, figure_ms: float) -> bool:
    return figure_ms > 0 and lag_ms > max(NO_LAG_MS, MOVED * figure_ms)


# No answer arrives before it is made, so a client that is faster than the server by this much has not seen what the
# server served; one for which a request lasts twice as long has mostly measured what lies between the two. Not for
# less than a tenth of a second, as far as a distant server's network may be.
EARLY, LATE, LATE_MS = 0.9, 2.0, 100


def _wild(reconciled: Mapping[str, float | None]) -> Reasons:
    reasons = Reasons()
    for name in ("ttft", "e2el"):
        ratio, excess_ms = (reconciled.get(f"reconcile.{name}_mean_{what}") for what in ("ratio", "excess_ms"))
        if ratio is None or excess_ms is None:
            continue
        if ratio < EARLY or (name == "e2el" and ratio > LATE and excess_ms > LATE_MS):
            reasons.append(f"the mean {name} is {ratio:.2f} times the server's own; something between the two, "
                           "or one of the two clocks, is not what it seems")  # fmt: skip
    return reasons


def bound_reasons(figures: Mapping[str, float | None], bounds: PhysicalBounds) -> tuple[str, ...]:
    """Figures that beat what physics allows, by more than the 1 % to which a bound is known."""
    return (*(f"{name} is {value:,.4g}, and less than {bound:,.4g} is not possible on this machine"
              for name, bound in bounds.at_least.items()
              if (value := figures.get(name)) is not None and value < bound * (1 - MOVED)),
            *(f"{name} is {value:,.4g}, and more than {bound:,.4g} is not possible on this machine"
              for name, bound in bounds.at_most.items()
              if (value := figures.get(name)) is not None and value > bound * (1 + MOVED)))  # fmt: skip


WANTS_QUIET = "; measure when they are done, or on a host that is always shared with --shared-host"


def host_reasons(samples: Samples) -> tuple[str, ...]:
    """Whom the host's processors worked for besides, from the first sample to the last."""
    return (*_stolen(samples), *_foreign(samples)) if samples.duration_s else ()


def card_reasons(samples: Samples) -> tuple[str, ...]:
    """What the card, or somebody else on it, did to a measurement, from the first sample to the last."""
    return (*_slowed(samples), *_moved(samples)) if samples.duration_s else ()


STOLEN = MOVED  # of the processors' time that was wanted: all of it may have been the engine's
GRAIN_S = 0.1  # the kernel counts ticks of 10 ms


def _stolen(samples: Samples) -> Reasons:
    stolen, busy = samples.gained("host.steal_s") or 0, samples.gained("host.busy_s") or 0
    if stolen <= max(GRAIN_S, STOLEN * (stolen + busy)):
        return []
    return [f"the hypervisor took {stolen:.1f} s of the {stolen + busy:.1f} s that the processors were wanted for"]


# Work of others on N processors, none of them to spare, slows the rest by up to its share of the N: 1 % of each. Below
# a twentieth of one is what a machine's own housekeeping takes at any time, in every launch alike (measured: 0.005 to
# 0.03 of a processor on a quiet machine of 2).
FOREIGN_SHARE, HOUSEKEEPING = MOVED, 0.05
FOREIGN_GRAIN_S = 0.5  # ticks of many processes: in seconds of measuring less than this cannot be told
TO_SPARE = 1.0  # with a whole processor idle on average, others' work displaces nothing, unless somebody waited for it
WAITED = MOVED  # of the time, for others' work
_NAMED = 3


def _foreign(samples: Samples) -> Reasons:
    """What others did, where engine or client were kept waiting for it, or had no processor to turn to.

    An engine that spins on all processors waits for itself most of the time: of the waiting, others have caused what
    their share of the work is. Without the engine's own processes nobody is accused, as its work would be taken for
    others'.
    """
    foreign_s, idle_s, busy_s = samples.foreign_cpu_s, samples.gained("host.idle_s"), samples.gained("host.busy_s")
    if foreign_s is None or idle_s is None or not busy_s:
        return []
    took, idle = foreign_s / samples.duration_s, idle_s / samples.duration_s
    kept_s = foreign_s * min(1.0, sum(samples.queued_s.values()) / busy_s)
    most = max(FOREIGN_GRAIN_S / samples.duration_s, HOUSEKEEPING, FOREIGN_SHARE * samples.cores)
    if took <= most or (idle >= TO_SPARE and kept_s <= WAITED * samples.duration_s):
        return []
    named = [f"{use.name} (process {use.pid}) {use.cpu_s / samples.duration_s:.2f}" for use in samples.foreign[:_NAMED]]
    unseen = foreign_s - sum(use.cpu_s for use in samples.foreign)
    if unseen > foreign_s / 2:
        named.append(f"processes that cannot be seen from here {unseen / samples.duration_s:.2f}")
    waited = " and ".join(f"{name} {seconds:.1f} s" for name, seconds in samples.queued_s.items())
    while_ = (f"none of the {samples.cores} was to spare" if idle < TO_SPARE else
              f"{waited} of {samples.duration_s:.0f} s waited for one")  # fmt: skip
    return [f"other processes took {took:.2f} of a processor while {while_}: {', '.join(named)}{WANTS_QUIET}"]


SLOWED_TIME = MOVED  # of the time, by the card's own counter
# Of the samples, where there is no counter: a slowdown by a fifth in so many of them is 1 % of the mean.
SLOWED_SAMPLES = 0.05
SLOWDOWNS = 0x008 | 0x020 | 0x040 | 0x080  # not the power cap: under load it is the usual state of many cards
IDLE = 0x001


def _slowed(samples: Samples) -> Reasons:
    hot_s, mask = samples.gained("card.too_hot_s") or 0, samples.known("card.clock_reasons").astype(np.int64)
    share = float(np.mean(mask & SLOWDOWNS != 0)) if len(mask) else 0.0
    if hot_s <= SLOWED_TIME * samples.duration_s and share <= SLOWED_SAMPLES:
        return []
    words = [word for bit, word in THROTTLE_REASONS.items() if bit & SLOWDOWNS and (mask & bit).any()]
    peak = samples.peak("card.temperature_c")
    how = f"{hot_s:.1f} s of {samples.duration_s:.0f} s" if hot_s else f"{share:.0%} of the samples"
    return [f"the card slowed itself down in {how} ({', '.join(words) or 'heat'}"
            f"{'' if peak is None else f', up to {peak:.0f} degrees C'}); cool it or limit its power"]  # fmt: skip


OTHERS_BYTES = 64 << 20  # more than a desktop's windows come and go; who allocates as much is at work on the card
LOADED_PERCENT = 50  # less busy than that a card lowers its clocks by itself


def _moved(samples: Samples) -> Reasons:
    """Who sets a limit or a clock while something is measured makes two measurements of it."""
    reasons, busy = Reasons(), samples.columns.get("card.busy_percent", np.empty(0))
    clock = samples.columns.get("card.memory_clock_mhz", np.empty(0))
    loaded = clock[busy >= LOADED_PERCENT] if len(busy) == len(clock) else clock[:0]
    for what, values, unit in (("power limit", samples.known("card.power_limit_w"), "W"),
                               ("memory clock", loaded[~np.isnan(loaded)], "MHz")):  # fmt: skip
        if len(values) and values.min() < values.max() * (1 - MOVED):
            reasons.append(f"the card's {what} moved between {values.min():.0f} and {values.max():.0f} {unit}")
    mask = samples.known("card.clock_reasons").astype(np.int64)
    set_by_hand = mask[mask & IDLE == 0] & 0x002 != 0
    if len(set_by_hand) and SLOWED_SAMPLES < set_by_hand.mean() < 1 - SLOWED_SAMPLES:
        reasons.append("somebody set or released the card's clocks meanwhile")
    others = samples.known("card.others_bytes")
    if len(others) and others.max() - others.min() > OTHERS_BYTES:
        reasons.append("memory of other processes on the card moved between "
                       f"{format_bytes(int(others.min()))} and {format_bytes(int(others.max()))}")  # fmt: skip
    return reasons
