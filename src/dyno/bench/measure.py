"""`dyno bench --url`: a running server measured, and what is said of it."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dyno.bench.load import Progress, get, run_load
from dyno.bench.record import Load, ScenarioResult, Target
from dyno.bench.scenarios import SCENARIOS, run_scenario
from dyno.errors import DynoError, InputError, nearest
from dyno.workload import PRESETS, Workload

OF_A_LAUNCH = ("startup", "memory")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to measure: one load of the workload, or these scenarios. Without a seed prompts are fresh each time."""

    workload: Workload
    scenarios: tuple[str, ...] = ()
    seed: int | None = None
    raw: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, by scenario ("load" when none was named); None for what only a launch can tell."""

    target: Target
    asked: Mapping[str, object]
    results: Mapping[str, ScenarioResult | None]
    cpu_us_per_token: float | None  # of this process since its start, over the output tokens of all results

    @property
    def result(self) -> ScenarioResult:
        """The closed loop of the workload, or else the first of what was measured."""
        measured = [result for result in self.results.values() if result is not None]
        return self.results.get("throughput") or measured[0]

    @property
    def void(self) -> tuple[str, ...]:
        """Every reason why some of it proves nothing. Failed requests are among them."""
        return tuple(reason for result in self.results.values() if result is not None for reason in result.void)


def wished_workload(preset: str, changes: Mapping[str, int | None]) -> Workload:
    """A preset with some of its numbers changed; None changes nothing. InputError for an unknown preset."""
    if preset not in PRESETS:
        raise InputError(f"--workload: {preset!r} is not known{nearest(preset, tuple(PRESETS))}")
    given: Object = {name: value for name, value in changes.items() if value is not None}
    return replace(PRESETS[preset], **given, name=f"{preset}, changed") if given else PRESETS[preset]


def measure_url(target: Target, wish: Wish, on_progress: Progress | None = None) -> Measured:
    """Measures a running server. DynoError when it cannot be reached or takes no request at all."""
    known = (*SCENARIOS, *OF_A_LAUNCH)
    if unknown := [name for name in wish.scenarios if name not in known]:
        raise InputError(*(f"--scenario: {name!r} is not known{nearest(name, known)}" for name in unknown))
    if wish.scenarios and not set(wish.scenarios) & set(SCENARIOS):
        raise InputError("--scenario: startup and memory are facts of a launch; with --url name others too")
    lengths = _listed(target)
    if not target.model and len(lengths) != 1:
        raise InputError(f"--model: the server lists {', '.join(lengths) or 'no models'}; name the one to measure")
    target = target if target.model else replace(target, model=next(iter(lengths)))
    wish = wish if wish.seed is not None else replace(wish, seed=secrets.randbits(32))
    results = _measure(target, wish, lengths.get(target.model), on_progress)
    asked = {**asdict(wish.workload), "seed": wish.seed, "scenarios": list(wish.scenarios)}
    tokens = sum(result.figures.get("output_tokens") or 0 for result in results.values() if result is not None)
    return Measured(target, asked, results, cpu_us_per_token(tokens))


def _measure(
    target: Target, wish: Wish, max_model_len: int | None, on_progress: Progress | None
) -> dict[str, ScenarioResult | None]:
    seed, workload = wish.seed or 0, wish.workload
    if not wish.scenarios:
        load = Load(workload.concurrency, workload.num_requests, workload.input_len, workload.output_len, seed)
        plain = run_load(target, load, wish.raw and wish.raw / "load.npz", on_progress)
        return {"load": ScenarioResult("load", plain.figures, plain.void, errors=plain.errors)}
    results: dict[str, ScenarioResult | None] = dict.fromkeys(wish.scenarios)
    for name in (name for name in wish.scenarios if name in SCENARIOS):
        try:
            results[name] = run_scenario(name, target, workload, seed, max_model_len, wish.raw, on_progress)
        except DynoError as error:  # one test that a server refuses does not undo the others
            if isinstance(error, InputError) or not any(results.values()):
                raise
            results[name] = ScenarioResult(name, {}, (str(error),))
    return results


def _listed(target: Target) -> dict[str, int | None]:
    """The models a server lists, each with its `max_model_len` where it tells; nothing when it lists none."""
    try:
        cards = json.loads(get(target, "/v1/models") or b"{}")["data"]
        return {str(card["id"]): card.get("max_model_len") for card in cards}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _cpu_us() -> float:
    times = os.times()
    return (times.user + times.system + times.children_user + times.children_system) * 1e6


def as_json(measured: Measured) -> Object:
    """The object `--json` prints; its names are stable."""
    named: Object = {
        "url": measured.target.url,
        "model": measured.target.model,
        "load": dict(measured.asked),
        "result": result_json(measured.result, measured.cpu_us_per_token),
    }
    if measured.asked["scenarios"]:
        named["scenarios"] = {name: result and _nested(result) for name, result in measured.results.items()}
    return named


def result_json(result: ScenarioResult, cpu_us_per_token: float | None) -> Object:
    """The member `result`: figures, reasons why it is void, failed requests by kind, and what the client cost."""
    return _nested(result) | {"client": {"cpu_us_per_token": cpu_us_per_token}}


def cpu_us_per_token(output_tokens: float | None) -> float | None:
    """User and system time of this process and its ended children since their start, over the output tokens."""
    return _cpu_us() / output_tokens if output_tokens else None


def _nested(result: ScenarioResult) -> Object:
    """`ttft_ms.p50` becomes a member `p50` of `ttft_ms`."""
    nested: Object = {}
    for name, value in result.figures.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = value
        else:
            nested[outer] = value
    return nested | {"void": list(result.void), "errors": result.errors}


def as_text(measured: Measured) -> str:
    """A small table for each result, and the verdict."""
    return "\n".join(
        [line for name, result in measured.results.items() for line in _table(name, result)]
        + [f"void: {reason}" for reason in measured.void]
        + ([] if measured.void else ["valid: no request failed, and nothing speaks against the figures"])
    )


def _table(name: str, result: ScenarioResult | None) -> list[str]:
    if result is None:
        return [f"{name}: not measured (only a launch can tell)", ""]
    nested = _nested(result)
    lines = [f"{name:<10}" + "".join(f"{title:>10}" for title in ("mean", "p50", "p90", "p95", "p99"))]
    for latency, values in nested.items():
        if isinstance(values, dict) and latency != "errors":
            lines.append(f"{latency:<10}" + "".join(f"{_shown(value):>10}" for value in values.values()))
    lines += [f"{figure:<20}{_shown(value):>10}" for figure, value in result.figures.items() if "." not in figure]
    return [*lines, ""]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"
