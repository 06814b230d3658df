"""Run by an engine environment's own interpreter: what its vLLM is and which flags it knows, as JSON.

    python -c "$(cat inspect_engine.py)" OUTPUT.json

Dyno never imports this module: it hands the text to the other interpreter, so only the standard library and the
interpreter's own vLLM are used. Of vLLM it needs exactly

    vllm.__version__
    vllm.platforms.current_platform.device_type
    make_arg_parser(parser) in vllm.entrypoints.launchers.cli_args, or vllm.entrypoints.openai.cli_args (before 0.30)
    FlexibleArgumentParser in vllm.utils.argparse_utils, or vllm.utils (before 0.12)

and, where they exist, the metadata of the distributions `vllm` (whose version has the local part: "0.32.0+cpu") and
`torch`.
"""

import argparse
import importlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARSER_MAKERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
PARSER_CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
Read = Callable[[str], object]
REFUSALS = (argparse.ArgumentTypeError, ValueError, TypeError, KeyError, AttributeError)


def callable_from(modules: tuple[str, ...], name: str) -> Callable[..., argparse.ArgumentParser]:
    """The function or class from the first of the modules that exists and has it."""
    for module in modules:
        try:
            found: Callable[..., argparse.ArgumentParser] = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "?"):
                raise
        except AttributeError:
            continue
        else:
            return found
    raise ImportError(f"this vLLM has no {name} in {' or '.join(modules)}")


def accepts(read: Read, text: str) -> bool:
    """Whether a flag's own type takes this text."""
    try:
        read(text)
    except REFUSALS:
        return False
    return True


def is_a(kind: type, read: Read, text: str) -> bool:
    return accepts(read, text) and isinstance(read(text), kind)


def type_of(action: argparse.Action) -> Read:
    return action.type if callable(action.type) else str


def kind_of(action: argparse.Action) -> str:
    """How a flag's words are read, found by trying its type: most of vLLM's types are closures without a name."""
    read = type_of(action)
    if action.nargs == 0:
        return "switch"
    if accepts(read, "Any-Word"):
        return "folded" if read("Any-Word") == "any_word" else "str"
    if accepts(read, "{}"):
        return "json"
    if is_a(int, read, "1k"):
        return "size"
    if is_a(int, read, "1"):
        return "int"
    return "float" if is_a(float, read, "1.5") else "str"


def flag_of(action: argparse.Action) -> dict[str, Any]:
    """A `dyno.engine.catalog.Flag` as JSON."""
    switch = action.nargs == 0
    negations = {option for option in action.option_strings if switch and option.startswith("--no-")}
    positive = [o for o in action.option_strings if o not in negations or "--" + o[5:] not in action.option_strings]
    longest = next((option for option in positive if option.startswith("--")), positive[0])
    kind = kind_of(action)
    words = [
        word for word in ("None", "auto") if kind in ("json", "size", "int", "float") and accepts(type_of(action), word)
    ]
    return {
        "name": longest.lstrip("-").replace("-", "_"),
        "options": positive,
        "kind": kind,
        "choices": [str(choice) for choice in action.choices or ()],
        "words": words,
        "negatable": len(positive) < len(action.option_strings),
        "nargs": action.nargs if isinstance(action.nargs, str) else None,
    }


def distribution_version(name: str) -> str:
    """The installed version, "" where there is no such distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def inspect() -> dict[str, Any]:
    """Everything Dyno asks of an engine environment."""
    vllm = importlib.import_module("vllm")
    parser = callable_from(PARSER_MAKERS, "make_arg_parser")(callable_from(PARSER_CLASSES, "FlexibleArgumentParser")())
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    return {
        "version": distribution_version("vllm") or vllm.__version__,
        "platform": importlib.import_module("vllm.platforms").current_platform.device_type,
        "python_version": platform.python_version(),
        "torch_version": distribution_version("torch"),
        "flags": [flag_of(action) for action in actions],
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(inspect()))
