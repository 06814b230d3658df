"""Requests and stamps that lie in files."""

import gc
import pickle
from pathlib import Path

import numpy as np

from dyno.bench.spool import Requests, Spool, Stamps, spooled

RESTS = [b"%d" % number * number for number in range(1, 30)]


def test_requests_are_read_as_they_were_written() -> None:
    requests = spooled(b"head ", iter(RESTS))
    assert [*requests] == [b"head " + rest for rest in RESTS]
    assert [*requests[3:7]] == [b"head " + rest for rest in RESTS[3:7]]
    some = requests.of(np.array([28, 0, 5]))
    assert [*pickle.loads(pickle.dumps(some))] == [b"head " + RESTS[index] for index in (28, 0, 5)]


def test_a_key_in_the_head_never_reaches_the_disk() -> None:
    requests = spooled(b"Authorization: Bearer sk-secret", RESTS)
    _, (_, path, *_) = requests.__reduce__()
    assert path.read_bytes() == b"".join(RESTS)


def test_files_have_no_name_and_vanish_with_their_last_reader(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gc.collect()  # files of earlier tests
    before = len(list(Path("/proc/self/fd").iterdir()))
    requests: Requests | None = spooled(b"", RESTS)
    assert requests[0] == b"1"
    assert list(tmp_path.iterdir()) == []
    requests = None
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_stamps_are_read_as_an_array_is(monkeypatch) -> None:
    monkeypatch.setattr("dyno.bench.spool.BLOCK", 7)
    values, spool = np.arange(100, 150, dtype=np.int64), Spool()
    spool.path.write_bytes(values.tobytes())
    stamps = Stamps(spool, 50)
    assert len(stamps) == 50
    assert stamps[3:9].tolist() == values[3:9].tolist()
    assert stamps[40:90].tolist() == values[40:].tolist()
    picked = np.array([0, 6, 7, 8, 30, 49])
    assert stamps[picked].tolist() == values[picked].tolist()
