"""Holds one engine, and ends its whole process tree when Dyno asks for it or is gone.

Run by `dyno.engine.process` as `python -I -S watchdog.py` in a session of its own, with the standard library alone.

    stdin   a JSON line {"argv": [...], "env": {...}}, then `stop SECONDS`; end-of-file means that Dyno is gone
    stdout  JSON lines: started {pid}, failed {error}, exited {code}, stopped {left}
    stderr  the engine's log

It is child subreaper: whatever the engine starts, in whatever session, stays a descendant of this process.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

SHM = Path("/dev/shm")
PROC = Path("/proc")
LINGER_S = 1.0  # what the engine's children get to end by themselves after it
KILL_S = 10.0  # a process that outlives KILL this long is stuck in the kernel
SCAN_EVERY_S = 1.0  # how long a segment may go unnoticed while somebody of the tree holds it
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None)


def descendants(parents: Mapping[int, int], root: int) -> set[int]:
    """Everybody below `root`, given each process's parent."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    ask = [root]
    while ask:
        below = children.pop(ask.pop(), [])
        found.update(below)
        ask += below
    return found


def parse_stat(stat: bytes) -> tuple[str, str, int]:
    """(name, state, parent) from /proc/PID/stat. A name may hold spaces and brackets."""
    head, _, tail = stat.rpartition(b")")
    state, parent = tail.split(maxsplit=2)[:2]
    return os.fsdecode(head.partition(b"(")[2]), state.decode(), int(parent)


def shm_names(maps: Iterable[bytes]) -> set[str]:
    """Names in /dev/shm from the lines of /proc/PID/maps; a deleted file has none any more."""
    mark = f" {SHM}/".encode()
    return {os.fsdecode(line.rstrip(b"\n").partition(mark)[2]) for line in maps
            if mark in line and not line.endswith(b" (deleted)\n")}  # fmt: skip


def processes() -> dict[int, tuple[str, str, int]]:
    """(name, state, parent) of every process, zombies included."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                found[int(folder.name)] = parse_stat((folder / "stat").read_bytes())
    return found


def tree(root: int) -> dict[int, str]:
    """Names of a process's living descendants, by id. Looks at every process there is."""
    everybody = processes()
    below = descendants({pid: parent for pid, (_, _, parent) in everybody.items()}, root)
    return {pid: everybody[pid][0] for pid in below if everybody[pid][1] not in "ZX"}


