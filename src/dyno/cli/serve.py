"""`dyno serve`: run the recommended configuration in the foreground."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY_DIR]", help="The newest study without it.")] = None,
    engine: Annotated[str | None, typer.Option(help="An engine environment other than the study's.")] = None,
    device: Annotated[str | None, typer.Option(help="The card, by UUID or index.")] = None,
) -> None:
    """Start what a study recommends, on loopback, until Ctrl-C."""
    from dyno.cli.study import read_host, say
    from dyno.serve.foreground import serve_study
    from dyno.study.store import newest_study

    serve_study(study or newest_study(), engine, device, read_host(), say, lambda line: print(line, flush=True))
    sys.stdout.flush()
