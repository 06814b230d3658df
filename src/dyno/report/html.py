"""A study as one page that opens offline: styles, charts and plotly's script are in it, and it loads nothing."""

from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dyno.report import findings, matrix, tables, wording
from dyno.report.evidence import Evidence
from dyno.report.launches import launches_table
from dyno.report.matrix import NOTHING, matrix_table, number
from dyno.report.sections import THINNING, sections
from dyno.study.outcome import Outcome
from dyno.study.trial import Step
from dyno.units import format_bytes, format_seconds

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


def render_html(outcome: Outcome, logs: Mapping[str, str], evidence: Evidence | None = None) -> str:
    """The page. `logs` maps a step's `log` to the end of that file; a failure's own tail stands where it has none.

    The same outcome and evidence make the same bytes.
    """
    evidence = evidence or Evidence()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("dyno.report").joinpath("page.html.j2").read_text(encoding="utf-8"))
    headers, cells = matrix_table(outcome)
    return template.render(
        outcome=outcome,
        wording=wording,
        matrix=matrix,
        headers=headers,
        rows=[(row, list(zip(headers, line, strict=True))) for row, line in zip(outcome.rows, cells, strict=True)],
        findings=findings,
        tables=tables,
        evidence=evidence,
        sections=sections(outcome, evidence),
        thinning=THINNING,
        launches=launches_table(outcome),
        limits=tables.limits_table(outcome),
        facts=list(_start_facts(outcome)),
        fact_headers=("Configuration", *_FACTS),
        failures=[(step, _tail(step, logs)) for step in wording.failures(outcome)],
        plotly=Markup(get_plotlyjs()),
    )


def _tail(step: Step, logs: Mapping[str, str]) -> str:
    return logs.get(step.log) or (step.failure.log_tail if step.failure else "")


def _start_facts(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """One line per configuration: the facts of its first start."""
    for row in outcome.rows:
        starts = (step.facts for step in outcome.steps
                  if step.candidate == row.candidate.name and step.facts and step.phase != "warm")  # fmt: skip
        if first := next(starts, None):
            yield (row.candidate.name, *(_shown(getattr(first, name), show) for name, show in _FACTS.values()))


def _shown(value: float | str | None, show: Callable[[Any], str]) -> str:
    return NOTHING if value is None else show(value)
