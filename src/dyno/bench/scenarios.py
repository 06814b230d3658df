"""The tests a configuration is put to; each is one load, or a few, after a warm-up that is not counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from dyno.bench import stats
from dyno.bench.audit import bound_reasons
from dyno.bench.concurrency import find_capacity, throughput_within
from dyno.bench.endurance import soak, sustained
from dyno.bench.load import Measurement
from dyno.bench.raw import clear
from dyno.bench.record import Load, ScenarioResult
from dyno.bench.run import Figures, Part, Run, figures_of, result_of, seed_of
from dyno.errors import InputError, nearest
from dyno.workload import LONG_OUTPUT, SHORTEST_LENGTH, Limit, Workload, length_of

_LONG = (32768, 16384, 8192)
_SINGLE_OUTPUT = 64
_PREFIX, _SUFFIX = 2048, 32
_A_LENGTH = 3  # requests of each length


@dataclass(frozen=True, slots=True)
class Scenario:
    """A test of one load: what a workload and a `max_model_len` make of it, and what is read beside its figures."""

    load: Callable[[Workload, int | None], Load]
    extra: Callable[[Measurement], Figures] = lambda _: {}


def _ttft(workload: Workload, _: int | None) -> Load:
    output_len = min(workload.output_len, _SINGLE_OUTPUT)
    return Load(1, 8, min(workload.input_len, 512), output_len, seed=0)


def _throughput(workload: Workload, _: int | None) -> Load:
    return Load(workload.concurrency, workload.num_requests, workload.input_len, workload.output_len, seed=0,
                prefix_len=workload.prefix_len, prefixes=workload.prefixes)  # fmt: skip


def _long_context(_: Workload, max_model_len: int | None) -> Load:
    return Load(1, 2, long_input_len(max_model_len, LONG_OUTPUT), LONG_OUTPUT, seed=0)


def _prefix_reuse(_: Workload, max_model_len: int | None) -> Load:
    output_len = 16
    room = _PREFIX if max_model_len is None else max(1, min(_PREFIX, max_model_len - output_len - _SUFFIX))
    return Load(1, 6, room + _SUFFIX, output_len, seed=0, prefix_len=room)


def long_input_len(max_model_len: int | None, output_len: int) -> int:
    """32K, 16K or 8K, the longest that fits; else the largest power of two that does. 8K when nothing is known."""
    if max_model_len is None:
        return _LONG[-1]
    room = max(1, max_model_len - output_len)
    return next((length for length in _LONG if length <= room), 1 << (room.bit_length() - 1))


def _kv_peak(measurement: Measurement) -> Figures:
    return {"kv_usage_peak": measurement.kv_usage_peak}


def _reuse(measurement: Measurement) -> Figures:
    ttft, counted = stats.ttft_ms(measurement.records), measurement.counted
    warm = ttft[1:][~np.isnan(ttft[1:])]
    hits, queries = counted.prefix_cache_hits, counted.prefix_cache_queries
    return {
        "cold_ttft_ms": None if np.isnan(ttft[0]) else float(ttft[0]),
        "warm_ttft_ms": float(np.median(warm)) if len(warm) else None,
        "hit_rate": hits / queries if hits is not None and queries else None,
    }


OF_ONE_LOAD: Mapping[str, Scenario] = MappingProxyType({
    "ttft": Scenario(_ttft),
    "throughput": Scenario(_throughput, _kv_peak),
    "long_context": Scenario(_long_context),
    "prefix_reuse": Scenario(_prefix_reuse, _reuse),
})  # fmt: skip


def context_lengths(max_model_len: int | None, limits: Sequence[Limit] = ()) -> tuple[int, ...]:
    """2K, 4K, 8K ... as far as the longest that a limit names, else as `max_model_len` holds; else the one that fits.

    Up to 8K when nothing is known.
    """
    room = _LONG[-1] if max_model_len is None else max(1, max_model_len - LONG_OUTPUT)
    named = max((length for limit in limits if (length := length_of(limit))), default=room)
    shortest = SHORTEST_LENGTH.bit_length() - 1
    lengths = tuple(1 << power for power in range(shortest, min(room, named).bit_length()))
    return lengths or (1 << (room.bit_length() - 1),)


def _context(run: Run) -> ScenarioResult:
    """Prompts that double in length, one request at a time; the latencies without a length are the longest's."""
    return ladder_result([run.measure(f"context-{length}", Load(1, _A_LENGTH, length, LONG_OUTPUT, seed=0))
                          for length in context_lengths(run.max_model_len, run.limits)])  # fmt: skip


def ladder_result(parts: Sequence[Part]) -> ScenarioResult:
    """The figures of every length, the shortest first, and as plain ones those of the longest."""
    figures: Figures = {}
    for part in parts:
        of_length, length = figures_of(part.measured), part.load.input_len
        figures |= {f"{length}.{name}": of_length[f"{name}.p50"] for name in ("ttft_ms", "tpot_ms", "e2el_ms")}
        figures |= {f"{length}.kv_usage": part.measured.kv_usage_peak}
    return result_of("context", parts, of_length | figures)


def _throughput_test(run: Run) -> ScenarioResult:
    if run.at_limits is None:
        return _one_load("throughput", run)
    return throughput_within(run, run.at_limits.start, run.at_limits.most)


def _one_load(name: str, run: Run) -> ScenarioResult:
    return one_load_result(run.measure(name, OF_ONE_LOAD[name].load(run.workload, run.max_model_len)))


def one_load_result(part: Part) -> ScenarioResult:
    """The figures of a test that is one load, and has its name."""
    extra = OF_ONE_LOAD[part.name].extra
    return result_of(part.name, [part], figures_of(part.measured) | extra(part.measured))


SCENARIOS: Mapping[str, Callable[[Run], ScenarioResult]] = MappingProxyType({
    **{name: partial(_one_load, name) for name in OF_ONE_LOAD},
    "throughput": _throughput_test,
    "context": _context,
    "concurrency": find_capacity,
    "sustained": sustained,
    "soak": soak,
})  # fmt: skip


def plan_load(name: str, workload: Workload, seed: int, max_model_len: int | None) -> Load:
    """The load of a test that has one. Tests of one seed do not repeat each other's prompts. InputError otherwise."""
    if name not in OF_ONE_LOAD:
        raise InputError(f"scenario: {name!r} is not known{nearest(name, tuple(OF_ONE_LOAD))}")
    return replace(OF_ONE_LOAD[name].load(workload, max_model_len), seed=seed_of(name, seed))


def run_test(name: str, run: Run) -> ScenarioResult:
    """Puts a server to one test. DynoError when it cannot be reached or refuses a warm-up, InputError if unknown."""
    if name not in SCENARIOS:
        raise InputError(f"scenario: {name!r} is not known{nearest(name, tuple(SCENARIOS))}")
    clear(run.raw_folder, name)
    result = SCENARIOS[name](run)
    return replace(result, void=(*result.void, *bound_reasons(result.figures, run.bounds)))
