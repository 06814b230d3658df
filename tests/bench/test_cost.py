"""What a load generator notices of itself: lateness, unread bytes, and that a slow one voids its own run."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from itertools import accumulate
from time import perf_counter_ns

import pytest

from dyno.bench.cost import ClientCost, Meter, unread_bytes, worst


def hold(seconds: float) -> None:
    """Keeps the loop from anything else for so long."""
    until = perf_counter_ns() + seconds * 1e9
    while perf_counter_ns() < until:
        pass


class TestMeter:
    def test_counts_every_look_that_a_held_loop_missed(self) -> None:
        async def held() -> ClientCost:
            meter = Meter(list)
            hold(0.5)
            while not meter._lag_ms:
                await asyncio.sleep(0)
            return meter.stop(0)

        random.seed(1)
        pauses_ms = [random.expovariate(1 / 50) for _ in range(50)]
        due_ms = [at for at in accumulate(pauses_ms) if at < 500]
        random.seed(1)
        cost = asyncio.run(held())
        assert len(cost.loop_lag_ms) >= len(due_ms) > 5
        assert all(lag >= 499 - due for lag, due in zip(cost.loop_lag_ms, due_ms, strict=False)), "each to the end"
        assert cost.wall_s >= 0.5
        assert cost.backlog_s is None, "nothing was received"

    def test_takes_what_lay_unread_for_the_time_it_waited(self) -> None:
        async def unread(looks: int) -> ClientCost:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.sendall(b"x" * 1000)
                meter = Meter(lambda: [ours.fileno()] * 100)
                while meter._looks < looks:
                    await asyncio.sleep(0.001)
                return meter.stop(100_000)

        assert asyncio.run(unread(looks=2)).backlog_s == 0, "two looks may be a coincidence"
        cost = asyncio.run(unread(looks=6))
        assert cost.backlog_s == pytest.approx(cost.wall_s), "as much lay there at any time as came in all"

    def test_a_closed_connection_holds_nothing(self) -> None:
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        ours.close()
        theirs.close()
        assert unread_bytes(number) == 0


def test_the_worst_loop_of_several_speaks_for_all() -> None:
    idle, busy = ClientCost(1.0, 10.0, (9.0,), None, (0.5,)), ClientCost(9.0, 10.0, (1.0, 2.0), 0.2, (0.1, 0.1))
    assert worst([idle, busy, ClientCost()]) == ClientCost(9.0, 10.0, (9.0,), 0.2, (0.5,))


def test_what_it_did_is_told_in_a_few_numbers_and_of_nothing_there_is_none() -> None:
    assert ClientCost(3.0, 6.0, (1.0, 2.0), 0.001, (0.1, 0.2, 0.9)).told() == {
        "cpu_share": 0.5, "loop_lag_ms": 1.5, "backlog_ms": 1.0, "first_late_ms": pytest.approx(0.4),
        "first_late_ms.p50": 0.2}  # fmt: skip
    assert set(ClientCost().told().values()) == {None}


class TestSlowClient:
    """The same load on the same engine: a client stopped every other 50 ms voids it, one left alone does not."""

    WORDS = ("--chat", "--concurrency", "8", "--requests", "32", "--input-len", "512", "--output-len", "16", "--json")

    @pytest.mark.parametrize("processes", ["1", "2"])
    def test_voids_its_own_run(self, engine, processes: str) -> None:
        with self.client(engine(FAKE_TTFT_MS="200"), processes) as started:
            while started.poll() is None:
                for signal_ in (signal.SIGSTOP, signal.SIGCONT):
                    os.killpg(started.pid, signal_)
                    time.sleep(0.05)
            told = json.loads(started.stdout.read())
        assert started.returncode == 1
        assert any("the client" in reason for reason in told["result"]["void"]), told["result"]["void"]

    def test_left_alone_is_valid(self, engine) -> None:
        with self.client(engine(FAKE_TTFT_MS="200"), "1", "--shared-host") as started:
            told = json.loads(started.stdout.read())
        assert told["result"]["void"] == []

    def client(self, url: str, processes: str, *more: str) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "dyno", "bench", "--url", url, "--processes", processes, *self.WORDS, *more]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
