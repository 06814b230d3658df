"""Mistakes that other load generators have made, by name; what voids a run or fails a request stands with its cause."""

from array import array
from dataclasses import replace

import numpy as np
import pytest
from tests.bench.scripted import DONE, chunked, completion, event, token, usage
from tests.bench.test_answer import heard, transcript_of
from tests.bench.test_audit import card
from tests.bench.test_reduce import Deadly, gathered
from tests.hardware.replay import samples, throttled_at_minute_5

from dyno.bench.answer import Transcript, read_answer
from dyno.bench.arrivals import offsets_ns
from dyno.bench.audit import Evidence, PhysicalBounds, bound_reasons, card_reasons, void_reasons
from dyno.bench.capacity import Probe, capacity, next_probe
from dyno.bench.concurrency import waiting
from dyno.bench.cost import ClientCost
from dyno.bench.counters import Counters
from dyno.bench.endurance import burst_and_sustained
from dyno.bench.http import encode_post, parse_url
from dyno.bench.load import measure
from dyno.bench.loadgen import Pace, drive
from dyno.bench.prompts import measured_prompts
from dyno.bench.raw import load_header
from dyno.bench.record import Load, Target
from dyno.bench.reduce import Reducer
from dyno.bench.spool import Spool
from dyno.bench.stats import figures, goodput, rates, steady, ttft_ms
from dyno.bench.steady import over_saturated
from dyno.errors import DynoError
from dyno.verdict.sequential import Question, judge_looks
from dyno.workload import OBJECTIVES, Limit

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
MS = 1_000_000


def answered(index: int, intended_ms: float, sent_ms: float, first_ms: float) -> Transcript:
    """A request whose one token came at `first_ms`."""
    raw = chunked(token(" a"), usage(1, 1), DONE)
    return Transcript(index, int(intended_ms * MS), int(sent_ms * MS), bytearray(raw), array("q", [int(first_ms * MS)]),
                      array("q", [len(raw)]))  # fmt: skip


def test_queueing_in_the_client_is_not_hidden() -> None:
    late = gathered([answered(number, 10 * number, 30 * number, 30 * number + 5) for number in range(5)])
    seen = figures(late)
    assert (seen["ttft_ms.p99"], seen["ttft_intended_ms.p50"]) == (5, 45)


def test_a_rate_that_was_not_delivered_is_told() -> None:
    late = gathered([answered(number, 10 * number, 30 * number, 30 * number + 5) for number in range(5)])
    assert rates(late) == {"requested_rate": 100, "achieved_rate": 1000 / 30}


def test_there_is_no_hidden_cap_on_concurrency(play) -> None:
    server = play(lambda request: ["hang"] if request.body["n"] < 110 else completion(request))
    endpoint = parse_url(server.url)
    requests = [encode_post(endpoint, "/v1/completions", {"n": n, "prompt": [1], "max_tokens": 1}) for n in range(111)]
    traffic = drive(endpoint, requests, Pace(1, range(0, 111 * MS, MS), silence_s=0.1))
    assert [read_answer(one).outcome for one in traffic.transcripts] == ["silent for 0.1 s"] * 110 + [""]


def test_a_role_event_or_a_ping_is_not_the_first_token() -> None:
    raw = chunked(ROLE, b": ping\n\n", token(" a"), DONE)
    cuts = [raw.index(b": ping"), raw.index(b" a"), len(raw)]
    early = Transcript(0, 0, 0, bytearray(raw), array("q", [1 * MS, 2 * MS, 9 * MS]), array("q", cuts))
    assert ttft_ms(gathered([early])).tolist() == [9]


def test_an_event_larger_than_any_read_buffer_is_one_event() -> None:
    answer = heard(chunked(token("x" * 300_000), token(" b"), usage(1, 2), DONE), 65536)
    assert (answer.outcome, answer.output_tokens, len(answer.content_ns)) == ("", 2, 2)


def test_the_last_gaps_of_a_schedule_do_not_drift() -> None:
    load = Load(4, 501, 8, 8, seed=5, arrival="poisson", rate=100)
    assert abs(offsets_ns(load)[-1] - 5_000 * MS) <= 1


def test_percentiles_of_parts_are_pooled_and_never_averaged() -> None:
    quick = [answered(number, 0, 0, 1) for number in range(99)]
    slow = [answered(99 + number, 0, 0, 1000) for number in range(99)]
    pooled = figures(gathered([*quick, *slow]))["ttft_ms.p90"]
    averaged = (figures(gathered(quick))["ttft_ms.p90"] + figures(gathered(slow))["ttft_ms.p90"]) / 2
    assert (pooled, averaged) == (1000, 500.5)


