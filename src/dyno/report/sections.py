"""The parts of a study's page below the matrix: each a heading, what it says, a table and charts."""

from dataclasses import dataclass

from dyno.report.chart import CDF_STEPS, MOST_POINTS, Chart
from dyno.report.evidence import Evidence, Side
from dyno.report.figures import charts
from dyno.report.overtime import load_charts, soak_charts, sustained_charts
from dyno.report.saturation import concurrency_charts, latency_charts
from dyno.report.tables import Table
from dyno.report.workloads import all_tables
from dyno.study.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Section:
    """`marks`: its charts use the marks of launches, which the page explains."""

    title: str
    text: str = ""
    table: Table | None = None
    charts: tuple[Chart, ...] = ()
    marks: bool = False


def sections(outcome: Outcome, evidence: Evidence) -> tuple[Section, ...]:
    """Those that have something to show, in order."""
    sides, made = evidence.sides, all_tables(outcome)
    whose = f"{_whose(sides)}{_load(outcome)}".strip()
    parts = [
        _of_test(made.get("confirmed"), ()),
        _of_test(made.get("workloads"), ()),
        Section("Every launch", "Each mark is one launch of an engine.", charts=_launches(outcome), marks=True),
        _of_test(made.get("throughput"), ()),
        _of_test(made.get("concurrency"), concurrency_charts(sides)),
        _of_test(made.get("context"), ()),
        Section("How long requests take", whose, charts=latency_charts(outcome, sides)),
        Section("While it was measured", f"{whose} The newest launch.", charts=load_charts(sides)),
        _of_test(made.get("sustained"), sustained_charts(outcome, sides)),
        _of_test(made.get("soak"), soak_charts(outcome, sides)),
        _of_test(made.get("foreseen"), ()),
    ]  # fmt: skip
    return tuple(part for part in parts if part.table or part.charts)


THINNING = (f"A line of more than {MOST_POINTS} points is drawn as means of neighbours, a distribution at "
            f"{CDF_STEPS + 1} quantiles; the folder raw holds everything.")  # fmt: skip


def _launches(outcome: Outcome) -> tuple[Chart, ...]:
    return charts(outcome) if len({step.launch for step in outcome.steps}) > 1 else ()


def _of_test(table: Table | None, drawn: tuple[Chart, ...]) -> Section:
    return Section(table.title, table=table, charts=drawn) if table else Section("")


def _load(outcome: Outcome) -> str:
    several = len(outcome.loads) > 1 and "throughput" in outcome.loads
    return f" Under the load {outcome.loads['throughput'].name}." if several else " Under the workload's own load."


def _whose(sides: tuple[Side, ...]) -> str:
    *first, last = (side.name for side in sides) if sides else ("",)
    return f"Of {', '.join(first)} and {last}." if first else ""
