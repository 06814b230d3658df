"""What a load generator costs and by how much it is wrong, against a mock server whose truth is known.

    python benchmarks/client/run.py                            # dyno; makes the table in benchmarks/README.md again
    python benchmarks/client/run.py --vllm ENV/bin/vllm  # and `vllm bench serve` of an engine environment

Needs Linux, a C compiler, and two cores that are otherwise idle: the server has the first, the client the second.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dyno.model.synthetic import SHAPES, write_model

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- client: begin -->", "<!-- client: end -->"
STEP_MS, OUTPUT_LEN, INPUT_LEN = 5.0, 128, 32
RATES = (20_000, 50_000, 80_000)
COLUMNS = ("client", "tokens/s asked", "achieved", "CPU s per M tokens", "TTFT bias, median", "TPOT error",
           "reads a token")  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What the mock wrote down about one request, times in ns of the monotonic clock."""

    read_ns: int
    first_ns: int
    last_ns: int
    tokens: int

    @property
    def ttft_ms(self) -> float:
        return (self.first_ns - self.read_ns) / 1e6

    @property
    def tpot_ms(self) -> float:
        return (self.last_ns - self.first_ns) / (self.tokens - 1) / 1e6


@dataclass(frozen=True)
class Seen:
    """What a client made of the run."""

    throughput: float
    tpot_ms: float | None = None  # median
    bias_ms: float | None = None
    reads_per_token: float | None = None


class Mock:
    """The running server; `truth` is what it wrote down, by serial number, once it has been stopped."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.url, self._truth = process, f"http://127.0.0.1:{port}", dict[int, Truth]()

    def truth(self) -> dict[int, Truth]:
        if not self._truth:
            self.process.send_signal(signal.SIGTERM)
            rows = [tuple(map(int, line.split())) for line in self.process.communicate()[0].splitlines()]
            self._truth = {serial: Truth(*rest) for serial, *rest in rows if rest[-1] == OUTPUT_LEN and rest[2]}
        return self._truth


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


def cpu_of(words: Sequence[str], folder: Path) -> float:
    """Runs a client on the second core; its CPU seconds from exec to exit, its children's included."""
    with (folder / "client.log").open("w") as log:
        process = subprocess.Popen(["taskset", "-c", "1", *words], stdout=log, stderr=log, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words[0]} ended with {process.returncode}:\n" + (folder / "client.log").read_text()[-3000:])
    return usage.ru_utime + usage.ru_stime


def bare_words(_: argparse.Namespace, server: Mock, streams: int, requests: int) -> list[str]:
    port = server.url.rpartition(":")[2]
    return [sys.executable, str(HERE / "bare.py"), port, str(streams), str(requests), str(OUTPUT_LEN)]


def bare_seen(_: Mock, folder: Path) -> Seen:
    return Seen(float((folder / "client.log").read_text()))


def dyno_words(_: argparse.Namespace, server: Mock, streams: int, requests: int) -> list[str]:
    return [sys.executable, "-m", "dyno", "bench", "--url", server.url, "--model", "mock", "--chat", "--raw", "raw",
            "--concurrency", str(streams), "--requests", str(requests), "--input-len", str(INPUT_LEN),
            "--output-len", str(OUTPUT_LEN), "--json"]  # fmt: skip


def dyno_seen(server: Mock, folder: Path) -> Seen:
    """Each request's first content as dyno stamped it against the moment the mock sent it."""
    from dyno.bench.raw import load_raw
    from dyno.bench.stats import first_content_ns

    records, _ = load_raw(folder / "raw" / "throughput.npz")
    told = json.loads((folder / "client.log").read_text())["result"]
    truth = server.truth()
    sent_ns = np.array([truth[serial].first_ns for serial in records.prompt_tokens.tolist()])
    bias_ms = float(np.median(first_content_ns(records) - sent_ns)) / 1e6
    reads = len(np.unique(records.content_ns)) / len(records.content_ns)
    return Seen(told["output_throughput"], told["tpot_ms"]["p50"], bias_ms, reads)


def vllm_words(options: argparse.Namespace, server: Mock, streams: int, requests: int) -> list[str]:
    return [options.vllm, "bench", "serve", "--backend", "openai-chat", "--base-url", server.url, "--endpoint",
            "/v1/chat/completions", "--model", "mock", "--tokenizer", "tokenizer", "--dataset-name", "random",
            "--random-input-len", str(INPUT_LEN), "--random-output-len", str(OUTPUT_LEN), "--num-prompts",
            str(requests), "--max-concurrency", str(streams), "--ignore-eos", "--save-result", "--result-filename",
            "vllm.json", "--percentile-metrics", "ttft,tpot", "--disable-tqdm"]  # fmt: skip


def vllm_seen(server: Mock, folder: Path) -> Seen:
    """Its records are not kept one by one, so the bias is that of its median."""
    told = json.loads((folder / "vllm.json").read_text())
    true_ms = statistics.median(truth.ttft_ms for truth in server.truth().values())
    return Seen(told["output_throughput"], told["median_tpot_ms"], told["median_ttft_ms"] - true_ms)


def row(client: str, rate: int, seconds: float, options: argparse.Namespace) -> str:
    """One run of one client at one rate, as a row of the table."""
    streams = round(rate * STEP_MS / 1000)
    requests = streams * max(2, round(rate * seconds / OUTPUT_LEN / streams))
    with tempfile.TemporaryDirectory() as name, mock(Path(name)) as server:
        folder = Path(name)
        words, seen = {
            "bare protocol": (bare_words, bare_seen),
            "dyno": (dyno_words, dyno_seen),
            "vllm bench serve": (vllm_words, vllm_seen),
        }[client]
        write_model(folder / "tokenizer", SHAPES["demo"])
        cpu_s = cpu_of(words(options, server, streams, requests), folder)
        result = seen(server, folder)
        true_tpot_ms = statistics.median(truth.tpot_ms for truth in server.truth().values())
    tpot_error = None if result.tpot_ms is None else result.tpot_ms / true_tpot_ms - 1
    cells = (
        client,
        f"{rate:,}",
        f"{result.throughput / rate:.1%}",
        f"{cpu_s / (requests * OUTPUT_LEN / 1e6):.2f}",
        shown(result.bias_ms, ".2f", " ms"),
        shown(tpot_error, "+.2%"),
        shown(result.reads_per_token, ".2f"),
    )
    return f"| {' | '.join(cells)} |"


def shown(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vllm", default="", help="the `vllm` of an engine environment")
    parser.add_argument("--seconds", type=float, default=15, help="of each run, about")
    parser.add_argument("--keep", action="store_true", help="leave benchmarks/README.md as it is")
    options = parser.parse_args()
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for client in ("bare protocol", "dyno", *(["vllm bench serve"] if options.vllm else [])):
        for rate in RATES:
            lines.append(row(client, rate, options.seconds, options))
            print(lines[-1], flush=True)
    if not options.keep:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text("\n".join([before + BEGIN, *lines, END]) + rest.partition(END)[2])


if __name__ == "__main__":
    main()
