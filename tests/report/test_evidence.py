"""What the page shows of the raw records beside a journal."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from tests.report.kept import keep

from dyno.bench.raw import load_raw
from dyno.report.chart import CDF_STEPS, MOST_POINTS, cumulative, line
from dyno.report.evidence import means, read_evidence, throughput_line
from dyno.report.folder import page_of
from dyno.report.matrix import compared
from dyno.report.sections import sections
from dyno.workload import Objective


@pytest.fixture
def kept(outcome, tmp_path):
    """An outcome, and the folder with what it kept."""
    return keep(tmp_path, outcome), tmp_path


def charts_of(outcome, folder):
    found = sections(outcome, read_evidence(folder, outcome))
    return {chart.title: chart for section in found for chart in section.charts}


def test_the_baseline_is_compared_with_the_best_of_either_kind_recommended_else_confirmed_else_screened(outcome):
    assert compared(outcome) == ("baseline", "all-cores", "fp8-kv")
    unproven = replace(outcome, recommended=None, verdict=None)
    assert compared(unproven) == ("baseline", "all-cores", "fp8-kv")
    assert compared(replace(unproven, objective=Objective("ttft_p95"))) == ("baseline", "eager", "fp8-kv")
    confirmed = replace(unproven, confirmed=(replace(outcome.verdict, candidate="eager"),))
    assert compared(confirmed) == ("baseline", "eager", "fp8-kv")
    assert compared(replace(outcome, rows=outcome.rows[:1])) == ("baseline",)


def test_lines_begin_with_the_load_and_hold_only_what_was_measured(kept):
    baseline, other = read_evidence(kept[1], kept[0]).sides
    assert (baseline.launches, other.launches) == (4, 4)  # those that confirmed, not the screening
    lines = baseline.load.lines
    assert {"output_throughput", "waiting", "running", "kv_usage", "temperature", "power", "sm_clock"} <= lines.keys()
    assert "memory_clock" not in lines
    assert all(times.min() >= 0 and times.max() <= 26 for times, _ in lines.values())
    assert len(baseline.latencies["ttft"]) == 4 * 25 * 8


def test_throughput_over_time_holds_every_token(kept):
    step = next(step for step in kept[0].steps if step.scenario == "throughput" and step.raw)
    records, _ = load_raw(kept[1] / step.raw[0])
    _, rates = throughput_line(records, 0)
    assert len(rates) == 24  # of 24.997 s: a last second that is not whole would look like a fall
    assert rates.sum() == pytest.approx(records.output_tokens.sum() * 24 / 25, rel=0.01)


def test_many_points_become_means_of_neighbours_and_a_distribution_its_quantiles():
    times, values = means((np.arange(100_001.0), np.ones(100_001)), MOST_POINTS)
    assert len(times) <= MOST_POINTS
    assert set(values) == {1.0}
    few = (np.arange(5.0), np.arange(5.0))
    assert means(few, MOST_POINTS) is few
    assert len(line("x", (np.arange(1e5), np.arange(1e5)), "#fff", "s")["x"]) <= MOST_POINTS
    values, shares = cumulative(np.random.default_rng(1).exponential(size=50_000))
    assert len(values) == CDF_STEPS + 1
    assert (shares[0], shares[-1]) == (0, 100)


def test_every_chart_names_its_axes_and_says_how_to_read_it(kept):
    found = charts_of(*kept)
    assert len(found) > 20
    for chart in found.values():
        axes = chart.figure["layout"]
        assert axes["xaxis"]["title"]["text"], chart.title
        assert axes["yaxis"].get("ticktext") or axes["yaxis"]["title"]["text"], chart.title
        assert chart.caption, chart.title


def test_the_change_point_is_marked_with_burst_and_sustained_level_and_the_card_beside(kept):
    found = charts_of(*kept)
    drawn = {trace["name"]: trace for trace in found["baseline: sustained throughput"].figure["data"]}
    assert drawn["change after 30 s"]["x"] == [30, 30]
    assert drawn["burst, 320 tok/s"]["x"] == [0, 30]
    assert drawn["sustained, 160 tok/s"]["x"][0] == 30
    assert "baseline, sustained: card's temperature" in found
    assert found["baseline, sustained: card's power"].caption == "What it draws. 2.49 J a token."


def test_the_curve_marks_capacity_knee_and_limit(kept):
    found = charts_of(*kept)
    names = {trace["name"] for trace in found["Throughput over clients"].figure["data"]}
    assert {"baseline: capacity, 8 clients, 320 tok/s", "baseline: knee, 4 clients, 160 tok/s"} <= names
    latency = found["all-cores: time to first token (ttft) over clients"].figure["data"]
    assert {"p50", "p95", "p99", "limit ttft_p95, 1,000 ms", "capacity, 8 clients"} == {
        each["name"] for each in latency
    }


def test_a_limit_far_from_every_request_is_told_not_drawn(kept):
    ttft = charts_of(*kept)["Time to first token (ttft)"]
    assert "The limit ttft_p95, 2,000 ms, lies far to the right." in ttft.caption
    assert {trace["name"] for trace in ttft.figure["data"]} == {"baseline", "all-cores"}


def test_the_soak_says_whether_it_leaks(kept):
    chart = charts_of(*kept)["baseline, soak: the engine's memory on the host"]
    assert chart.caption == "It grows: +2.86 MiB an hour [+0.954, +4.77]."
    assert [trace["name"] for trace in chart.figure["data"]] == ["read once a second", "slope", "99 % interval", ""]


def test_the_page_is_the_same_again_byte_for_byte_small_and_loads_nothing(kept):
    outcome, folder = kept
    page = page_of(folder, outcome)
    assert page == page_of(folder, outcome)
    rest = page.replace(get_plotlyjs(), "")
    assert len(rest) < 600_000
    assert not re.search(r"https?://|url\(|@import", rest)
    assert len(re.findall(r'id="chart-\d+" role="img" aria-label="[^"]+"', rest)) == len(charts_of(outcome, folder))


def test_without_the_raw_folder_the_page_is_of_the_journal_alone_and_says_so(kept):
    outcome, folder = kept
    shutil.rmtree(folder / "raw")
    page = page_of(folder, outcome)
    assert "The folder raw, with the records of every request, is not there" in page
    assert "How many clients at a time" in page
    assert 'id="chart-0"' in page


def test_of_launches_whose_raw_records_stayed_behind_the_page_says_how_many_and_draws_the_others(kept):
    outcome, folder = kept
    confirmed = [step for step in outcome.steps if step.scenario == "throughput" and step.phase == "confirm"
                 and step.candidate == "baseline" and step.raw]  # fmt: skip
    for step in confirmed:
        shutil.rmtree((folder / step.raw[0]).parent)
    evidence = read_evidence(folder, outcome)
    (told,) = evidence.missing
    assert told.startswith(f"Raw records of {len(confirmed)} of baseline's ")
    assert evidence.sides[0].load
    assert str(folder) not in page_of(folder, outcome)


def test_what_is_damaged_is_named_and_the_rest_is_shown(kept):
    outcome, folder = kept
    for step in outcome.steps:
        if step.scenario == "concurrency" and step.candidate == "baseline":
            (folder / step.raw[0]).with_name("concurrency.json").write_text("{}")
    evidence = read_evidence(folder, outcome)
    (told,) = evidence.missing
    assert told.startswith("What baseline's concurrency (launch 5) kept cannot be read")
    assert evidence.sides[0].curve is None
    assert evidence.sides[1].curve
