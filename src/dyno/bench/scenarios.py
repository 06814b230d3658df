"""The tests a configuration is put to; each is one load, or a few, after a warm-up that is not counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from zlib import crc32

import numpy as np

from dyno.bench import stats
from dyno.bench.load import Measurement, measure
from dyno.bench.loadgen import Progress
from dyno.bench.record import Load, ScenarioResult, Target
from dyno.errors import InputError, nearest
from dyno.workload import Workload

Figures = dict[str, float | None]

_LONG = (32768, 16384, 8192)
_SINGLE_OUTPUT, _LONG_OUTPUT = 64, 32
_PREFIX, _SUFFIX = 2048, 32


@dataclass(frozen=True, slots=True)
class Scenario:
    """A test: which load a workload and a `max_model_len` make of it, and what is read from it beside its figures."""

    load: Callable[[Workload, int | None], Load]
    extra: Callable[[Measurement], Figures] = lambda _: {}


def _ttft(workload: Workload, _: int | None) -> Load:
    output_len = min(workload.output_len, _SINGLE_OUTPUT)
    return Load(1, 8, min(workload.input_len, 512), output_len, seed=0)


def _throughput(workload: Workload, _: int | None) -> Load:
    return Load(workload.concurrency, workload.num_requests, workload.input_len, workload.output_len, seed=0)


def _long_context(_: Workload, max_model_len: int | None) -> Load:
    return Load(1, 2, long_input_len(max_model_len, _LONG_OUTPUT), _LONG_OUTPUT, seed=0)


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


SCENARIOS: Mapping[str, Scenario] = MappingProxyType({
    "ttft": Scenario(_ttft),
    "throughput": Scenario(_throughput, _kv_peak),
    "long_context": Scenario(_long_context),
    "prefix_reuse": Scenario(_prefix_reuse, _reuse),
})  # fmt: skip


def plan_load(name: str, workload: Workload, seed: int, max_model_len: int | None) -> Load:
    """The load of a test. Tests of one seed do not repeat each other's prompts. InputError for an unknown test."""
    if name not in SCENARIOS:
        raise InputError(f"scenario: {name!r} is not known{nearest(name, tuple(SCENARIOS))}")
    return replace(SCENARIOS[name].load(workload, max_model_len), seed=crc32(f"{name} {seed}".encode()))


def run_scenario(name: str, target: Target, workload: Workload, seed: int, max_model_len: int | None,
                 raw_folder: Path | None, on_progress: Progress | None) -> ScenarioResult:  # fmt: skip
    """Puts a server to one test. DynoError when it cannot be reached or refuses the warm-up."""
    load = plan_load(name, workload, seed, max_model_len)
    raw = None if raw_folder is None else raw_folder / f"{name}.npz"
    measurement = measure(target, load, raw, on_progress)
    figures = stats.figures(measurement.records) | SCENARIOS[name].extra(measurement)
    errors = measurement.records.errors
    return ScenarioResult(name, figures, measurement.void, () if raw is None else (raw,), errors)
