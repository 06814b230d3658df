import pytest

from dyno.errors import InputError
from dyno.verdict.limits import LimitCheck, check_limits, limit_figure, refuse_unmeasurable
from dyno.workload import length_of, parse_limits


@pytest.mark.parametrize(("limit", "figure"), [
    ("ttft_p95", "ttft_ms.p95"), ("itl_mean", "itl_ms.mean"), ("output_throughput", "output_throughput"),
    ("vram", "device_peak_bytes"), ("ram", "rss_peak_bytes"), ("temperature", "temperature_peak_c"),
    ("ready", "ready_s"), ("ttft@8192", "8192.ttft_ms"), ("speedup", "speedup"),
])  # fmt: skip
def test_a_limit_reads_its_own_figure(limit, figure):
    assert limit_figure(limit) == figure


def test_at_most_and_at_least_include_the_bound():
    limits = parse_limits({"ttft_p95": "2 s", "output_throughput": 300, "ram": "1 GiB"})
    figures = {"ttft_ms.p95": 2000.0, "output_throughput": 299.9, "rss_peak_bytes": 2.0**30}
    assert [check.met for check in check_limits(limits, figures)] == [True, False, True]


def test_a_figure_that_was_not_measured_neither_meets_nor_misses():
    (limit,) = parse_limits({"ready": "60 s"})
    assert check_limits([limit], {}) == check_limits([limit], {"ready_s": None}) == (LimitCheck(limit, None, None),)


def test_every_limit_that_nothing_here_can_measure_is_refused_at_once():
    limits = parse_limits({"vram": "11 GiB", "ttft_p95": "2 s", "accuracy_drop": "2 %", "temperature": "82 C"})
    with pytest.raises(InputError) as refused:
        refuse_unmeasurable(limits, can_measure=())
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "limits.vram", "limits.accuracy_drop", "limits.temperature"]  # fmt: skip


def test_limits_that_can_be_measured_pass():
    limits = parse_limits({"vram": "11 GiB", "temperature": "82 C", "ram": "80 GiB", "ready": "3 min"})
    refuse_unmeasurable(limits, can_measure={"vram", "temperature"})


def test_a_latency_at_a_prompt_length_is_a_limit_and_8k_is_8192():
    (limit,) = parse_limits({"ttft@8K": "2 s"})
    assert (limit.name, limit.bound, length_of(limit)) == ("ttft@8192", 2000, 8192)
    assert [check.met for check in check_limits([limit], {"8192.ttft_ms": 2001.0})] == [False]


@pytest.mark.parametrize("length", ["1000", "1024", "6K"])
def test_a_length_that_no_test_measures_is_refused_and_those_that_are_named(length):
    with pytest.raises(InputError, match="name 2K, 4K, 8K"):
        parse_limits({f"ttft@{length}": "2 s"})


def test_floors_are_rates_with_or_without_a_unit_and_a_ratio_to_the_baseline():
    rate, speedup = parse_limits({"output_throughput": "80 tok/s", "speedup": "1.5x"})
    assert (rate.bound, rate.side, speedup.bound, speedup.side) == (80, "at least", 1.5, "at least")
