"""What a load generator costs and by how much it is wrong, against a mock server whose truth is known.

    python benchmarks/client/run.py --vllm ENV/bin/vllm    # makes the table in benchmarks/README.md again

Needs Linux, a C compiler, and two cores that are otherwise idle: the server has the first, the client the second.
aiperf and guidellm are installed from PyPI into environments of their own (7 GB); `--only dyno` leaves them out.
"""

import argparse
import ctypes
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from clients import CACHE, OUTPUT_LEN, Client, Job, Seen, Truth, all_clients

from dyno.model.synthetic import SHAPES, write_model

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- client: begin -->", "<!-- client: end -->"
STEP_MS = 5.0
RATES = (20_000, 50_000, 80_000)
COLUMNS = ("client", "tokens/s asked", "achieved", "CPU s per M tokens", "TTFT bias, median", "TPOT error",
           "reads a token")  # fmt: skip
ADOPTS_ORPHANS = 36  # Linux's PR_SET_CHILD_SUBREAPER
FAILURES = (RuntimeError, OSError, ValueError, KeyError, TypeError)  # of a client, or of what it recorded


class Mock:
    """The running server; `truth` is what it wrote down, by serial number, once it has been stopped."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.url = process, f"http://127.0.0.1:{port}"

    def truth(self, requests: int) -> dict[int, Truth]:
        """The last so many requests of full length: what came before them was a warm-up."""
        self.process.send_signal(signal.SIGTERM)
        rows = [tuple(map(int, line.split())) for line in self.process.communicate()[0].splitlines()]
        whole = [(serial, Truth(*rest)) for serial, *rest in rows if rest[-1] == OUTPUT_LEN and rest[2]]
        if len(whole) < requests:
            raise ValueError(f"sent {len(whole)} of {requests} requests")
        return dict(whole[-requests:])


@contextmanager
def mock(folder: Path) -> Iterator[Mock]:
    """A mock server on the first core."""
    program = folder / "mock"
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, HERE / "mock.c"], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["taskset", "-c", "0", str(program), str(port), str(int(STEP_MS * 1e6))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.01)
            yield Mock(process, port)
        finally:
            process.kill()


def run_client(client: Client, job: Job, server: Mock, options: argparse.Namespace) -> tuple[int, float]:
    """Runs a client on the second core: its exit code, and CPU seconds of all its processes, orphans included."""
    words = ["taskset", "-c", "1", *client.words(client.program(options.cache), job)]
    before = children_cpu_s()
    with (job.folder / "client.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=job.folder, env={**os.environ, **client.environ})
        try:
            code = process.wait(options.limit)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"did not end within {options.limit:.0f} s") from error
        finally:
            end_all(server)
    return code, children_cpu_s() - before


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def end_all(server: Mock) -> None:
    """Ends and reaps whatever a client left behind, so that all it used is counted."""
    while left := [each for each in psutil.Process().children() if each.pid != server.process.pid]:
        for each in left:
            each.kill()
            each.wait()


def measured(client: Client, job: Job, server: Mock, options: argparse.Namespace) -> tuple[float, float, float, Seen]:
    """Achieved tokens/s, CPU seconds per million tokens, the true median TPOT in ms, and what the client saw."""
    before_ns = time.time_ns() - time.perf_counter_ns()
    code, cpu_s = run_client(client, job, server, options)
    if code not in client.codes:
        said = (job.folder / "client.log").read_text().strip().splitlines() or ["nothing"]
        raise RuntimeError(f"ended with {code} ({said[-1].strip()[:120]})")
    ahead_ns = (before_ns + time.time_ns() - time.perf_counter_ns()) // 2
    truth = server.truth(job.requests)
    tokens = job.requests * OUTPUT_LEN
    span_s = (max(each.last_ns for each in truth.values()) - min(each.read_ns for each in truth.values())) / 1e9
    true_tpot_ms = statistics.median(each.tpot_ms for each in truth.values())
    return tokens / span_s, cpu_s / tokens * 1e6, true_tpot_ms, client.seen(job, truth, ahead_ns)


def row(name: str, client: Client, rate: int, options: argparse.Namespace) -> str:
    """One run of one client at one rate, as a row of the table; one that failed says how."""
    streams = round(rate * STEP_MS / 1000)
    requests = streams * max(2, round(rate * options.seconds / OUTPUT_LEN / streams))
    with tempfile.TemporaryDirectory() as folder, mock(Path(folder)) as server:
        write_model(Path(folder) / "tokenizer", SHAPES["demo"])
        try:
            achieved, cpu_s, true_tpot_ms, seen = measured(
                client, Job(server.url, Path(folder), streams, requests), server, options)  # fmt: skip
        except FAILURES as error:
            return f"| {name} | {rate:,} | {' '.join(str(error).split())} | - | - | - | - |"
    for why in seen.void:
        print(f"{name} at {rate:,}: void, {why}", file=sys.stderr, flush=True)
    cells = (
        f"{name} (void)" if seen.void else name,
        f"{rate:,}",
        f"{achieved / rate:.1%}",
        f"{cpu_s:.2f}",
        shown(seen.bias_ms, ".2f", " ms"),
        shown(None if seen.tpot_ms is None else seen.tpot_ms / true_tpot_ms - 1, "+.2%"),
        shown(seen.reads_per_token, ".2f"),
    )
    return f"| {' | '.join(cells)} |"


def shown(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vllm", default="", help="the `vllm` of an engine environment")
    parser.add_argument("--only", default="", help="clients, as the table names them, with commas")
    parser.add_argument("--seconds", type=float, default=8, help="of each run, about, where the client keeps up")
    parser.add_argument("--limit", type=float, default=150, help="seconds after which a client has failed")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the peers' environments are")
    parser.add_argument("--keep", action="store_true", help="leave benchmarks/README.md as it is")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(ADOPTS_ORPHANS, 1)
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for name, client in all_clients(options.vllm).items():
        if options.only and name not in options.only.split(","):
            continue
        client.program(options.cache)
        for rate in RATES:
            lines.append(row(name, client, rate, options))
            print(lines[-1], flush=True)
    if not options.keep:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text("\n".join([before + BEGIN, *lines, END]) + rest.partition(END)[2])


if __name__ == "__main__":
    main()
