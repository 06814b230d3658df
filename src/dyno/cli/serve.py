"""`dyno serve`: run the recommended configuration in the foreground."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY_DIR]", help="The newest study without it.")] = None,
    engine: Annotated[str | None, typer.Option(help="An engine environment other than the study's.")] = None,
    device: Annotated[str | None, typer.Option(help="The card, by UUID or index.")] = None,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Launch also what lint finds an error in.")] = False,
) -> None:
    """Start what a study recommends, on loopback, until Ctrl-C."""
    from dyno.cli.study import read_host, say
    from dyno.serve.foreground import Asked, serve_study
    from dyno.study.store import newest_study

    asked = Asked(engine, device, lint=not no_lint)
    serve_study(study or newest_study(), asked, read_host(), say, lambda line: print(line, flush=True))
    sys.stdout.flush()
