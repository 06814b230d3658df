"""Charts over time: a load, a sustained load with its change point, memory with its slope."""

from collections.abc import Sequence
from math import isnan

from dyno.report.chart import GREY, SIDES, WIDTHS, Chart, Figure, layout, line, straight
from dyno.report.evidence import Line, Side, Timeline
from dyno.report.matrix import number
from dyno.report.tables import growth_text, leak
from dyno.study.outcome import Outcome

_SECONDS = "seconds since the load began"
_QUANTITIES = {  # heading, how to read it, unit
    "output_throughput": ("Throughput over time", "Output tokens a second, by the stamps of the tokens.", "tok/s"),
    "waiting": ("Queue", "Requests that vLLM has taken and not yet scheduled.", "requests"),
    "running": ("Under way", "Requests that vLLM works on.", "requests"),
    "kv_usage": ("KV cache in use", "At 100 % requests wait, or are put aside and begun anew.", "% of the cache"),
    "temperature": ("Card's temperature", "By its own sensor.", "°C"),
    "power": ("Card's power", "What it draws.", "W"),
    "sm_clock": ("Card's clock", "Of its processors; where it falls under load the card limits itself.", "MHz"),
    "memory_clock": ("Card's memory clock", "It does not move under load.", "MHz"),
    "card_memory": ("Card's memory in use", "By everybody.", "GiB"),
    "engine_memory": ("Engine's memory on the host", "Resident, of all its processes.", "GiB"),
    "engine_cpu": ("Engine's work on the host", "1 is one processor that is always busy.", "processors"),
}
_ABOUT_ZERO = ("output_throughput", "waiting", "running", "engine_cpu", "kv_usage")


def load_charts(sides: Sequence[Side]) -> tuple[Chart, ...]:
    """Every quantity that was measured of the workload's own load, both configurations in one chart."""
    loads = [(side.name, side.load, colour) for side, colour in zip(sides, SIDES, strict=False) if side.load]
    return tuple(_over_time(quantity, loads) for quantity in _QUANTITIES
                 if any(quantity in load.lines for _, load, _ in loads))  # fmt: skip


def _over_time(quantity: str, loads: Sequence[tuple[str, Timeline, str]]) -> Chart:
    title, caption, unit = _QUANTITIES[quantity]
    traces = [line(f"{name}, launch {load.launch}", load.lines[quantity], colour, unit, width=WIDTHS[colour])
              for name, load, colour in loads if quantity in load.lines]  # fmt: skip
    return Chart(title, caption, {"data": traces, "layout": _timed(quantity)})


def _timed(quantity: str) -> Figure:
    made = layout(_SECONDS, _QUANTITIES[quantity][-1])
    if quantity not in _ABOUT_ZERO:
        made["yaxis"]["rangemode"] = "normal"
    return made


def sustained_charts(outcome: Outcome, sides: Sequence[Side]) -> tuple[Chart, ...]:
    """A long load of each configuration: throughput with burst and sustained level, and the card beside it."""
    charts: list[Chart] = []
    for side, colour in zip(sides, SIDES, strict=False):
        if side.sustained:
            figures = _figures(outcome, "sustained", side.sustained.launch)
            charts.append(_throughput(side.name, side.sustained, figures, colour))
            charts += [_beside(side, side.sustained, quantity, figures, colour) for quantity in _QUANTITIES
                       if quantity in ("temperature", "power", "sm_clock", "engine_cpu")
                       and quantity in side.sustained.lines]  # fmt: skip
    return tuple(charts)


def _throughput(name: str, load: Timeline, figures: dict[str, float | None], colour: str) -> Chart:
    points = load.lines["output_throughput"]
    end, change = float(points[0].max()), figures.get("change_s")
    burst, level = figures.get("burst_throughput"), figures.get("sustained_throughput")
    traces = [line("measured", points, GREY, "tok/s")]
    if burst is not None and change:
        traces.append(straight(f"burst, {number(burst)} tok/s", (0, change), (burst, burst), colour, "dot"))
    if level is not None:
        traces.append(straight(f"sustained, {number(level)} tok/s", (change or 0, end), (level, level), colour))
    caption = "No lasting change of the mean was found."
    if change is not None:
        share = figures.get("sustained_share")
        falls = f", to {share:.0%} of the burst" if share else ""
        caption = f"The mean changes after {change:.0f} s{falls}."
        traces.append(_moment(change, points))
    return Chart(f"{name}: sustained throughput", caption, {"data": traces, "layout": layout(_SECONDS, "tok/s")})


def _moment(seconds: float, points: Line) -> Figure:
    return straight(f"change after {seconds:.0f} s", (seconds, seconds), (0, float(points[1].max())), GREY, "dashdot")


def _beside(side: Side, load: Timeline, quantity: str, figures: dict[str, float | None], colour: str) -> Chart:
    title, caption, unit = _QUANTITIES[quantity]
    if quantity == "power" and load.joules_per_token is not None:
        caption += f" {load.joules_per_token:.3g} J a token."
    points, change = load.lines[quantity], figures.get("change_s")
    traces = [line(side.name, points, colour, unit)]
    if change is not None:
        low, high = float(points[1].min()), float(points[1].max())
        traces.append(straight(f"change after {change:.0f} s", (change, change), (low, high), GREY, "dashdot"))
    made = _timed(quantity) | {"showlegend": change is not None}
    return Chart(f"{side.name}, sustained: {title[0].lower()}{title[1:]}", caption, {"data": traces, "layout": made})


_MEMORIES = {"rss_bytes": "the engine's memory on the host", "device_bytes": "memory on the card"}


def soak_charts(outcome: Outcome, sides: Sequence[Side]) -> tuple[Chart, ...]:
    """Memory over the soak, with the slope and the interval that holds the true one."""
    return tuple(_memory(outcome, side, gauge, colour) for side, colour in zip(sides, SIDES, strict=False)
                 for gauge in side.soak)  # fmt: skip


def _memory(outcome: Outcome, side: Side, gauge: str, colour: str) -> Chart:
    minutes, mebibytes = side.soak[gauge]
    traces = [line("read once a second", (minutes, mebibytes), GREY, "MiB")]
    launch = max(step.launch for step in outcome.steps if step.candidate == side.name and step.scenario == "soak")
    figures = _figures(outcome, "soak", launch)
    slope, low, high = leak(figures, gauge)
    ends = (float(minutes.min()), float(minutes.max()))
    if not isnan(slope):
        for name, per_hour, dash in (("slope", slope, "solid"), ("99 % interval", low, "dot"), ("", high, "dot")):
            fitted = [float(mebibytes.mean()) + per_hour / 60 * (end - float(minutes.mean())) for end in ends]
            traces.append(straight(name, ends, fitted, colour, dash) | {"showlegend": bool(name)})
    made = layout("minutes since the soak began", "MiB")
    made["yaxis"]["rangemode"] = "normal"
    title, told = f"{side.name}, soak: {_MEMORIES.get(gauge, gauge)}", growth_text(slope, low, high)
    return Chart(title, f"{told[0].upper()}{told[1:]}.", {"data": traces, "layout": made})


def _figures(outcome: Outcome, scenario: str, launch: int) -> dict[str, float | None]:
    return next(step.figures for step in outcome.steps if step.scenario == scenario and step.launch == launch
                and step.state == "complete")  # fmt: skip
