"""`dyno lint`: is this configuration right for this vLLM release? If not, what is?"""

from typing import Annotated

import typer

from dyno.cli.options import Words


def lint(
    inputs: Annotated[Words, typer.Argument(metavar="[INPUT]...", help="Files, a command in quotes, or -.")] = None,
    vllm: Annotated[str | None, typer.Option(metavar="V|all", help="The release to judge for.")] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="Judge for this card, such as 'RTX 4090'.")] = None,
    model: Annotated[str | None, typer.Option(metavar="M", help="A model folder, or an id in the hub's cache.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Rewrite what has a sure remedy, or print it corrected.")] = False,
    ignore: Annotated[Words, typer.Option(metavar="CODE", help="Leave a code out; may be repeated.")] = None,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Say what a code means.")] = None,
    diff: Annotated[tuple[str, str] | None, typer.Option(metavar="A B", help="What changed between releases.")] = None,
    matrix: Annotated[bool, typer.Option("--matrix", help="Which optimisations go together.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of findings.")] = False,
) -> None:
    """Check vLLM commands, compose files, Dockerfiles, .env, YAML, Python and markdown against a vLLM release.

    Without --vllm the release is what an image's tag names, else the engine in use, else the newest known.
    """
    from dyno.cli import findings as shown
    from dyno.errors import InputError
    from dyno.lint.rules import find_rules

    if explain:
        print(shown.explained(find_rules([explain])[0]))
    elif diff:
        print(shown.changed(*diff))
    elif matrix:
        print(shown.matrix(shown.judge(None if vllm == "all" else vllm, gpu, model, ignore), as_json))
    elif not inputs:
        raise InputError("INPUT: missing; name a file, a whole command in quotes, or - for stdin")
    elif vllm == "all":
        if fix:
            raise InputError("--fix: repairs for one release; name it by --vllm")
        raise typer.Exit(shown.over_releases(inputs, shown.judge(None, gpu, model, ignore), as_json))
    else:
        raise typer.Exit(shown.one_release(inputs, shown.judge(vllm, gpu, model, ignore), fix, as_json))
