"""A chart as plain plotly data and layout, no plotly import: palette, axes, lines and marks that all charts share."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from dyno.report.evidence import Line, Series, means

# They read well on a light and on a dark page and differ for the colour-blind, who have symbols and dashes too;
# texts take their colour from the page.
GREY, BLUE, ORANGE, GREEN = "#8a94a6", "#2f7de1", "#d9730d", "#1f9e77"
SIDES = (ORANGE, BLUE, GREEN)  # the baseline, and what it is compared with
WIDTHS = {ORANGE: 4, BLUE: 2, GREEN: 2}  # the baseline is drawn first, and seen beneath a line that is equal

# A line of more points is drawn as means of neighbours, a distribution at as many equal steps: the rule of the page.
MOST_POINTS, CDF_STEPS = 400, 200

Figure = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its heading, one sentence on how to read it, and plotly's own data and layout."""

    title: str
    caption: str
    figure: Figure


def numbers(values: Series | Sequence[float]) -> list[float]:
    """Seven significant figures: finer than a screen shows, and half of the bytes."""
    return [float(f"{value:.7g}") for value in values]


def line(name: str, points: Line, colour: str, unit: str, dash: str = "solid",
         width: float = 2) -> Figure:  # fmt: skip
    """A line of at most MOST_POINTS points; with few of them each is marked."""
    x, y = means(points, MOST_POINTS)
    mode = "lines+markers" if len(x) <= 40 else "lines"
    return {"type": "scatter", "mode": mode, "name": escape(name), "x": numbers(x), "y": numbers(y),
            "line": {"color": colour, "width": width, "dash": dash}, "marker": {"size": 3 + width, "color": colour},
            "hovertemplate": f"{escape(name)}<br>%{{y}} {unit} at %{{x}}<extra></extra>"}  # fmt: skip


def straight(name: str, x: Sequence[float], y: Sequence[float], colour: str = GREY, dash: str = "dash") -> Figure:
    """A line between two points: a limit, a level, a moment."""
    return {"type": "scatter", "mode": "lines", "name": escape(name), "x": numbers(x), "y": numbers(y),
            "line": {"color": colour, "width": 1.5, "dash": dash}, "hoverinfo": "name"}  # fmt: skip


def mark(name: str, x: float, y: float, colour: str, symbol: str) -> Figure:
    """One point that stands out."""
    return {"type": "scatter", "mode": "markers", "name": escape(name), "x": [x], "y": numbers([y]),
            "marker": {"color": colour, "symbol": symbol, "size": 14, "line": {"width": 1.5, "color": colour}},
            "hovertemplate": f"{escape(name)}<extra></extra>"}  # fmt: skip


def cumulative(values: Series) -> Line:
    """The share of values, in percent, up to each of CDF_STEPS quantiles."""
    shares = np.linspace(0, 100, CDF_STEPS + 1)
    return np.percentile(values, shares), shares


def layout(x: str, y: str, height: int = 290) -> Figure:
    """The layout of a chart with these two axis names, the legend below."""
    axis = {"zeroline": False, "automargin": True, "rangemode": "tozero"}
    return {"height": height, "margin": {"l": 10, "r": 12, "t": 10, "b": 10}, "showlegend": True,
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest",
            "font": {"family": "system-ui, sans-serif", "size": 13},
            "xaxis": {**axis, "title": {"text": escape(x), "standoff": 6, "font": {"size": 13}}},
            "yaxis": {**axis, "title": {"text": escape(y), "standoff": 6, "font": {"size": 13}}}}  # fmt: skip


def rows_layout(names: Sequence[str], x: str) -> Figure:
    """The layout of a chart with one line per name, from the top; no legend, as the page explains the marks."""
    made = layout(x, "", height=66 + (34 if len(names) <= 10 else 22) * len(names))
    made["xaxis"]["rangemode"] = "normal"
    made["yaxis"] = {"tickvals": list(range(len(names))), "ticktext": [escape(name) for name in names],
                     "range": [len(names) - 0.5, -0.5], "zeroline": False, "automargin": True,
                     "fixedrange": True}  # fmt: skip
    return made | {"showlegend": False}
