"""A study without the paths of the machine that it was made on: models are named as the spec names them."""

import json
import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from dyno.engine.environment import Environment
from dyno.home import dyno_home
from dyno.study.journal import JOURNAL, Journal, read_journal

TEXTS = (JOURNAL, ".log", ".json")  # endings of files that may name paths


# What engines compile lies in Dyno's own folder; of a study from elsewhere nobody here knows where that was.
_CACHE = (re.compile(rb"(?<![\w.~$-])(?:/[\w.+-]+)+/cache/vllm(?![\w.-])"), b"$DYNO_HOME/cache/vllm")


def portable(folder: Path) -> "Portable":
    """What makes the files of a study portable. InputError when the folder holds no readable study."""
    return Portable(_names(read_journal(folder), folder))


class Portable:
    """Rewrites the text files of a study. Doing it again changes nothing."""

    def __init__(self, names: Mapping[str, str]) -> None:
        whole = r"(?<![\w./~-]){}(?![\w-]|\.\w)"
        longest = [(re.compile(whole.format(re.escape(path)).encode()), names[path].encode())
                   for path in sorted(names, key=len, reverse=True)]  # fmt: skip
        self._names = (_CACHE, *longest)

    def text(self, name: str, content: bytes) -> bytes:
        """The content of a file of this name."""
        if not name.endswith(TEXTS):
            return content
        if name != JOURNAL:
            return self._renamed(content)
        head, _, rest = content.partition(b"\n")
        return _head(json.loads(head)) + b"\n" + self._renamed(rest)

    def _renamed(self, content: bytes) -> bytes:
        return reduce(lambda text, pair: pair[0].sub(lambda _: pair[1], text), self._names, content)


def _names(journal: Journal, folder: Path) -> dict[str, str]:
    """Paths of this machine, and what stands for each."""
    study = journal.study
    model = dict.fromkeys((study.model.path, *(each.args.model for each in study.candidates)), study.spec.model)
    engines = [pair for engine in (study.engine, *study.engines) for pair in _of_engine(engine)]
    here = {str(folder.absolute()): ".", str(dyno_home()): "$DYNO_HOME", str(Path.home()): "~"}
    return {path: name for path, name in (here | dict(engines) | model).items()
            if path and Path(path).is_absolute() and path != "/" and path != name}  # fmt: skip


def _of_engine(engine: Environment) -> list[tuple[str, str]]:
    venv = str(Path(engine.python).parents[1]) if len(Path(engine.python).parents) > 2 else ""
    return [(venv, "venv"), *((path, "site-packages") for path in engine.pythonpath)]


def _head(study: dict[str, Any]) -> bytes:
    """The journal's first line: the model by the spec's name, engines by their own."""
    path, study["model"]["path"] = study["model"]["path"], None
    for candidate in study["candidates"]:
        if Path(candidate["args"]["model"]).is_absolute() or candidate["args"]["model"] == path:
            candidate["args"]["model"] = study["spec"]["model"]
    for engine in (study["engine"], *study.get("engines", ())):
        engine |= {"python": Path(engine["python"]).name, "pythonpath": []}
    return json.dumps(study, ensure_ascii=False, separators=(",", ":")).encode()
