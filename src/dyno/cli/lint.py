"""`dyno lint`: is this configuration right for this vLLM release? If not, what is?"""

from typing import Annotated

import typer

from dyno.cli.options import Words


def lint(
    inputs: Annotated[Words, typer.Argument(metavar="[INPUT]...", help="Files, a command in quotes, or -.")] = None,
    vllm: Annotated[str | None, typer.Option(metavar="V|all", help="The release to judge for.")] = None,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="Judge for this card, such as 'RTX 4090'.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Rewrite what has a sure remedy, or print it corrected.")] = False,
    ignore: Annotated[Words, typer.Option(metavar="CODE", help="Leave a code out; may be repeated.")] = None,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Say what a code means.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of findings.")] = False,
) -> None:
    """Check vLLM commands, compose files, Dockerfiles, .env, YAML, Python and markdown against a vLLM release."""
    import json
    import sys

    from dyno.cli import findings as shown
    from dyno.errors import InputError
    from dyno.hardware.gpus import find_card
    from dyno.lint.check import Judge
    from dyno.lint.inputs import read_inputs
    from dyno.lint.knowledge import judged_for, known_names
    from dyno.lint.rules import RULES, find_rules

    if explain:
        print(shown.explained(find_rules([explain])[0]))
        return
    if not inputs:
        raise InputError("INPUT: missing; name a file, a whole command in quotes, or - for stdin")
    ignored = frozenset(rule.code for rule in find_rules(ignore or ()))
    judge = Judge(judged_for(vllm), RULES, find_card(gpu) if gpu else None, ignore=ignored)
    texts = read_inputs(inputs, sys.stdin.buffer.read, known_names())
    findings = shown.repair(texts, judge) if fix else [each for text in texts for each in judge.findings(text)]
    print(json.dumps([each.shown() for each in findings], indent=1) if as_json else shown.listed(findings))
    if any(each.severity == "error" for each in findings):
        raise typer.Exit(1)
