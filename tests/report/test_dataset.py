"""Points and starts of a study as tables, and what several workloads look like in a report."""

import csv
import json
from dataclasses import replace

import pytest
from tests.study.made import ENGINE, FACTS, HARDWARE, failed, journal, prepared, step, whole

from dyno.report.dataset import POINTS, STARTS, columns_table, write_dataset
from dyno.report.workloads import all_tables
from dyno.study.journal import BlockLine, StepLine, append
from dyno.study.outcome import judge
from dyno.study.store import create_study

LOADS = {"chat": "chat", "prompts": {"preset": "long", "concurrency": 2, "num_requests": 4}}


def screened(launch, name, chat, prompts, **given):
    return (step(launch, name, "startup", facts=FACTS, duration_s=12.0, **given),
            step(launch, name, figure=chat, **given),
            step(launch, name, "throughput@prompts", figures={"output_throughput": prompts}, **given))  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """A study of two workloads with a warm launch, a curve, a ladder of lengths and a failed start, on disk."""
    steps = [step(-1, "eager", "startup", phase="warm", facts=replace(FACTS, compile_cached=False)),
             *screened(0, "baseline", 100.0, 50.0), *screened(1, "eager", 110.0, 60.0), failed(2, "fast"),
             step(1, "eager", "context", figures={"8192.ttft_ms": 110.5, "2048.ttft_ms": 30.0, "8192.kv_usage": 0.1,
                                                  "2048.tpot_ms": 3.0, "ttft_ms.p50": 110.5}),
             step(1, "eager", "concurrency", figures={"knee_concurrency": 4},
                  raw=("raw/001-concurrency/x.npz",))]  # fmt: skip
    made, spec = journal(steps, workloads=LOADS)
    folder = tmp_path / "s"
    create_study(folder, prepared(made), HARDWARE)
    append(folder, BlockLine(1, "machine", HARDWARE, "now"))
    for each in steps:
        append(folder, StepLine(each))
    (folder / "raw" / "001-concurrency").mkdir()
    curve = [
        {"concurrency": clients, "figures": {"output_throughput": 10.0 * clients}, "void": []} for clients in (1, 4)
    ]
    (folder / "raw" / "001-concurrency" / "concurrency.json").write_text(json.dumps({"curve": curve}))
    return folder, judge(made, spec, "s")


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_load_every_length_and_every_probe_is_a_point_of_its_own(study, tmp_path):
    points, starts = write_dataset([study[0]], tmp_path / "out")
    rows = read(points)
    assert list(rows[0]) == list(POINTS)
    found = {(row["config"], row["scenario"], row["concurrency"], row["input_len"], row["output_len"]):
             row["output_throughput"] or row["ttft_ms"] for row in rows}  # fmt: skip
    assert found == {
        ("baseline", "throughput", "16", "512", "128"): "100",
        ("baseline", "throughput@prompts", "2", "8192", "128"): "50",
        ("eager", "throughput", "16", "512", "128"): "110",
        ("eager", "throughput@prompts", "2", "8192", "128"): "60",
        ("eager", "context", "1", "2048", "32"): "30",
        ("eager", "context", "1", "8192", "32"): "110.5",
        ("eager", "concurrency", "1", "512", "128"): "10",
        ("eager", "concurrency", "4", "512", "128"): "40",
    }
    assert rows[0]["engine"] == f"vLLM {ENGINE.version} on cpu"
    begun = [(row["config"], row["phase"], row["state"], row["compile_cached"]) for row in read(starts)]
    assert begun == [("eager", "warm", "complete", "0"), ("baseline", "screen", "complete", ""),
                     ("eager", "screen", "complete", ""), ("fast", "screen", "failed", "")]  # fmt: skip


def test_the_same_studies_make_the_same_tables_and_every_column_is_documented(study, tmp_path):
    one, two = (write_dataset([study[0]], tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert all(f"| {name} |" in columns_table(STARTS) for name in read(one[1])[0])


def test_a_ratio_over_workloads_is_the_geometric_mean_of_theirs_and_all_are_told(study):
    outcome = study[1]
    assert outcome.rows[1].ratio == pytest.approx((1.1 * 1.2) ** 0.5)
    assert outcome.rows[1].ratios == pytest.approx({"throughput": 1.1, "throughput@prompts": 1.2})
    rows = {row[0]: row for row in all_tables(outcome)["workloads"].rows}
    assert rows["eager"][-1] == "x1.149"


def test_a_workload_that_was_not_measured_leaves_no_ratio_and_one_that_is_void_a_void_row():
    void = step(1, "eager", "throughput@prompts", state="void", void=("late",))
    steps = [*screened(0, "baseline", 100.0, 50.0), *whole(1, "eager"), void]
    made, spec = journal(steps, workloads=LOADS)
    row = judge(made, spec, "s").rows[1]
    assert (row.state, row.cause, row.ratio) == ("void", "late", None)
