"""What is about to be launched, judged by the flags that the engine itself told of."""

from dyno.engine.args import EngineArgs
from dyno.engine.catalog import Catalog, parse_command
from dyno.hardware.gpus import Card
from dyno.lint.case import ModelFacts
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.fix import fix
from dyno.lint.knowledge import from_catalog
from dyno.lint.read import read
from dyno.lint.rules import RULES

_NAME = "<launch>"


def launch_errors(args: EngineArgs, judge: Judge) -> list[Finding]:
    """What this engine would refuse."""
    return [each for each in judge.findings(_text(args.command())) if each.severity == "error"]


def repaired(args: EngineArgs, judge: Judge, catalog: Catalog) -> EngineArgs | None:
    """The configuration as this engine takes it, None when it cannot take it however it is written."""
    done = fix(_text(args.command()), judge)
    if any(each.severity == "error" for each in done.left):
        return None
    return parse_command(done.after.text, catalog)


def engine_judge(catalog: Catalog, platform: str, card: Card | None, model: ModelFacts | None) -> Judge:
    """Judges for one installed engine, on its card, with its model."""
    known = from_catalog(catalog)
    return Judge(lambda _: known, RULES, card, model, platform)


def _text(command: str) -> Text:
    return Text(_NAME, command, read(_NAME, command, frozenset(), "command"))
