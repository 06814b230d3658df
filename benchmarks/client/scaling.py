"""Whether several processes of the load generator carry as many times the load of one.

    python benchmarks/client/scaling.py [PROCESSES...]      # 1 2 8

Each process is asked for 80,000 tokens/s and has a core; as many mock servers share one port, each on its own core.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

MOCK = Path(__file__).resolve().parent / "mock.c"
RATE, STREAMS, STEP_NS, OUTPUT_LEN, INPUT_LEN, SECONDS = 80_000, 400, 5_000_000, 128, 32, 8


def achieved(program: Path, processes: int) -> float:
    """Tokens/s that so many processes together took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    streams = STREAMS * processes
    requests = streams * round(RATE * SECONDS / OUTPUT_LEN / STREAMS)
    clients = ",".join(str(core) for core in range(processes, 2 * processes))
    with ExitStack() as servers:
        for core in range(processes):
            words = ["taskset", "-c", str(core), str(program), str(port), str(STEP_NS)]
            server = servers.enter_context(subprocess.Popen(words, stdout=subprocess.DEVNULL))
            servers.callback(server.kill)
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.01)
        told = subprocess.run(
            ["taskset", "-c", clients, sys.executable, "-m", "dyno", "bench", "--url", f"http://127.0.0.1:{port}",
             "--model", "mock", "--chat", "--concurrency", str(streams), "--requests", str(requests), "--input-len",
             str(INPUT_LEN), "--output-len", str(OUTPUT_LEN), "--processes", str(processes), "--json"],
            stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
    return json.loads(told.stdout)["result"]["output_throughput"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("processes", type=int, nargs="*", default=[1, 2, 8])
    wanted = parser.parse_args().processes
    if 2 * max(wanted) > len(os.sched_getaffinity(0)):
        raise SystemExit(f"{max(wanted)} processes and their servers need {2 * max(wanted)} cores")
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "mock"
        subprocess.run(["cc", "-O2", "-Wall", "-o", program, MOCK], check=True)
        rates = {number: achieved(program, number) for number in wanted}
    print("| processes | tokens/s | times the first |\n|---|---|---|")
    for number, rate in rates.items():
        print(f"| {number} | {rate:,.0f} | {rate / rates[wanted[0]]:.2f} |")


if __name__ == "__main__":
    main()
