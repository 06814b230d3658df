"""What a text is, told from its name and its content, and the configurations in it."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from dyno.errors import InputError
from dyno.lint.source import Configuration, Source

FileKind = Literal["command", "dockerfile", "yaml", "env", "python", "markdown"]

_SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys((".sh", ".bash", ".zsh", ".service"), "command"), ".dockerfile": "dockerfile", ".env": "env",
    **dict.fromkeys((".yaml", ".yml"), "yaml"), ".py": "python", **dict.fromkeys((".md", ".markdown"), "markdown"),
}  # fmt: skip
_LANGUAGES: dict[str, FileKind] = {
    **dict.fromkeys(("sh", "bash", "shell", "console", "zsh", "shell-session", "powershell"), "command"),
    **dict.fromkeys(("yaml", "yml"), "yaml"), **dict.fromkeys(("python", "py", "python3"), "python"),
    **dict.fromkeys(("env", "dotenv", "ini", "properties"), "env"),
    **dict.fromkeys(("dockerfile", "docker"), "dockerfile"),
}  # fmt: skip
_DOCKERFILE = re.compile(r"^(FROM\s+\S+(\s+AS\s+\S+)?\s*$|CMD\s*\[|ENTRYPOINT\s*\[|ENV\s+\w+[= ])", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(```|~~~)", re.MULTILINE)
_PYTHON = re.compile(
    r"^(from\s+[\w.]+\s+import\s|import\s+\w+|\w+\s*=\s*(\w+\.)?(LLM|AsyncEngineArgs|EngineArgs)\()", re.MULTILINE
)
_COMMAND = re.compile(
    r"\bvllm\s+serve\b|-m\s+vllm\.|^#!.*sh\b|^[ \t]*(sudo\s+)?(docker|podman)\s+run\b|^[ \t]*export\s", re.MULTILINE
)
_YAML = re.compile(r"^[ \t]*[\w.-]+:([ \t]+\S.*)?$", re.MULTILINE)
_VARIABLE = re.compile(r"^[ \t]*(export\s+)?[A-Za-z_]\w*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Read:
    """The configurations of one text, and whether what fixes change is written back or printed."""

    kind: FileKind
    configurations: tuple[Configuration, ...]


def file_kind(name: str, text: str) -> FileKind:
    """What a file is: by its name where that says it, else by its content."""
    path = PurePath(name)
    lower = path.name.lower()
    if lower.startswith(("dockerfile", "containerfile")):
        return "dockerfile"
    if lower == ".env" or lower.startswith(".env.") or lower.endswith(".env"):
        return "env"
    return _SUFFIXES.get(path.suffix.lower()) or _guess(text)


def _guess(text: str) -> FileKind:
    """By content: fences and Dockerfile instructions cannot be mistaken; the rest goes from telling to vague."""
    tests: tuple[tuple[FileKind, re.Pattern[str]], ...] = (
        ("markdown", _FENCED), ("dockerfile", _DOCKERFILE), ("command", _COMMAND), ("python", _PYTHON),
        ("yaml", _YAML), ("env", _VARIABLE))  # fmt: skip
    return next((kind for kind, pattern in tests if pattern.search(text)), "command")


def read(name: str, text: str, known: Collection[str], kind: FileKind | None = None) -> Read:
    """All configurations in a text, told what it is or not. InputError for what cannot be read.

    `known` are the names of the flags of all releases.
    """
    kind = kind or file_kind(name, text)
    source = Source.whole(text)
    if kind == "markdown":
        return Read(kind, tuple(_markdown(source, known)))
    try:
        return Read(kind, tuple(_READERS[kind](source, known)))
    except SyntaxError as error:
        raise InputError(f"{name}: is not Python ({error.msg}, line {error.lineno or 1}); correct it first") from error


def _markdown(source: Source, known: Collection[str]) -> list[Configuration]:
    from dyno.lint.markdown import fences, mentions

    found: list[Configuration] = []
    for language, block in fences(source):
        kind = _fence_kind(language, block.text)
        if kind is None:
            continue
        try:
            found += _READERS[kind](block, known)
        except (SyntaxError, InputError):
            continue  # an excerpt that is not whole, or another tool's: documents have those
    return found + mentions(source)


def _fence_kind(language: str, text: str) -> FileKind | None:
    if language and language not in _LANGUAGES:
        return None
    guess = _guess(text)
    kind = guess if guess == "dockerfile" or not language else _LANGUAGES[language]
    return None if kind == "markdown" else kind


def _command(source: Source, known: Collection[str]) -> list[Configuration]:
    from dyno.lint.command import read_commands

    found, python = read_commands(source)
    return found + _scripts(python, known)


def _dockerfile(source: Source, known: Collection[str]) -> list[Configuration]:
    from dyno.lint.dockerfile import read_dockerfile

    found, python = read_dockerfile(source)
    return found + _scripts(python, known)


def _scripts(python: list[Source], known: Collection[str]) -> list[Configuration]:
    from dyno.lint.python import read_python

    found = []
    for script in python:
        try:
            found += read_python(script, known)
        except SyntaxError:
            continue  # the shell puts its parts in before Python reads it
    return found


def _yaml(source: Source, known: Collection[str]) -> list[Configuration]:
    from ruamel.yaml.error import YAMLError

    from dyno.lint.compose import read_compose
    from dyno.lint.engine_yaml import read_engine_yaml
    from dyno.lint.yaml_nodes import documents

    try:
        roots = [root for root in documents(source.text) if root is not None]
    except (YAMLError, ValueError, RecursionError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"is not YAML ({' '.join(problem.split())[:200]}{where}); correct it first") from error
    containers = read_compose(source, roots)
    return containers or read_engine_yaml(source, roots, known)


def _env(source: Source, known: Collection[str]) -> list[Configuration]:
    from dyno.lint.envfile import read_env

    del known
    return read_env(source)


def _python(source: Source, known: Collection[str]) -> list[Configuration]:
    from dyno.lint.python import read_python

    return read_python(source, known)


_READERS: dict[str, Callable[[Source, Collection[str]], list[Configuration]]] = {
    "command": _command, "dockerfile": _dockerfile, "yaml": _yaml, "env": _env, "python": _python,
}  # fmt: skip
