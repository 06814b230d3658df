import json
import os
import signal
import subprocess
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory as Segment

import pytest

from dyno.engine import watchdog
from dyno.engine.watchdog import SHM, SharedMemory, descendants, parse_stat, shm_files, shm_names

# Makes a segment, tells its name, keeps it mapped until its input ends, and leaves it behind.
HOLDER = """
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
segment = SharedMemory(create=True, size=4096)
resource_tracker.unregister(segment._name, "shared_memory")
print(segment.name, file=sys.stderr, flush=True)
"""
ENGINE_WITH_A_CORE = (
    HOLDER.replace("import sys\n", "import os, sys, time\n")
    + """
if not os.fork():
    time.sleep(60)
"""
)
ENGINE_THAT_LEAVES = (
    HOLDER.replace("import sys\n", "import os, signal, sys\n")
    + """
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
print("ready", file=sys.stderr, flush=True)
signal.pause()
"""
)


@pytest.mark.parametrize(("parents", "below"), [
    ({}, set()),
    ({10: 5, 11: 10, 12: 11, 20: 1, 5: 1}, {10, 11, 12}),
    ({10: 5, 5: 10}, {5, 10}),  # ids were reused while they were read
])  # fmt: skip
def test_descendants_are_everybody_below(parents, below):
    assert descendants(parents, 5) == below


def test_a_process_name_may_hold_spaces_and_brackets():
    assert parse_stat(b"4242 (VLLM::Engine) S 1 (x) S 17 4242 4242 0") == ("VLLM::Engine) S 1 (x", "S", 17)


def test_names_in_shared_memory_come_from_maps_without_deleted_files():
    maps = [
        b"7f01-7f02 rw-s 00000000 00:1a 12  /dev/shm/psm_1\n",
        b"7f02-7f03 rw-s 00000000 00:1a 13  /dev/shm/a name\n",
        b"7f03-7f04 rw-s 00000000 00:1a 14  /dev/shm/psm_2 (deleted)\n",
        b"7f04-7f05 r--p 00000000 00:1a 15  /home/dev/shm/psm_3\n",
        b"7f05-7f06 rw-p 00000000 00:00 0 \n",
    ]
    assert shm_names(maps) == {"psm_1", "a name"}


@pytest.fixture
def segment():
    """A segment that is this test's own."""
    segment = Segment(create=True, size=4096)
    yield segment
    segment.close()
    (SHM / segment.name).unlink(missing_ok=True)
    resource_tracker.unregister(segment._name, "shared_memory")


def test_only_what_the_tree_held_is_removed_and_only_when_nobody_holds_it():
    memory = SharedMemory()
    with subprocess.Popen([sys.executable, "-c", HOLDER + "sys.stdin.read()"], stdin=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as holder:  # fmt: skip
        name = holder.stderr.readline().strip()
        memory.note([os.getpid()])
        assert memory.remove() == []  # somebody else's
        memory.note([holder.pid])
        assert memory.remove() == []
        memory.note_all([holder.pid])
        assert memory.remove() == []  # its own, and still held
    assert memory.remove() == [str(SHM / name)]
    assert memory.remove() == []


def test_what_was_there_before_is_never_the_engines(segment):
    memory = SharedMemory()
    memory.note_all([os.getpid()])
    segment.close()
    assert memory.remove() == []
    assert segment.name in {name for name, _ in shm_files()}


@pytest.fixture
def watch():
    """Starts a watchdog over a Python program; ended with the test."""
    started = []

    def start(program, python=sys.executable, commands=""):
        process = subprocess.Popen([sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        started.append(process)
        spec = {"argv": [python, "-c", program], "env": dict(os.environ)}
        process.stdin.write(json.dumps(spec) + "\n" + commands)
        process.stdin.flush()
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate()


def events(process):
    return [json.loads(line) for line in process.stdout]


def test_an_engine_that_cannot_be_run_is_told(watch):
    assert events(watch("", python="/no/python")) == [
        {"event": "failed", "error": "[Errno 2] No such file or directory: '/no/python'"}
    ]


def test_an_engine_that_ends_is_told_with_its_exit_code_and_ends_the_watchdog(watch):
    process = watch("import os; os._exit(3)")
    started, *others = events(process)
    assert started["event"] == "started"
    assert others == [{"event": "exited", "code": 3}, {"event": "stopped", "left": []}]
    assert process.wait() == 0


def test_what_an_engine_that_died_leaves_behind_is_ended_and_removed(watch):
    process = watch(ENGINE_WITH_A_CORE)
    name = process.stderr.readline().strip()
    *killed, removed = events(process)[-1]["left"]
    assert killed
    assert all(line.startswith("process ") for line in killed)
    assert removed == str(SHM / name)


def test_stop_is_a_term_first_and_removes_what_is_left(watch):
    process = watch(ENGINE_THAT_LEAVES)
    name = process.stderr.readline().strip()
    process.stderr.readline()
    process.stdin.write("stop 60\n")
    process.stdin.flush()
    assert events(process)[1:] == [
        {"event": "exited", "code": 7},
        {"event": "stopped", "left": [str(SHM / name)]},
    ]


def test_a_stop_that_comes_together_with_what_to_start_is_obeyed(watch):
    process = watch("import signal; signal.pause()", commands="stop 60\n")
    assert [event["event"] for event in events(process)] == ["started", "exited", "stopped"]


def test_term_to_the_watchdog_ends_the_engine_and_an_interrupt_does_not(watch):
    process = watch("import signal, sys; print('ready', file=sys.stderr, flush=True); signal.pause()")
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    process.terminate()
    assert events(process)[1] == {"event": "exited", "code": -signal.SIGKILL}


def test_an_engine_starts_with_the_default_signals(watch):
    process = watch("import signal, sys; print(*map(signal.getsignal, (1, 2)), file=sys.stderr, flush=True)")
    assert process.stderr.readline() == "0 <built-in function default_int_handler>\n"


def test_the_end_of_dyno_before_anything_is_started_ends_the_watchdog():
    process = subprocess.run(
        [sys.executable, "-I", "-S", watchdog.__file__], input=b"", capture_output=True, check=True
    )
    assert process.stdout == b""


def test_a_dyno_that_reads_nothing_does_not_hold_the_watchdog_up(watch):
    process = watch("import os; os._exit(0)")
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    process.stdout = None
