"""A running server put to tests, one after the other."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

from dyno.bench.audit import host_reasons
from dyno.bench.http import parse_url
from dyno.bench.load import get, measure
from dyno.bench.loadgen import Progress
from dyno.bench.raw import clear, save_void
from dyno.bench.record import Load, ScenarioResult, Search, Target
from dyno.bench.reduce import helpers_cpu_s
from dyno.bench.run import Run, figures_of
from dyno.bench.scenarios import SCENARIOS, plan_load, run_test
from dyno.bench.shape import PLAIN, Shape
from dyno.errors import DynoError, InputError, nearest
from dyno.hardware.listening import listener
from dyno.hardware.sampler import watch
from dyno.workload import Limit, Workload

OF_A_LAUNCH = ("startup", "memory")
_OF_LIMITS = ("throughput", "concurrency", "sustained", "soak")


@dataclass(frozen=True, slots=True)
class ServerBench:
    """What came out, by scenario, None for what only a launch can tell; the target and the seed as they were used."""

    target: Target
    seed: int
    results: Mapping[str, ScenarioResult | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a running server is put to: tests by name, and the shape of the one called throughput."""

    workload: Workload
    scenarios: Sequence[str] = ("throughput",)
    seed: int | None = None  # None: fresh prompts
    shape: Shape = PLAIN
    processes: int = 1  # of the load generator
    limits: tuple[Limit, ...] = ()  # those of latencies steer `concurrency`
    duration_s: float | None = None  # of `sustained` and `soak`
    at_limits: Search | None = None  # of throughput


def bench_server(target: Target, asked: Asked, raw_folder: Path | None, on_progress: Progress | None) -> ServerBench:
    """Measures a running server. DynoError when it cannot be reached or takes no request at all."""
    special = asked.shape != PLAIN or asked.processes > 1
    _refuse_unusable(asked, special)
    _check_folder(raw_folder)
    lengths = _listed(target)
    if not target.model and len(lengths) != 1:
        raise InputError(f"--model: the server lists {', '.join(lengths) or 'no models'}; name the one to measure")
    target = target if target.model else replace(target, model=next(iter(lengths)))
    max_model_len = lengths.get(target.model)
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    run = Run(target, asked.workload, seed, max_model_len, raw_folder, on_progress, asked.limits, asked.duration_s,
              at_limits=asked.at_limits)  # fmt: skip
    results: dict[str, ScenarioResult | None] = dict.fromkeys(asked.scenarios)
    for name in (name for name in results if name in SCENARIOS):
        try:
            with watch(server_pid(target.url), None) as sampler:
                if not special:
                    result = run_test(name, run)
                else:
                    load = asked.shape.of(plan_load(name, asked.workload, seed, max_model_len))
                    result = _shaped(target, load, asked, raw_folder, on_progress)
            host = () if target.shared_host else host_reasons(sampler.samples)
            results[name] = result = replace(result, void=(*result.void, *host))
            save_void(raw_folder, name, result.void)
        except DynoError as error:  # one test that a server refuses does not undo the others
            if isinstance(error, InputError) or not any(results.values()):
                raise
            results[name] = ScenarioResult(name, {}, (str(error),))
    return ServerBench(target, seed, results)


def _refuse_unusable(asked: Asked, special: bool) -> None:
    scenarios = asked.scenarios
    known = (*SCENARIOS, *OF_A_LAUNCH)
    if unknown := [name for name in scenarios if name not in known]:
        raise InputError(*(f"--scenario: {name!r} is not known{nearest(name, known)}" for name in unknown))
    if not set(scenarios) & set(SCENARIOS):
        raise InputError("--scenario: startup and memory are facts of a launch; with --url name others too")
    if special and set(scenarios) != {"throughput"}:
        raise InputError("--scenario: arrivals, traces, lengths, prefixes, goodput and processes are for throughput "
                         "alone")  # fmt: skip
    if asked.processes > asked.workload.concurrency:
        raise InputError(f"--processes {asked.processes}: more than the {asked.workload.concurrency} connections; "
                         "ask for fewer, or for more --concurrency")  # fmt: skip
    if asked.limits and not set(scenarios) & set(_OF_LIMITS):
        raise InputError(f"--limits: no test that was asked for keeps them; name one of {', '.join(_OF_LIMITS)}")


def _check_folder(raw_folder: Path | None) -> None:
    """Before minutes are spent on what cannot be kept."""
    if raw_folder is None:
        return
    try:
        raw_folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=raw_folder):
            pass
    except OSError as error:
        raise InputError(f"--raw {raw_folder}: cannot be written to ({error.strerror}); name another folder") from error


def _shaped(target: Target, load: Load, asked: Asked, raw_folder: Path | None,
            on_progress: Progress | None) -> ScenarioResult:  # fmt: skip
    raw = None if raw_folder is None else raw_folder / "throughput.npz"
    clear(raw_folder, "throughput")
    measurement = measure(target, load, raw, on_progress, min(asked.processes, load.num_requests),
                          {"slos_ms": dict(asked.shape.slos_ms)})  # fmt: skip
    records = measurement.records
    figures = figures_of(measurement) | asked.shape.figures(records) | {"kv_usage_peak": measurement.kv_usage_peak}
    return ScenarioResult("throughput", figures, measurement.void, () if raw is None else (raw,), records.errors)


def server_pid(url: str) -> int | None:
    """The process that serves this address, UNSEEN where it cannot be told, None where it is not on this host."""
    endpoint = parse_url(url)
    return listener(endpoint.host, endpoint.port)


def cpu_us_per_token(output_tokens: float | None) -> float | None:
    """User and system time of this process and its helpers since its start, over the output tokens; no engine's."""
    return (time.process_time() + helpers_cpu_s()) * 1e6 / output_tokens if output_tokens else None


def _listed(target: Target) -> dict[str, int | None]:
    """The models a server lists, each with its `max_model_len` where it tells; nothing when it lists none.

    DynoError when it wants another key for that, and the model was not named.
    """
    try:
        cards = json.loads(get(target, "/v1/models", insist=not target.model) or b"{}")["data"]
        return {str(card["id"]): _length(card.get("max_model_len")) for card in cards}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _length(told: object) -> int | None:
    return told if isinstance(told, int) and told > 0 else None
