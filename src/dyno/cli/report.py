"""`dyno report`: show a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dyno.errors import InputError

if TYPE_CHECKING:
    from dyno.study.outcome import Outcome

Format = Literal["terminal", "markdown", "html", "json"]


def report(
    study: Annotated[Path | None, typer.Option(help="Folder of the study; the newest in ./studies by default.")] = None,
    format: Annotated[Format, typer.Option(help="How to show it.")] = "terminal",
    output: Annotated[
        Path | None, typer.Option(help="File to write; html goes to STUDY/report.html by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show a study: matrix, verdict, recommended command, evidence."""
    from dyno.study.store import load_outcome, newest_study

    folder = study or newest_study()
    outcome = load_outcome(folder)
    chosen: Format = "json" if as_json else format
    if chosen == "html" and output is None:
        from dyno.report.html import write_report

        typer.echo(write_report(folder, outcome))
        return
    if chosen == "terminal" and output is None:
        from rich.console import Console

        from dyno.report.terminal import render_terminal

        render_terminal(outcome, Console())
        return
    text = _rendered(outcome, folder, chosen)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {output}: cannot be written ({error.strerror}); name another file") from error
    typer.echo(output)


def _rendered(outcome: "Outcome", folder: Path, format: Format) -> str:
    if format == "markdown":
        from dyno.report.markdown import render_markdown

        return render_markdown(outcome)
    if format == "html":
        from dyno.report.html import log_tails, render_html

        return render_html(outcome, log_tails(outcome, folder))
    if format == "json":
        import json

        from dyno.report.jsonout import outcome_json

        return json.dumps(outcome_json(outcome), indent=2) + "\n"
    from io import StringIO

    from rich.console import Console

    from dyno.report.terminal import render_terminal

    file = StringIO()
    render_terminal(outcome, Console(file=file, width=140))
    return file.getvalue()
