"""`dyno doctor`: what is this machine, will vLLM run on it, and what is wrong?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dyno.doctor.findings import Finding

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the machine as vLLM will find it, and what to do about what is wrong. Changes nothing."""
    import json
    from dataclasses import asdict

    from dyno.doctor.describe import describe
    from dyno.doctor.findings import Finding, find
    from dyno.engine.environment import list_environments
    from dyno.errors import EnvironmentBroken
    from dyno.hardware.probe import read_hardware
    from dyno.home import dyno_home

    hardware, broken = read_hardware(dyno_home()), []
    try:
        environments = list_environments()
    except EnvironmentBroken as error:
        what, _, remedy = str(error).partition("; ")
        environments, broken = (), [Finding("error", what, remedy)]
    findings = (*broken, *find(hardware, environments))
    if as_json:
        print(json.dumps({"schema_version": 1, "hardware": asdict(hardware), "kind": hardware.kind,
                          "environments": [asdict(each) for each in environments],
                          "findings": [asdict(each) for each in findings]}))  # fmt: skip
    else:
        _print(describe(hardware, environments), findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _print(facts: Sequence[tuple[str, str]], findings: "Sequence[Finding]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, style="dim"), Text(value))
    for finding in findings:
        text = Text.assemble(finding.what, "\n", (f"-> {finding.remedy}", "dim"))
        table.add_row(Text(finding.level, style=STYLES[finding.level]), text)
    if not findings:
        table.add_row(Text("fine", style="green"), Text("nothing found that stands in the way"))
    Console().print(table)
