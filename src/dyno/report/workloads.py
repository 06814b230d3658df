"""Several workloads in a study: what each candidate is worth on each of them, screened and confirmed."""

from dyno.report.foreseen import foreseen_table
from dyno.report.matrix import NOTHING, number
from dyno.report.tables import Cells, Table, tables
from dyno.study.outcome import Outcome, Row
from dyno.verdict.compare import Comparison


def all_tables(outcome: Outcome) -> dict[str, Table]:
    """All tables beside the matrix by what they are of, only those that hold something."""
    several = len(outcome.confirmed) > 1  # the headline tells of one
    made = ({"confirmed": confirmed_table(outcome)} if several else {}) | {"workloads": _workloads(outcome)}
    last = {"foreseen": foreseen_table(outcome)}
    return ({name: table for name, table in made.items() if table.rows} | tables(outcome)
            | {name: table for name, table in last.items() if table.rows})  # fmt: skip


def confirmed_table(outcome: Outcome) -> Table:
    """Every verdict of the confirmation."""
    altering = {row.candidate.name for row in outcome.rows if row.candidate.alters_output}
    rows = [(each.candidate, "accuracy not tested" if each.candidate in altering else "unchanged", _load(each, outcome),
             *ratio_cells(each), str(each.launches), each.answer) for each in outcome.confirmed]  # fmt: skip
    every = f' "{ALL}" is the geometric mean over them.' if len(outcome.loads) > 1 else ""
    caption = ("Ratios to the baseline of the same rounds, in which all of them were launched in turn; intervals are "
               "as wide as it takes for all ratios of a kind to hold together." + every)  # fmt: skip
    return Table("Confirmed", caption, ("Candidate", "Output", "Workload", "Ratio", "Interval", "Launches", "Answer"),
                 tuple(rows), ("Candidate", "Output", "Workload", "Answer"))  # fmt: skip


ALL = "all"


def _load(made: Comparison, outcome: Outcome) -> str:
    """One workload's name, or that it is all of several."""
    only = outcome.workload.name if len(outcome.loads) < 2 else ALL
    return made.metric.partition("@")[2] or only


def ratio_cells(made: Comparison) -> tuple[str, str]:
    """A ratio and its interval."""
    ratio = NOTHING if made.ratio is None else f"x{made.ratio:.3f}"
    known = made.low is not None and made.high is not None
    return ratio, f"{made.low:.3f} to {made.high:.3f}" if known else NOTHING


def _workloads(outcome: Outcome) -> Table:
    """What screening measured under each workload."""
    loads = outcome.loads if len(outcome.loads) > 1 else {}
    headers = ["Candidate"]
    for load in loads.values():
        headers += [f"{load.name} tok/s", f"{load.name} TTFT p95 ms", f"{load.name} ratio"]
    rows = [(row.candidate.name, *(cell for test in loads for cell in _cells(row, test)),
             NOTHING if row.ratio is None else f"x{row.ratio:.3f}")
            for row in outcome.rows if loads and row.metrics.get("throughput")]  # fmt: skip
    told = "; ".join(f"{load.name}: {load.input_len} tokens in, {load.output_len} out, {load.concurrency} at a time"
                     for load in loads.values())  # fmt: skip
    caption = f"Every launch measures all of them. {told}. Ratios are to the block's own baseline, from screening."
    return Table("Workloads", caption, (*headers, "all, ratio"), tuple(rows))


def _cells(row: Row, test: str) -> Cells:
    figures = row.metrics.get(test, {})
    ratio = row.ratios.get(test)
    return (number(figures.get("output_throughput")), number(figures.get("ttft_ms.p95")),
            NOTHING if ratio is None else f"x{ratio:.3f}")  # fmt: skip
