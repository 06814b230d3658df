"""The charts of launches: every launch a point, pairs and intervals of the verdicts."""

from collections.abc import Sequence
from html import escape
from statistics import geometric_mean
from typing import Any

from dyno.report.chart import BLUE, GREEN, GREY, ORANGE, Chart, rows_layout
from dyno.report.matrix import number, unit_of
from dyno.study.outcome import Outcome
from dyno.study.pairs import objective_of
from dyno.study.trial import Step
from dyno.verdict.compare import Comparison
from dyno.workload import Objective

SCREEN, CONFIRM, VOID, VERDICT = GREY, BLUE, ORANGE, GREEN

_LATENCIES = {
    "ttft_ms.p95": "Time to first token under load, p95",
    "tpot_ms.p50": "Time per output token under load, p50",
}


def charts(outcome: Outcome) -> tuple[Chart, ...]:
    """Ratios to the baseline and the pairs of the verdicts; then every launch's throughput, latencies and objective."""
    means = tuple(each for each in outcome.confirmed if each.metric == outcome.objective.name)
    verdicts = outcome.verdicts or means or ((outcome.verdict,) if outcome.verdict else ())
    load = f", {outcome.loads['throughput'].name}" if len(outcome.loads) > 1 else ""
    wanted = {("throughput", "output_throughput"): (f"Throughput{load}", "tok/s, more is better")}
    for name, title in _LATENCIES.items():
        wanted["throughput", name] = (f"{title}{load}", "ms, less is better")
    wanted["ttft", "ttft_ms.p50"] = ("Time to first token of a single request, p50", "ms, less is better")
    objective = outcome.objective
    better = "more" if objective.higher_is_better else "less"
    wanted.setdefault(("throughput", objective.figure),
                      (f"Objective: {objective.name}", f"{unit_of(objective.name)}, {better} is better"))  # fmt: skip
    drawn = [_launches(outcome, *source, *titles) for source, titles in wanted.items()]
    pairs = [_pairs(outcome, verdict) for verdict in verdicts]
    return tuple(chart for chart in (*pairs, _ratios(outcome, verdicts), *drawn) if chart)


def _launches(outcome: Outcome, scenario: str, figure: str, title: str, caption: str) -> Chart | None:
    """Every launch as a point, one line per configuration."""
    steps = [step for step in outcome.steps if step.scenario == scenario and step.figures.get(figure) is not None]
    names = _names(outcome, steps)
    if not names:
        return None
    complete = [step for step in steps if step.state == "complete"]
    groups = [
        ([step for step in complete if step.phase == "screen"], 0.16, _marker("screening", SCREEN, "circle-open")),
        ([step for step in complete if step.phase == "confirm"], -0.16, _marker("confirmation", CONFIRM, "circle")),
        ([step for step in steps if step.state == "void"], 0, _marker("void, proves nothing", VOID, "x-thin-open")),
    ]
    traces = [_points([(step, float(step.figures[figure] or 0)) for step in mine], names, lane, look)
              for mine, lane, look in groups if mine]  # fmt: skip
    layout = rows_layout(names, caption.partition(",")[0])
    layout["xaxis"]["rangemode"] = "tozero"
    return Chart(title, caption, {"data": traces, "layout": layout})


def _ratios(outcome: Outcome, verdicts: Sequence[Comparison]) -> Chart | None:
    """Every launch's objective against its block's baseline, or its pair's, with the interval of the verdict."""
    objective = outcome.objective
    screened, paired = _screened(outcome), _paired(outcome, objective)
    points = [*screened, *paired]
    names = _names(outcome, [step for step, _ in points])
    if len(names) < 2:
        return None
    groups = [(screened, 0.2, _marker("screening", SCREEN, "circle-open")),
              (paired, 0, _marker("pair", CONFIRM, "circle"))]  # fmt: skip
    traces = [_points(mine, names, lane, look) for mine, lane, look in groups if mine]
    shown = [each for each in verdicts if each.metric == objective.name and each.candidate in names and each.ratio]
    traces += [_interval(verdict, names.index(verdict.candidate) + 0.3) for verdict in shown]
    layout = rows_layout(names, "ratio to the baseline")
    layout["shapes"] = [_equal()]
    layout["xaxis"]["range"] = _reach([ratio for _, ratio in points], shown)
    better = "right" if objective.higher_is_better else "left"
    mean = ", in geometric mean over the workloads" if len(outcome.loads) > 1 else ""
    caption = (f"Ratio of {objective.name}{mean}, further {better} is better. Screening: one launch against the "
               "baseline's of its block. Confirmation: two fresh launches, one of either.")  # fmt: skip
    return Chart("Every launch against the baseline", caption, {"data": traces, "layout": layout})


def _screened(outcome: Outcome) -> list[tuple[Step, float]]:
    steps = [(step, value) for step, value in _objectives(outcome, outcome.objective) if step.phase == "screen"]
    base: dict[int, list[float]] = {}
    for step, value in steps:
        if step.candidate == outcome.rows[0].candidate.name:
            base.setdefault(step.block, []).append(value)
    return [(step, value / geometric_mean(base[step.block])) for step, value in steps if step.block in base]


