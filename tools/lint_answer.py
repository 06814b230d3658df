"""Run by an engine's own interpreter: whether its vLLM takes commands, as far as that can be told without a start.

    python lint_answer.py CASES.json MODEL ANSWERS.json

CASES.json is a list of {"env": {...}, "argv": [...]}, the words after `vllm serve` with MODEL for the model. Each is
given to the parser of `vllm serve`, to its checks of what it parsed, and to the making of the engine's configuration,
in a process of its own. ANSWERS.json is a list of null (taken) or the message of the refusal.
"""

import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

SERVES = ("vllm.entrypoints.cli.serve",)
PARSER_CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
CHECKS = ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.openai.api_server")


def named(modules: tuple[str, ...], name: str) -> Any:
    """The attribute from the first of the modules that exists and has it."""
    for module in modules:
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                return found
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def stand_in(name: str) -> None:
    """An empty module where a package is missing that no configuration needs."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = sys.modules[name] = ModuleType(name)
        module.__getattr__ = lambda attribute: type(attribute, (), {})  # type: ignore[method-assign]


def asker() -> Callable[[list[str]], None]:
    """A function that raises what vLLM raises for a command."""
    make_parser = named(PARSER_CLASSES, "FlexibleArgumentParser")
    command = named(SERVES, "cmd_init")()[0]
    engine_args = named(("vllm.engine.arg_utils",), "AsyncEngineArgs")
    context = named(("vllm.usage.usage_lib",), "UsageContext").OPENAI_API_SERVER
    check = named(CHECKS, "validate_api_server_args")

    def ask(argv: list[str]) -> None:
        parser = make_parser(prog="vllm")
        command.subparser_init(parser.add_subparsers(required=False, dest="subparser"))
        sys.argv = ["vllm", "serve", *argv]
        args = parser.parse_args(sys.argv[1:])
        command.validate(args)
        args.model = args.model_tag or args.model
        check(args)
        engine_args.from_cli_args(args).create_engine_config(usage_context=context)

    return ask


def answer(ask: Callable[[list[str]], None], argv: list[str]) -> str | None:
    """None when the command is taken, else the message."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            ask(argv)
    except SystemExit:
        return said.getvalue().strip().rpartition("error: ")[2] or "exit"
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the start
        return f"{type(error).__name__}: {error}"
    return None


def apart(ask: Callable[[list[str]], None], case: dict[str, Any], model: str) -> str | None:
    """The answer from a process of its own, as a configuration leaves traces in the one that makes it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ.update(case.get("env", {}))
        argv = [word.replace("MODEL", model) for word in case["argv"]]
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(writing, "w") as out:
            json.dump(answer(ask, argv), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else "the process died"


def main() -> None:
    cases, model, out = sys.argv[1:4]
    for name in ("gguf", "diskcache"):
        stand_in(name)
    ask = asker()
    first = answer(ask, [model])  # what a first configuration imports is there for all others
    if first:
        raise SystemExit(f"the plain command is refused: {first}")
    answers = [apart(ask, case, model) for case in json.loads(Path(cases).read_text())]
    Path(out).write_text(json.dumps([text and text.replace(model, "MODEL") for text in answers]))


if __name__ == "__main__":
    main()
