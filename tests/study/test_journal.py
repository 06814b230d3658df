import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from made import ENGINE, FACTS, HARDWARE, failed, journal, prepared, step

from dyno.errors import InputError
from dyno.hardware.spec import Gpu
from dyno.study.journal import JOURNAL, BeganLine, BlockLine, NoteLine, StepLine, append, drop_torn_line, read_journal
from dyno.study.store import check_resumable, create_study, enter_block, newest_study


@pytest.fixture
def folder(tmp_path):
    made, _ = journal([])
    create_study(tmp_path / "s", prepared(made), HARDWARE)
    return tmp_path / "s"


def test_what_was_appended_is_what_is_read(folder):
    steps = (step(0, "baseline", "startup", facts=FACTS, void=("x",)), failed(1, "eager"), step(2, "fast"))
    append(folder, BlockLine(1, "machine", HARDWARE, "now"))
    for each in steps:
        append(folder, StepLine(each))
    append(folder, NoteLine("interrupted", "now"))
    read = read_journal(folder)
    assert read.steps == steps
    assert read.notes == ("interrupted",)
    assert read.study.candidates[0].name == "baseline"


def test_a_line_torn_by_a_kill_is_passed_over_and_the_next_append_starts_afresh(folder):
    append(folder, StepLine(step(0, "baseline")))
    whole = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole + whole.splitlines(keepends=True)[-1][:37])
    assert len(read_journal(folder).steps) == 1
    drop_torn_line(folder)
    append(folder, StepLine(step(1, "eager")))
    assert [each.launch for each in read_journal(folder).steps] == [0, 1]


def began(launch, *tests, phase="screen"):
    return BeganLine(1, launch, phase, None, "baseline", tests, "2026-01-01T00:00:00+00:00")


def test_a_launch_that_began_and_never_ended_is_written_down_once_when_the_study_goes_on(folder):
    enter_block(folder, HARDWARE)
    for line in (began(0, "startup", "throughput"), StepLine(step(0, "baseline", "startup")),
                 StepLine(step(0, "baseline")), began(1, "startup", "throughput", "memory"),
                 StepLine(step(1, "baseline", "startup")), began(-1, "startup", phase="warm"),
                 began(2, "startup", "throughput"), StepLine(failed(2, "baseline"))):  # fmt: skip
        append(folder, line)
    for _ in range(2):
        enter_block(folder, HARDWARE)
    cut = [(each.launch, each.scenario) for each in read_journal(folder).steps if each.state == "interrupted"]
    assert cut == [(1, "throughput"), (-1, "startup")]
    assert read_journal(folder).unended == ()


@pytest.mark.parametrize(("owed", "states"), [
    (("throughput@long", "memory"), ["complete", "interrupted", "interrupted"]),
    (("memory",), ["complete", "complete", "interrupted"]),
])  # fmt: skip
def test_a_load_before_an_interruption_counts_only_where_no_other_load_was_cut(folder, owed, states):
    enter_block(folder, HARDWARE)
    for line in (began(0, "startup", "throughput", *owed), StepLine(step(0, "baseline", "startup", facts=FACTS)),
                 StepLine(step(0, "baseline"))):  # fmt: skip
        append(folder, line)
    enter_block(folder, HARDWARE)
    read = read_journal(folder)
    assert [each.state for each in read.steps] == states
    assert bool(read.steps[1].void) == (states[1] == "interrupted")


def test_a_folder_without_a_journal_is_no_study(tmp_path):
    with pytest.raises(InputError, match=r"is not a study .* give a folder that `dyno tune` made"):
        read_journal(tmp_path)


def test_an_unreadable_study_folder_says_so(folder):
    (folder / JOURNAL).unlink()
    (folder / JOURNAL).mkdir()
    with pytest.raises(InputError, match=r"cannot be read .* check its owner"):
        read_journal(folder)


def test_another_schema_version_is_refused_by_number(folder):
    lines = (folder / JOURNAL).read_text().splitlines()
    head = json.loads(lines[0]) | {"schema_version": 99}
    (folder / JOURNAL).write_text("\n".join([json.dumps(head), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="schema_version 99, this Dyno reads 1"):
        read_journal(folder)


def test_a_damaged_line_is_named_by_number(folder):
    with (folder / JOURNAL).open("a") as file:
        file.write('{"kind": "step", "step": {"launch": "x"}}\n')
    with pytest.raises(InputError, match=f"{JOURNAL}:2: is damaged"):
        read_journal(folder)


def test_a_folder_that_holds_a_study_is_not_overwritten(folder):
    read = read_journal(folder)
    with pytest.raises(InputError, match="holds a study already"):
        create_study(folder, prepared(read), HARDWARE)


def test_resume_refuses_a_changed_spec_another_engine_and_another_machine_all_at_once(folder):
    read = read_journal(folder)
    engine = replace(ENGINE, version="0.33.0")
    machine = replace(HARDWARE, cpu=replace(HARDWARE.cpu, name="Other CPU"))
    with pytest.raises(InputError) as caught:
        check_resumable(read, {"pairs": 2, "workload": "long"}, engine, machine)
    said = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "pairs: was 6, is now 2" in said
    assert "vLLM 0.33.0" in said
    assert "Other CPU" in said


def test_resume_takes_the_same_words_again(folder):
    check_resumable(read_journal(folder), {"pairs": 6, "device": "1"}, ENGINE, HARDWARE)


def test_a_command_that_names_the_model_again_says_all_that_it_means(folder):
    with pytest.raises(InputError, match="tests: was"):
        check_resumable(read_journal(folder), {"model": "./m"}, ENGINE, HARDWARE)


def test_an_unknown_key_in_a_journal_is_an_error(folder):
    append(folder, NoteLine("x", "now"))
    lines = (folder / JOURNAL).read_text().replace('"text":"x"', '"text":"x","more":1')
    (folder / JOURNAL).write_text(lines)
    with pytest.raises(InputError, match="is damaged"):
        read_journal(folder)


def test_the_same_machine_goes_on_in_its_block_and_another_starts_its_own(folder):
    assert enter_block(folder, HARDWARE) == 1
    assert enter_block(folder, HARDWARE) == 1
    assert enter_block(folder, replace(HARDWARE, gpus=(Gpu(0, "GPU-other", "H200"),))) == 2
    assert "its own baseline" in read_journal(folder).notes[-1]


def test_the_newest_study_is_the_one_written_to_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no study under \./studies"):
        newest_study()
    made, _ = journal([])
    for name, written in (("one", 20), ("two", 10)):
        create_study(Path("studies") / name, prepared(made), HARDWARE)
        os.utime(Path("studies") / name / JOURNAL, (written, written))
    assert newest_study().name == "one"
