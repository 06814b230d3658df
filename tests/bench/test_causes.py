"""Every cause for which the audit voids, planted where a study or `dyno bench` meets it; each voids, and is named."""

import contextlib
import os
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
from made import journal
from tests.bench.conftest import SOURCE
from tests.hardware.replay import Replay, h200, throttled_at_minute_5
from tests.hardware.test_sampler import write_process

from dyno.bench import audit, connection
from dyno.bench.again import measured_again
from dyno.bench.answer import Transcript
from dyno.bench.audit import PhysicalBounds
from dyno.bench.load import measure
from dyno.bench.record import Load, Target
from dyno.bench.server import Asked, bench_server
from dyno.bench.shape import read_shape
from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.process import EngineProcess
from dyno.hardware import nvml
from dyno.hardware.sampler import watch
from dyno.study import launch as launching
from dyno.study.journal import append, read_journal
from dyno.study.launch import Launch, Session
from dyno.study.schedule import LaunchPlan
from dyno.testing.fake_engine import write_site
from dyno.workload import Workload

SMALL = {"input_len": 64, "output_len": 8, "concurrency": 4, "num_requests": 12}


class Study:
    """A study of one fake engine that is running; `take` puts it to the test throughput and gives the new steps."""

    def __init__(self, folder, engine: EngineProcess, shared_host: bool, **session: object) -> None:
        made, spec = journal((), candidates=(), shared_host=shared_host, workload=SMALL)
        append(folder, made.study)
        self.folder, self.engine, self.facts = folder, engine, engine.start()
        self.session = Session(folder, spec, engine.environment, 4096, 1, **{"device_uuid": None} | session)
        self.candidate, self.number = made.study.candidates[0], 0

    def take(self, pair: int = 0, kind: type[Launch] = Launch):
        before = len(read_journal(self.folder).steps)
        plan = LaunchPlan(self.number, 1, "screen", pair, "baseline", ("throughput",), 1, 1)
        self.number += 1
        kind(self.session, plan, self.candidate, lambda *_: None).measure(self.engine, self.facts, "throughput")
        return read_journal(self.folder).steps[before:]


@pytest.fixture
def study(tmp_path):
    """`study(shared_host, variables, **fields of the session)`, ended with the test."""
    python = (str(write_site(tmp_path / "site")), str(SOURCE))
    environment = Environment("fake", "adopted", sys.executable, python, "cpu", "0.32.0+cpu", "3.12", "2.13.0+cpu")
    with contextlib.ExitStack() as stack:

        def make(shared_host=True, variables=(), **session):
            args = EngineArgs("org/model", (("max_model_len", 512),), tuple(variables))
            engine = stack.enter_context(EngineProcess(environment, args, tmp_path / "engine.log"))
            return Study(tmp_path, engine, shared_host, **session)

        yield make


def test_nothing_planted_voids_nothing(study):
    (step,) = study().take()
    assert (step.state, step.void) == ("complete", ())


class TestServer:
    def test_tokens_that_differ_from_its_counters(self, study):
        (step,) = study(variables=[("FAKE_FAIL", "wrong_tokens")]).take()
        assert "the server's usage says 96 output tokens, its counter 192" in step.void[0]

    def test_a_prefix_cache_that_hits_where_it_should_not(self, study):
        made = study()
        assert made.take(pair=0)[0].void == ()
        assert "the prefix cache answered" in made.take(pair=0)[0].void[0]
        assert made.take(pair=1)[0].void == (), "other prompts"

    def test_a_figure_that_beats_a_physical_bound(self, study, tmp_path):
        (step,) = study(bounds=lambda _: PhysicalBounds({"tpot_ms.p50": 1e6})).take()
        assert "and less than 1e+06 is not possible on this machine" in step.void[0]
        (again,) = measured_again(tmp_path / "raw").tests.values()
        assert again.void == step.void, "told again by `dyno report --raw`"

    def test_requests_that_failed(self, study):
        (step,) = study(variables=[("FAKE_FAIL", "wrong_json"), ("FAKE_FAIL_AFTER", "8")]).take()
        assert "requests failed: garbled event" in step.void[0]


