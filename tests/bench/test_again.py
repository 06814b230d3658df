"""Statistics from raw files are those that were told when they were made."""

import json
from dataclasses import asdict, replace

import pytest
import typer
from tests.hardware.replay import samples
from typer.testing import CliRunner

from dyno.bench.again import measured_again
from dyno.bench.raw import save_samples, save_void
from dyno.bench.record import Search, Target
from dyno.bench.run import Run
from dyno.bench.scenarios import SCENARIOS, run_test
from dyno.bench.server import Asked, bench_server
from dyno.bench.shape import read_shape
from dyno.cli.figures import server_json
from dyno.cli.report import report
from dyno.errors import InputError
from dyno.workload import Workload, parse_limits

WORKLOAD = Workload("small", input_len=64, output_len=8, concurrency=4, num_requests=12)


@pytest.fixture
def run(engine, tmp_path):
    """Any test of the set on a fake engine, with everything kept."""
    target = Target(engine(FAKE_TTFT_MS="4"), "m", token_ids=(100, 4000), shared_host=True)
    return Run(target, WORKLOAD, 5, 4160, tmp_path / "raw", limits=parse_limits({"ttft_p95": "30 ms"}), duration_s=1.5,
               gauges={"rss_bytes": lambda: 2**30})  # fmt: skip


def show(*words):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, words, catch_exceptions=False)


def told(result):
    return asdict(result) | {"raw": sorted(result.raw)}


def test_every_test_of_the_set_is_the_same_again(run):
    measured = {name: run_test(name, run) for name in SCENARIOS}
    again = measured_again(run.raw_folder)
    assert {name: told(each) for name, each in again.tests.items()} == {
        name: told(each) for name, each in measured.items()
    }
    assert again.loads["context-2048"].figures["ttft_ms.p50"] == measured["context"].figures["2048.ttft_ms"]


def test_what_the_card_did_voids_a_test_again_and_its_peaks_are_figures_again(run):
    measured, hot = run_test("ttft", run), samples(card__clock_reasons=[0x40] * 61, card__temperature_c=[91.0] * 61)
    save_samples(run.raw_folder, "ttft", hot)
    again = measured_again(run.raw_folder).tests["ttft"]
    assert again.figures == measured.figures | hot.peaks()
    assert "the card slowed itself down" in again.void[0]


@pytest.mark.parametrize("place", ["", "ttft.npz"])
def test_what_voided_a_whole_test_voids_it_again(run, place):
    measured = run_test("ttft", run)
    save_void(run.raw_folder, "ttft", ("other processes took a processor",))
    again = measured_again(run.raw_folder / place).tests["ttft"]
    assert (again.void, again.figures) == (("other processes took a processor",), measured.figures)


def test_loads_of_an_earlier_run_in_the_same_folder_are_no_part_of_a_later_one(run):
    run_test("throughput", replace(run, at_limits=Search(2)))
    save_void(run.raw_folder, "throughput", ("of the earlier run",))
    later = run_test("throughput", run)
    again = measured_again(run.raw_folder)
    assert told(again.tests["throughput"]) == told(later)
    assert again.loads == {}


def test_an_unfinished_test_is_shown_by_its_loads_alone(run):
    run_test("sustained", run)
    (run.raw_folder / "sustained.npz").unlink()
    (run.raw_folder / "sustained-pilot.npz").rename(run.raw_folder / "concurrency-00-of-1.npz")
    (run.raw_folder / "sustained-pilot.json").rename(run.raw_folder / "concurrency-00-of-1.json")
    run_test("ttft", run)
    assert measured_again(run.raw_folder).tests.keys() == {"ttft"}


@pytest.mark.parametrize("place", ["", "throughput.npz", "throughput.json"])
def test_the_command_prints_what_bench_printed_rates_and_goodput_included(engine, tmp_path, place):
    shape = read_shape({"arrival": "", "lengths": "uniform:0.5", "goodput": "ttft:1s,e2el:20ms"}, rate=40.0, trace=None,
                       prefix_len=0, prefixes=1)  # fmt: skip
    asked = Asked(WORKLOAD, ("throughput",), 3, shape)
    printed = server_json(
        bench_server(Target(engine(), "m", shared_host=True), asked, tmp_path, None), asked, ("throughput",)
    )
    again = json.loads(show("--raw", str(tmp_path / place), "--json").stdout)
    assert again["scenarios"] == json.loads(json.dumps(printed["scenarios"]))
    assert again["scenarios"]["throughput"]["goodput_share"] is not None
    assert "output_throughput" in show("--raw", str(tmp_path / place)).stdout


def test_what_is_no_raw_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="holds no raw files"):
        measured_again(tmp_path)
    (tmp_path / "ttft.npz").write_bytes(b"")
    (tmp_path / "ttft.json").write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match=r"ttft\.npz"):
        measured_again(tmp_path / "ttft.npz")
    with pytest.raises(InputError, match="--raw: goes without"):
        show("--raw", str(tmp_path), "--study", "x")
    with pytest.raises(InputError, match="--raw: goes without"):
        show("--raw", str(tmp_path), "--format", "html")
