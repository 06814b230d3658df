"""`dyno prove`: is B better than A?"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dyno.cli.options import Words, given, workload_of
from dyno.errors import InputError


def prove(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model folder or a Hugging Face id.")] = None,
    a: Annotated[str | None, typer.Option("--a", metavar="FLAGS", help="The one: flags or a command.")] = None,
    b: Annotated[str | None, typer.Option("--b", metavar="FLAGS", help="The other; vLLM's defaults without.")] = None,
    env_a: Annotated[str | None, typer.Option(metavar="NAME", help="A's engine, else the one in use.")] = None,
    env_b: Annotated[str | None, typer.Option(metavar="NAME", help="B's engine, else A's.")] = None,
    metric: Annotated[Words, typer.Option(help="output_throughput, ttft_p95, ...; may be repeated.")] = None,
    max_pairs: Annotated[int | None, typer.Option(help="Pairs of launches at most (20).")] = None,
    margin: Annotated[str | None, typer.Option(help="What makes no difference to you ('2 %').")] = None,
    budget: Annotated[str | None, typer.Option(help="Time to spend, such as 40m.")] = None,
    workload: Annotated[str | None, typer.Option(help="chat, long or decode.")] = None,
    input_len: Annotated[int | None, typer.Option(help="Prompt tokens.")] = None,
    output_len: Annotated[int | None, typer.Option(help="Tokens to generate.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Clients at once.")] = None,
    requests: Annotated[int | None, typer.Option(help="Measured requests.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the prompts.")] = None,
    device: Annotated[str | None, typer.Option(help="The card, by UUID or index.")] = None,
    study: Annotated[Path | None, typer.Option(help="The study's folder (./studies/NAME).")] = None,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Launch also what lint finds an error in.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with a proof where it stopped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of verdicts, one a metric.")] = False,
) -> None:
    """Compare two configurations, or two engine releases, until it is known whether B is better than A.

    Launches alternate A B, B A, ... with the same requests in the same order, and stop as soon as the answer is clear.
    vLLM flags after `--` hold for both.
    """
    from dyno.cli import study as running

    load = workload_of(workload, input_len, output_len, concurrency, requests)
    pinned = shlex.join(context.obj) if context.obj else None
    asked = given(model=model, baseline=a, engine=env_a, budget=budget, seed=seed, device=device, workload=load,
                  objective=metric[0] if metric else None, pinned=pinned)  # fmt: skip
    more = given(engine_b=env_b or env_a, metrics=metric or None, max_pairs=max_pairs, margin=margin)
    if resume:
        if asked or more or b is not None:
            raise InputError("--resume: goes on with what was asked; leave out everything but --study and --json")
        running.show(running.go_on(study, {}, running.read_host()), as_json)
        return
    if model is None:
        raise InputError("MODEL: missing; give a model folder or a Hugging Face id")
    asked |= {"candidates": {"B": b or ""}, "prove": more, "tests": ["throughput"], "allow_output_change": True}
    running.show(running.start(study, asked, running.read_host(), lint=not no_lint), as_json)
