"""The flags that one vLLM release knows, and the reading of commands and changes written with them."""

import argparse
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from dyno.engine.args import EngineArgs, FlagValue
from dyno.errors import InputError, nearest

Kind = Literal["switch", "str", "folded", "int", "size", "float", "json"]
Bound = Literal["gt", "ge", "lt", "le"]
VariableKind = Literal["str", "int", "float", "switch"]
Option = tuple[str, str | Sequence[str] | None]  # as written, with the words after it

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SECRET = re.compile(r".*(TOKEN|KEY|SECRET|PASSWORD)", re.IGNORECASE)
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)")
_SERVERS = ("vllm.entrypoints.cli.main", "vllm.entrypoints.openai.api_server")
_SCALES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_LOOPBACK = "Dyno starts every engine on loopback at a free port of its own"
_PLAIN = "Dyno talks to its own engine without TLS and without a key"
# Where a server listens and who may ask it: Dyno's business. People's own commands say it, so there it is passed over.
LISTENING: Mapping[str, str] = {
    **dict.fromkeys(("host", "port", "uds", "root_path"), _LOOPBACK),
    **dict.fromkeys(("api_key", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs", "ssl_ciphers",
                     "enable_ssl_refresh"), _PLAIN),
}  # fmt: skip

REFUSED: Mapping[str, str] = {
    **LISTENING,
    **dict.fromkeys(("grpc", "headless"), "Dyno measures the engine over HTTP"),
    "model": "the model is named apart from the flags",
    "config": "write the file's flags out, so that they are part of the record",
    "hf_token": "a secret would end up in records and process lists; set HF_TOKEN where Dyno runs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of `vllm serve`, or one key of the JSON that a flag takes (`speculative_config.method`, no options).

    `options` are its spellings without the `--no-...` ones, which exist when it is `negatable`; `inverses` are what
    else switches it off (`--disable-x` of `--enable-x`). `words` are taken beside the values of its kind (`auto`,
    `None`). `nargs` is argparse's: None for one word, "+" for several. What only a release's sources tell and an
    installed engine does not: `default` (None: none, or decided at the start), `bounds` that the value must keep
    (`("gt", 0.0), ("le", 1.0)`), `deprecated`,
    `group` (the config class that takes it: "LoRAConfig"), `required` (a key without which the JSON is refused).
    """

    name: str
    options: tuple[str, ...]
    kind: Kind
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    negatable: bool = False
    nargs: str | None = None
    default: bool | int | float | str | None = None
    bounds: tuple[tuple[Bound, float], ...] = ()
    deprecated: bool = False
    inverses: tuple[str, ...] = ()
    group: str = ""
    required: bool = False

    @property
    def negations(self) -> tuple[str, ...]:
        plain = tuple("--no-" + o[2:] for o in self.options if o.startswith("--")) if self.negatable else ()
        return plain + self.inverses


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that vLLM reads. `default` is as it would be written; None: none, or decided later."""

    name: str
    kind: VariableKind
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """What one vLLM release knows: the flags as its own parser has them, and what only its sources tell.

    `keywords` are the arguments of EngineArgs and AsyncEngineArgs. `lists` are values that no parser checks, by what
    takes them: `attention_backend`, `quantization`, `kv_cache_dtype`, `speculative_config.method`.
    """

    version: str
    flags: tuple[Flag, ...]
    keys: tuple[Flag, ...] = ()
    variables: tuple[Variable, ...] = ()
    keywords: tuple[str, ...] = ()
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def parse_command(text_or_words: str | Sequence[str], catalog: Catalog) -> EngineArgs:
    """Reads `[env] VAR=x vllm serve MODEL --flag v ...`, also through `python -m`. InputError has every problem.

    Flags of where to listen are passed over: they say nothing of how fast an engine is.
    """
    env, words = _split_variables(_words(text_or_words))
    options, strays, problems = _tokenise(_after_serve(words), catalog)
    models = [str(value) for option, value in options if option == "--model"] or strays[:1]
    known = _by_option(catalog)
    options = [(option, value) for option, value in options
               if option != "--model" and known[option].name not in LISTENING]  # fmt: skip
    if not models:
        problems.append("the command names no model; write: vllm serve MODEL --flag value ...")
    strays = [word for word in strays if word not in models]
    return _engine_args("".join(models[:1]), env, options, problems or _stray_problems(strays), catalog)


def parse_changes(text_or_words: str | Sequence[str], catalog: Catalog, model: str) -> EngineArgs:
    """Reads `VAR=1 --flag v --no-other`, the form of `EngineArgs.changes`. InputError has every problem."""
    env, words = _split_variables(_words(text_or_words))
    options, strays, problems = _tokenise(words, catalog)
    return _engine_args(model, env, options, problems or _stray_problems(strays), catalog)


def unreadable(words: Sequence[str], catalog: Catalog) -> list[str]:
    """What is neither a flag of this release nor the value of one, among the words after `vllm serve MODEL`."""
    _, strays, problems = _tokenise(list(words), catalog)
    return problems or _stray_problems(strays)


def spelt_out(words: Sequence[str], catalog: Catalog) -> list[str]:
    """The same words with dotted keys (`-cc.cudagraph_mode=NONE`) gathered into the JSON that vLLM makes of them."""
    return _spell(words, catalog)[0]


def _stray_problems(words: Sequence[str]) -> list[str]:
    return [f"{word!r} is neither a flag nor the value of one" for word in words]


def _words(text_or_words: str | Sequence[str]) -> list[str]:
    if not isinstance(text_or_words, str):
        return list(text_or_words)
    try:
        return shlex.split(re.sub(r"\\[ \t]*\r?\n", " ", text_or_words))
    except ValueError as error:
        raise InputError(f"cannot be read as a command ({error}): {text_or_words}") from error


def _split_variables(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    rest = words[1:] if words[:1] == ["env"] else words
    count = next((i for i, word in enumerate(rest) if not _VARIABLE.match(word)), len(rest))
    return [(name, value) for name, _, value in (word.partition("=") for word in rest[:count])], rest[count:]


def _after_serve(words: list[str]) -> list[str]:
    program = PurePath(words[0]).name if words else ""
    if program == "vllm" and words[1:2] == ["serve"]:
        return words[2:]
    if program.startswith("python") and words[1:2] == ["-m"] and words[2:3] and words[2] in _SERVERS:
        return words[4:] if words[3:4] == ["serve"] else words[3:]
    raise InputError(
        f"{shlex.join(words[:4])!r} does not begin a vLLM server; write: vllm serve MODEL --flag value ..."
    )


class _Collect(argparse.Action):
    """Keeps every option with its words, in order."""

    def __call__(self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: str | Sequence[Any] | None, option_string: str | None = None) -> None:  # fmt: skip
        namespace.options.append((option_string, values))


def _tokenise(words: list[str], catalog: Catalog) -> tuple[list[Option], list[str], list[str]]:
    """Options with their words, the words that belong to none, and problems with options this release does not have."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in catalog.flags:
        # '?' and '*' rather than one and '+': a missing word is then one problem among others, not the end of reading
        nargs: int | str = 0 if flag.kind == "switch" else "?" if flag.nargs in (None, "?") else "*"
        parser.add_argument(*flag.options, *flag.negations, dest=flag.name, action=_Collect, nargs=nargs)
    spelt, problems = _spell(words, catalog)
    found, strays = parser.parse_known_args(spelt, argparse.Namespace(options=[]))
    return found.options, strays, problems


def _by_option(catalog: Catalog) -> dict[str, Flag]:
    return {option: flag for flag in catalog.flags for option in (*flag.options, *flag.negations)}


def _spell(words: Iterable[str], catalog: Catalog) -> tuple[list[str], list[str]]:
    """What vLLM does before argparse: dashes for underscores, `-O3`, dotted keys gathered into JSON.

    Options that argparse would stop at are left out and are the problems.
    """
    known = _by_option(catalog)
    spelt, problems = [], []
    gathered: dict[str, dict[str, Any]] = {}
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        head, dot, path = key.partition(".")
        head = "--" + head[2:].replace("_", "-") if head.startswith("--") else head
        if not word.startswith("-") or " " in key or _NEGATIVE.fullmatch(word):
            spelt.append(word)
        elif (level := re.fullmatch(r"-O=?(\w*)", word)) and "--optimization-level" in known:
            spelt += ["--optimization-level", *filter(None, [level[1]])]
        elif head not in known:
            problems.append(f"{key} is not a flag of vLLM {catalog.version}{nearest(head, tuple(known))}")
        elif dot:
            _put(gathered.setdefault(known[head].options[0], {}), path, value if equals else next(rest, ""))
        elif equals and known[head].kind == "switch":
            problems.append(f"{key} is a switch and takes no value, got {value!r}")
        else:
            spelt.append(head + equals + value)
    return spelt + [word for head, tree in gathered.items() for word in (head, json.dumps(tree))], problems


def _put(tree: dict[str, Any], path: str, text: str) -> None:
    """Sets `a.b` of a JSON object as vLLM does; `a.b+` appends the words between commas."""
    *parents, last = path.removesuffix("+").split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    if path.endswith("+"):
        tree[last] = [*tree.get(last, []), *text.split(",")]
        return
    try:
        tree[last] = json.loads(text)
    except ValueError:
        tree[last] = _size(text) if text[:-1].isdecimal() and text[-1:] in _SCALES else text


def _engine_args(model: str, env: list[tuple[str, str]], options: Sequence[Option], problems: list[str],
                 catalog: Catalog) -> EngineArgs:  # fmt: skip
    known = _by_option(catalog)
    flags: dict[str, FlagValue] = {}
    problems = [*problems, *(f"{name}: a secret would end up in records; set it where Dyno runs instead"
                             for name, _ in env if _SECRET.fullmatch(name))]  # fmt: skip
    for option, words in options:
        flag = known[option]
        if reason := REFUSED.get(flag.name):
            problems.append(f"{option} cannot be given: {reason}")
            continue
        try:
            value = _value(flag, option, words)
        except ValueError as error:
            problems.append(f"{option}: {error}")
            continue
        if flags.setdefault(flag.name, value) != value:
            problems.append(f"{option} is given twice, as {flags[flag.name]!r} and as {value!r}")
    if problems:
        raise InputError(*problems)
    return EngineArgs(model, tuple(flags.items()), tuple(env))


def _value(flag: Flag, option: str, words: str | Sequence[str] | None) -> FlagValue:
    """The words after an option as its value. ValueError when they are not one."""
    if flag.kind == "switch":
        return option in flag.options
    if words is None and flag.nargs == "?":
        return True
    if not words and words != "":
        raise ValueError("needs a value")
    if isinstance(words, str):
        return read_value(flag, words)
    return tuple(str(read_value(flag, word)) for word in words or ())


def read_value(flag: Flag, text: str) -> int | float | str:
    """One word as the flag's own type reads it. ValueError says what is wrong with it."""
    if text in flag.words:
        return text
    if not text and "None" in flag.words:
        return "None"
    read, what = _KINDS[flag.kind]
    try:
        value = read(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {what}") from None
    if flag.choices and str(value) not in flag.choices:
        raise ValueError(f"{text!r} is not one of {', '.join(flag.choices)}{nearest(text, flag.choices)}")
    return value


def _size(text: str) -> int:
    """vLLM's human_readable_int: `8192`, `8k` (8,000), `8K` (8,192), `25.6k`."""
    if text[-1:] not in _SCALES:
        return int(text)
    amount = float(text[:-1]) if text[-1].islower() else int(text[:-1])
    return int(amount * _SCALES[text[-1]])


def _canonical_json(text: str) -> str:
    return json.dumps(json.loads(text))


_KINDS: Mapping[str, tuple[Callable[[str], int | float | str], str]] = {
    "str": (str, "text"),
    "folded": (lambda text: text.lower().replace("-", "_"), "text"),
    "int": (int, "a whole number"),
    "size": (_size, "a whole number such as 8192 or 8k"),
    "float": (float, "a number"),
    "json": (_canonical_json, "JSON such as '{\"key\": 1}'"),
}
