import contextlib
import cProfile
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.hardware.recorded import Card, Library

from dyno.engine import client, watchdog
from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.failures import Cause
from dyno.engine.process import EngineProcess, newest_phase
from dyno.engine.watchdog import SHM, in_use
from dyno.errors import EngineFailed, EnvironmentBroken
from dyno.hardware import nvml
from dyno.testing.fake_engine import write_site

PATIENCE_S = 20  # a bound for what is polled, never reached when all is well


def until(condition):
    """Polls until the condition holds."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return write_site(tmp_path_factory.mktemp("site"))


def environment(folder, python=sys.executable):
    return Environment("fake", "adopted", python, (str(folder),), "cpu", "0.32.0+cpu", "3.12.1", "2.13.0+cpu")


@pytest.fixture(autouse=True)
def sockets(tmp_path, monkeypatch):
    """Where the folders of the engines' sockets are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return lambda: list(tmp_path.glob("dyno-*"))


@pytest.fixture
def engine(site, tmp_path):
    """Makes engines that are ended with the test."""
    with contextlib.ExitStack() as stack:

        def make(name="engine", folder=site, python=sys.executable, timeout_s=60.0, **env):
            args = EngineArgs("org/model", (("max_model_len", 512),), tuple(env.items()))
            process = EngineProcess(environment(folder, python), args, tmp_path / f"{name}.log",
                                    ready_timeout_s=timeout_s)  # fmt: skip
            return stack.enter_context(process)

        yield make


def watchdogs(owner=None):
    """Those that this process or another owner has started."""
    return [child for child in psutil.Process(owner).children() if watchdog.__file__ in child.cmdline()]