def _paired(outcome: Outcome, objective: Objective) -> list[tuple[Step, float]]:
    """The candidates' launches of every round, with their ratios to the baseline's; rounds in order."""
    rounds: dict[tuple[int, int], dict[str, tuple[Step, float]]] = {}
    for step, value in _objectives(outcome, objective):
        if step.pair is not None:
            rounds.setdefault((step.pair, step.block), {})[step.candidate] = (step, value)
    baseline = outcome.rows[0].candidate.name
    return [(step, value / made[baseline][1]) for _, made in sorted(rounds.items()) if baseline in made
            for name, (step, value) in made.items() if name != baseline]  # fmt: skip


def _objectives(outcome: Outcome, objective: Objective) -> list[tuple[Step, float]]:
    """The objective of every launch that took all loads, in geometric mean over them, beside the first load's step."""
    loads = tuple(outcome.loads) or ("throughput",)
    taken: dict[tuple[int, int], dict[str, tuple[Step, float]]] = {}
    for step in outcome.steps:
        value = objective_of(step, objective) if step.scenario in loads else None
        if value is not None:
            taken.setdefault((step.block, step.launch), {})[step.scenario] = (step, value)
    whole = [each for each in taken.values() if len(each) == len(loads)]
    return [(each[loads[0]][0], geometric_mean([value for _, value in each.values()])) for each in whole]


def _pairs(outcome: Outcome, verdict: Comparison) -> Chart | None:
    """The ratio of every pair of launches in one metric, with the interval of their mean."""
    ratios = [ratio for step, ratio in _paired(outcome, Objective(verdict.metric))
              if step.candidate == verdict.candidate]  # fmt: skip
    if verdict.ratio is None or not ratios:
        return None
    names = [f"pair {place + 1}" for place in range(len(ratios))] + ["mean, interval"]
    points = {**_marker("pair", CONFIRM, "circle"), "x": ratios, "y": list(range(len(ratios))),
              "text": [f"{name}: x{ratio:.3f}" for name, ratio in zip(names, ratios, strict=False)],
              "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip
    layout = rows_layout(names, f"ratio to {verdict.baseline}"[:40])
    band = {"type": "rect", "x0": 1 / (1 + verdict.margin), "x1": 1 + verdict.margin, "fillcolor": SCREEN,
            "opacity": 0.25, "line": {"width": 0}}  # fmt: skip
    layout["shapes"] = [{**_equal(), **band}, _equal()]
    layout["xaxis"]["range"] = _reach(ratios, [verdict])
    early = f" The verdict is that of the first {verdict.pairs} pairs." * (verdict.pairs < len(ratios))
    caption = (f"{verdict.metric}, {verdict.candidate} / {verdict.baseline}: each point is two fresh launches, one of "
               f"either. The grey band, ±{verdict.margin * 100:g}%, is too little to matter.{early}")  # fmt: skip
    whose = f"{verdict.candidate}, " if len(outcome.confirmed) > 1 else ""
    return Chart(f"Pair by pair: {whose}{verdict.metric}", caption,
                 {"data": [points, _interval(verdict, len(ratios))], "layout": layout})  # fmt: skip


def _interval(verdict: Comparison, lane: float) -> dict[str, Any]:
    """The mean of a verdict, with its interval where it has one."""
    mean: dict[str, Any] = {**_marker("verdict", VERDICT, "diamond"), "x": [verdict.ratio], "y": [lane],
                            "hovertemplate": f"{verdict.answer}, x%{{x:.3f}}<extra></extra>"}  # fmt: skip
    if verdict.ratio is not None and verdict.low is not None and verdict.high is not None:
        mean["error_x"] = {"type": "data", "symmetric": False, "array": [verdict.high - verdict.ratio],
                           "arrayminus": [verdict.ratio - verdict.low], "thickness": 2.5, "width": 8,
                           "color": VERDICT}  # fmt: skip
    return mean


def _reach(ratios: Sequence[float], verdicts: Sequence[Comparison]) -> list[float]:
    """What the axis shows: every ratio and the intervals, as far as these do not dwarf the ratios."""
    low, high = min(*ratios, 1.0), max(*ratios, 1.0)
    lows = [max(verdict.low, low / 2) for verdict in verdicts if verdict.low is not None]
    highs = [min(verdict.high, high * 2) for verdict in verdicts if verdict.high is not None]
    low, high = min([low, *lows]), max([high, *highs])
    room = 0.05 * (high - low) or 0.05
    return [low - room, high + room]


def _equal() -> dict[str, Any]:
    return {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": SCREEN, "dash": "dot"}}  # fmt: skip


def _names(outcome: Outcome, steps: Sequence[Step]) -> list[str]:
    seen = {step.candidate for step in steps}
    return [row.candidate.name for row in outcome.rows if row.candidate.name in seen]


def _marker(name: str, colour: str, symbol: str) -> dict[str, Any]:
    marker = {"color": colour, "symbol": symbol, "size": 11, "opacity": 0.85, "line": {"width": 2, "color": colour}}
    return {"name": name, "type": "scatter", "mode": "markers", "marker": marker}


def _points(
    points: Sequence[tuple[Step, float]], names: Sequence[str], lane: float, look: dict[str, Any]
) -> dict[str, Any]:
    return {**look, "x": [value for _, value in points],
            "y": [names.index(step.candidate) - lane for step, _ in points],
            "text": [f"{escape(step.candidate)}, launch {step.launch}: {number(value)}" for step, value in points],
            "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip
