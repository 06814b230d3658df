"""A study in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dyno.report.matrix import is_recommended, limits_text, matrix_table
from dyno.report.wording import (
    also_fast,
    decision_lines,
    recommendation,
    setting,
    trouble_line,
    troubles,
    verdict_sentence,
)
from dyno.study.outcome import Outcome, Row

# Columns that go, one after the other, until the table fits the terminal. What decides stays.
_GO_IN_ORDER = ("KV tokens", "Limits", "Memory GiB", "State", "Startup s", "Prefix reuse ms, hits", "Long context ms")
_WORDS = ("Candidate", "Limits", "State")
_ANSWER_STYLES = {"better": "bold green", "worse": "bold red", "equivalent": "bold cyan", "inconclusive": "bold yellow"}
_STATE_STYLES = {"failed": "red", "void": "yellow", "pending": "dim"}


def render_terminal(outcome: Outcome, console: Console) -> None:
    """Print matrix, verdict, recommended command, troubles and notes."""
    console.print(Text(setting(outcome), style="dim"))
    _print_matrix(outcome, console)
    style = _ANSWER_STYLES[outcome.verdict.answer] if outcome.verdict else "bold"
    console.print(Text(verdict_sentence(outcome), style=style))
    console.print(Text(recommendation(outcome)))
    if outcome.recommended:
        _print_command(outcome.recommended.candidate.args.command(), console)
    if other := also_fast(outcome):
        console.print(Text(other))
    if outcome.also_fast:
        _print_command(outcome.also_fast.candidate.args.command(), console)
    for line in decision_lines(outcome):
        console.print(Text(line))
    for row in outcome.rows:
        if row.state == "complete" and any(not check.met for check in row.checks):
            console.print(Text(f"{row.candidate.name} {limits_text(row)}", style="yellow"))
    for step in troubles(outcome):
        console.print(Text(trouble_line(step), style=_STATE_STYLES[step.state]))
    for note in outcome.notes:
        console.print(Text(f"Note: {note}"))


def _print_matrix(outcome: Outcome, console: Console) -> None:
    unbounded = console.options.update(width=1000)
    for gone in range(len(_GO_IN_ORDER) + 1):
        table = _matrix(outcome, _GO_IN_ORDER[:gone])
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
    console.print(table)
    console.print()


def _matrix(outcome: Outcome, left_out: Sequence[str]) -> Table:
    headers, rows = matrix_table(outcome)
    shown = [place for place, header in enumerate(headers) if header not in left_out]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for place in shown:
        header = headers[place]
        table.add_column(header.replace(" ", "\n").replace(",\n", ", "), overflow="fold",
                         justify="left" if header in _WORDS else "right",
                         min_width=None if header in _WORDS else max(map(len, header.split())))  # fmt: skip
    for row, cells in zip(outcome.rows, rows, strict=True):
        # Causes and missed limits need a line of their own, below; the first word of them is enough here.
        table.add_row(*(Text(cells[place].partition(":")[0]) for place in shown), style=_row_style(row, outcome))
    return table


def _row_style(row: Row, outcome: Outcome) -> str:
    return "bold" if is_recommended(row, outcome) else _STATE_STYLES.get(row.state, "")


def _print_command(command: str, console: Console) -> None:
    # Unwrapped, so that it can be copied as one line.
    console.print(Text(f"  {command}", style="green"), soft_wrap=True)
