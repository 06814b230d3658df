"""One load as a compact .npz with a JSON header of the same name beside it; every figure can be made from it again.

What was sampled beside a test lies in `NAME.samples.npz`, why it is void, if it is, in `NAME.void.json`.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from dyno.bench.counters import Gauges, read_gauges
from dyno.bench.spool import BLOCK, Integers, Stamps
from dyno.bench.stats import Records
from dyno.errors import InputError
from dyno.hardware.sampler import Samples

SCHEMA_VERSION = 1
SAMPLES = ".samples.npz"
_VOID = ".void.json"
_ARRAYS = tuple(field.name for field in fields(Records) if field.name not in ("content_ns", "outcomes"))
# what numpy, zipfile and zlib raise of a file whose bytes were changed
_UNREADABLE = (OSError, ValueError, LookupError, EOFError, BadZipFile, NotImplementedError, TokenError, zlib.error)
_GAUGES = tuple(field.name for field in fields(Gauges))


def save_raw(path: Path, records: Records, header: Mapping[str, object], gauges: Gauges | None = None) -> None:
    """Writes `path` (.npz) and the header beside it (.json); an older pair is replaced."""
    kinds, codes = np.unique(np.array(records.outcomes, dtype=np.str_), return_inverse=True)
    arrays = {name: getattr(records, name) for name in _ARRAYS}
    told = {} if gauges is None else {f"gauges.{name}": getattr(gauges, name) for name in _GAUGES}
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as file:
        for name, values in {"outcomes": codes.astype(np.int16), "kinds": kinds, **arrays, **told}.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
        with file.open("content_steps_ns.npy", "w", force_zip64=True) as member:
            _write_steps(member, records.content_ns)
    path.with_suffix(".json").write_text(json.dumps({"schema_version": SCHEMA_VERSION, **header}, indent=1) + "\n")


def _write_steps(member: IO[bytes], stamps: Integers | Stamps) -> None:
    """Steps between stamps, which are small numbers and compress well; a block at a time."""
    form = {"descr": "<i8", "fortran_order": False, "shape": (len(stamps),)}
    np.lib.format.write_array_header_1_0(member, form)
    before = 0
    for begin in range(0, len(stamps), BLOCK):
        block = stamps[begin : begin + BLOCK]
        member.write(np.diff(block, prepend=before).tobytes())
        before = block[-1]


def load_raw(path: Path) -> tuple[Records, Mapping[str, Any]]:
    """The records and the header that save_raw wrote. InputError when they are not that."""
    try:
        with np.load(path, allow_pickle=False) as file:
            records = Records(
                **{name: file[name] for name in _ARRAYS},
                content_ns=np.cumsum(file["content_steps_ns"]),
                outcomes=tuple(file["kinds"][file["outcomes"]].tolist()),
            )
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a raw file of Dyno ({error})") from error
    return records, load_header(path)


def load_header(path: Path) -> Mapping[str, Any]:
    """The header of the raw file `path`. InputError when there is none of this schema."""
    try:
        header = dict(json.loads(path.with_suffix(".json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a raw file of Dyno ({error})") from error
    if header.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version {header.get('schema_version')}, this Dyno reads {SCHEMA_VERSION}")
    return header


def load_gauges(path: Path) -> Gauges:
    """The gauges kept with a raw file; of one that has none they are empty. InputError when it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {name: file[f"gauges.{name}"] for name in _GAUGES if f"gauges.{name}" in file}
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a raw file of Dyno ({error})") from error
    return Gauges(**kept) if len(kept) == len(_GAUGES) else read_gauges(())


def clear(folder: Path | None, test: str) -> None:
    """Removes what an earlier run of a test left, so that none of its loads is taken for one of this run's."""
    if folder is None:
        return
    for file in (folder / f"{test}.npz", folder / f"{test}{SAMPLES}", *folder.glob(f"{test}-*.npz")):
        file.unlink(missing_ok=True)
        file.with_suffix(".json").unlink(missing_ok=True)
    for name in (f"{test}{_VOID}", f"{test}-memory.json"):
        (folder / name).unlink(missing_ok=True)


def save_void(folder: Path | None, test: str, void: Sequence[str]) -> None:
    """Writes why a whole test is void: host and bounds are no load's, so no load's header has them."""
    if void and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{test}{_VOID}").write_text(json.dumps(list(void), indent=1) + "\n", encoding="utf-8")


def load_void(folder: Path, test: str) -> tuple[str, ...]:
    """What save_void wrote; nothing of a valid test. InputError when it cannot be read."""
    path = folder / f"{test}{_VOID}"
    if not path.is_file():
        return ()
    try:
        return tuple(map(str, json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not why Dyno called a test void ({error})") from error


def save_samples(folder: Path, test: str, samples: Samples) -> None:
    """Writes what was sampled beside a test, without columns that were never told."""
    told: dict[str, Any] = {name: column for name, column in samples.columns.items() if not np.isnan(column).all()}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{test}{SAMPLES}").open("wb") as file:
        np.savez_compressed(file, at_ns=samples.at_ns, cores=samples.cores, cost_s=samples.cost_s, **told)


def load_samples(folder: Path, test: str) -> Samples | None:
    """What save_samples wrote, None where there is nothing. InputError when it cannot be read."""
    path = folder / f"{test}{SAMPLES}"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files}
            return Samples(kept.pop("at_ns"), cores=int(kept.pop("cores")), cost_s=float(kept.pop("cost_s")),
                           columns=kept)  # fmt: skip
    except _UNREADABLE as error:
        raise InputError(f"{path}: not what Dyno samples beside a test ({error})") from error