def test_a_part_of_a_load_does_not_repeat_the_prompts_of_another() -> None:
    prompts = list(measured_prompts(Target("http://h", "m"), Load(8, 200, 16, 4, seed=1), 1.0))
    assert len(set(map(str, prompts))) == 200


def test_an_answer_cut_short_enters_no_latency() -> None:
    whole, cut = transcript_of(0, chunked(token(" a"), DONE)), transcript_of(1, chunked(token(" a"))[:-5])
    assert np.isnan(ttft_ms(gathered([whole, cut]))).tolist() == [False, True]


def test_a_warm_prefix_cache_is_not_met_by_the_next_run() -> None:
    target, load = Target("http://h", "m", token_ids=(100, 4000)), Load(4, 100, 64, 4, seed=1)
    blocks = [{tuple(prompt[:16]) for prompt in measured_prompts(target, replace(load, seed=seed), 1.0)}
              for seed in (1, 2)]  # fmt: skip
    assert [len(each) for each in blocks] == [100, 100], "nor is one prompt sent for all"
    assert not blocks[0] & blocks[1]


def test_a_prompt_of_50_000_tokens_does_not_make_the_client_collapse(play) -> None:
    server = play(completion)
    endpoint = parse_url(server.url)
    request = encode_post(endpoint, "/v1/completions", {"prompt": [7] * 50_000, "max_tokens": 2})
    traffic = drive(endpoint, [request] * 8, Pace(8))
    assert [read_answer(one).outcome for one in traffic.transcripts] == [""] * 8
    assert {len(post.body["prompt"]) for post in server.posts} == {50_000}


def test_work_of_the_client_that_inflates_ttft_and_itl_is_not_passed_over() -> None:
    seen = gathered([answered(number, 0, 0, 100) for number in range(9)])
    busy = ClientCost(loop_lag_ms=(4.0,) * 20)
    (reason,) = void_reasons(Evidence(seen, Counters(), Load(9, 9, 1, 1, seed=0), client=busy))
    assert reason.startswith("the client's loop was 4.0 ms behind on average, 4.0% of a first token's time")


def test_chunks_are_not_tokens() -> None:
    raw = chunked(token(" a b c"), token(" d e"), usage(4, 5), DONE)
    cuts = [raw.index(b" d e"), len(raw)]
    two = Transcript(0, 0, 0, bytearray(raw), array("q", [10 * MS, 50 * MS]), array("q", cuts))
    seen = figures(gathered([two]))
    assert (seen["output_tokens"], seen["tpot_ms.mean"], seen["itl_ms.mean"]) == (5, 10, 10)


def test_what_a_chat_template_adds_is_counted_by_the_server() -> None:
    answer = heard(chunked(token(" a"), usage(512 + 13, 1), DONE), 64)
    assert answer.prompt_tokens == 525


def test_reasoning_is_output_and_done_and_usage_are_not() -> None:
    thought = event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
    assert len(heard(chunked(ROLE, thought, usage(1, 1), DONE), 50).content_ns) == 1


def test_an_error_inside_a_200_is_no_answer() -> None:
    answer = heard(chunked(token(" a"), event({"error": {"message": "out of blocks"}})), 50)
    assert (answer.outcome, answer.detail) == ("error event", "out of blocks")


def test_data_without_a_space_and_split_utf_8_are_read() -> None:
    odd = token(" caf\u00e9").replace(b"data: ", b"data:").replace(b"\\u00e9", "\u00e9".encode())
    whole = chunked(odd, usage(1, 1), DONE)
    assert [len(heard(whole, size).content_ns) for size in (1, whole.index(b"\xc3") + 1)] == [1, 1]


def test_ramp_and_tail_are_no_part_of_the_steady_window() -> None:
    requests = [answered(number, 0, 0 if number < 4 else 40 * number, 40 * number + 40) for number in range(12)]
    window = steady(gathered(requests))
    assert window["steady.duration_s"] < 0.48
    assert window["steady.request_throughput"] is not None


def test_percentiles_stand_beside_means_as_a_mean_may_fall_with_load() -> None:
    few = figures(gathered([answered(0, 0, 0, 5)]))
    assert {f"ttft_ms.{name}" for name in ("mean", "p50", "p90", "p95", "p99")} <= few.keys()
    assert set(waiting(Counters())) == {"queue_ms", "prefill_ms", "queue_efficiency"}


def test_a_rate_above_the_capacity_is_seen_as_a_growing_backlog() -> None:
    at_s = np.arange(0, 20, 0.1)
    rng = np.random.default_rng(1)
    assert over_saturated(at_s, 50 + 40 * at_s + rng.normal(0, 5, len(at_s)))
    assert not over_saturated(at_s, 500 + rng.normal(0, 50, len(at_s)))


