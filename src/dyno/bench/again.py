"""Statistics again, from raw files alone: the same figures as were told when they were measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dyno.bench import stats
from dyno.bench.audit import card_reasons
from dyno.bench.capacity import Probe
from dyno.bench.concurrency import capacity_figures, capacity_result, probe_of, within_figures
from dyno.bench.counters import Counters
from dyno.bench.endurance import round_of, soaked, sustained_result
from dyno.bench.load import Measurement
from dyno.bench.raw import SAMPLES, load_gauges, load_header, load_raw, load_samples, load_void
from dyno.bench.record import Load, ScenarioResult
from dyno.bench.run import Figures, Part, figures_of, result_of
from dyno.bench.scenarios import OF_ONE_LOAD, ladder_result, one_load_result
from dyno.errors import InputError
from dyno.workload import Limit

_COUNTERS, _LOAD = TypeAdapter(Counters), TypeAdapter(Load)
_STRINGS = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Again:
    """Results by test, and by load of the tests that have several, each under its place in the folder."""

    tests: dict[str, ScenarioResult]
    loads: dict[str, ScenarioResult]


def measured_again(path: Path) -> Again:
    """Everything that one raw file, or all of them under a folder, says. InputError where there is none."""
    if path.is_file() and path.suffix in (".npz", ".json") and not path.name.endswith(SAMPLES):
        return Again({path.stem: _with_all_reasons(path.parent, path.stem, load_again(path.with_suffix(".npz")))}, {})
    files = sorted(file for file in path.rglob("*.npz") if not file.name.endswith(SAMPLES))
    if not files:
        raise InputError(f"--raw {path}: holds no raw files (.npz); name what `dyno bench --raw` or a study kept")
    groups: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        groups.setdefault((file.parent, file.stem.partition("-")[0]), []).append(file)
    tests = {_place(path, folder, test): test_again(test, group) for (folder, test), group in groups.items()}
    several = [file for group in groups.values() if len(group) > 1 for file in group]
    loads = {file.relative_to(path).with_suffix("").as_posix(): load_again(file) for file in several}
    return Again({place: made for place, made in tests.items() if made is not None}, loads)


def _place(root: Path, folder: Path, test: str) -> str:
    inside = folder.relative_to(root)
    return inside.as_posix() if inside.name.endswith(f"-{test}") else (inside / test).as_posix()


def read_part(path: Path) -> Part:
    """One load as it was measured. InputError when the file is not what Dyno keeps."""
    records, header = load_raw(path)
    try:
        counted = _COUNTERS.validate_python(header["counted"])
        load = _LOAD.validate_python({**header["load"], "trace": ()})
        void = _STRINGS.validate_python(header["void"])
        reconciled = dict(header["reconciled"])
    except (KeyError, TypeError, ValueError) as error:
        problem = "; ".join(str(error).splitlines())
        raise InputError(f"{path.with_suffix('.json')}: not the header of a load ({problem})") from error
    return Part(path.stem, load, Measurement(records, counted, load_gauges(path), void, reconciled), path)


def test_again(test: str, paths: Sequence[Path]) -> ScenarioResult | None:
    """A whole test from its loads, in order. None of one that was not finished."""
    made = _TESTS.get(test, _one_load)(paths)
    samples = load_samples(paths[0].parent, test)
    if made is None:
        return None
    if samples is not None:
        made = replace(made, figures=made.figures | samples.peaks(), void=(*made.void, *card_reasons(samples)))
    return _with_all_reasons(paths[0].parent, test, made)


def _with_all_reasons(folder: Path, test: str, made: ScenarioResult) -> ScenarioResult:
    """With those that lay in no load, such as neighbours on the host."""
    return replace(made, void=tuple(dict.fromkeys((*made.void, *load_void(folder, test)))))


def load_again(path: Path) -> ScenarioResult:
    """A single load by its own figures, with those that only a load of its shape has."""
    part, slos_ms = read_part(path), load_header(path).get("slos_ms")
    records = part.measured.records
    figures = figures_of(part.measured) | {"kv_usage_peak": part.measured.kv_usage_peak}
    made = one_load_result(part) if part.name in OF_ONE_LOAD else result_of(part.name, [part], figures)
    named = {} if part.load.arrival == "closed" else stats.rates(records)
    return replace(made, figures=made.figures | named | (stats.goodput(records, slos_ms) if slos_ms else {}))


def _one_load(paths: Sequence[Path]) -> ScenarioResult | None:
    return load_again(paths[0])


def _context(paths: Sequence[Path]) -> ScenarioResult | None:
    return ladder_result(sorted((read_part(path) for path in paths), key=lambda part: part.load.input_len))


def _concurrency(paths: Sequence[Path]) -> ScenarioResult | None:
    return _searched("concurrency", capacity_figures, paths)


def _throughput(paths: Sequence[Path]) -> ScenarioResult | None:
    return load_again(paths[0]) if paths[0].stem == "throughput" else _searched("throughput", within_figures, paths)


def _searched(test: str, figures_of_all: Callable[[Sequence[Probe], tuple[Limit, ...]], Figures],
              paths: Sequence[Path]) -> ScenarioResult | None:  # fmt: skip
    kept = _beside(paths, "concurrency")
    if kept is None:
        return None
    parts = [read_part(path) for path in paths]
    limits = tuple(Limit(name, bound, "at most") for name, bound in kept["limits"].items())
    return capacity_result(test, parts, figures_of_all([probe_of(part) for part in parts], limits))


def _sustained(paths: Sequence[Path]) -> ScenarioResult | None:
    parts = {path.stem: read_part(path) for path in paths}
    if parts.keys() != {"sustained", "sustained-pilot"}:
        return None
    return sustained_result(parts["sustained-pilot"], parts["sustained"])


def _soak(paths: Sequence[Path]) -> ScenarioResult | None:
    samples = _beside(paths, "soak-memory")
    return None if samples is None else soaked([round_of(read_part(path)) for path in paths], samples)


def _beside(paths: Sequence[Path], name: str) -> Mapping[str, Any] | None:
    """What a test kept of all its loads together; None when it was not finished."""
    path = paths[0].parent / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


_TESTS: Mapping[str, Callable[[Sequence[Path]], ScenarioResult | None]] = {
    "context": _context,
    "concurrency": _concurrency,
    "throughput": _throughput,
    "sustained": _sustained,
    "soak": _soak,
}
