"""What tests that kill Dyno look at from outside."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil

MARK = "DYNO_TEST_MARK"
GONE_WITHIN_S = 5.0


def finished(folder: Path) -> list[tuple]:
    """(candidate, scenario, launch, seed) of every finished step, in order."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "step" and line["step"]["state"] != "interrupted"]
    return [(step["candidate"], step["scenario"], step["launch"], step["seed"], step["pair"]) for step in steps]


def marked(mark: str) -> list[psutil.Process]:
    """Every living process that carries the mark: Dyno, its watchdog, the engine and the engine's children."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def orphaned_memory() -> set[str]:
    """Shared-memory segments that no living process has mapped: other people's engines have theirs mapped."""
    mapped = set()
    for process in psutil.process_iter():
        try:
            mapped |= {Path(each.path).name for each in process.memory_maps() if each.path.startswith("/dev/shm/")}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return {path.name for path in Path("/dev/shm").glob("psm_*")} - mapped


def listening(mark: str) -> set[int]:
    """Ports of the loopback that marked processes listen on."""
    ports = set()
    for process in marked(mark):
        try:
            ports |= {each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return ports


def still_open(ports: set[int]) -> set[int]:
    used = {each.laddr.port for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return ports & used


def wait_until(true: Callable[[], bool], limit_s: float = 60.0) -> bool:
    """Poll, as there is no event to wait for from outside; False when the limit passes."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def at_line(process, text: str) -> None:
    """Return when the running Dyno has said this, or has ended."""
    for line in process.stderr:
        if text in line:
            return


def at_growth(process, journal: Path) -> None:
    """Return when a line is being written: after the write, around its fsync."""
    size = journal.stat().st_size if journal.exists() else 0
    wait_until(lambda: process.poll() is not None or (journal.exists() and journal.stat().st_size > size))