class Traces:
    """What the engines of an owner have of the machine, seen from outside: processes, shared memory, a port."""

    def __init__(self, url, owner=None):
        self.processes = [process for dog in watchdogs(owner) for process in (dog, *dog.children(recursive=True))]
        self.memory = {SHM / name for name in in_use(process.pid for process in self.processes)}
        self.port = int(url.rpartition(":")[2])

    def port_is_open(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def gone(self):
        _, alive = psutil.wait_procs(self.processes, timeout=0)
        return not alive and not self.port_is_open() and not any(file.exists() for file in self.memory)


def test_a_ready_engine_answers_under_the_models_name_and_tells_its_facts(engine):
    process = engine()
    facts = process.start()
    assert client.canary(process.url, process.model_name, 5).answered
    assert facts.max_model_len == 512
    assert facts.kv_cache_tokens
    assert facts.rss_bytes == pytest.approx(process.rss_bytes(), rel=0.5)
    assert process.died() is None


def test_stop_leaves_nothing_and_is_idempotent(engine, sockets):
    process = engine()
    process.start()
    traces = Traces(process.url)
    assert traces.memory
    assert sockets()
    assert process.stop() == ()
    assert traces.gone()
    assert not sockets()
    assert process.stop() == ()
    assert process.died() is None
    assert process.rss_bytes() is None


def test_memory_is_read_without_looking_through_the_machines_processes(engine):
    process = engine(FAKE_FAIL="outliving_child")
    process.start()
    profile = cProfile.Profile()
    with_child = profile.runcall(process.rss_bytes)
    assert watchdog.processes.__code__ not in {entry.code for entry in profile.getstats()}
    child = next(each for each in Traces(process.url).processes[2:] if os.getsid(each.pid) == each.pid)
    child.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert 0 < process.rss_bytes() < with_child


@pytest.mark.parametrize("alone", [True, False])
def test_memory_that_is_not_given_back_is_told_only_of_an_engine_that_is_alone_on_its_card(
    site, tmp_path, monkeypatch, alone
):
    card = Card({"UUID": "GPU", "Index": 0, "MemoryInfo": (8 << 30, 0, 0)})
    monkeypatch.setitem(sys.modules, "pynvml", Library("580", 13000, [card]))
    monkeypatch.setattr("dyno.engine.process.MEMORY_BACK_S", 0.1)
    nvml._pynvml.cache_clear()
    args = EngineArgs("org/model", (("max_model_len", 512),), ())
    with EngineProcess(environment(site), args, tmp_path / "engine.log", "GPU", 60, alone=alone) as process:
        process.start()
        card.answers["MemoryInfo"] = (8 << 30, 2 << 30, 0)  # a neighbour's, which stays
        assert process.stop() == (("2 GiB on card GPU still in use",) if alone else ())
    nvml._pynvml.cache_clear()


def test_stop_before_start_does_nothing(engine):
    assert engine().stop() == ()


def test_a_stopped_engine_can_be_started_again(engine):
    process = engine()
    process.start()
    process.stop()
    process.start()
    assert client.health(process.url)


def test_an_engine_that_ignores_term_is_killed_and_the_rest_is_removed(engine):
    process = engine(FAKE_FAIL="ignores_term")
    process.start()
    traces = Traces(process.url)
    left = process.stop(grace_s=0.2)
    until(traces.gone)  # the kernel takes a moment to end what was killed
    assert sum(line.startswith("process ") for line in left) == len(traces.processes) - 1  # all but the watchdog
    assert {str(file) for file in traces.memory} <= set(left)


def test_a_child_in_its_own_session_that_ignores_term_is_ended_too(engine):
    process = engine(FAKE_FAIL="outliving_child")
    process.start()
    traces = Traces(process.url)
    apart = [child.pid for child in traces.processes if os.getsid(child.pid) == child.pid]
    assert len(apart) == 3  # watchdog, engine and the child
    left = process.stop()
    assert traces.gone()
    assert any(line.startswith(f"process {apart[-1]} ") for line in left)


@pytest.mark.parametrize(("fail", "cause"), [
    ("oom_load", Cause.OOM_LOAD),
    ("kv_too_small", Cause.KV_TOO_SMALL),
    ("bad_argument", Cause.BAD_ARGUMENT),
    ("port_in_use", Cause.PORT_IN_USE),
    ("killed", Cause.KILLED),
])  # fmt: skip
def test_a_failed_start_has_a_typed_cause_and_leaves_nothing(engine, fail, cause):
    process = engine(FAKE_FAIL=fail)
    with pytest.raises(EngineFailed) as caught:
        process.start()
    assert caught.value.failure.cause is cause
    assert caught.value.failure is process.died()
    assert str(caught.value).startswith(f"{cause}: ")
    assert not watchdogs()


def test_an_engine_that_refuses_every_prompt_is_not_waited_for_and_tells_what_it_said(engine):
    process = engine(FAKE_FAIL="refuses", timeout_s=3600)
    with pytest.raises(EngineFailed, match="400 Bad Request: Please provide a prompt of at least one token") as caught:
        process.start()
    assert caught.value.failure.cause is Cause.NO_ANSWERS
    assert not watchdogs()


@pytest.mark.parametrize("fail", ["never_ready", "hangs"])
def test_an_engine_that_does_not_get_ready_in_time_is_ended(engine, fail):
    process = engine(FAKE_FAIL=fail, timeout_s=1.5)
    with pytest.raises(EngineFailed) as caught:
        process.start()
    assert caught.value.failure.cause is Cause.TIMEOUT
    assert not watchdogs()


ORPHAN = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Orphan(BaseHTTPRequestHandler):
    def do_GET(self, answer={"data": [{"id": "org/model"}, {"id": "dyno-of-another-start"}]}):
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.do_GET({"choices": [{"text": "x"}]})

port = int(sys.argv[sys.argv.index("--port") + 1])
if not os.fork():
    os.setsid()
    HTTPServer(("127.0.0.1", port), Orphan).serve_forever()
time.sleep(60)
"""


def test_an_orphan_that_answers_on_the_port_is_not_taken_for_ours(engine, tmp_path):
    (tmp_path / "vllm/entrypoints/cli").mkdir(parents=True)
    (tmp_path / "vllm/entrypoints/cli/main.py").write_text(ORPHAN)
    process = engine(folder=tmp_path, timeout_s=2)
    seen = []

    def look(_phase):
        until(lambda: client.health(process.url))
        seen.append(client.canary(process.url, process.model_name, 5).answered)

    with pytest.raises(EngineFailed) as caught:
        process.start(look)
    assert seen == [True]
    assert caught.value.failure.cause is Cause.TIMEOUT


def test_an_engine_that_dies_while_it_serves_is_noticed_with_its_cause(engine):
    process = engine()
    process.start()
    traces = Traces(process.url)
    next(child for child in traces.processes if "vllm.entrypoints.cli.main" in child.cmdline()).kill()
    until(process.died)
    assert process.died().cause is Cause.KILLED
    assert traces.gone()
    assert any(line.startswith("process ") for line in process.stop())


def test_an_engine_does_not_outlive_its_watchdog(engine):
    process = engine()
    process.start()
    traces = Traces(process.url)
    traces.processes[0].kill()
    until(process.died)
    assert "watchdog had been killed" in process.stop()[0]
    until(lambda: not psutil.wait_procs(traces.processes, timeout=0)[1])
    for file in traces.memory:
        file.unlink(missing_ok=True)  # nobody was left to do it


def test_a_watchdog_that_is_lost_during_a_start_is_a_failed_start(engine):
    process = engine(FAKE_FAIL="never_ready")
    seen = []

    def lose_it(phase):
        if phase == "waiting for /health":
            seen.append(Traces(process.url))
            seen[0].processes[0].kill()

    with pytest.raises(EngineFailed) as caught:
        process.start(lose_it)
    assert caught.value.failure.cause is Cause.DIED
    assert "watchdog had been killed" in process.stop()[0]
    until(lambda: not psutil.wait_procs(seen[0].processes, timeout=0)[1])
    for file in seen[0].memory:
        file.unlink(missing_ok=True)  # nobody was left to do it


def test_what_is_left_can_be_told_between_commas(engine):
    process = engine(FAKE_FAIL="outliving_child")
    process.start()
    traces = Traces(process.url)
    next(child for child in traces.processes if "vllm.entrypoints.cli.main" in child.cmdline()).kill()
    until(lambda: not traces.port_is_open())
    with socket.create_server(("127.0.0.1", traces.port)):
        left = process.stop()
    assert f"port {traces.port} still in use" in left
    assert not any("," in phrase for phrase in left)


def test_two_engines_at_once_do_not_touch_each_other(engine):
    first, second = engine("first"), engine("second")
    first.start()
    traces = Traces(first.url)
    second.start()
    assert second.stop() == ()
    assert all(file.exists() for file in traces.memory)
    assert client.canary(first.url, first.model_name, 5).answered
    first.stop()
    assert traces.gone()


def test_an_interrupted_start_leaves_nothing(engine):
    def interrupt(_phase):
        raise KeyboardInterrupt

    process = engine(FAKE_READY_S="60")
    with pytest.raises(KeyboardInterrupt):
        process.start(interrupt)
    assert process.died() is None
    assert not watchdogs()


def test_an_interpreter_that_is_missing_is_a_broken_environment(engine):
    with pytest.raises(EnvironmentBroken, match=r"/no/python cannot be run: .*No such file"):
        engine(python="/no/python").start()


def test_progress_tells_the_phases_in_order(engine):
    told = []
    engine(FAKE_READY_S="1").start(told.append)
    assert told[-1] == "waiting for /health"
    assert len(told) == len(set(told))


def test_the_newest_phase_is_the_last_one_the_log_tells():
    log = (Path(__file__).parents[1] / "data/logs/start_cpu.txt").read_text()
    assert newest_phase("") == "starting"
    assert newest_phase(log[: log.index("Starting to load model") + 30]) == "loading weights"
    assert newest_phase(log) == "waiting for /health"


OWNER = """
import sys
from pathlib import Path
from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.process import EngineProcess
from dyno.engine.watchdog import in_use

moment, site, log = sys.argv[1:]
fail = {"stopping": "ignores_term", "starting": "never_ready"}.get(moment, "")
environment = Environment("fake", "adopted", sys.executable, (site,), "cpu", "0.32.0+cpu", "3.12.1", "2.13.0+cpu")
args = EngineArgs("org/model", (("max_model_len", 512),), (("FAKE_FAIL", fail),))
with EngineProcess(environment, args, Path(log)) as engine:
    if moment == "starting":
        engine.start(lambda phase: print(engine.url, flush=True) if phase == "waiting for /health" else None)
    engine.start()
    print(engine.url, flush=True)
    if moment == "stopping":
        engine.stop(grace_s=60)
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["starting", "ready", "stopping"])
def test_kill_9_of_the_owner_leaves_no_process_no_memory_and_no_port(site, tmp_path, sockets, moment):
    command = [sys.executable, "-c", OWNER, moment, str(site), str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        try:
            traces = Traces(owner.stdout.readline().strip(), owner.pid)
        finally:
            os.kill(owner.pid, signal.SIGKILL)
    assert len(traces.processes) >= 3
    assert traces.memory
    until(traces.gone)
    assert not sockets()
