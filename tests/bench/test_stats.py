"""Figures from records made by hand."""

import dataclasses

import numpy as np
import pytest

from dyno.bench.raw import load_raw, save_raw
from dyno.bench.stats import UNKNOWN, Records, figures, goodput, itl_ms, rates, steady, tpot_ms, ttft_ms
from dyno.errors import InputError
from dyno.workload import OBJECTIVES, Objective

MS = 1_000_000


def records(*requests: tuple[int, list[int], int, int, str]) -> Records:
    """Requests as (sent, content stamps, last byte, output tokens, outcome), times in ms."""
    sent, content, last, tokens, outcomes = zip(*requests, strict=True)
    first = [stamps[0] if stamps else UNKNOWN for stamps in content]
    return Records(
        intended_ns=np.array(sent) * MS,
        sent_ns=np.array(sent) * MS,
        first_byte_ns=np.array(first) * MS,
        last_byte_ns=np.array(last) * MS,
        prompt_tokens=np.full(len(sent), 10),
        output_tokens=np.array(tokens),
        content_counts=np.array([len(stamps) for stamps in content]),
        content_ns=np.array([stamp for stamps in content for stamp in stamps], dtype=np.int64) * MS,
        outcomes=outcomes,
    )


TWO = records((0, [20, 30, 40, 50], 51, 4, ""), (10, [50, 70], 75, 2, ""))


def test_latencies_are_what_their_names_say() -> None:
    assert ttft_ms(TWO).tolist() == [20, 40]
    assert tpot_ms(TWO).tolist() == [10, 20]
    assert itl_ms(TWO).tolist() == [10, 10, 10, 20]
    seen = figures(TWO)
    assert (seen["e2el_ms.mean"], seen["ttft_ms.p50"], seen["ttft_ms.p90"]) == (58, 30, pytest.approx(38))
    assert (seen["prompt_tokens"], seen["output_tokens"], seen["completed"], seen["failed"]) == (20, 6, 2, 0)


def test_every_objective_is_a_figure_of_every_load() -> None:
    assert {Objective(name).figure for name in OBJECTIVES} <= set(figures(TWO))


def test_throughput_is_over_the_whole_loop() -> None:
    seen = figures(TWO)
    assert seen["duration_s"] == 0.075
    assert (seen["output_throughput"], seen["request_throughput"]) == (pytest.approx(80), pytest.approx(2 / 0.075))


def test_failed_requests_never_enter_a_latency_or_a_throughput() -> None:
    failed = records((0, [20, 30, 40, 50], 51, 4, ""), (10, [50, 70], 75, 2, ""), (5, [900, 990], 999, 99, "HTTP 503"))
    assert figures(failed) == figures(TWO) | {"failed": 1}
    assert failed.errors == {"HTTP 503": 1}


def test_tokens_are_the_servers_even_where_events_hold_several() -> None:
    paired = records((0, [10, 30, 50], 50, 5, ""))
    assert tpot_ms(paired).tolist() == [10]
    assert itl_ms(paired).tolist() == [10, 10]


def test_tokens_in_one_read_are_gaps_of_nothing_and_tpot_stays_true() -> None:
    merged = records((0, [10, 10, 30, 30], 30, 4, ""))
    assert itl_ms(merged).tolist() == [0, 20, 0]
    assert tpot_ms(merged).tolist() == [pytest.approx(20 / 3)]


def test_without_usage_only_what_needs_tokens_is_missing() -> None:
    seen = figures(dataclasses.replace(TWO, output_tokens=np.array([4, UNKNOWN])))
    assert seen["output_tokens"] is None
    assert seen["output_throughput"] is None
    assert seen["tpot_ms.p50"] == 10
    assert seen["itl_ms.p50"] == 10
    assert seen["request_throughput"] is not None


def test_one_token_has_no_tpot_and_no_gap() -> None:
    single = figures(records((0, [20], 21, 1, "")))
    assert (single["tpot_ms.mean"], single["itl_ms.p99"], single["ttft_ms.p99"]) == (None, None, 20)


def test_an_answer_in_one_piece_has_no_ttft() -> None:
    assert figures(records((0, [], 30, 5, "")))["ttft_ms.mean"] is None
    assert figures(records((0, [], 30, 5, "")))["e2el_ms.mean"] == 30


def test_when_all_failed_every_figure_is_none() -> None:
    seen = figures(records((0, [], UNKNOWN, UNKNOWN, "connection refused")))
    assert (seen["ttft_ms.mean"], seen["duration_s"], seen["output_throughput"], seen["completed"]) == (
        None,
        None,
        None,
        0,
    )


