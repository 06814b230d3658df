"""A study as one page that opens offline: styles, charts and plotly's script are in it, and it loads nothing."""

from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dyno.errors import DynoError
from dyno.report import matrix, wording
from dyno.report.figures import charts
from dyno.report.matrix import NOTHING, matrix_table, number
from dyno.study.outcome import Outcome
from dyno.study.trial import Step
from dyno.units import format_bytes, format_seconds

LOG_TAIL_LINES = 40

# What is shown of a start, and how.
_FACTS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "Ready": ("ready_s", format_seconds),
    "Weights load": ("weights_load_s", format_seconds),
    "Compile": ("compile_s", format_seconds),
    "Graph capture": ("graph_capture_s", format_seconds),
    "Weights": ("weights_bytes", format_bytes),
    "KV cache": ("kv_cache_bytes", format_bytes),
    "KV tokens": ("kv_cache_tokens", number),
    "Requests at full length": ("max_concurrency", number),
    "Full length": ("max_model_len", number),
    "Attention": ("attention_backend", str),
}


def render_html(outcome: Outcome, logs: Mapping[str, str]) -> str:
    """The page. `logs` maps a step's `log` to the end of that file; a failure's own tail stands where it has none."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("dyno.report").joinpath("page.html.j2").read_text(encoding="utf-8"))
    headers, cells = matrix_table(outcome)
    return template.render(
        outcome=outcome,
        wording=wording,
        matrix=matrix,
        headers=headers,
        rows=list(zip(outcome.rows, cells, strict=True)),
        charts=charts(outcome),
        facts=list(_start_facts(outcome)),
        fact_headers=("Configuration", *_FACTS),
        troubles=[(step, _tail(step, logs)) for step in wording.troubles(outcome)],
        plotly=Markup(get_plotlyjs()),
    )


def write_report(folder: Path, outcome: Outcome) -> Path:
    """The page of the study in this folder, written there as report.html. DynoError when it cannot be."""
    page = folder / "report.html"
    try:
        page.write_text(render_html(outcome, log_tails(outcome, folder)), encoding="utf-8")
    except OSError as error:
        raise DynoError(f"{page}: cannot be written ({error.strerror}); the study is kept, so make room and run "
                        f"dyno report --study {folder} --format html") from error  # fmt: skip
    return page


def log_tails(outcome: Outcome, folder: Path) -> dict[str, str]:
    """The last lines of the engine's log of every step that went wrong; a log that is gone is left out."""
    tails = {}
    for log in {step.log for step in wording.troubles(outcome) if step.log}:
        try:
            text = (folder / log).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        tails[log] = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
    return tails


def _tail(step: Step, logs: Mapping[str, str]) -> str:
    return logs.get(step.log) or (step.failure.log_tail if step.failure else "")


def _start_facts(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """One line per configuration: the facts of its first start."""
    for row in outcome.rows:
        starts = (step.facts for step in outcome.steps if step.candidate == row.candidate.name and step.facts)
        if first := next(starts, None):
            yield (row.candidate.name, *(_shown(getattr(first, name), show) for name, show in _FACTS.values()))


def _shown(value: float | str | None, show: Callable[[Any], str]) -> str:
    return NOTHING if value is None else show(value)
