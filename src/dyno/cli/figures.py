"""What was measured, as the members of `--json` and as tables for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dyno.workload import LATENCIES, STATISTICS

if TYPE_CHECKING:
    from dyno.bench.record import ScenarioResult

    Results = Mapping[str, ScenarioResult | None]

Object = dict[str, Any]


def result_json(result: "ScenarioResult", cpu_us_per_token: float | None) -> Object:
    """The member `result`: figures, reasons why it is void, failed requests by kind, and what the client cost."""
    return scenario_json(result) | {"client": {"cpu_us_per_token": cpu_us_per_token}}


def scenario_json(result: "ScenarioResult") -> Object:
    """Figures with `ttft_ms.p50` as the member `p50` of `ttft_ms`, reasons why it is void, failed requests by kind."""
    nested: Object = {}
    for name, value in result.figures.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = value
        else:
            nested[outer] = value
    return nested | {"void": list(result.void), "errors": result.errors}


def void_reasons(results: "Results") -> list[str]:
    """Every reason why some of it proves nothing. Failed requests are among them."""
    return [reason for result in results.values() if result is not None for reason in result.void]


def results_text(results: "Results") -> str:
    """A small table for each result, and the verdict."""
    void = [f"void: {reason}" for reason in void_reasons(results)]
    return "\n".join(
        [line for name, result in results.items() for line in _table(name, result)]
        + (void or ["valid: no request failed, and nothing speaks against the figures"])
    )


def _table(name: str, result: "ScenarioResult | None") -> list[str]:
    if result is None:
        return [f"{name}: not measured (only a launch can tell)", ""]
    lines = [_line(name, STATISTICS)]
    for latency in (f"{latency}_ms" for latency in LATENCIES):
        if f"{latency}.{STATISTICS[0]}" in result.figures:
            lines.append(_line(latency, [_shown(result.figures[f"{latency}.{each}"]) for each in STATISTICS]))
    lines += [f"{figure:<20}{_shown(value):>10}" for figure, value in result.figures.items() if "." not in figure]
    return [*lines, ""]


def _line(name: str, cells: "Sequence[str]") -> str:
    return f"{name:<14}" + "".join(f"{cell:>10}" for cell in cells)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"