class TestClient:
    """A client whose loop stands still for a second, as somebody who draws progress may have it."""

    def late(self, engine, **shape: object) -> list[str]:
        def stand_still(_done: int, _of: int) -> None:
            until = time.perf_counter() + 1
            while time.perf_counter() < until:
                pass

        words = {"arrival": "", "lengths": "", "goodput": ""} | shape
        asked = Asked(Workload("w", 64, 8, 4, 12), shape=read_shape(words, trace=None, prefix_len=0, prefixes=1,
                                                                     rate=50.0 if shape else None))  # fmt: skip
        done = bench_server(Target(engine(), "m", token_ids=(100, 4000)), asked, None, stand_still)
        return list(done.results["throughput"].void)

    def test_a_loop_that_lags_or_takes_a_processor(self, engine):
        void = self.late(engine)
        assert any("the client's loop was" in reason for reason in void), void

    def test_requests_that_are_sent_late(self, engine):
        void = self.late(engine, arrival="constant")
        assert any("ms late on average" in reason for reason in void), void


class Thorough:
    """Who looks at every answer for 20 ms, in which the first tokens of the next requests come."""

    def see(self, _: Transcript) -> None:
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass

    def enough(self) -> bool:
        return False


def test_first_tokens_that_come_while_the_client_is_busy_with_the_last_ones_void(engine):
    target = Target(engine(), "m", token_ids=(100, 4000))
    void = measure(target, Load(8, 48, 64, 8, seed=1), None, watch=Thorough()).void
    assert any(reason.startswith("first tokens lay unread for ") for reason in void), void


def test_a_client_whose_stamps_are_five_milliseconds_late_voids(engine, monkeypatch):
    monkeypatch.setattr(connection, "perf_counter_ns", lambda: time.perf_counter_ns() + 5_000_000)
    void = measure(Target(engine(), "m", token_ids=(100, 4000)), Load(8, 48, 64, 8, seed=1), None).void
    assert any(reason.startswith("first tokens lay unread for ") for reason in void), void


class Passing(Replay):
    """A card on which every question for its temperature is 200 s later than the one before; three are asked."""

    ours, others = (0, 0), (0, 0)  # memory, before and after

    def nvmlInit(self) -> None:
        self.look()

    def look(self) -> "Passing":
        super().look()
        moved = self.at_s > 400
        self.cards[0].compute = [(os.getpid(), self.ours[moved]), (1, self.others[moved])]
        return self

    def nvmlDeviceGetTemperature(self, card, sensor):
        self.advance(200)
        return super().nvmlDeviceGetTemperature(card, sensor)


def moved(name: object, before: object, after: object):
    """An H200 under load of which one answer changes meanwhile."""
    return lambda at_s: h200(at_s) | {name: after if at_s > 400 else before}


class TestCard:
    @pytest.fixture
    def with_card(self, study, monkeypatch):
        def take(card: Passing):
            monkeypatch.setitem(sys.modules, "pynvml", card)
            nvml._pynvml.cache_clear()
            return study(device_uuid="GPU").take()

        yield take
        nvml._pynvml.cache_clear()

    @pytest.mark.parametrize(("trace", "said"), [
        (throttled_at_minute_5, "the card slowed itself down in 200.0 s"),
        (moved("EnforcedPowerLimit", 700_000, 500_000), "the card's power limit moved between 500 and 700 W"),
        (moved(("ClockInfo", 2), 3201, 2619), "the card's memory clock moved between 2619 and 3201 MHz"),
        (moved("CurrentClocksEventReasons", 0, 2), "somebody set or released the card's clocks"),
    ], ids=["throttled", "power limit", "memory clock", "clocks"])  # fmt: skip
    def test_a_card_that_slows_down_or_is_changed_by_somebody(self, with_card, trace, said):
        (step,) = with_card(Passing(trace=trace))
        assert said in step.void[0]
        assert not step.again, "the engine would meet the same card again"

    def test_memory_of_others_on_the_card_that_moved(self, with_card):
        card = Passing(trace=h200)
        card.others = (300 << 20, 900 << 20)
        (step,) = with_card(card)
        assert "memory of other processes on the card moved between 300" in step.void[0]

    def test_a_card_that_says_little_voids_nothing(self, with_card):
        (step,) = with_card(Passing(trace=lambda _: {"Temperature": 60}))
        assert step.void == ()


