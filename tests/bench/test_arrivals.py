"""Schedules and lengths from a seed or a trace."""

from dataclasses import replace

import numpy as np
import pytest

from dyno.bench.arrivals import offsets_ns, read_trace, request_lengths, trace_rows
from dyno.bench.record import Lengths, Load, TraceRow
from dyno.bench.shape import Shape
from dyno.errors import InputError

OPEN = Load(4, 2000, 100, 20, seed=1, arrival="constant", rate=50)


def test_a_closed_loop_has_no_deadlines() -> None:
    assert offsets_ns(Load(4, 20, 100, 20, seed=1)) is None


def test_constant_arrivals_are_absolute_and_do_not_drift() -> None:
    offsets = offsets_ns(replace(OPEN, rate=3))
    assert (offsets[0], offsets[3], offsets[1998]) == (0, 1_000_000_000, 666_000_000_000)


def test_poisson_arrivals_have_the_rate_and_gaps_as_wide_as_their_mean() -> None:
    offsets = offsets_ns(replace(OPEN, arrival="poisson"))
    gaps = np.diff(offsets)
    assert offsets[-1] == pytest.approx(1999 / 50 * 1e9)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.1)
    assert (offsets == offsets_ns(replace(OPEN, arrival="poisson"))).all()
    assert (offsets != offsets_ns(replace(OPEN, arrival="poisson", seed=2))).any()


def test_one_request_arrives_at_once() -> None:
    assert offsets_ns(replace(OPEN, arrival="poisson", num_requests=1)).tolist() == [0]


def test_fixed_lengths_are_those_asked_for() -> None:
    assert [set(lengths.tolist()) for lengths in request_lengths(OPEN)] == [{100}, {20}]


@pytest.mark.parametrize("lengths", [Lengths("uniform", 0.5), Lengths("lognormal", 0.5)])
def test_drawn_lengths_keep_the_mean_and_the_seed(lengths) -> None:
    inputs, outputs = request_lengths(replace(OPEN, lengths=lengths))
    assert (inputs.mean(), outputs.mean()) == (pytest.approx(100, rel=0.05), pytest.approx(20, rel=0.05))
    assert inputs.min() >= 1
    assert inputs.std() > 20
    assert (inputs == request_lengths(replace(OPEN, lengths=lengths))[0]).all()
    assert lengths.spread == "lognormal" or (inputs.min(), inputs.max()) == (50, 150)


def test_a_trace_brings_its_own_times_and_lengths(tmp_path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp_s": 10.5, "input_len": 7, "output_len": 3, "hash_ids": []}\n\n'
                    '{"timestamp_s": 11, "input_len": 9, "output_len": 1}\n')  # fmt: skip
    trace = read_trace(path)
    assert trace == (TraceRow(10.5, 7, 3), TraceRow(11.0, 9, 1))
    load = replace(OPEN, num_requests=2, arrival="trace", trace=trace)
    assert offsets_ns(load).tolist() == [0, 500_000_000]
    assert [lengths.tolist() for lengths in request_lengths(load)] == [[7, 9], [3, 1]]


ROW = '{"timestamp_s": 1, "input_len": 1, "output_len": 1}'


@pytest.mark.parametrize(("lines", "message"), [
    ([], "holds no request"),
    ([ROW, "nonsense"], "line 2: not an object"),
    (["[1]"], "line 1: not an object"),
    (['{"timestamp_s": 1, "input_len": 1}'], "output_len"),
    ([ROW.replace("1}", "0}")], "at least 1"),
    ([ROW.replace("1,", "NaN,", 1)], "finite"),
    ([ROW, ROW.replace("1", "0.5", 1)], "line 2: timestamp_s 0.5 is before the line above"),
    ([ROW.replace("1}", "60000000}")], "more than the 50,000,000"),
    ([ROW, ROW.replace("1,", "1e300,", 1)], "lasts 1e\\+300 s, and a load at most 2,592,000"),
])  # fmt: skip
def test_a_line_that_is_no_request_is_refused_by_number(lines, message) -> None:
    with pytest.raises(InputError, match=message):
        trace_rows(lines, "t")


def test_a_trace_that_is_not_there_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(InputError, match=r"--trace .*none\.jsonl: cannot be read"):
        read_trace(tmp_path / "none.jsonl")


def test_a_prefix_is_held_against_the_prompts_of_the_trace_itself() -> None:
    preset = Load(concurrency=1, num_requests=8, input_len=512, output_len=4, seed=1)
    shape = Shape("trace", trace=(TraceRow(0, 4096, 4), TraceRow(1, 2048, 4)), prefix_len=1024)
    assert shape.of(preset).num_requests == 2
    with pytest.raises(InputError, match="--prefix-len 2048: must be less than the 2048 tokens"):
        replace(shape, prefix_len=2048).of(preset)


def test_a_load_that_would_not_end_in_a_month_is_refused() -> None:
    with pytest.raises(InputError, match=r"--rate 1e-12: 8 requests would last 7e\+12 s"):
        Shape("constant", rate=1e-12).of(Load(1, 8, 512, 4, seed=1))
