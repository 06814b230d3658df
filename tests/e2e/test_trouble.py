"""Trouble while Dyno works: engines that fail in every way, signals, others on the card, full disks, gone readers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from command import DYNO, make_bench
from outside import GONE_WITHIN_S, MARK, at_line, finished, marked, orphaned_memory, wait_until

SMALL = {"tests": "[]", "pairs": "0"}


def gone(mark):
    """Whether every process with this mark ends soon."""
    return wait_until(lambda: not marked(mark), GONE_WITHIN_S)


def last_words(stderr):
    """The message at the end; no traceback stands before it."""
    assert "Traceback" not in stderr
    assert "internal error" not in stderr
    return stderr.splitlines()[-1]


# Engines that fail

ENGINES = {  # what the candidate does; its row's state and cause
    "never": ("never_ready", "failed", "not ready in time"),
    "mute": ("hangs", "failed", "not ready in time"),
    "killed": ("killed", "failed", "killed"),
    "hungry": ("oom_graphs", "failed", "out of memory while capturing graphs"),
    "dying": ("dies_mid_stream FAKE_FAIL_AFTER=4", "failed", "engine died"),
    "garbling": ("wrong_json FAKE_FAIL_AFTER=1", "failed", "requests are not answered"),
    "miscounting": ("wrong_tokens", "void", "the server's usage says 64 output tokens, its counter 128"),
    "unmetered": ("no_metrics", "complete", None),
    "clinging": ("outliving_child", "complete", None),
}


@pytest.fixture(scope="module")
def troubled(tmp_path_factory, fake_home):
    """A study in which every candidate has a trouble of its own: what was printed, as JSON, and its bench."""
    bench = make_bench(tmp_path_factory.mktemp("troubled"), fake_home, tpot_ms=1)
    candidates = ", ".join(f"{name}: FAKE_FAIL={fail}" for name, (fail, _, _) in ENGINES.items())
    spec = bench.spec(**SMALL, candidates="{" + candidates + "}", ready_timeout="3 s")
    before = orphaned_memory()
    done = bench.run("tune", spec, "--study", "study", "--json", **{MARK: f"troubled-{os.getpid()}"})
    assert done.returncode == 0, done.stderr
    assert orphaned_memory() <= before
    return json.loads(done.stdout), bench


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_in_trouble_is_a_row_with_its_cause(troubled, name):
    _, state, cause = ENGINES[name]
    row = next(row for row in troubled[0]["rows"] if row["name"] == name)
    assert row["state"] == state
    assert row["cause"] is None if cause is None else row["cause"].startswith(cause)


def test_the_study_goes_on_after_every_trouble(troubled):
    printed, bench = troubled
    assert printed["recommended"]["name"] == "baseline"
    assert {step[0] for step in finished(bench.cwd / "study")} == {"baseline", *ENGINES}
    assert len([step for step in finished(bench.cwd / "study") if step[:2] == ("baseline", "throughput")]) == 2


def test_nothing_of_an_engine_in_trouble_is_left_and_what_had_to_be_removed_is_noted(troubled):
    assert gone(f"troubled-{os.getpid()}")
    assert any(note.startswith("Launch ") and "left process" in note for note in troubled[0]["notes"])


def test_the_report_says_of_every_failure_why_and_what_to_do(troubled):
    said = troubled[1].run("report", "--study", "study", "--format", "markdown").stdout
    for name, (_, state, cause) in ENGINES.items():
        if state != "complete":
            assert (f"{name} failed (" if state == "failed" else f"void: {name}, ") in said
            assert cause in said
    assert "garbled event" in said


def test_a_candidate_without_usage_has_no_throughput_and_is_not_confirmed(bench):
    done = bench.run("tune", bench.spec(tests="[]", candidates="{uncounted: FAKE_FAIL=no_usage}"), "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["rows"][1]["state"] == "void"
    assert "told nothing from which output_throughput" in printed["rows"][1]["cause"]
    assert printed["verdict"] is None
    assert any("Nothing to confirm" in note for note in printed["notes"])


def test_a_baseline_that_fails_is_compared_with_nothing_and_the_best_that_starts_is_named(bench):
    baseline = "FAKE_FAIL=oom_load vllm serve model --max-model-len 512 --load-format dummy"
    spec = bench.spec(tests="[]", baseline=baseline, candidates="{sound: FAKE_FAIL=none}")
    done = bench.run("tune", spec, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["verdict"], printed["recommended"]["name"]) == (None, "sound")
    assert "Nothing to confirm: the baseline failed, so that there is nothing to compare with." in printed["notes"]


def test_a_study_in_which_nothing_starts_ends_with_3_and_is_not_served(bench):
    baseline = "FAKE_FAIL=oom_load vllm serve model --max-model-len 512 --load-format dummy"
    done = bench.run("tune", bench.spec(**SMALL, baseline=baseline, candidates="{}"), "--study", "s", "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["recommended"] is None
    served = bench.run("serve", "s")
    assert (served.returncode, served.stdout) == (2, "")
    assert last_words(served.stderr).startswith("dyno: s: recommends nothing")


def test_an_engine_that_dies_while_it_serves_ends_serve_with_its_cause(bench):
    baseline = "FAKE_FAIL=dies_mid_stream FAKE_FAIL_AFTER=14 vllm serve model --max-model-len 512 --load-format dummy"
    assert bench.run("tune", bench.spec(**SMALL, baseline=baseline, candidates="{}"), "--study", "s").returncode == 0
    process = bench.start("serve", "s", **{MARK: f"serve-{os.getpid()}"})
    url = process.stdout.readline().strip()
    body = json.dumps({"prompt": "hello", "max_tokens": 4}).encode()
    with suppress(OSError, HTTPException):
        for _ in range(20):
            ask = urllib.request.Request(f"{url}/completions", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(ask, timeout=10).read()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 3
    assert last_words(stderr).startswith("dyno: engine died: ")
    assert gone(f"serve-{os.getpid()}")


# Signals


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, fake_home):
    """A bench with a study that Ctrl-C stopped after its first launch."""
    bench = make_bench(tmp_path_factory.mktemp("stopped"), fake_home, tpot_ms=1)
    process = bench.start("tune", bench.spec(**SMALL), "--study", "study")
    at_line(process, "screen 2/")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return bench


@pytest.fixture
def unfinished(bench, stopped):
    """A bench with a copy of that study, named `study`."""
    shutil.copytree(stopped.cwd / "study", bench.cwd / "study")
    return bench


@pytest.mark.parametrize(("sent", "line"), [("SIGINT", "startup:"), ("SIGTERM", "screen 1/"), ("SIGHUP", "screen 2/")])
def test_a_signal_stops_a_study_cleanly_and_the_message_says_how_to_go_on(bench, sent, line):
    mark = f"{sent}-{os.getpid()}"
    process = bench.start("tune", bench.spec(**SMALL), "--study", "study", "--json", **{MARK: mark})
    at_line(process, line)
    process.send_signal(getattr(signal, sent))
    process.send_signal(getattr(signal, sent))  # impatience changes nothing
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    said = last_words(stderr).removeprefix("dyno: ")
    assert said == "stopped; what was finished is kept. Go on with: dyno tune --resume --study study"
    assert json.loads(stdout) == {"error": {"exit_code": 130, "problems": [said]}}
    assert gone(mark)


def test_a_stopped_study_goes_on_where_it_was(unfinished):
    steps = finished(unfinished.cwd / "study")
    done = unfinished.run("tune", "--resume", "--study", "study")
    assert done.returncode == 0, done.stderr
    after = finished(unfinished.cwd / "study")
    assert after[: len(steps)] == steps
    assert len(after) == len(set(after)) == 4 * 3


# Others, disks, readers


def test_of_two_on_one_card_or_one_study_the_second_is_told_who_holds_it(bench, fake_home):
    process = bench.start("tune", bench.spec(), "--study", "first")
    at_line(process, "screen 1/")
    journal = (bench.cwd / "first" / "journal.jsonl").read_bytes()
    holder = f"is in use by process {process.pid} ("
    shutil.copytree(fake_home, bench.cwd / "home")
    try:
        for words in (("tune", "spec.yaml", "--study", "second"), ("tune", "--resume", "--study", "first")):
            done = bench.run(*words)
            assert (done.returncode, done.stdout) == (3, "")
            assert last_words(done.stderr).startswith(f"dyno: this machine's processor {holder}")
            assert " tune spec.yaml) since " in done.stderr
        done = bench.run("tune", "--resume", "--study", "first", DYNO_HOME=str(bench.cwd / "home"))
        assert done.returncode == 3
        assert last_words(done.stderr).startswith(f"dyno: the study first {holder}")
        assert bench.run("report", "--study", "first").returncode == 0
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert (bench.cwd / "first" / "journal.jsonl").read_bytes().startswith(journal)
    assert not (bench.cwd / "second").exists()


def test_a_disk_that_fills_up_in_the_middle_loses_nothing_that_was_finished(unfinished):
    journal = unfinished.cwd / "study" / "journal.jsonl"
    with journal.open("a") as file:
        file.write(json.dumps({"text": "x" * 2_000_000, "at": "", "kind": "note"}) + "\n")
    steps, room = finished(unfinished.cwd / "study"), journal.stat().st_size + 300  # a note fits, a step does not

    mark = f"full-{os.getpid()}"
    small = (f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room})); "
             "runpy.run_module('dyno', run_name='__main__')")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", small, "tune", "--resume", "--study", "study"], cwd=unfinished.cwd,
                          env=unfinished.env | {MARK: mark}, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 3
    assert last_words(done.stderr) == (
        "dyno: study/journal.jsonl: cannot be written (File too large); what was finished is kept: make room, then "
        "dyno tune --resume --study study"
    )
    assert gone(mark)
    assert unfinished.run("report", "--study", "study").returncode == 0
    assert unfinished.run("tune", "--resume", "--study", "study").returncode == 0
    after = finished(unfinished.cwd / "study")
    assert after[: len(steps)] == steps
    assert len(after) == len(set(after)) == 4 * 3


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_gone_is_no_error(unfinished, unbuffered):
    process = unfinished.start("report", "--study", "study", "--json", PYTHONUNBUFFERED=unbuffered)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 1
    process.stderr.close()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("report", "--study", "study"), ("report", "--study", "nowhere", "--json")])
def test_output_that_cannot_be_written_is_said_once(unfinished, words, unbuffered):
    env = unfinished.env | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*DYNO, *words], cwd=unfinished.cwd, env=env, stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60)  # fmt: skip
    assert done.returncode == (2 if "nowhere" in words else 3)
    assert last_words(done.stderr) == done.stderr.strip()
    assert "nowhere: is not a study" in done.stderr or "No space left on device" in done.stderr


def test_without_any_output_the_exit_code_still_answers(unfinished):
    for verb, code in (("report --study study", 0), ("report --study nowhere --json", 2)):
        line = f'exec "$0" -m dyno {verb} >&- 2>&-'
        done = subprocess.run(["sh", "-c", line, DYNO[0]], cwd=unfinished.cwd, env=unfinished.env, timeout=60)
        assert done.returncode == code


def test_letters_that_the_terminal_does_not_have_are_no_error(bench):
    spec = bench.spec(**SMALL, candidates='{"[b]漢字[/c]|<i>": FAKE_FAIL=oom_load}')
    done = bench.run("tune", spec, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert "[b]\\u6f22\\u5b57[/c]|<i>" in done.stdout
    assert "<i>" not in (bench.cwd / "studies" / "spec" / "report.html").read_text()


def test_a_watcher_who_goes_away_stops_the_study_and_leaves_nothing(bench):
    mark = f"watcher-{os.getpid()}"
    process = bench.start("tune", bench.spec(**SMALL), "--study", "study", **{MARK: mark})
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    process.stdout.close()
    assert gone(mark)
    assert bench.run("report", "--study", "study").returncode == 0
