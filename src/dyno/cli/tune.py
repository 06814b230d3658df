"""`dyno tune`: which configuration is best within my limits?"""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from dyno.cli.options import SHARED_HOST, SILENCE, Words, given, named, workload_of
from dyno.errors import InputError


def tune(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL|SPEC.yaml]", help="A model folder, a Hugging Face id, or a spec.")
    ] = None,
    workload: Annotated[str | None, typer.Option(help="chat, long or decode.")] = None,
    input_len: Annotated[int | None, typer.Option(help="Prompt tokens.")] = None,
    output_len: Annotated[int | None, typer.Option(help="Tokens to generate.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Clients at once.")] = None,
    requests: Annotated[int | None, typer.Option(help="Measured requests.")] = None,
    objective: Annotated[str | None, typer.Option(help="What decides: output_throughput, ttft_p95, ...")] = None,
    limit: Annotated[Words, typer.Option(metavar="NAME=BOUND", help="Such as 'ttft_p95=2 s' or 'vram=11 GiB'.")] = None,
    weight: Annotated[Words, typer.Option(metavar="NAME=SHARE", help="A criterion of the decision matrix.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Your own command; vLLM's defaults without it.")] = None,
    candidate: Annotated[Words, typer.Option(metavar="NAME: CHANGE", help="Such as 'eager: --enforce-eager'.")] = None,
    test: Annotated[Words, typer.Option(help="Only these of the six tests.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Pairs of launches that confirm the best (6).")] = None,
    budget: Annotated[str | None, typer.Option(help="Time to spend, such as 40m.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of order and prompts.")] = None,
    allow_output_change: Annotated[bool, typer.Option(help="Recommend what can change the output, too.")] = False,
    engine: Annotated[str | None, typer.Option(help="An engine environment other than the one in use.")] = None,
    device: Annotated[str | None, typer.Option(help="The card, by UUID or index.")] = None,
    silence: Annotated[str | None, typer.Option(help=SILENCE)] = None,
    shared_host: Annotated[bool, typer.Option("--shared-host", help=SHARED_HOST)] = False,
    study: Annotated[Path | None, typer.Option(help="The study's folder (./studies/NAME).")] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with a study where it stopped (--study, else the newest).")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would run and how long it may take.")] = False,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Launch also what lint finds an error in.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a spec and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Find the best configuration of vLLM for a model and prove it. vLLM flags after `--` hold for every candidate."""
    from dyno.cli import study as running
    from dyno.study.written import read_spec, spec_schema

    if schema:
        print(json.dumps(spec_schema(), indent=2))
        return
    if resume and dry_run:
        raise InputError("--dry-run: shows what a new study would run; it does not go with --resume")
    from_file = model is not None and model.endswith((".yaml", ".yml"))
    asked = (read_spec(Path(model)) if from_file and model else {}) | given(
        model=None if from_file else model, objective=objective, limits=named(limit, "--limit", "="), baseline=baseline,
        weights=named(weight, "--weight", "="),
        candidates=named(candidate, "--candidate", ":"), tests=test, pairs=pairs, budget=budget, seed=seed,
        allow_output_change=allow_output_change or None, silence=silence,
        shared_host=shared_host or None, engine=engine, device=device,
        workload=workload_of(workload, input_len, output_len, concurrency, requests),
        pinned=shlex.join(context.obj) if context.obj else None,
    )  # fmt: skip
    host = running.read_host()
    if dry_run:
        running.show_plan(asked, host, not no_lint)
        return
    folder = (
        running.go_on(study, asked, host)
        if resume
        else running.start(study, asked, host, Path(model).stem if from_file and model else None, lint=not no_lint)
    )
    running.show(folder, as_json)
