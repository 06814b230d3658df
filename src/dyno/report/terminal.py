"""A study in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from dyno.report.findings import audit_sentence, note_lines, void_lines
from dyno.report.matrix import NOTHING, WORDS, is_recommended, limits_text, matrix_table
from dyno.report.tables import Table, decision_table
from dyno.report.wording import (
    also_fast,
    failure_line,
    failures,
    recommendation,
    setting,
    spent_sentence,
    verdict_sentence,
)
from dyno.report.workloads import all_tables
from dyno.study.outcome import Outcome, Row

# Columns that go, one after the other, until the table fits the terminal. What decides stays.
_GO_IN_ORDER = ("KV tokens", "Limits", "Memory GiB", "State", "Startup s", "Prefix reuse ms, hits", "Long context ms")
_ANSWER_STYLES = {"better": "bold green", "worse": "bold red", "equivalent": "bold cyan", "inconclusive": "bold yellow"}
_STATE_STYLES = {"failed": "red", "void": "yellow", "pending": "dim", "rejected": "yellow"}


def render_terminal(outcome: Outcome, console: Console) -> None:
    """Print matrix, tables, verdict, recommended command, what the audit found and notes."""
    console.print(Text(setting(outcome), style="dim"))
    _print_matrix(outcome, console)
    decision = [decision_table(outcome.decision)] if outcome.decision else []
    longer = {
        test: made for test, made in all_tables(outcome).items() if test != "throughput" or len(outcome.rows) <= 2
    }
    for made in (*decision, *longer.values()):
        _print_table(made, console)
    _print_verdict(outcome, console)
    _print_findings(outcome, console)


def _print_verdict(outcome: Outcome, console: Console) -> None:
    style = _ANSWER_STYLES[outcome.verdict.answer] if outcome.verdict else "bold"
    console.print(Text(verdict_sentence(outcome), style=style))
    console.print(Text(recommendation(outcome)))
    if outcome.recommended:
        _print_command(outcome.recommended.candidate.args.command(), console)
    if other := also_fast(outcome):
        console.print(Text(other))
    if outcome.also_fast:
        _print_command(outcome.also_fast.candidate.args.command(), console)


def _print_findings(outcome: Outcome, console: Console) -> None:
    for row in outcome.rows:
        if row.state == "complete" and any(not check.met for check in row.checks):
            console.print(Text(f"{row.candidate.name} {limits_text(row)}", style="yellow"))
    if void := void_lines(outcome):
        console.print(Text(audit_sentence(outcome)))
    for line in void:
        console.print(Text(f"void: {line}", style=_STATE_STYLES["void"]))
    for step in failures(outcome):
        console.print(Text(failure_line(step), style=_STATE_STYLES["failed"]))
    if spent := spent_sentence(outcome):
        console.print(Text(spent, style="dim"))
    for note in note_lines(outcome):
        console.print(Text(f"Note: {note}"))


def _print_table(made: Table, console: Console) -> None:
    """A table, or where the terminal is too narrow for it a line for each of its rows."""
    shown = _columns(made.headers, made.words)
    for cells in made.rows:
        shown.add_row(*map(Text, cells))
    console.print(Text(f"{made.title}. {made.caption}", style="dim"))
    if console.measure(shown, options=console.options.update(width=1000)).maximum <= console.width:
        console.print(shown)
    else:
        for line in made.rows:
            told = [f"{header} {cell}" for header, cell in zip(made.headers, line, strict=True) if cell != NOTHING]
            console.print(Text(f"{line[0]}: {', '.join(told[1:])}"))
    console.print()


def _columns(headers: Sequence[str], words: Sequence[str]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for header in headers:
        table.add_column(header.replace(" ", "\n").replace(",\n", ", "), overflow="fold",
                         justify="left" if header in words else "right",
                         min_width=None if header in words else max(map(len, header.split())))  # fmt: skip
    return table


def _print_matrix(outcome: Outcome, console: Console) -> None:
    unbounded = console.options.update(width=1000)
    for gone in range(len(_GO_IN_ORDER) + 1):
        table = _matrix(outcome, _GO_IN_ORDER[:gone])
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
    console.print(table)
    console.print()


def _matrix(outcome: Outcome, left_out: Sequence[str]) -> RichTable:
    headers, rows = matrix_table(outcome)
    shown = [place for place, header in enumerate(headers) if header not in left_out]
    table = _columns([headers[place] for place in shown], WORDS)
    for row, cells in zip(outcome.rows, rows, strict=True):
        # Causes and missed limits need a line of their own, below; the first word of them is enough here.
        table.add_row(*(Text(cells[place].partition(":")[0]) for place in shown), style=_row_style(row, outcome))
    return table


def _row_style(row: Row, outcome: Outcome) -> str:
    return "bold" if is_recommended(row, outcome) else _STATE_STYLES.get(row.state, "")


def _print_command(command: str, console: Console) -> None:
    # Unwrapped, so that it can be copied as one line.
    console.print(Text(f"  {command}", style="green"), soft_wrap=True)
