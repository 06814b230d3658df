"""Charts of what load does to latencies: their distributions, and the curve over the number of clients."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from dyno.report.chart import GREY, SIDES, WIDTHS, Chart, Figure, cumulative, layout, line, mark, numbers, straight
from dyno.report.evidence import Curve, Line, Side
from dyno.report.matrix import in_unit, number
from dyno.study.outcome import Outcome
from dyno.workload import figure_of

LATENCIES = {
    "ttft": "Time to first token (ttft)",
    "tpot": "Time per output token (tpot)",
    "itl": "Time between tokens (itl)",
    "e2el": "Time to the whole answer (e2el)",
}
_NEAR = 3  # times the slowest request: a limit farther off would leave no room for the distribution
_PERCENTILES = {"p50": "solid", "p95": "dash", "p99": "dot"}


def latency_charts(outcome: Outcome, sides: Sequence[Side]) -> tuple[Chart, ...]:
    """The share of requests that were answered within a time, under the workload's own load."""
    bounds = {check.limit.name: check.limit.bound for row in outcome.rows[:1] for check in row.checks}
    return tuple(_distribution(latency, sides, bounds) for latency in ("ttft", "tpot", "e2el")
                 if any(latency in side.latencies for side in sides))  # fmt: skip


def _distribution(latency: str, sides: Sequence[Side], bounds: dict[str, float]) -> Chart:
    traces: list[Figure] = []
    for side, colour in zip(sides, SIDES, strict=False):
        if latency in side.latencies:
            values = side.latencies[latency]
            traces.append(
                line(side.name, cumulative(values), colour, "% of requests", width=WIDTHS[colour]) | {"mode": "lines"}
            )
            traces[-1]["hovertemplate"] = traces[-1]["hovertemplate"].replace("at %{x}", "within %{x} ms")
    slowest = max(float(side.latencies[latency].max()) for side in sides if latency in side.latencies)
    limits = {name: bound for name, bound in bounds.items() if name.startswith(f"{latency}_")}
    traces += [straight(f"limit {name}, {in_unit(name, bound)}", (bound, bound), (0, 100))
               for name, bound in limits.items() if bound <= _NEAR * slowest]  # fmt: skip
    far = "".join(f" The limit {name}, {in_unit(name, bound)}, lies far to the right."
                  for name, bound in limits.items() if bound > _NEAR * slowest)  # fmt: skip
    made = layout("ms", "% of requests")
    values = np.concatenate([side.latencies[latency] for side in sides if latency in side.latencies])
    shown = [bound for bound in limits.values() if bound <= _NEAR * slowest]
    made["xaxis"]["range"] = numbers([0.8 * values.min(), 1.05 * max([slowest, *shown])])
    told = ", ".join(f"{side.name} {len(side.latencies[latency])} requests of {side.launches} "
                     f"launch{'es' * (side.launches > 1)}" for side in sides if latency in side.latencies)  # fmt: skip
    return Chart(LATENCIES[latency], f"Further left is faster. {told}.{far}", {"data": traces, "layout": made})


def concurrency_charts(sides: Sequence[Side]) -> tuple[Chart, ...]:
    """Throughput over clients of all configurations in one chart, then the latencies of each with its limits."""
    drawn = [(side.name, side.curve, colour) for side, colour in zip(sides, SIDES, strict=False) if side.curve]
    if not drawn:
        return ()
    charts = [_throughput(drawn)]
    for name, curve, colour in drawn:
        limited = [limit.partition("_")[0] for limit in curve.limits]
        charts += [_latency(name, curve, latency, colour) for latency in LATENCIES
                   if latency in {"ttft", "tpot", *limited}]  # fmt: skip
    return tuple(charts)


def _throughput(drawn: Sequence[tuple[str, Curve, str]]) -> Chart:
    traces = []
    for name, curve, colour in drawn:
        points = _over_clients(curve, "output_throughput")
        traces.append(line(name, points, colour, "tok/s", width=WIDTHS[colour]) | {"mode": "lines+markers"})
        for what, clients, symbol in (("capacity", curve.capacity_concurrency, "star"),
                                      ("knee", curve.knee_concurrency, "diamond-open")):  # fmt: skip
            if clients and len(points[0]):
                rate = float(np.interp(clients, *points))
                traces.append(mark(f"{name}: {what}, {number(clients)} clients, {number(rate)} tok/s", clients, rate,
                                   colour, symbol))  # fmt: skip
    caption = ("Star: the most clients that keep the latency limits. Diamond: the knee, beyond which more clients "
               "bring little more.")  # fmt: skip
    return Chart("Throughput over clients", caption, {"data": traces, "layout": _clients_layout("tok/s", traces)})


def _latency(name: str, curve: Curve, latency: str, colour: str) -> Chart:
    traces, ends = [], [min(point.concurrency for point in curve.curve), max(p.concurrency for p in curve.curve)]
    top = 0.0
    for percentile, dash in _PERCENTILES.items():
        figure = figure_of(f"{latency}_{percentile}")
        points = _over_clients(curve, figure)
        if len(points[0]):
            traces.append(line(percentile, points, colour, "ms", dash) | {"mode": "lines+markers"})
            top = max(top, float(points[1].max()))
    for limit, bound in curve.limits.items():
        if limit.startswith(f"{latency}_"):
            top = max(top, bound)
            traces.append(straight(f"limit {limit}, {in_unit(limit, bound)}", ends, (bound, bound)))
    if clients := curve.capacity_concurrency:
        traces.append(straight(f"capacity, {number(clients)} clients", (clients, clients), (0, top), GREY, "dashdot"))
    return Chart(f"{name}: {LATENCIES[latency].lower()} over clients", "Less is better. p99: 99 of 100 are faster.",
                 {"data": traces, "layout": _clients_layout("ms", traces)})  # fmt: skip


def _over_clients(curve: Curve, figure: str) -> Line:
    """Means where a number of clients was looked at twice; without loads in which requests failed."""
    seen: dict[int, list[float]] = {}
    for point in curve.curve:
        if not point.failed and (value := point.figures.get(figure)) is not None:
            seen.setdefault(point.concurrency, []).append(value)
    clients = sorted(seen)
    return np.array(clients, dtype=np.float64), np.array([fmean(seen[each]) for each in clients])


def _clients_layout(unit: str, traces: Sequence[Figure]) -> Figure:
    """Powers of two are named, and where the search stayed within a few of them every number it looked at."""
    made = layout("clients at a time", unit, height=330)
    looked_at = {int(x) for trace in traces if "markers" in trace["mode"] for x in trace["x"] if x == int(x)}
    powers = {1 << power for power in range(15)}
    ticks = sorted(powers if max(looked_at, default=1) > 4 * min(looked_at, default=1) else looked_at)
    made["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [str(each) for each in ticks]}
    del made["xaxis"]["rangemode"]
    return made
