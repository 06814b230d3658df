"""A study as text in any of the formats that `dyno report` knows."""

import json
from pathlib import Path
from typing import Literal

from rich.console import Console

from dyno.report.folder import page_of
from dyno.report.jsonout import outcome_json
from dyno.report.markdown import render_markdown
from dyno.report.terminal import render_terminal
from dyno.study.outcome import Outcome


def told(
    outcome: Outcome, folder: Path, format: Literal["terminal", "markdown", "html", "json"], width: int | None = None
) -> str:
    """The study; `width` is that of a terminal that is none."""
    if format == "markdown":
        return render_markdown(outcome)
    if format == "html":
        return page_of(folder, outcome)
    if format == "json":
        return json.dumps(outcome_json(outcome), indent=2) + "\n"
    console = Console(width=width, force_terminal=None if width is None else False)
    with console.capture() as capture:
        render_terminal(outcome, console)
    return capture.get()
