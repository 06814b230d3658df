"""`dyno bench`: how fast is this one configuration, or this URL?"""

import json
import shlex
import sys
from pathlib import Path

import typer

from dyno.cli.options import SHARED_HOST, SILENCE, check_kind, given, limits_of, seconds, server_limits, workload_of
from dyno.errors import InputError
from dyno.workload import latency_limits, workload_from

_TESTS = "ttft, throughput, long_context, prefix_reuse, context, concurrency, sustained, soak"


def bench(
    context: typer.Context,
    folder: str | None = typer.Argument(None, metavar="[MODEL]", help="A model to launch; vLLM's flags go after `--`."),
    url: str = typer.Option("", "--url", help="A running server that speaks OpenAI's completions."),
    model: str = typer.Option("", "--model", help="Its name for the model; may be left out when it lists only one."),
    chat: bool = typer.Option(False, "--chat", help="Use /v1/chat/completions."),
    workload: str = typer.Option("chat", "--workload", help="Preset: chat, long or decode."),
    concurrency: int | None = typer.Option(None, "--concurrency", help="Requests under way at a time."),
    requests: int | None = typer.Option(None, "--requests", help="Requests that are measured."),
    input_len: int | None = typer.Option(None, "--input-len", help="Tokens in a prompt."),
    output_len: int | None = typer.Option(None, "--output-len", help="Tokens in an answer."),
    scenario: list[str] = typer.Option([], "--scenario", help=f"Test: {_TESTS}."),
    rate: float | None = typer.Option(None, "--rate", help="Requests a second, whatever becomes of the earlier ones."),
    arrival: str = typer.Option("", "--arrival", help="With --rate: poisson (default) or constant."),
    trace: Path | None = typer.Option(None, "--trace", help="JSON lines of timestamp_s, input_len, output_len."),
    lengths: str = typer.Option("", "--lengths", help="Around the lengths named: uniform:0.5 or lognormal:0.8."),
    prefix_len: int = typer.Option(0, "--prefix-len", help="Tokens that prompts share at their beginning."),
    prefixes: int = typer.Option(1, "--prefixes", help="How many such beginnings."),
    limits: list[str] = typer.Option([], "--limits", help="Such as ttft_p95=2s; for concurrency, and to be kept."),
    duration: str | None = typer.Option(None, "--duration", help="Of sustained and soak: 60 s, 8 h."),
    goodput: str = typer.Option("", "--goodput", help="Objectives of a request: ttft:2s,tpot:50ms,e2el:10s."),
    processes: int = typer.Option(1, "--processes", help="Of the load generator, where one core is too few.", min=1),
    seed: int | None = typer.Option(None, "--seed", help="Of prompts; else fresh ones (--url), 0 (MODEL).", min=0),
    raw: Path | None = typer.Option(None, "--raw", help="Folder to keep the raw records in."),
    api_key_env: str | None = typer.Option(None, "--api-key-env", help="The variable that holds the API key."),
    engine: str | None = typer.Option(None, "--engine", help="With MODEL: an environment other than the one in use."),
    device: str | None = typer.Option(None, "--device", help="With MODEL: the card, by UUID or index."),
    study: Path | None = typer.Option(None, "--study", help="With MODEL: the folder to keep everything in."),
    no_lint: bool = typer.Option(False, "--no-lint", help="With MODEL: launch also what lint finds an error in."),
    silence: str | None = typer.Option(None, "--silence", help=SILENCE),
    shared_host: bool = typer.Option(False, "--shared-host", help=SHARED_HOST),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Measure a running server (--url), or launch one configuration of vLLM (MODEL) and measure that."""
    of_url = {"--model": model, "--chat": chat, "--raw": raw, "--api-key-env": api_key_env, "--rate": rate is not None,
              "--arrival": arrival, "--trace": trace, "--lengths": lengths, "--prefix-len": prefix_len,
              "--prefixes": prefixes != 1, "--goodput": goodput, "--processes": processes > 1}  # fmt: skip
    of_model = {"--engine": engine, "--device": device, "--study": study, "--no-lint": no_lint,
                "flags after `--`": context.obj}  # fmt: skip
    check_kind(folder, url, of_url, of_model)
    if folder:
        from dyno.cli.study import bench_model

        words = workload_of(workload, input_len, output_len, concurrency, requests)
        bench_model(given(model=folder, workload=words, tests=scenario or None, seed=seed, engine=engine, device=device,
                          limits=limits_of(limits), duration=duration, silence=silence, shared_host=shared_host or None,
                          pinned=shlex.join(context.obj) if context.obj else None),
                    study, as_json, not no_lint)  # fmt: skip
        return
    if trace and (requests or input_len or output_len):
        raise InputError("--trace: brings its own requests; leave out --requests, --input-len and --output-len")
    from dyno.bench.record import SILENCE_S, Search, Target
    from dyno.bench.server import Asked, bench_server
    from dyno.bench.shape import read_shape
    from dyno.cli.figures import counting, missed_limits, results_text, server_json, void_reasons

    shape = read_shape({"arrival": arrival, "lengths": lengths, "goodput": goodput},
                       rate=rate, trace=trace, prefix_len=prefix_len, prefixes=prefixes)  # fmt: skip
    load = workload_from(workload, input_len=input_len, output_len=output_len, concurrency=concurrency,
                         num_requests=requests)  # fmt: skip
    held = server_limits(limits_of(limits) or {})
    search = Search(load.concurrency) if latency_limits(held) and concurrency is None else None
    asked = Asked(load, scenario or ("throughput",), seed, shape, processes, held, seconds("--duration", duration),
                  search)  # fmt: skip
    target = Target(url, model, chat, api_key_env=api_key_env, shared_host=shared_host,
                    silence_s=seconds("--silence", silence) or SILENCE_S)  # fmt: skip
    done = bench_server(target, asked, raw, counting())
    print(json.dumps(server_json(done, asked, scenario)) if as_json else results_text(done.results))
    if missed := missed_limits(done.results, held):
        print("\n".join(missed), file=sys.stderr)
    if void_reasons(done.results) or missed:
        raise typer.Exit(1)
