"""What was measured, as the members of `--json` and as tables for people."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dyno.bench.loadgen import Progress
from dyno.bench.record import ScenarioResult
from dyno.bench.server import Asked, ServerBench, cpu_us_per_token
from dyno.verdict.limits import check_limits
from dyno.workload import LATENCIES, STATISTICS, Limit

Object = dict[str, Any]
Results = Mapping[str, ScenarioResult | None]


def server_json(done: ServerBench, asked: Asked, scenarios: Sequence[str]) -> Object:
    """The object `--json` prints; its names are stable. `scenarios` are those that were named, if any."""
    measured = [result for result in done.results.values() if result is not None]
    tokens = sum(result.figures.get("output_tokens") or 0 for result in measured)
    named: Object = {
        "url": done.target.url,
        "model": done.target.model,
        "load": {
            **asdict(asked.workload),
            "seed": done.seed,
            "scenarios": list(scenarios),
            **asked.shape.told(),
            "processes": asked.processes,
        },
        "result": result_json(done.results.get("throughput") or measured[0], cpu_us_per_token(tokens)),
    }
    if scenarios:
        named["scenarios"] = {name: result and _nested(result) for name, result in done.results.items()}
    return named


def result_json(result: ScenarioResult, cpu_us: float | None) -> Object:
    """The member `result`: figures, reasons why it is void, failed requests by kind, and the client's cost a token."""
    return _nested(result) | {"client": {"cpu_us_per_token": cpu_us}}


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


def counting() -> Progress | None:
    """One line that is written over, where somebody may be looking."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, of: int) -> None:
        print(f"\r{done} of {of} requests", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return show


def raw_text(path: Path, as_json: bool) -> str:
    """What raw files say: tests and, of those of several loads, loads by their place, each as `dyno bench` told it."""
    import json

    from dyno.bench.again import measured_again

    again = measured_again(path)
    if not as_json:
        return results_text(again.tests or again.loads)
    told: Object = {"raw": str(path), "scenarios": {name: _nested(result) for name, result in again.tests.items()},
                    "loads": {name: _nested(result) for name, result in again.loads.items()}}  # fmt: skip
    return json.dumps(told, indent=2)


def void_reasons(results: Results) -> list[str]:
    """Every reason why some of it proves nothing, with the test where there are several. Failed requests are among."""
    return [f"{name}: {reason}" if len(results) > 1 else reason
            for name, result in results.items() if result is not None for reason in result.void]  # fmt: skip


def missed_limits(results: Results, limits: Sequence[Limit]) -> list[str]:
    """The limits that a test's figures do not keep, in words; of `concurrency` it is that not one client keeps them."""
    if not limits:
        return []
    from dyno.report.matrix import bound_text, check_text  # a tenth of a second to import

    missed = []
    for name, result in results.items():
        figures = {} if result is None else result.figures
        if name == "concurrency" and figures.get("capacity_concurrency") == 0:
            missed.append(f"{name}: not even one client keeps the limits")
        if name in _HELD:
            missed += [f"{name}: {check_text(check)} ({bound_text(check.limit)})"
                       for check in check_limits(limits, figures) if not check.met]  # fmt: skip
    return missed


# The tests of the workload's own load, whose figures limits are about.
_HELD = ("throughput", "sustained", "soak")


def results_text(results: Results) -> str:
    """A small table for each result, and the verdict."""
    void = [f"void: {reason}" for reason in void_reasons(results)]
    valid = ["valid: no request failed, and nothing speaks against the figures"]
    return "\n".join([line for name, result in results.items() for line in _table(name, result)] + (void or valid))


def _table(name: str, result: ScenarioResult | None) -> list[str]:
    if result is None:
        return [f"{name}: not measured (only a launch can tell)", ""]
    figures = result.figures
    intended = ("ttft_intended", "e2el_intended")  # in a closed loop they are ttft and e2el
    lines = [_row(name, STATISTICS)]
    for latency in (*LATENCIES, *intended * ("requested_rate" in figures)) if figures else ():
        values = [figures[f"{latency}_ms.{statistic}"] for statistic in STATISTICS]
        lines.append(_row(f"{latency}_ms", [_shown(value) for value in values]))
    above = {f"{latency}_ms.{statistic}" for latency in (*LATENCIES, *intended) for statistic in STATISTICS}
    lines += [_row(figure, [_shown(value)]) for figure, value in figures.items()
              if figure not in above and not figure.endswith("_buckets")]  # fmt: skip
    return [*lines, ""]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<29}" + "".join(f"{cell:>10}" for cell in cells)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"
