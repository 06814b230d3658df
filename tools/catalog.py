"""Makes src/dyno/engine/releases.json.gz, what every vLLM release knows, from the sources in the releases' wheels.

    python tools/catalog.py                     adds every release that the data does not have yet
    python tools/catalog.py --release 0.33.0    makes these anew
    python tools/catalog.py --folder SRC --release 0.33.0    reads unpacked sources: SRC/0.33.0/vllm/...

Of a wheel only the files that are read are fetched, by range requests; no vLLM is imported. What changed since the
release before is printed. pip says which releases there are and where a wheel is.
"""

import argparse
import dataclasses
import gzip
import io
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version
from vllm_release import Tree, catalog_of

from dyno.engine import catalog_releases
from dyno.engine.catalog import Catalog

OLDEST = Version("0.6.2")
# Any of these wheels' sources are the same; which machine the builder runs on does not matter.
_PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (5, 12, 17, 24, 28, 31, 34, 35, 39)] + ["manylinux1_x86_64"]
_AHEAD = 256 * 1024  # bytes fetched at once: the sources lie side by side in a wheel
_Table = dict[str, list[list[Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", nargs="+", default=[])
    parser.add_argument("--folder", type=Path, help="unpacked sources, a folder for each release")
    parser.add_argument("--data", type=Path, default=catalog_releases.DATA)
    args = parser.parse_args()
    known = load(args.data)
    for version in args.release or [each for each in on_the_index() if each not in known]:
        start = time.monotonic()
        known[version] = catalog_of(version, folder_tree(args.folder / version) if args.folder else wheel_tree(version))
        print(f"{version}: {len(known[version].flags)} flags, {time.monotonic() - start:.1f} s", file=sys.stderr)
    args.data.write_bytes(packed(known))
    for version in args.release[-1:]:
        print("\n".join(changes(known, version)))


def load(path: Path) -> dict[str, Catalog]:
    """The catalogs that a data file holds, none when there is no file."""
    return catalog_releases.catalogs(path.read_bytes()) if path.exists() else {}


def changes(known: Mapping[str, Catalog], version: str) -> list[str]:
    """What a release changed, one line each."""
    from dyno.lint.diff import changes as told
    from dyno.lint.knowledge import from_catalog

    older = [each for each in ordered(known) if Version(each) < Version(version)]
    return told(from_catalog(known[older[-1]]), from_catalog(known[version])) if older else []


def ordered(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=Version)


def packed(known: Mapping[str, Catalog]) -> bytes:
    """The data file: the same bytes for the same catalogs."""
    versions = ordered(known)
    catalogs = [known[version] for version in versions]
    lists = sorted({taker for each in catalogs for taker in each.lists})
    data = {
        "schema_version": 1,
        "releases": versions,
        "flags": _spans([{flag.name: _told(flag) for flag in each.flags} for each in catalogs]),
        "keys": _spans([{flag.name: _told(flag) for flag in each.keys} for each in catalogs]),
        "variables": _spans([{each.name: _told(each) for each in catalog.variables} for catalog in catalogs]),
        "keywords": _spans([dict.fromkeys(each.keywords) for each in catalogs]),
        "lists": {taker: _spans([dict.fromkeys(each.lists.get(taker, ())) for each in catalogs]) for taker in lists},
    }
    text = json.dumps(data, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), 9, mtime=0)


def _told(record: Any) -> dict[str, Any]:
    """The fields of a record that are not what they are by themselves."""
    usual = {field.name: field.default for field in dataclasses.fields(record)}
    told = {name: getattr(record, name) for name in usual if name != "name"}
    return {name: value for name, value in told.items() if value != usual[name] or type(value) is not type(usual[name])}


def _spans(tables: list[Mapping[str, Any]]) -> _Table:
    """[first, last, record] for every unbroken row of releases with the same record; without one [first, last]."""
    found: _Table = {}
    for at, table in enumerate(tables):
        for name, record in table.items():
            rows = found.setdefault(name, [])
            content = [] if record is None else [record]
            if rows and rows[-1][1] == at - 1 and rows[-1][2:] == content:
                rows[-1][1] = at
            else:
                rows.append([at, at, *content])
    return found


def folder_tree(root: Path) -> Tree:
    """The sources of a release that lie unpacked in a folder."""

    def read(path: str) -> str | None:
        return (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None

    return Tree(read, tuple(sorted(str(path.relative_to(root)) for path in root.rglob("*.py"))))


def on_the_index() -> list[str]:
    """The final releases on the package index that pip uses, oldest first."""
    told = _pip("index", "versions", "vllm", "--python-version", "3.12", "--only-binary", ":all:", *_any_platform())
    line = next(line for line in told.splitlines() if line.startswith("Available versions:"))
    found = [each.strip() for each in line.partition(":")[2].split(",")]
    return ordered(each for each in found if Version(each) >= OLDEST and not Version(each).is_prerelease)


def wheel_tree(version: str) -> Tree:
    """The sources in a release's wheel, fetched as they are read."""
    with tempfile.TemporaryDirectory() as target:
        told = _pip("install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", "--only-binary", ":all:",
                    "--python-version", "3.12", *_any_platform(), "--target", target, "--report", "-",
                    f"vllm=={version}")  # fmt: skip
    wheel = zipfile.ZipFile(io.BufferedReader(_Remote(json.loads(told)["install"][0]["download_info"]["url"])))
    names = frozenset(wheel.namelist())
    return Tree(lambda path: wheel.read(path).decode() if path in names else None, tuple(sorted(names)))


def _any_platform() -> list[str]:
    return [word for platform in _PLATFORMS for word in ("--platform", platform)]


def _pip(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"pip {words[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


class _Remote(io.RawIOBase):
    """A file at an address, read by range requests; the whole of it where the server knows no ranges."""

    def __init__(self, url: str) -> None:
        self.url, self.at = url, 0
        self.parts: list[tuple[int, bytes]] = []
        self.context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
        self.size = self._fetch(f"-{4 * _AHEAD}")

    def _fetch(self, wanted: str) -> int:
        request = urllib.request.Request(self.url, headers={"Range": f"bytes={wanted}"})
        with urllib.request.urlopen(request, context=self.context, timeout=120) as answer:
            span = re.match(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range") or "")
            content = answer.read()
        start, size = (int(span[1]), int(span[2])) if span else (0, len(content))
        self.parts.append((start, content))
        return size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        if self.at >= self.size:
            return 0
        part = next((part for part in self.parts if part[0] <= self.at < part[0] + len(part[1])), None)
        if part is None:
            self._fetch(f"{self.at}-{min(self.at + max(len(buffer), _AHEAD), self.size) - 1}")
            part = self.parts[-1]
        content = part[1][self.at - part[0] : self.at - part[0] + len(buffer)]
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)


if __name__ == "__main__":
    main()
