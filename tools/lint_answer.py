"""Run by an engine's own interpreter: whether its vLLM takes configurations, as far as it tells without a start.

    python lint_answer.py CASES.json MODEL ANSWERS.json

CASES.json is a list of {"env": {...}, "argv": [...]}, the words after `vllm serve`, or with "door": "api_server" after
`python -m vllm.entrypoints.openai.api_server`, or {"keywords": {...}}, what a program gives to LLM(...). MODEL is a
model that any release takes. A command goes to the door's parser and to its checks of what it parsed; both go to the
making of the engine's configuration, each in a process of its own. ANSWERS.json is a list of {"refused": null or the
message, "values": {name: value}}.

The release is asked, not the machine: the platform is the CPU, and where that knows fewer quantizations and KV-cache
types than a card does, it is not listened to.
"""

import contextlib
import importlib
import importlib.machinery
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

SERVES = ("vllm.entrypoints.cli.serve",)
PARSER_CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
CHECKS = ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.launcher",
          "vllm.entrypoints.openai.api_server")  # fmt: skip
SERVERS = ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.cli_args",
           "vllm.entrypoints.openai.cli_args")  # fmt: skip
STOOD_IN = ("gguf", "diskcache", "flashinfer")  # no configuration needs what is in them
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]


def named(modules: tuple[str, ...], name: str) -> Any:
    """The attribute from the first of the modules that exists and has it."""
    for module in modules:
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                return found
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def stand_in(name: str) -> None:
    """An empty module where a package is missing."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = sys.modules[name] = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__getattr__ = absent  # type: ignore[method-assign]


def absent(name: str) -> type:
    """What a stand-in has under any name, but for those that Python itself asks every module for."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def lift_limits_of_the_cpu() -> None:
    """Quantizations and KV-cache types that only this platform lacks are taken."""
    platform = type(importlib.import_module("vllm.platforms").current_platform)
    platform.supported_quantization = []
    platform.is_kv_cache_dtype_supported = classmethod(lambda *_: True)
    check = platform.check_and_update_config

    def check_without_cache_type(config: Any) -> None:
        cache, asked = config.cache_config, config.cache_config.cache_dtype
        cache.cache_dtype = "auto"
        check(config)
        cache.cache_dtype = asked

    platform.check_and_update_config = staticmethod(check_without_cache_type)


def asker() -> Ask:
    """A function that raises what vLLM raises for a case, and else gives the values it took."""
    make_parser = named(PARSER_CLASSES, "FlexibleArgumentParser")
    command = named(SERVES, "cmd_init")()[0]
    engine_args = named(("vllm.engine.arg_utils",), "EngineArgs")
    server_args = named(("vllm.engine.arg_utils",), "AsyncEngineArgs")
    contexts = named(("vllm.usage.usage_lib",), "UsageContext")
    check = named(CHECKS, "validate_api_server_args")
    make_server_parser, check_parsed = named(SERVERS, "make_arg_parser"), named(SERVERS, "validate_parsed_serve_args")

    def parsed(case: Mapping[str, Any]) -> tuple[Any, Callable[[Any], None]]:
        parser = make_parser(prog="vllm")
        if case.get("door") == "api_server":
            return make_server_parser(parser).parse_args(case["argv"]), check_parsed
        command.subparser_init(parser.add_subparsers(required=False, dest="subparser"))
        sys.argv = ["vllm", "serve", *case["argv"]]
        return parser.parse_args(sys.argv[1:]), command.validate

    def ask(case: Mapping[str, Any]) -> dict[str, Any]:
        if "keywords" in case:
            made = engine_args(**case["keywords"])
            made.create_engine_config(usage_context=contexts.LLM_CLASS)
            return {name: plain(value) for name, value in case["keywords"].items()}
        args, check_args = parsed(case)
        values = {name: plain(value) for name, value in vars(args).items()}  # what is made of them changes them
        check_args(args)
        args.model = getattr(args, "model_tag", None) or args.model
        check(args)
        server_args.from_cli_args(args).create_engine_config(usage_context=contexts.OPENAI_API_SERVER)
        return values

    return ask


def answer(ask: Ask, case: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM makes of a case."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            values = ask(case)
    except SystemExit:
        return {"refused": said.getvalue().strip().rpartition("error: ")[2] or "exit"}
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the start
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"refused": None, "values": values}


def plain(value: object) -> object:
    """A value as JSON has it; what JSON has no word for by its name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    return str(getattr(value, "name", value))


def apart(ask: Ask, case: dict[str, Any], clean: Mapping[str, str]) -> dict[str, Any]:
    """The answer from a process of its own, as a configuration leaves traces in the one that makes it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update({**clean, **case.get("env", {})})
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(writing, "w") as out:
            json.dump(answer(ask, case), out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"refused": "the process died"}


def strays(folder: str) -> list[str]:
    """Modules of vLLM that came from elsewhere than the sources that are asked, which stand first on the path."""
    return [name for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == "vllm"
            and not (getattr(module, "__file__", None) or folder).startswith(folder)]  # fmt: skip


def main() -> None:
    cases, model, out = sys.argv[1:4]
    clean = dict(os.environ)
    for name in STOOD_IN:
        stand_in(name)
    lift_limits_of_the_cpu()
    ask = asker()
    first = answer(ask, {"argv": [model]})  # what a first configuration imports is there for all others
    if first["refused"]:
        raise SystemExit(f"the plain command is refused: {first['refused']}")
    if found := strays(os.environ.get("PYTHONPATH", "").partition(os.pathsep)[0]):
        raise SystemExit(f"another vLLM answers: {', '.join(found[:5])}")
    told = json.loads(Path(cases).read_text(encoding="utf-8"))
    Path(out).write_text(json.dumps([apart(ask, case, clean) for case in told]), encoding="utf-8")


if __name__ == "__main__":
    main()
