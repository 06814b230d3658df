"""Tables over several studies: what changes are worth, claims, and a folder of evidence that is made again."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.test_dataset import LOADS, screened
from tests.study.made import HARDWARE, journal, pair, prepared, whole
from tools.evidence import make, take_in

from dyno.report import dossier
from dyno.study.journal import BlockLine, StepLine, append
from dyno.study.outcome import judge
from dyno.study.pack import pack
from dyno.study.store import create_study

STEPS = [*screened(0, "baseline", 100.0, 50.0), *screened(1, "eager", 110.0, 60.0),
         *screened(2, "baseline", 102.0, 51.0),
         *screened(3, "baseline", 101.0, 50.0, block=2), *screened(4, "baseline", 99.0, 50.0, block=2),
         *screened(5, "baseline", 101.0, 50.0, block=2), *screened(6, "fast", 90.0, 50.0, block=2)]  # fmt: skip


def outcome(steps=STEPS, name="qwen3-4b", **given):
    made, spec = journal(steps, workloads=LOADS, blocks=2, **given)
    return judge(made, spec, name)


def test_a_change_is_worth_its_ratio_within_its_block_give_or_take_the_spread_between_launches():
    made = outcome()
    eager, fast = (dossier.worth(row, ("throughput",), made) for row in made.rows[1:])
    assert eager.ratio == pytest.approx(110 / math.sqrt(100 * 102))
    assert eager.low < eager.ratio < eager.high
    assert (eager.ours, eager.theirs) == (1, 2)
    assert fast.ratio == pytest.approx(90 / (101 * 99 * 101) ** (1 / 3))
    few = outcome(STEPS[:9])
    assert dossier.worth(few.rows[1], ("throughput",), few).low is None
    assert dossier.worth(few.rows[1], ("throughput",), few, (few, made)).low is not None


def test_a_spread_is_not_borrowed_from_another_load_or_model():
    few, other = outcome(STEPS[:9]), outcome(STEPS)
    assert dossier.worth(few.rows[1], ("throughput",), few, (few, replace(other, model="./other"))).low is None
    longer = {**other.loads, "throughput": replace(other.loads["throughput"], input_len=9)}
    assert dossier.worth(few.rows[1], ("throughput",), few, (few, replace(other, loads=longer))).low is None


def test_a_launch_that_compiled_is_called_cold():
    cold = [replace(each, facts=replace(each.facts, compile_cached=False)) if each.facts else each
            for each in screened(1, "eager", 110.0, 60.0)]  # fmt: skip
    table = dossier.worth_table(outcome([*STEPS[:3], *cold, *STEPS[6:9]]))
    assert "1 and 2, cold" in table


def test_what_a_first_token_took_longer_is_told_in_two_parts():
    told = {"reconcile.ttft_mean_ratio": 1.018, "reconcile.ttft_mean_excess_ms": 16.5,
            "reconcile.e2el_mean_ratio": 1.004, "reconcile.e2el_mean_excess_ms": 4.0}  # fmt: skip
    assert dossier.first_token(told) == (16.5, 4.0, 12.5)
    assert dossier.first_token({}) == (None, None, None)


def test_a_single_verdict_has_a_table_too_and_names_its_workload():
    steps = list(whole(0, "baseline")) + list(whole(1, "eager", 130.0))
    for number in range(3):
        steps += pair(number, 2 + 2 * number, "eager", 130.0 + number, 100.0)
    made, spec = journal(steps, workloads={"pool": "chat"}, confirm=("eager", 3))
    table = dossier.rounds_table(judge(made, spec, "s")).splitlines()
    assert table[-1].startswith("| eager | unchanged | pool | x1.310 |")
    assert dossier.rounds_table(outcome()) == ""


def test_a_study_without_candidates_has_no_table_of_changes_and_no_empty_columns():
    made, spec = journal(STEPS[:3], (), workloads=LOADS)
    alone = judge(made, spec, "s")
    assert dossier.worth_table(alone) == ""
    assert "2: TTFT ms" not in dossier.seed_matrix(alone)


def test_evidence_is_made_again_byte_for_byte_and_prose_stays(tmp_path):
    made, _ = journal(STEPS, workloads=LOADS)
    study = tmp_path / "qwen3-4b"
    create_study(study, prepared(made), HARDWARE)
    for line in (BlockLine(1, "m", HARDWARE, "now"), BlockLine(2, "n", HARDWARE, "now"), *map(StepLine, STEPS)):
        append(study, line)
    packed, folder = tmp_path / "qwen3-4b.tar.gz", tmp_path / "evidence"
    pack(study, packed)
    take_in([packed], folder / "records", tmp_path / "in")
    make(folder, tmp_path / "once")
    (folder / "README.md").write_text("# By hand\n\n" + (folder / "README.md").read_text() + "\nThe end.\n")
    first = contents(folder)
    make(folder, tmp_path / "twice")
    assert contents(folder) == first
    assert {"README.md", "points.csv", "starts.csv", "audit.csv", "qwen3-4b.html"} < set(first)
    assert first["README.md"].startswith(b"# By hand")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
