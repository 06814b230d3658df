"""Live progress of a study on stderr: a status line on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dyno.study.progress import Progress, Watch
from dyno.units import format_seconds


@contextmanager
def watching() -> Iterator[Watch]:
    """A watcher that shows where a study is."""
    if not sys.stderr.isatty():
        yield _plain
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:

        def show(progress: Progress) -> None:
            if progress.kind in ("launch", "note") or _is_result(progress):
                console.print(_line(progress), highlight=False, markup=False)
            if progress.kind != "note":
                status.update(f"{_where(progress)}  {progress.text}  {_times(progress)}")

        yield show


def _plain(progress: Progress) -> None:
    if progress.kind in ("launch", "note") or _is_result(progress):
        print(_line(progress), file=sys.stderr, flush=True)


def _is_result(progress: Progress) -> bool:
    return progress.kind == "test" and ":" in progress.text


def _line(progress: Progress) -> str:
    if progress.kind == "note":
        return progress.text
    if progress.kind == "launch":
        return f"{_where(progress)}  {progress.text}  ({_times(progress)})"
    return f"    {progress.text}"


def _where(progress: Progress) -> str:
    return f"{progress.phase} {progress.launch}/{progress.of} {progress.candidate}"


def _times(progress: Progress) -> str:
    elapsed = f"{format_seconds(progress.elapsed_s)} elapsed"
    return elapsed if progress.expected_s is None else f"{elapsed}, about {format_seconds(progress.expected_s)} to go"