def test_a_capacity_is_not_interpolated_across_a_cliff() -> None:
    def at(clients: int) -> Probe:
        return Probe(clients, {"ttft_ms.p95": 100.0 if clients <= 20 else 2800.0, "output_throughput": 10.0 * clients})

    limits, probes = (Limit("ttft_p95", 500.0, "at most"),), list[Probe]()
    while (clients := next_probe(probes, limits)) is not None:
        probes.append(at(clients))
    assert capacity(probes, limits) == 20
    assert 20 in {probe.concurrency for probe in probes}, "a concurrency that was measured"


def test_a_speed_up_from_dropped_work_is_none() -> None:
    whole, dropped = answered(0, 0, 0, 5), transcript_of(1, b"HTTP/1.1 503 No\r\n\r\n")
    (reason,) = void_reasons(Evidence(gathered([whole, dropped]), Counters(), Load(2, 2, 1, 1, seed=0)))
    assert reason.startswith("1 of 2 requests failed: HTTP 503 (1)")


def test_a_process_of_the_generator_that_dies_is_an_end_and_no_deadlock() -> None:
    with Reducer(Spool().path, kept_bytes=0, batch_bytes=0) as reducer:
        reducer.take(Deadly(0, 0, raw=bytearray(b"x")))
        with pytest.raises(DynoError, match="was killed"):
            reducer.finish()


def test_a_figure_that_no_card_can_reach_is_not_believed() -> None:
    (reason,) = bound_reasons({"tpot_ms.p50": 0.33}, PhysicalBounds({"tpot_ms.p50": 3.0}))
    assert reason == "tpot_ms.p50 is 0.33, and less than 3 is not possible on this machine"


def test_a_card_that_gets_too_hot_is_not_measured_as_if_it_stayed_cool() -> None:
    hot = samples(600, **card(throttled_at_minute_5, 600))
    assert card_reasons(hot)[0].startswith("the card slowed itself down in 300.0 s of 600 s")
    told = burst_and_sustained(np.repeat([1000.0, 850.0], [70, 230]) + np.random.default_rng(1).normal(0, 5, 300))
    assert told["burst_throughput"] == pytest.approx(1000, rel=0.01)
    assert told["sustained_throughput"] == pytest.approx(850, rel=0.01)


def test_heat_that_grows_from_launch_to_launch_favours_neither_of_two_configurations() -> None:
    slower = 0.99 ** np.arange(24)  # from launch to launch, whichever's it is: A B, B A, ...
    pairs = [tuple(sorted(pair, reverse=number % 2 == 0)) for number, pair in enumerate(slower.reshape(12, 2))]
    asked = Question("B", "A", "output_throughput", higher_is_better=True, max_pairs=12)
    assert judge_looks(asked, pairs).answer == "equivalent"


@pytest.mark.parametrize(("chat", "path"), [(True, "/v1/chat/completions"), (False, "/v1/completions")])
def test_chat_and_completions_are_two_protocols_that_no_measurement_mixes(play, tmp_path, chat, path) -> None:
    server = play(completion)
    measure(Target(server.url, "m", chat=chat), Load(2, 8, 16, 2, seed=1), tmp_path / "load.npz")
    assert {post.path for post in server.posts} == {path}, "the warm-up, from which prompts are sized, included"
    assert load_header(tmp_path / "load.npz")["target"]["chat"] is chat, "and told with the figures"


def test_goodput_below_saturation_ranks_nothing_so_capacity_at_the_limits_does() -> None:
    def at_ten_a_second(ttft_ms: float):
        return gathered([answered(n, 100 * n, 100 * n, 100 * n + ttft_ms) for n in range(100)])

    slow, fast = (goodput(at_ten_a_second(ttft_ms), {"ttft": 500}) for ttft_ms in (80, 40))
    assert slow["goodput_share"] == fast["goodput_share"] == 1
    assert slow["goodput"] == pytest.approx(fast["goodput"], rel=0.01), "that of the rate, though one is twice as fast"
    assert "goodput" not in OBJECTIVES

    def most(ms_of_a_client: float) -> int | None:
        limits, probes = (Limit("ttft_p95", 500.0, "at most"),), list[Probe]()
        while (n := next_probe(probes, limits)) is not None:
            probes.append(Probe(n, {"ttft_ms.p95": n * ms_of_a_client, "output_throughput": 10.0 * n}))
        return capacity(probes, limits)

    assert (most(10), most(5)) == (50, 100)
