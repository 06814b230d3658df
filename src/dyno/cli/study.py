"""Running a study from the command line: what the verbs that launch engines share."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from dyno.cli.progress import watching
from dyno.errors import Stopped
from dyno.study.prepare import prepare
from dyno.study.schedule import Order, screen_order
from dyno.study.store import free_folder, load_outcome, newest_study
from dyno.study.tune import Host, resume, tune
from dyno.units import format_seconds


def read_host() -> Host:
    """This machine, as far as a study needs it."""
    from dyno.hardware.probe import read_hardware

    return Host(read_hardware(Path.cwd()), os.environ.get("CUDA_VISIBLE_DEVICES"))


def start(study: Path | None, asked: dict[str, Any], host: Host) -> Path:
    """A new study, run to its end. Stopped, with the way to go on, when it is interrupted."""
    prepared = prepare(asked, host.hardware, host.visible_devices, say)
    folder = study or free_folder(Path(prepared.spec.model).name)
    with watching() as watch:
        return _stoppable(folder, lambda: tune(prepared, folder, host, watch))


def go_on(study: Path | None, asked: dict[str, Any], host: Host) -> Path:
    """A study that stopped, run to its end."""
    folder = study or newest_study()
    with watching() as watch:
        return _stoppable(folder, lambda: resume(folder, asked, host, watch))


def show(folder: Path, as_json: bool) -> None:
    """Write the report, print what came out, and end with 1 when nothing keeps the limits."""
    import json

    from dyno.report.folder import write_report
    from dyno.report.jsonout import outcome_json
    from dyno.report.terminal import render_terminal

    outcome = load_outcome(folder)
    page = write_report(folder, outcome)
    if as_json:
        print(json.dumps(outcome_json(outcome), indent=2))
    else:
        from rich.console import Console

        render_terminal(outcome, Console())
        print(f"\nreport: {page}\nserve it: dyno serve {folder}")
    if outcome.recommended is None:
        raise typer.Exit(1)


def show_plan(asked: dict[str, Any], host: Host) -> None:
    """What would run, in order, and how long it may take."""
    prepared = prepare(asked, host.hardware, host.visible_devices, say)
    spec = prepared.spec
    by_name = {candidate.name: candidate for candidate in prepared.candidates}
    order = screen_order(Order(tuple(by_name)[1:], spec.tests, spec.seed), (), block=1)
    print(f"engine: vLLM {prepared.environment.version} on {prepared.environment.platform}")
    print(f"tests: {', '.join(spec.tests)}")
    print(f"screen, {len(order)} launches:")
    for number, name in enumerate(order, 1):
        reason = f"  # {by_name[name].reason}" if by_name[name].reason else ""
        print(f"  {number:2} {name}: {by_name[name].args.changes() or 'vLLM defaults'}{reason}")
    print(f"confirm: {spec.pairs} pairs of launches, the best of them against the baseline")
    launch_s = 60 if prepared.environment.platform == "cpu" else 90
    print(f"expected: {format_seconds(launch_s * (len(order) + 2 * spec.pairs))} at about {launch_s} s a launch"
          + (f"; budget {format_seconds(spec.budget_s)}" if spec.budget_s else ""))  # fmt: skip


def say(text: str) -> None:
    """A message for whoever watches; stdout stays clean."""
    print(text, file=sys.stderr, flush=True)


def _stoppable(folder: Path, work: Callable[[], Path]) -> Path:
    try:
        return work()
    except KeyboardInterrupt as error:
        raise Stopped(f"stopped; what was finished is kept. Go on with: dyno tune --resume --study {folder}") from error
