"""What a plan said of the candidates beside what was measured, so that a wrong plan is seen."""

from collections.abc import Sequence
from statistics import median

from dyno.report.matrix import number
from dyno.report.tables import Table
from dyno.study.outcome import Outcome, Row
from dyno.study.trial import Step

# A figure of a plan: its header, what it is divided by, and the test that measures it; none: a fact of the start.
_SHOWN = {
    "kv_cache_bytes": ("KV cache GiB", 2**30, None),
    "device_used_bytes": ("In use when ready GiB", 2**30, None),
    "output_throughput": ("Throughput tok/s", 1, "throughput"),
    "ttft_ms.p50": ("TTFT ms", 1, "throughput"),
    "tpot_ms.p50": ("TPOT ms", 1, "throughput"),
}


def foreseen_table(outcome: Outcome) -> Table:
    """A row for each figure of each candidate that a plan and a launch both told."""
    rows = [(row.candidate.name, header, number(told / scale), number(was / scale), f"{told / was - 1:+.1%}")
            for row in outcome.rows for figure, (header, scale, test) in _SHOWN.items()
            if (told := row.foreseen.get(figure)) is not None
            and (was := _measured(row, outcome.steps, figure, test))]  # fmt: skip
    caption = ("Predicted is what the plan said before anything was launched, corrected by earlier starts of this "
               "machine.")  # fmt: skip
    headers = ("Candidate", "Figure", "Predicted", "Measured", "Off")
    return Table("Predicted and measured", caption, headers, tuple(rows), headers[:2])


def _measured(row: Row, steps: Sequence[Step], figure: str, test: str | None) -> float | None:
    if test:
        return row.metrics.get(test, {}).get(figure)
    told = [value for step in steps if step.candidate == row.candidate.name and step.phase != "warm"
            and step.facts and (value := getattr(step.facts, figure)) is not None]  # fmt: skip
    return float(median(told)) if told else None
