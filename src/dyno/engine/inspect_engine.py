"""Run by an engine environment's own interpreter: what its vLLM is and which flags it knows, as JSON.

    python -c "$(cat inspect_engine.py)" OUTPUT.json

Dyno never imports this module: it hands the text to the other interpreter, so only the standard library and the
interpreter's own vLLM are used. Of vLLM it needs exactly

    vllm.__version__
    vllm.platforms.current_platform.device_type
    make_arg_parser(parser) in vllm.entrypoints.common.cli_args, vllm.entrypoints.launchers.cli_args (0.29 to 0.32)
    or vllm.entrypoints.openai.cli_args (before)
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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PARSER_MAKERS = (
    "vllm.entrypoints.common.cli_args",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.openai.cli_args",
)
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


def flag_of(action: argparse.Action, spellings: Iterable[str] = ()) -> dict[str, Any]:
    """A `dyno.engine.catalog.Flag` as JSON. `spellings` are those that the parser takes beside the ones it shows."""
    options = list(dict.fromkeys([*action.option_strings, *spellings]))
    plain = {o for o in options if action.nargs == 0 and o.startswith("--no-") and "--" + o[5:] in options}
    negative = set(getattr(action, "negative_option_strings", ())) | plain
    positive = [option for option in options if option not in negative]
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
        "negatable": bool(plain),
        "nargs": action.nargs if isinstance(action.nargs, str) else None,
        "inverses": sorted(negative - plain),
    }


def flags_of(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Every flag of a parser, with the spellings that its help hides."""
    spellings: dict[argparse.Action, list[str]] = {}
    for option, action in parser._option_string_actions.items():
        spellings.setdefault(action, []).append(option)
    return [flag_of(a, spellings[a]) for a in parser._actions if a.option_strings and a.dest != "help"]


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
    return {
        "version": distribution_version("vllm") or vllm.__version__,
        "platform": importlib.import_module("vllm.platforms").current_platform.device_type,
        "python_version": platform.python_version(),
        "torch_version": distribution_version("torch"),
        "flags": flags_of(parser),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(inspect()))
