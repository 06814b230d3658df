import subprocess
import sys

import pytest

from dyno.engine.lock import hold
from dyno.errors import Busy, DynoError

HOLDER = """
import subprocess, sys
from pathlib import Path
from dyno.engine.lock import hold
sys.argv = ["/usr/bin/dyno", "tune", "model", "--", "--api-key", "secret"]
with hold(Path({path!r}), "card GPU-1"):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock and has started another; yields it once it does."""
    program = HOLDER.format(path=str(tmp_path / "card.lock"))
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_the_second_holder_learns_who_the_first_is(tmp_path, holder):
    with pytest.raises(Busy) as caught, hold(tmp_path / "card.lock", "card GPU-1"):
        pass
    assert str(caught.value).startswith(f"card GPU-1 is in use by process {holder.pid} (dyno tune model) since 20")


def test_a_killed_holder_frees_the_lock_although_its_child_lives(tmp_path, holder):
    holder.kill()
    holder.wait()
    with hold(tmp_path / "card.lock", "card GPU-1"):
        pass


def test_the_lock_is_free_again_after_use_and_after_an_error(tmp_path):
    path = tmp_path / "locks" / "study.lock"
    with pytest.raises(KeyError), hold(path, "study chat"):
        raise KeyError
    with hold(path, "study chat"):
        pass


def test_one_process_cannot_hold_a_lock_twice(tmp_path):
    with hold(tmp_path / "lock", "study chat"), pytest.raises(Busy), hold(tmp_path / "lock", "study chat"):
        pass


def test_a_lock_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DynoError, match="study chat: cannot open the lock"), hold(tmp_path / "file/lock", "study chat"):
        pass
