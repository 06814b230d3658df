"""A study as one file."""

import tarfile
from dataclasses import replace

from tests.study.made import HARDWARE, failed, journal, prepared

from dyno.study.journal import JOURNAL, StepLine, append, read_journal
from dyno.study.pack import pack, unpack
from dyno.study.portable import portable
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


def test_a_packed_study_names_no_path_of_the_machine_it_was_made_on(tmp_path):
    study = tmp_path / "study"
    create_study(study, prepared(journal([])[0]), HARDWARE)
    told = failed(0, "eager")
    append(study, StepLine(replace(told, failure=replace(told.failure, detail="/m/config.json, not /metrics or a/m"))))
    (study / "logs" / "000.log").write_text(
        f"python /envs/cpu/bin/python loads /m, writes {study}/raw, keeps /men, m./m, /m.old and /m..."
    )
    pack(study, tmp_path / "one.tar.gz")
    made = unpack(tmp_path / "one.tar.gz")
    read = read_journal(made)
    assert {each.args.model for each in read.study.candidates} == {"./m"}
    assert (read.study.model.path, read.study.engine.python) == (None, "python")
    assert read.steps[0].failure.detail == "./m/config.json, not /metrics or a/m"
    assert (
        made / "logs" / "000.log"
    ).read_text() == "python venv/bin/python loads ./m, writes ./raw, keeps /men, m./m, /m.old and ./m..."
    pack(made, tmp_path / "two.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_the_folder_of_what_was_compiled_elsewhere_is_told_as_dynos(tmp_path):
    create_study(tmp_path / "study", prepared(journal([])[0]), HARDWARE)
    log = b"saved in /opt/x/home/cache/vllm/torch_compile_cache/f3f0 or /a/cachet"
    told = portable(tmp_path / "study").text("000.log", log)
    assert told == b"saved in $DYNO_HOME/cache/vllm/torch_compile_cache/f3f0 or /a/cachet"
    assert portable(tmp_path / "study").text("000.log", told) == told


def test_records_are_packed_as_they_are(tmp_path):
    study = tmp_path / "study"
    create_study(study, prepared(journal([])[0]), HARDWARE)
    (study / "raw" / "000-ttft").mkdir()
    (study / "raw" / "000-ttft" / "ttft.npz").write_bytes(b"\x00/m\xff")
    pack(study, tmp_path / "study.tar.gz")
    with tarfile.open(tmp_path / "study.tar.gz") as packed:
        assert packed.extractfile("raw/000-ttft/ttft.npz").read() == b"\x00/m\xff"
    content = (study / JOURNAL).read_bytes()
    again = portable(study).text(JOURNAL, content)
    assert again == portable(study).text(JOURNAL, again) != content
