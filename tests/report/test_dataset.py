"""Points and starts of a study as tables, and what several workloads look like in a report."""

import csv
import json
from dataclasses import replace

import pytest
from tests.study.made import ENGINE, FACTS, HARDWARE, failed, journal, prepared, step, whole

from dyno.report.dataset import POINTS, STARTS, columns_table, points_of, starts_of, write_dataset
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
                                                  "2048.tpot_ms": 3.0, "ttft_ms.p50": 110.5, "2048.kv_usage": 0.0,
                                                  "completed": 3, "failed": 0, "ttft_ms.p95": 111.0,
                                                  "temperature_peak_c": 50.0}),
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


def test_what_is_not_known_is_empty_and_what_is_known_to_be_none_is_0(study, tmp_path):
    short, long = (row for row in read(write_dataset([study[0]], tmp_path)[0]) if row["scenario"] == "context")
    told = ("completed", "failed", "kv_usage_peak", "ttft_p95_ms", "temperature_peak_c", "prefix_len", "prefixes")
    assert [short[name] for name in told] == ["3", "0", "", "", "50", "0", "0"]
    assert [long[name] for name in told] == ["3", "0", "0.1", "111", "50", "0", "0"]


def test_a_shared_beginning_is_told_with_its_length(tmp_path):
    pool = {"preset": "chat", "prefix_len": 256, "prefixes": 8}
    steps = [step(0, "baseline", "throughput"), step(0, "baseline", "prefix_reuse", figures={"hit_rate": 0.8})]
    made, _ = journal(steps, workloads={"pool": pool})
    rows = list(points_of(made, tmp_path))
    assert [(row["scenario"], row["prefix_len"], row["prefixes"]) for row in rows] == [
        ("throughput", 256, 8), ("prefix_reuse", 2048, 1)]  # fmt: skip


def test_starts_that_shared_the_machine_say_with_how_many():
    def warm(launch, at, seconds, block=1):
        return step(launch, "eager", "startup", phase="warm", facts=FACTS, duration_s=seconds, block=block,
                    started_at=f"2026-01-01T00:{at}+00:00")  # fmt: skip

    alone = step(0, "eager", "startup", facts=FACTS, duration_s=30.0, started_at="2026-01-01T00:00:00+00:00")
    made, _ = journal([warm(-1, "00:00", 60.0), warm(-2, "00:00", 40.0), warm(-3, "00:40", 70.0),
                       warm(-4, "01:50", 20.0), warm(-5, "00:10", 20.0, block=2), alone])  # fmt: skip
    assert [row["at_once"] for row in starts_of(made, "s")] == [2, 2, 2, 1, 1, 1]


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


def test_the_loads_of_a_launch_that_was_cut_between_them_enter_no_ratio():
    steps = [*screened(0, "baseline", 100.0, 50.0), *screened(1, "eager", 110.0, 60.0)[:2]]
    made, spec = journal(steps, workloads=LOADS)
    row = judge(made, spec, "s").rows[1]
    assert (row.state, row.ratio, row.ratios) == ("pending", None, {})
    assert row.metrics["throughput"]["output_throughput"] == 110.0


def test_a_workload_that_was_not_measured_leaves_no_ratio_and_one_that_is_void_a_void_row():
    void = step(1, "eager", "throughput@prompts", state="void", void=("late",))
    steps = [*screened(0, "baseline", 100.0, 50.0), *whole(1, "eager"), void]
    made, spec = journal(steps, workloads=LOADS)
    row = judge(made, spec, "s").rows[1]
    assert (row.state, row.cause, row.ratio) == ("void", "late", None)