def in_use(pids: Iterable[int]) -> set[str]:
    """Names in /dev/shm that one of these processes has mapped or open."""
    names: set[str] = set()
    for pid in pids:
        with suppress(OSError), (PROC / str(pid) / "maps").open("rb") as maps:
            names |= shm_names(maps)
        with suppress(OSError):
            for descriptor in (PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    if (target := descriptor.readlink()).parent == SHM:
                        names.add(target.name)
    return names


def shm_files() -> set[tuple[str, int]]:
    """(name, inode) of this user's files in /dev/shm."""
    files = set()
    with suppress(OSError), os.scandir(SHM) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.getuid():
                    files.add((entry.name, status.st_ino))
    return files


class SharedMemory:
    """The engine's files in /dev/shm: made since the start and held, when looked at, by a process of its tree."""

    def __init__(self) -> None:
        self._before = shm_files()
        self._own: set[tuple[str, int]] = set()
        self._strange: set[tuple[str, int]] = set()

    def new(self) -> set[tuple[str, int]]:
        """Files that nobody has looked at yet. Costs a directory listing."""
        return shm_files() - self._before - self._own - self._strange

    def note(self, pids: Iterable[int]) -> None:
        """Attributes new files. The processes are looked through only for a new file."""
        if new := self.new():
            held = in_use(pids)
            self._own |= {file for file in new if file[0] in held}
            self._strange |= new - self._own

    def note_all(self, pids: Iterable[int]) -> None:
        """Attributes new files and looks again at those that seemed somebody else's."""
        self._strange.clear()
        self.note(pids)

    def remove(self) -> list[str]:
        """Unlinks those of the engine's files that nobody holds any more, and names them."""
        left = sorted(name for name, _ in self._own & shm_files())
        held = in_use(processes()) if left else set()
        for name in (removable := [name for name in left if name not in held]):
            (SHM / name).unlink(missing_ok=True)
        return [str(SHM / name) for name in removable]


def report(event: str, **facts: object) -> None:
    """One line to Dyno; lost when Dyno does not read or is gone."""
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")


def reap(engine: int) -> int | None:
    """Collects every child that has ended; the engine's exit code (negative: signal) if it is among them."""
    code = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == engine:
                code = os.waitstatus_to_exitcode(status)
    return code


def freeze() -> None:
    """STOP for every descendant until no new one is found: nothing is made between the last look and the KILL."""
    stopped: set[int] = set()
    while new := set(tree(os.getpid())) - stopped:
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= new


def kill_tree(engine: int) -> tuple[list[str], int | None]:
    """KILL for every descendant until none is left. Who had to be ended, and the engine's exit code if it was."""
    code = None
    ended: dict[int, str] = {}
    give_up = time.monotonic() + KILL_S
    while (alive := tree(os.getpid())) and time.monotonic() < give_up:
        ended |= alive
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        code = reap(engine) if code is None else code
    code = reap(engine) if code is None else code
    left = [f"process {pid} ({name})" + " still there after KILL" * (pid in alive) for pid, name in ended.items()]
    return left, code


class Watch:
    """Waits for what ends an engine: a command, the end of Dyno, a signal, or its own exit."""

    def __init__(self, engine: int, memory: SharedMemory, wakeup: int) -> None:
        self.engine, self.memory, self.wakeup = engine, memory, wakeup
        self.exited = False
        self.deadline: float | None = None  # when the tree is killed
        self._commands = b""

    def until_over(self, commands: bytes) -> None:
        """Returns when the tree is to be killed, or has ended by itself. `commands` have been read already."""
        poller = select.poll()
        for descriptor in (0, self.wakeup):
            poller.register(descriptor, select.POLLIN)
        self._obey(commands)
        while not self._over():
            left_s = SCAN_EVERY_S if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready = {descriptor for descriptor, _ in poller.poll(min(left_s, SCAN_EVERY_S) * 1000 + 1)}
            if 0 in ready:
                data = os.read(0, 65536)
                self._obey(data)
                if not data:
                    self._end_in(0)
            if self.wakeup in ready:
                self._read_signals()
            if self.memory.new():
                self.memory.note(tree(os.getpid()))

    def _over(self) -> bool:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return True
        return self.exited and not tree(os.getpid())

    def _end_in(self, seconds: float) -> None:
        moment = time.monotonic() + seconds
        self.deadline = moment if self.deadline is None else min(moment, self.deadline)

    def _obey(self, data: bytes) -> None:
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            word, _, seconds = line.partition(b" ")
            if word == b"stop" and not self.exited:
                self.memory.note_all(tree(os.getpid()))
                self._end_in(float(seconds))
                os.kill(self.engine, signal.SIGTERM)

    def _read_signals(self) -> None:
        if signal.SIGTERM in os.read(self.wakeup, 4096):
            self._end_in(0)
        code = reap(self.engine)
        if code is not None:
            self.exited = True
            report("exited", code=code)
            self._end_in(LINGER_S)


def signals() -> int:
    """A descriptor that tells signals by number; Ctrl-C and a closed terminal are Dyno's business."""
    told, tell = os.pipe()
    os.set_blocking(told, False)
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the engine would inherit
    return told


def start(argv: list[str], env: dict[str, str]) -> int:
    """The engine's process id. Killed by the kernel if this process is. OSError when it cannot be run."""
    engine = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True,
                              preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))  # fmt: skip
    engine.returncode = 0  # reaped here, by id
    return engine.pid


def main() -> None:
    """Reads what to start, holds it, ends it."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    wakeup = signals()
    os.set_blocking(1, False)
    data = b""
    while b"\n" not in data:
        if not (more := os.read(0, 65536)):
            return  # Dyno is gone, and nothing has been started
        data += more
    spec, _, commands = data.partition(b"\n")
    with tempfile.TemporaryDirectory(prefix="dyno-", ignore_cleanup_errors=True) as sockets:
        hold(**json.loads(spec), sockets=sockets, wakeup=wakeup, commands=commands)


def hold(argv: list[str], env: dict[str, str], sockets: str, wakeup: int, commands: bytes) -> None:
    """Starts the engine and returns when it is over. vLLM never removes its sockets, so they get a folder."""
    memory = SharedMemory()
    try:
        engine = start(argv, {"VLLM_RPC_BASE_PATH": sockets, **env})
    except OSError as error:
        report("failed", error=str(error))
        return
    report("started", pid=engine)
    watch = Watch(engine, memory, wakeup)
    watch.until_over(commands)
    freeze()
    memory.note_all(tree(os.getpid()))
    left, code = kill_tree(engine)
    if not watch.exited:
        report("exited", code=code)
    report("stopped", left=(left + memory.remove())[:20])


if __name__ == "__main__":
    main()
    sys.stdout = None  # nothing to flush into a pipe that may be gone
