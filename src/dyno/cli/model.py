"""`dyno model`: folders that an engine serves without weights."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def model() -> None:
    """Make small or real-shaped model folders for measuring without weights."""


@app.command()
def synthetic(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    shape: Annotated[
        str, typer.Option(help="demo, qwen3-4b, llama-3.2-3b, gemma-3-1b, ...; a wrong one lists all.")
    ] = "demo",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write config and tokenizer of a model, to be served with `--load-format dummy`."""
    from dyno.errors import InputError, nearest
    from dyno.model.synthetic import SHAPES, write_model

    if shape not in SHAPES:
        raise InputError(f"--shape: {shape!r} is not one of {', '.join(SHAPES)}{nearest(shape, tuple(SHAPES))}")
    path = str(write_model(folder, SHAPES[shape]).absolute())
    print(json.dumps({"path": path, "shape": shape}) if as_json else path)