def test_figures_can_be_made_again_from_the_raw_file(tmp_path) -> None:
    mixed = records((0, [20, 30], 51, 4, ""), (10, [], UNKNOWN, UNKNOWN, "HTTP 503"), (11, [50, 70], 75, 2, ""))
    save_raw(tmp_path / "new" / "load.npz", mixed, {"load": {"seed": 3}})
    again, header = load_raw(tmp_path / "new" / "load.npz")
    assert figures(again) == figures(mixed)
    assert again.errors == {"HTTP 503": 1}
    assert header == {"schema_version": 1, "load": {"seed": 3}}


def test_what_is_no_raw_file_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "load.npz"
    with pytest.raises(InputError, match=r"load\.npz"):
        load_raw(path)
    path.write_bytes(b"nonsense")
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match="not a raw file"):
        load_raw(path)
    save_raw(path, TWO, {"schema_version": 9})
    with pytest.raises(InputError, match="schema_version 9"):
        load_raw(path)


class TestFromTheIntendedStart:
    LATE = dataclasses.replace(TWO, intended_ns=np.array([0, 2]) * MS)

    def test_a_client_that_was_late_shows_in_latencies_from_the_intended_start(self) -> None:
        seen = figures(self.LATE)
        assert (seen["ttft_ms.mean"], seen["ttft_intended_ms.mean"]) == (30, 34)
        assert (seen["e2el_ms.mean"], seen["e2el_intended_ms.mean"]) == (58, 62)

    def test_the_rate_achieved_stands_beside_the_one_asked_for(self) -> None:
        assert rates(self.LATE) == {"requested_rate": 500, "achieved_rate": 100}

    def test_one_request_has_no_rate(self) -> None:
        assert rates(records((0, [20], 21, 1, ""))) == {"requested_rate": None, "achieved_rate": None}


class TestGoodput:
    @pytest.mark.parametrize(("slos", "kept"), [
        ({}, 2), ({"ttft": 20}, 1), ({"tpot": 10}, 1), ({"e2el": 70}, 2), ({"ttft": 40, "tpot": 9}, 0),
    ])  # fmt: skip
    def test_counts_the_requests_that_keep_every_objective(self, slos, kept) -> None:
        assert goodput(TWO, slos) == {"goodput": pytest.approx(kept / 0.075), "goodput_share": kept / 2}

    def test_is_judged_from_the_intended_start(self) -> None:
        assert goodput(TestFromTheIntendedStart.LATE, {"ttft": 45})["goodput_share"] == 0.5

    def test_a_failed_request_keeps_nothing_and_one_token_any_tpot(self) -> None:
        mixed = records((0, [20], 20, 1, ""), (0, [10, 20], 20, 2, "HTTP 503"))
        assert goodput(mixed, {"tpot": 50})["goodput_share"] == 0.5

    def test_nothing_answered_has_none(self) -> None:
        assert goodput(records((0, [], UNKNOWN, UNKNOWN, "reset")), {"ttft": 9}) == {
            "goodput": None, "goodput_share": 0}  # fmt: skip


class TestSteady:
    def test_ramp_and_tail_are_cut(self) -> None:
        """Two clients: served from 20 on, the last request goes out at 120; between them a token every 5 ms each."""
        clients = [(0, list(range(10, 61, 5)), 60, 11, ""), (0, list(range(20, 71, 5)), 70, 11, ""),
                   (60, list(range(65, 121, 5)), 120, 12, ""), (70, list(range(75, 131, 5)), 130, 12, ""),
                   (120, list(range(300, 306)), 306, 6, "")]  # fmt: skip
        seen = steady(records(*clients))
        assert seen["steady.duration_s"] == 0.1
        assert seen["steady.output_throughput"] == pytest.approx(400, rel=0.05)
        assert seen["steady.request_throughput"] == pytest.approx(30)
        assert figures(records(*clients))["output_throughput"] == pytest.approx(52 / 0.306)

    def test_a_load_that_is_all_ramp_and_tail_has_none(self) -> None:
        assert set(steady(TWO).values()) == {None}
        assert set(steady(records((0, [], UNKNOWN, UNKNOWN, "reset"))).values()) == {None}

    def test_without_usage_requests_are_still_counted(self) -> None:
        clients = records((0, [10], 11, UNKNOWN, ""), (11, [20], 21, UNKNOWN, ""), (21, [30], 31, UNKNOWN, ""))
        seen = steady(clients)
        assert (seen["steady.output_throughput"], seen["steady.request_throughput"]) == (None, pytest.approx(2 / 0.011))


def test_a_load_larger_than_one_block_has_the_same_figures(monkeypatch) -> None:
    many = records(*((number, [number + 5 + 3 * step for step in range(number % 4)], number + 40, number % 4, "")
                     for number in range(50)))  # fmt: skip
    whole = figures(many)
    monkeypatch.setattr("dyno.bench.stats._BLOCK", 3)
    assert figures(many) == pytest.approx(whole)
