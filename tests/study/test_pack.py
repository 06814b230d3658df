"""A study as one file."""

from tests.study.made import HARDWARE, journal, prepared

from dyno.study.pack import pack
from dyno.study.store import create_study


def test_what_was_found_in_many_loads_is_kept_before_the_records_of_single_requests(tmp_path):
    study = tmp_path / "study"
    create_study(study, prepared(journal([])[0]), HARDWARE)
    for launch in ("000-concurrency", "001-concurrency"):
        folder = study / "raw" / launch
        folder.mkdir(parents=True)
        (folder / "concurrency.json").write_bytes(b"{}")
        (folder / "concurrency-00.npz").write_bytes(bytes(100))
    left_out = pack(study, tmp_path / "study.tar.gz", 104)
    assert left_out == ("raw/000-concurrency/concurrency-00.npz",)
