"""The charts of a study, as plain plotly figures: data and layout, no plotly import."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dyno.report.matrix import number, unit_of
from dyno.study.outcome import Outcome
from dyno.study.pairs import objective_of
from dyno.study.trial import Step
from dyno.verdict.compare import EQUIVALENCE_MARGIN

# Both read well on a light and on a dark page, and differ for the colour-blind; texts take their colour from the page.
SCREEN, CONFIRM, VOID = "#8a94a6", "#2f7de1", "#d9730d"

_LATENCIES = {
    "ttft_ms.p95": "Time to first token under load, p95",
    "tpot_ms.p50": "Time per output token under load, p50",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its heading, one sentence on how to read it, and plotly's own data and layout."""

    title: str
    caption: str
    figure: dict[str, Any]


def charts(outcome: Outcome) -> tuple[Chart, ...]:
    """Throughput, latencies and, when it is another figure, the objective; then the confirmation, if there was one."""
    wanted = {("throughput", "output_throughput"): ("Throughput", "tok/s, more is better")}
    for name, title in _LATENCIES.items():
        wanted["throughput", name] = (title, "ms, less is better")
    wanted["ttft", "ttft_ms.p50"] = ("Time to first token of a single request, p50", "ms, less is better")
    objective = outcome.objective
    better = "more" if objective.higher_is_better else "less"
    wanted.setdefault(("throughput", objective.figure),
                      (f"Objective: {objective.name}", f"{unit_of(objective.name)}, {better} is better"))  # fmt: skip
    drawn = [_launches(outcome, *source, *titles) for source, titles in wanted.items()]
    return tuple(chart for chart in (_confirmation(outcome), *drawn) if chart)


def _launches(outcome: Outcome, scenario: str, figure: str, title: str, unit: str) -> Chart | None:
    """Every launch as a point, one line per configuration."""
    steps = [step for step in outcome.steps if step.scenario == scenario and step.figures.get(figure) is not None]
    names = [row.candidate.name for row in outcome.rows if any(step.candidate == row.candidate.name for step in steps)]
    if not names:
        return None
    complete = [step for step in steps if step.state == "complete"]
    groups = [
        ([step for step in complete if step.phase == "screen"], 0.16, _marker("screening", SCREEN, "circle-open")),
        ([step for step in complete if step.phase == "confirm"], -0.16, _marker("confirmation", CONFIRM, "circle")),
        ([step for step in steps if step.state == "void"], 0, _marker("void, proves nothing", VOID, "x-thin-open")),
    ]
    traces = [_points(mine, figure, names, lane, look) for mine, lane, look in groups if mine]
    return Chart(title, unit, {"data": traces, "layout": _layout(names, rangemode="tozero")})


def _marker(name: str, colour: str, symbol: str) -> dict[str, Any]:
    marker = {"color": colour, "symbol": symbol, "size": 11, "opacity": 0.85, "line": {"width": 2, "color": colour}}
    return {"name": name, "type": "scatter", "mode": "markers", "marker": marker}


def _points(
    steps: Sequence[Step], figure: str, names: Sequence[str], lane: float, look: dict[str, Any]
) -> dict[str, Any]:
    return {**look, "x": [step.figures[figure] for step in steps],
            "y": [names.index(step.candidate) - lane for step in steps],
            "text": [f"{escape(step.candidate)}, launch {step.launch}: {number(step.figures[figure])}"
                     for step in steps],
            "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip


def _confirmation(outcome: Outcome) -> Chart | None:
    """The ratio of every pair of launches, with the interval of their mean."""
    verdict = outcome.verdict
    pairs = _pair_ratios(outcome)
    if verdict is None or verdict.ratio is None or not pairs:
        return None
    names = [f"pair {place + 1}" for place in range(len(pairs))] + ["mean, 95 % interval"]
    points = {**_marker("pair", CONFIRM, "circle"), "x": pairs, "y": list(range(len(pairs))),
              "text": [f"{name}: x{ratio:.3f}" for name, ratio in zip(names, pairs, strict=False)],
              "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip
    mean = {**_marker("mean", CONFIRM, "diamond"), "x": [verdict.ratio], "y": [len(pairs)],
            "hovertemplate": "x%{x:.3f}<extra></extra>"}  # fmt: skip
    if verdict.low is not None and verdict.high is not None:
        mean["error_x"] = {"type": "data", "symmetric": False, "array": [verdict.high - verdict.ratio],
                           "arrayminus": [verdict.ratio - verdict.low], "thickness": 2.5, "width": 8,
                           "color": CONFIRM}  # fmt: skip
    layout = _layout(names)
    margin = {"type": "rect", "x0": 1 / (1 + EQUIVALENCE_MARGIN), "x1": 1 + EQUIVALENCE_MARGIN}
    across = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    equal = {"type": "line", "x0": 1, "x1": 1, **across, "line": {"color": SCREEN, "dash": "dot"}}
    layout["shapes"] = [{**margin, **across, "fillcolor": SCREEN, "opacity": 0.25, "line": {"width": 0}}, equal]
    caption = (f"{verdict.metric}, {verdict.candidate} / {verdict.baseline}: each point is two fresh launches, one of "
               f"either. The grey band, ±{EQUIVALENCE_MARGIN:.0%}, is too little to matter.")  # fmt: skip
    return Chart("Confirmation, pair by pair", caption, {"data": [points, mean], "layout": layout})


def _pair_ratios(outcome: Outcome) -> list[float]:
    """Candidate / baseline of the confirmed pairs, in their order."""
    pairs: dict[tuple[int, int], dict[str, float]] = {}
    for step in outcome.steps:
        value = objective_of(step, outcome.objective)
        if step.pair is not None and step.scenario == "throughput" and value is not None:
            pairs.setdefault((step.pair, step.block), {})[step.candidate] = value
    names = (outcome.verdict.candidate, outcome.verdict.baseline) if outcome.verdict else ("", "")
    return [both[names[0]] / both[names[1]] for _, both in sorted(pairs.items()) if both.keys() >= set(names)]


def _layout(names: Sequence[str], rangemode: str = "normal") -> dict[str, Any]:
    return {
        "height": 46 + 34 * len(names), "margin": {"l": 10, "r": 16, "t": 8, "b": 30}, "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "xaxis": {"rangemode": rangemode, "zeroline": False, "automargin": True},
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": [escape(name) for name in names],
                  "range": [len(names) - 0.5, -0.5], "zeroline": False, "automargin": True, "fixedrange": True},
    }  # fmt: skip
