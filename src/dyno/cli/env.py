"""`dyno env`: engines, each in an environment of its own."""

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
say = partial(typer.echo, err=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Name = Annotated[str, typer.Argument(help="The environment's name, as `dyno env list` shows it.")]
LINE = "{name}: vLLM {version} on {platform}, torch {torch_version}, {kind}, {python}"


@app.command()
def install(
    vllm: Annotated[str | None, typer.Option(help="cpu, cuda, 0.31.0 or vllm==0.30.0; what fits without it.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name; made from the release without it.")] = None,
    as_json: Json = False,
) -> None:
    """Install vLLM into an environment of its own and verify it. At once when it is there already."""
    from dyno.engine.install import install_environment
    from dyno.hardware.probe import read_hardware

    made = asdict(install_environment(vllm, name, read_hardware(Path.cwd()), say))
    _show(made, LINE.format(**made), as_json)


@app.command()
def adopt(
    name: Annotated[str, typer.Option(help="A name for it.")],
    python: Annotated[str, typer.Option(help="An interpreter that has vLLM.")],
    pythonpath: Annotated[str, typer.Option(metavar="A:B", help="Folders to put before its own.")] = "",
    as_json: Json = False,
) -> None:
    """Use an interpreter that is there already. Nothing is installed into it."""
    from dyno.engine.adopt import adopt_environment

    say(f"verifying {python}: importing vLLM and reading its flags")
    made = asdict(adopt_environment(name, python, tuple(filter(None, pythonpath.split(os.pathsep)))))
    _show(made, LINE.format(**made), as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show the environments; the one in use is marked *."""
    from dyno.engine.environment import environment_in_use, list_environments

    made, in_use = [asdict(environment) for environment in list_environments()], environment_in_use()
    lines = [("* " if each["name"] == in_use else "  ") + LINE.format(**each) for each in made]
    nothing = "no engine environment yet; `dyno env install` makes one"
    _show({"in_use": in_use, "environments": made}, "\n".join(lines) or nothing, as_json)


@app.command()
def use(name: Name) -> None:
    """Make it the one that every verb uses."""
    from dyno.engine.environment import use_environment

    say(f"in use: {use_environment(name).name}")


@app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Remove an environment; an adopted interpreter itself stays."""
    from dyno.engine.environment import environment_in_use, remove_environment
    from dyno.units import format_bytes

    in_use = environment_in_use() == name
    freed = remove_environment(name)
    advice = "; it was the one in use, choose another: `dyno env use NAME`" if in_use else ""
    result = {"removed": name, "freed_bytes": freed, "was_in_use": in_use}
    _show(result, f"removed {name}: {format_bytes(freed)}{advice}", as_json)


@app.command()
def prune(as_json: Json = False) -> None:
    """Remove what no environment needs: half-made ones, logs, caches."""
    from dyno.engine.environment import prune_environments

    lines = prune_environments()
    _show({"pruned": lines}, "\n".join(lines) or "nothing to prune", as_json)


def _show(result: dict[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(result) if as_json else text)
