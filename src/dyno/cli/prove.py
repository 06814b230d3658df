"""`dyno prove`: is B better than A?"""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dyno.cli.options import SHARED_HOST, SILENCE, Words, given, named, workload_of
from dyno.errors import InputError


def prove(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model folder or a Hugging Face id.")] = None,
    a: Annotated[str | None, typer.Option("--a", metavar="FLAGS", help="The one: flags or a command.")] = None,
    b: Annotated[str | None, typer.Option("--b", metavar="FLAGS", help="The other; vLLM's defaults without.")] = None,
    backends: Annotated[str, typer.Option(metavar="NAMES", help="A against each attention backend, or 'all'.")] = "",
    env_a: Annotated[str | None, typer.Option(metavar="NAME", help="A's engine, else the one in use.")] = None,
    env_b: Annotated[str | None, typer.Option(metavar="NAME", help="B's engine, else A's.")] = None,
    metric: Annotated[Words, typer.Option(help="output_throughput, ttft_p95, ...; may be repeated.")] = None,
    limit: Annotated[Words, typer.Option(metavar="NAME=BOUND", help="Such as 'ttft_p95=2 s' or 'vram=11 GiB'.")] = None,
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
    silence: Annotated[str | None, typer.Option(help=SILENCE)] = None,
    shared_host: Annotated[bool, typer.Option("--shared-host", help=SHARED_HOST)] = False,
    study: Annotated[Path | None, typer.Option(help="The study's folder (./studies/NAME).")] = None,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Launch also what lint finds an error in.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with a proof where it stopped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of verdicts, one a metric.")] = False,
) -> None:
    """Compare two configurations, or two engine releases, until it is known whether B is better than A.

    Launches alternate A B, B A, ... with the same requests in the same order, and stop as soon as the answer is clear.
    vLLM flags after `--` hold for both. With latency limits throughput is that at the largest concurrency that keeps
    them, unless --concurrency says how many clients there are.
    """
    from dyno.cli import study as running

    load = workload_of(workload, input_len, output_len, concurrency, requests)
    pinned = shlex.join(context.obj) if context.obj else None
    asked = given(model=model, baseline=a, engine=env_a, budget=budget, seed=seed, device=device, workload=load,
                  objective=metric[0] if metric else None, pinned=pinned, limits=named(limit, "--limit", "="),
                  silence=silence, shared_host=shared_host or None)  # fmt: skip
    more = given(engine_b=env_b or env_a, metrics=metric or None, max_pairs=max_pairs, margin=margin)
    if resume:
        _check_resumed(asked | more | given(b=b, backends=backends or None), max_pairs)
        running.show(running.go_on(study, {}, running.read_host()), as_json)
        return
    if model is None:
        raise InputError("MODEL: missing; give a model folder or a Hugging Face id")
    asked |= {"prove": more, "tests": ["throughput"], "allow_output_change": True}
    if backends:
        if b is not None or env_b:
            raise InputError("--backends: is what B has beside A's flags; leave out --b and --env-b")
        running.prove_backends(asked, [name.strip() for name in backends.split(",")], study, as_json, not no_lint)
        return
    asked |= {"candidates": {"B": b or ""}}
    running.show(running.start(study, asked, running.read_host(), lint=not no_lint), as_json)


def _check_resumed(given: dict[str, Any], max_pairs: int | None) -> None:
    if max_pairs is not None:
        raise InputError(f"--max-pairs {max_pairs}: cannot be raised once launches were made: every look has spent its "
                         "share of the 5 % error for the number that was planned, and one asked for after seeing the "
                         f"answer would be wrong more often; start a new proof with --max-pairs {max_pairs} and "
                         "another --study")  # fmt: skip
    if given:
        raise InputError("--resume: goes on with what was asked; leave out everything but --study and --json")
