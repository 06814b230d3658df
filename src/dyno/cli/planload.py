"""The load that `dyno plan` is asked about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dyno.errors import InputError, nearest, shown
from dyno.predict.demand import Demand
from dyno.predict.latency import closed_loop, open_loop
from dyno.workload import PRESETS, Workload, workload_from

_NUMBERS = ("input_len", "output_len", "concurrency", "num_requests", "prefix_len", "prefixes")
_FASTEST = 1e5  # requests a second
_MOST_LETTERS, _MOST_MARKS = 2**16, 500  # of a file, which a deeper one could keep busy for long
_REMEDY = "write input_len, output_len and concurrency"


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the engine: by clients who wait for their answers, or so many requests a second."""

    workload: Workload
    rate: float | None = None

    def demand(self) -> Demand:
        """The requests."""
        return closed_loop(self.workload) if self.rate is None else open_loop(self.workload, self.rate)

    def told(self) -> str:
        """In a few words."""
        how = f"{self.workload.concurrency} at once" if self.rate is None else f"{self.rate:g} a second"
        load = self.workload
        return f"{load.num_requests} requests of {load.input_len} in, {load.output_len} out, {how}"


def load_of(file: Path | None, numbers: dict[str, Any]) -> Load | None:
    """What a file or preset and the numbers beside it ask for, None where nothing is. InputError for no workload."""
    given = {**(_written(file) if file else {}), **numbers}
    if not given:
        return None
    preset, rate = given.pop("preset", "chat"), given.pop("rate", None)
    problems = []
    if not isinstance(preset, str):
        problems.append(f"workload.preset: {shown(preset)} is not a name; there are {', '.join(PRESETS)}")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= _FASTEST):
        problems.append(f"workload.rate: {shown(rate)} is not a number of requests a second, up to {_FASTEST:g}")
    for name, value in given.items():
        if name not in _NUMBERS:
            problems.append(f"workload.{str(name)[:40]} is not known{nearest(str(name), _NUMBERS)}; there are preset, "
                            f"rate, {', '.join(_NUMBERS)}")  # fmt: skip
        elif isinstance(value, bool) or not isinstance(value, int):
            problems.append(f"workload.{name}: {shown(value)} is not a whole number")
    if problems:
        raise InputError(*problems)
    return Load(workload_from(preset, **given), rate)


def _written(file: Path) -> dict[str, Any]:
    """The workload of a file, which may be a study's spec, or a preset's name."""
    if str(file) in PRESETS and not file.exists():
        return {"preset": str(file)}
    content = _yaml(file)
    content = content.get("workload", content) if isinstance(content, dict) else content
    if isinstance(content, str):
        return {"preset": content}
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no workload; {_REMEDY}")
    return content


def _yaml(file: Path) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST_LETTERS + 1)
        if len(text) <= _MOST_LETTERS and all(text.count(mark) <= _MOST_MARKS for mark in ("[", "{", "- ", "? ")):
            return YAML(typ="safe", pure=True).load(text)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); name a workload as YAML") from error
    except (YAMLError, ValueError, TypeError, RecursionError, AttributeError, LookupError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{file}: is not YAML ({said[:200]}); {_REMEDY}") from error
    raise InputError(f"{file}: is longer or deeper than any workload; {_REMEDY}")
