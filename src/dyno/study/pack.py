"""A study as one file that another machine goes on with."""

import gzip
import tarfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path

from dyno.errors import InputError
from dyno.study.journal import JOURNAL
from dyno.study.portable import portable

SUFFIX = ".tar.gz"
MOST_RAW_BYTES = 12 << 20  # of raw records; the journal holds all figures, and charts need the newest launches alone


def pack(
    folder: Path, file: Path, most_raw_bytes: int = MOST_RAW_BYTES, wanted: Collection[str] | None = None
) -> tuple[str, ...]:
    """Write the study to one `.tar.gz`, the raw records of its newest launches first as far as `most_raw_bytes` goes.

    Paths of this machine are left out: the model is named as the spec names it (see `portable`).

    What a test found in many loads, such as the curve of a search, comes before the records of single requests.

    `wanted` are folders or files under raw, where only some are to be kept. Returns what was left out. The same study
    makes the same bytes. InputError when there is no study, or no room.
    """
    texts = portable(folder)
    chosen, left_out = _chosen(folder, most_raw_bytes, wanted)
    try:
        with (file.open("wb") as plain, gzip.GzipFile("", "wb", 6, plain, mtime=0) as zipped,
              tarfile.open(fileobj=zipped, mode="w") as archive):  # fmt: skip
            for path in chosen:
                content = texts.text(path.name, path.read_bytes())
                archive.addfile(_member(str(path.relative_to(folder)), len(content)), BytesIO(content))
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); name another file") from error
    return tuple(str(path.relative_to(folder)) for path in left_out)


def unpack(file: Path) -> Path:
    """The study's folder beside the file, made anew. InputError when it is there already, or the file is no study."""
    folder = file.with_name(file.name.removesuffix(SUFFIX))
    if folder.exists():
        raise InputError(f"{folder}: is there already; go on with it (--study {folder}), or move it away")
    try:
        with tarfile.open(file, "r:gz") as archive:
            if JOURNAL not in archive.getnames():
                raise InputError(f"{file}: holds no {JOURNAL}; give a file that `dyno report --pack` made")
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{file}: cannot be unpacked ({error}); copy it again") from error
    for name in ("raw", "logs"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def _chosen(folder: Path, most_raw_bytes: int, wanted: Collection[str] | None) -> tuple[list[Path], list[Path]]:
    raw = sorted((path for path in (folder / "raw").rglob("*") if path.is_file()), reverse=True)
    raw.sort(key=lambda path: path.suffix != ".json")  # what was found in many loads, and small
    kept, left_out, room = list[Path](), list[Path](), most_raw_bytes
    for path in raw:  # launch numbers lead their names
        asked = wanted is None or not {path.parent.name, str(path.relative_to(folder / "raw"))}.isdisjoint(wanted)
        fits = (size := path.stat().st_size) <= room and asked
        (kept if fits else left_out).append(path)
        room -= size * fits
    return [folder / JOURNAL, *sorted((folder / "logs").glob("*.log")), *sorted(kept)], left_out


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Without an owner and a date."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member
