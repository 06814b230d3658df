"""`dyno plan`: what fits, before anything is launched."""

from pathlib import Path
from typing import Annotated

import typer

from dyno.cli.options import Words


def plan(
    model: Annotated[str, typer.Argument(help="A model folder or a Hugging Face id; its weights are not needed.")],
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as 4090, H100, cpu; you need not have it. Else this machine's."),
    ] = None,
    hardware: Annotated[Path | None, typer.Option(help="A machine, as `dyno doctor --json` printed it.")] = None,
    vllm: Annotated[str | None, typer.Option(metavar="RELEASE", help="Such as 0.26.0; else the engine in use.")] = None,
    settings: Annotated[
        Words, typer.Option("--set", metavar="FLAG=VALUE", help="A flag of vLLM; may be repeated.")
    ] = None,
    limits: Annotated[
        Words, typer.Option("--limits", "--limit", metavar="NAME=VALUE", help="'vram=11 GiB', 'ram=85 GB'.")
    ] = None,
    workload: Annotated[Path | None, typer.Option(help="A workload as YAML, or chat, long, decode.")] = None,
    input_len: Annotated[int | None, typer.Option(help="Prompt tokens.")] = None,
    output_len: Annotated[int | None, typer.Option(help="Tokens to generate.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Clients at once.")] = None,
    grid: Annotated[str | None, typer.Option(help="max_model_len,concurrency: a table of what fits.")] = None,
    observed: Annotated[Path | None, typer.Option(help="Starts that were seen: a study, or a JSON list.")] = None,
    warm: Annotated[
        bool | None, typer.Option("--warm/--cold", help="Its compile cache is filled, or empty; else as in --observed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a configuration of vLLM would take of a card, whether it starts, and what is the largest that fits."""
    from dyno.cli import planning

    asked = planning.Asked(model, gpu, hardware, vllm, tuple(settings or ()), tuple(limits or ()), observed, grid,
                           workload, input_len, output_len, concurrency, warm)  # fmt: skip
    if not planning.run(asked, as_json):
        raise typer.Exit(1)
