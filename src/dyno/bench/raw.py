"""One load as a compact .npz with a JSON header of the same name beside it; every figure can be made from it again."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from dyno.bench.stats import Records
from dyno.errors import InputError

SCHEMA_VERSION = 1
_ARRAYS = tuple(field.name for field in fields(Records) if field.name not in ("content_ns", "outcomes"))


def save_raw(path: Path, records: Records, header: Mapping[str, object]) -> None:
    """Writes `path` (.npz) and the header beside it (.json); an older pair is replaced."""
    kinds, codes = np.unique(np.array(records.outcomes, dtype=np.str_), return_inverse=True)
    arrays = {name: getattr(records, name) for name in _ARRAYS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # steps between stamps are small numbers and compress well
        np.savez_compressed(file, outcomes=codes.astype(np.int16), kinds=kinds,
                            content_steps_ns=np.diff(records.content_ns, prepend=0), **arrays)  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps({"schema_version": SCHEMA_VERSION, **header}, indent=1) + "\n")


def load_raw(path: Path) -> tuple[Records, Mapping[str, Any]]:
    """The records and the header that save_raw wrote. InputError when they are not that."""
    try:
        header = json.loads(path.with_suffix(".json").read_text())
        with np.load(path, allow_pickle=False) as file:
            records = Records(
                **{name: file[name] for name in _ARRAYS},
                content_ns=np.cumsum(file["content_steps_ns"]),
                outcomes=tuple(file["kinds"][file["outcomes"]].tolist()),
            )
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path}: not a raw file of Dyno ({error})") from error
    if header.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version {header.get('schema_version')}, this Dyno reads {SCHEMA_VERSION}")
    return records, header