class MadeUp:
    """A /proc of a client, an engine and a neighbour, in which a minute passes whenever it is told to."""

    def __init__(self, root, engine_pid: int) -> None:
        self.root, self.engine_pid = root, engine_pid
        self.ticks = {"engine": 0, "neighbour": 0, "steal": 0}
        root.mkdir()
        (root / "meminfo").write_text("MemAvailable: 1 kB\n")
        self.pass_by()

    def pass_by(self, **seconds: float) -> None:
        cores = len(os.sched_getaffinity(0))
        for name, taken_s in seconds.items():
            self.ticks[name] += round(taken_s * 100)
        busy = self.ticks["engine"] + self.ticks["neighbour"]
        per_core = f"{busy // cores} 0 0 0 0 0 0 {self.ticks['steal'] // cores} 0 0\n"
        (self.root / "stat").write_text("".join(f"cpu{number} {per_core}" for number in os.sched_getaffinity(0)))
        for pid, parent, used in ((1, 0, 0), (os.getpid(), 1, 0), (self.engine_pid, 1, self.ticks["engine"]),
                                  (2, 1, self.ticks["neighbour"])):  # fmt: skip
            write_process(self.root, pid, parent, used, "cc1plus" if pid == 2 else "p")


class TestHost:
    @pytest.fixture
    def on(self, study, tmp_path, monkeypatch):
        """`on(minutes, shared_host)`: steps of one test, a made-up minute passing in each attempt.

        The made-up host is all that is judged: the real one may keep the client waiting.
        """
        for allowance in ("NO_LAG_MS", "ANY_READER_MS", "ONE_TURN_S"):
            monkeypatch.setattr(audit, allowance, 1e9)

        def take(minutes, shared_host=False):
            made = study(shared_host)
            proc, left = MadeUp(tmp_path / "proc", made.engine.pid), iter(minutes)
            monkeypatch.setattr(launching, "watch", partial(watch, proc=proc.root))

            class Disturbed(Launch):
                def run(self, *asked):
                    told = super().run(*asked)
                    proc.pass_by(**next(left))
                    return told

            return made.take(kind=Disturbed), read_journal(made.folder).notes

        return take

    def test_a_hypervisor_that_steals(self, on):
        steps, _ = on([{"engine": 60, "steal": 4}] * 3)
        assert [step.state for step in steps] == ["void"] * 3
        assert "the hypervisor took 4.0 s" in steps[-1].void[0]

    def test_neighbours_that_end_void_one_attempt_and_the_next_counts(self, on):
        steps, _ = on([{"engine": 60, "neighbour": 60}, {"engine": 60}])
        assert [(step.state, step.again) for step in steps] == [("void", True), ("complete", False)]
        assert "cc1plus (process 2)" in steps[0].void[0]
        assert len({step.seed for step in steps}) == len({step.raw for step in steps}) == 2

    def test_neighbours_that_stay_void_the_test_in_the_end(self, on):
        steps, _ = on([{"engine": 60, "neighbour": 60}] * 3)
        assert [(step.state, step.again) for step in steps] == [("void", True), ("void", True), ("void", False)]

    def test_an_engine_that_takes_everything_is_nobodys_neighbour(self, on):
        steps, _ = on([{"engine": 60 * len(os.sched_getaffinity(0))}])
        assert [step.state for step in steps] == ["complete"]

    def test_on_a_shared_host_they_are_noted(self, on):
        steps, notes = on([{"engine": 60, "neighbour": 60, "steal": 4}], shared_host=True)
        assert [step.state for step in steps] == ["complete"]
        assert "the hypervisor took" in notes[0]
        assert "cc1plus" in notes[1]
        assert "--shared-host" not in notes[1], "that was said"

    def test_a_real_burner_is_found_out_and_the_engines_own_spinning_is_not(self, study, burners):
        made = study(False, [("FAKE_SPINS", "1"), ("FAKE_TPOT_MS", "40")])
        steps = made.take()
        assert [step.state for step in steps] == ["void"] * 3
        (reason,) = [reason for reason in steps[-1].void if reason.startswith("other processes took")]
        assert any(f"(process {pid})" in reason for pid in burners)
        engines = [made.engine.pid, *(child.pid for child in psutil.Process(made.engine.pid).children(recursive=True))]
        assert not any(f"(process {pid})" in reason for pid in engines)


@pytest.fixture
def burners(tmp_path):
    """Processes that are no children of this one and take all processors; their ids."""
    burn = ("import os, sys, time\nif os.fork(): os._exit(0)\n"
            "os.setsid()\nprint(os.getpid(), flush=True)\nos.close(1)\n"
            "while os.path.exists(sys.argv[1]) and time.process_time() < 60: pass\n")  # fmt: skip
    flag = tmp_path / "burning"
    flag.touch()
    started = [subprocess.run([sys.executable, "-c", burn, str(flag)], stdout=subprocess.PIPE, check=True, text=True)
               for _ in os.sched_getaffinity(0)]  # fmt: skip
    pids = [int(each.stdout) for each in started]
    yield pids
    flag.unlink()
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=20)
