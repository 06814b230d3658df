"""Running a study from the command line: what the verbs that launch engines share."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from dyno.cli.progress import watching
from dyno.errors import Stopped
from dyno.study.foresee import foresee, launched_anyway, refuse_baseline
from dyno.study.journal import read_journal
from dyno.study.launchable import refuse_errors
from dyno.study.outcome import Outcome
from dyno.study.pack import SUFFIX, unpack
from dyno.study.prepare import Prepared, fetch, prepare
from dyno.study.schedule import order_of, screen_order
from dyno.study.spec import StudySpec
from dyno.study.store import check_folder, free_folder, load_outcome, newest_study, now, spec_of
from dyno.study.tune import Host, resume, tune
from dyno.units import format_seconds


def read_host() -> Host:
    """This machine, as far as a study needs it."""
    from dyno.hardware.probe import read_hardware

    return Host(read_hardware(Path.cwd()), os.environ.get("CUDA_VISIBLE_DEVICES"))


def start(study: Path | None, asked: dict[str, Any], host: Host, name: str | None = None, *, lint: bool = True) -> Path:
    """A new study, run to its end, its folder called after `name`, else after the model. Stopped on Ctrl-C.

    With `lint` InputError before anything starts has what an engine would refuse.
    """
    if study is not None:
        check_folder(study)  # before anything is downloaded for a study that cannot be written
    prepared = _prepared(asked, host, lint)
    folder = study or free_folder(name or Path(prepared.spec.model).name)
    prepared = fetch(prepared, say)
    with watching() as watch:
        return _stoppable(folder, _verb(prepared.spec), lambda: tune(prepared, folder, host, watch))


def go_on(study: Path | None, asked: dict[str, Any], host: Host) -> Path:
    """A study that stopped, run to its end; one that comes as a packed file is unpacked beside it first."""
    folder = unpack(study) if study and study.name.endswith(SUFFIX) else study or newest_study()
    verb = _verb(spec_of(read_journal(folder)))
    with watching() as watch:
        return _stoppable(folder, verb, lambda: resume(folder, asked, host, watch))


def show(folder: Path, as_json: bool) -> None:
    """Print what came out, with a report beside it. Ends with 1 when nothing keeps the limits."""
    from dyno.report.jsonout import outcome_json

    outcome = load_outcome(folder)
    if outcome.verdicts:
        show_proofs([folder], as_json)
        return
    _show(folder, outcome, outcome_json(outcome) if as_json else None)
    if all(row.state != "complete" for row in outcome.rows):
        raise typer.Exit(3)
    if outcome.recommended is None:
        raise typer.Exit(1)


def prove_backends(asked: dict[str, Any], names: list[str], study: Path | None, as_json: bool, lint: bool) -> None:
    """A proof for each attention backend, in a folder of its own; then what all of them say."""
    from dyno.engine.environment import current_environment, load_catalog
    from dyno.study.backends import backend_changes, with_change

    environment, host = current_environment(asked.get("engine")), read_host()
    folders = []
    for name, change in backend_changes(names, environment, load_catalog(environment)).items():
        asked |= {"candidates": {name: with_change(asked.get("baseline", ""), change)}}
        folder = study and study.with_name(f"{study.name}-{name}")
        folders.append(start(folder, asked, host, f"{Path(asked['model']).name}-{name}", lint=lint))
    show_proofs(folders, as_json)


def show_proofs(folders: list[Path], as_json: bool) -> None:
    """Print verdicts. Ends with 1 for worse, 4 for inconclusive and 3 when a side of each never delivered a figure.

    One that is worse, or keeps no limits, makes the whole worse, else one that is open leaves the whole open.
    """
    from dyno.report.folder import write_report
    from dyno.report.jsonout import proof_json

    outcomes = [load_outcome(folder) for folder in folders]
    if as_json:
        for folder, outcome in zip(folders, outcomes, strict=True):
            write_report(folder, outcome)
        print(json.dumps([each for outcome in outcomes for each in proof_json(outcome)], indent=2))
    else:
        for folder, outcome in zip(folders, outcomes, strict=True):
            _show(folder, outcome, None)
    codes = [_proof_code(outcome) for outcome in outcomes]
    told = [code for code in codes if code != 3] or [3]
    if code := next((code for code in (1, 4, 3) if code in told), 0):
        raise typer.Exit(code)


def _proof_code(outcome: Outcome) -> int:
    answers = {verdict.answer for verdict in outcome.verdicts}
    if any(row.state == "failed" and "throughput" not in row.metrics for row in outcome.rows):
        return 3
    missed = any(check.met is False for check in outcome.rows[1].checks)
    return 1 if "worse" in answers or missed else 4 if "inconclusive" in answers else 0


def bench_model(asked: dict[str, Any], study: Path | None, as_json: bool, lint: bool) -> None:
    """A study of one candidate. Ends with 1 when its run is void and with 3 when the engine failed."""
    from dyno.bench.record import ScenarioResult
    from dyno.bench.server import cpu_us_per_token
    from dyno.cli.figures import result_json
    from dyno.report.jsonout import outcome_json

    folder = start(study, asked | {"candidates": {}, "pairs": 0}, read_host(), lint=lint)
    outcome = load_outcome(folder)
    tokens = sum(step.figures.get("output_tokens") or 0 for step in outcome.steps)
    results = [result_json(ScenarioResult("throughput", step.figures, step.void), cpu_us_per_token(tokens))
               for step in outcome.steps if step.scenario == "throughput" and step.figures]  # fmt: skip
    result = {"result": results[-1] if results else None}
    _show(folder, outcome, outcome_json(outcome) | result if as_json else None)
    if code := {"complete": 0, "void": 1}.get(outcome.rows[0].state, 3):
        raise typer.Exit(code)


def _show(folder: Path, outcome: Outcome, as_json: dict[str, Any] | None) -> None:
    from dyno.report.folder import write_report

    page = write_report(folder, outcome)
    if as_json is not None:
        print(json.dumps(as_json, indent=2))
        return
    from rich.console import Console

    from dyno.report.terminal import render_terminal

    render_terminal(outcome, Console())
    print(f"\nreport: {page}")
    if outcome.recommended:
        print(f"serve it: dyno serve {folder}")


def show_plan(asked: dict[str, Any], host: Host, lint: bool) -> None:
    """What would run, in order, and how long it may take."""
    prepared = _prepared(asked, host, lint)
    spec = prepared.spec
    if spec.prove:
        for candidate in prepared.candidates:
            print(f"{candidate.name}: {candidate.args.changes() or 'vLLM defaults'}")
        print(f"prove: at most {spec.prove.max_pairs} pairs of launches")
        return
    by_name = {candidate.name: candidate for candidate in prepared.candidates}
    foreseen = {each.name: each for each in prepared.plan.candidates} if prepared.plan else {}
    order = screen_order(order_of(prepared.candidates, foreseen, spec), (), block=1)
    print(f"engine: vLLM {prepared.environment.version} on {prepared.environment.platform}")
    print(f"tests: {', '.join(spec.tests)}")
    print(f"screen, {len(order)} launches:")
    for number, name in enumerate(order, 1):
        reason = f"  # {by_name[name].reason}" if by_name[name].reason else ""
        print(f"  {number:2} {name}: {by_name[name].args.changes() or 'vLLM defaults'}{reason}")
    for each in foreseen.values():
        if each.rejected:
            print(f"not launched, {each.name}: {'; '.join(each.rejected)}")
    print(f"confirm: {spec.pairs} pairs of launches, the best of them against the baseline")
    launch_s = 60 if prepared.environment.platform == "cpu" else 90
    print(f"expected: {format_seconds(launch_s * (len(order) + 2 * spec.pairs))} at about {launch_s} s a launch"
          + (f"; budget {format_seconds(spec.budget_s)}" if spec.budget_s else ""))  # fmt: skip


def _prepared(asked: dict[str, Any], host: Host, lint: bool) -> Prepared:
    prepared = prepare(asked, host.hardware, host.visible_devices, say)
    if lint:
        card = next((gpu for gpu in host.hardware.gpus if gpu.uuid == prepared.device_uuid), None)
        refuse_errors(prepared.candidates, prepared.environment, card, prepared.model)
    plan = foresee(prepared, host.hardware, now())
    if not lint or prepared.spec.prove:  # both sides of a proof are launched
        return replace(prepared, plan=launched_anyway(plan))
    refuse_baseline(plan, prepared.candidates)
    return replace(prepared, plan=plan)


def say(text: str) -> None:
    """A message for whoever watches; stdout stays clean."""
    print(text, file=sys.stderr, flush=True)


def _verb(spec: StudySpec) -> str:
    return "prove" if spec.prove else "tune"


def _stoppable(folder: Path, verb: str, work: Callable[[], Path]) -> Path:
    try:
        return work()
    except KeyboardInterrupt as error:
        raise Stopped(
            f"stopped; what was finished is kept. Go on with: dyno {verb} --resume --study {folder}"
        ) from error
