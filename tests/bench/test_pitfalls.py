"""Mistakes that other load generators have made, by name; those of the audit and of single readers stand with them."""

from array import array

import numpy as np
from tests.bench.scripted import DONE, chunked, completion, event, token, usage
from tests.bench.test_answer import heard, transcript_of

from dyno.bench.answer import Transcript, read_answer
from dyno.bench.arrivals import offsets_ns
from dyno.bench.http import encode_post, parse_url
from dyno.bench.load import gather
from dyno.bench.loadgen import Pace, drive
from dyno.bench.prompts import measured_prompts
from dyno.bench.record import Load, Target
from dyno.bench.reduce import reduce_one
from dyno.bench.stats import figures, rates, ttft_ms

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
MS = 1_000_000


def answered(index: int, intended_ms: float, sent_ms: float, first_ms: float) -> Transcript:
    """A request whose one token came at `first_ms`."""
    raw = chunked(token(" a"), usage(1, 1), DONE)
    return Transcript(index, int(intended_ms * MS), int(sent_ms * MS), bytearray(raw), array("q", [int(first_ms * MS)]),
                      array("q", [len(raw)]))  # fmt: skip


def test_queueing_in_the_client_is_not_hidden() -> None:
    late = gather([reduce_one(answered(number, 10 * number, 30 * number, 30 * number + 5)) for number in range(5)])
    seen = figures(late)
    assert (seen["ttft_ms.p99"], seen["ttft_intended_ms.p50"]) == (5, 45)


def test_a_rate_that_was_not_delivered_is_told() -> None:
    late = gather([reduce_one(answered(number, 10 * number, 30 * number, 30 * number + 5)) for number in range(5)])
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
    assert ttft_ms(gather([reduce_one(early)])).tolist() == [9]


def test_an_event_larger_than_any_read_buffer_is_one_event() -> None:
    answer = heard(chunked(token("x" * 300_000), token(" b"), usage(1, 2), DONE), 65536)
    assert (answer.outcome, answer.output_tokens, len(answer.content_ns)) == ("", 2, 2)


def test_the_last_gaps_of_a_schedule_do_not_drift() -> None:
    load = Load(4, 501, 8, 8, seed=5, arrival="poisson", rate=100)
    assert abs(offsets_ns(load)[-1] - 5_000 * MS) <= 1


def test_percentiles_of_parts_are_pooled_and_never_averaged() -> None:
    quick = [reduce_one(answered(number, 0, 0, 1)) for number in range(99)]
    slow = [reduce_one(answered(99 + number, 0, 0, 1000)) for number in range(99)]
    pooled = figures(gather([*quick, *slow]))["ttft_ms.p90"]
    averaged = (figures(gather(quick))["ttft_ms.p90"] + figures(gather(slow))["ttft_ms.p90"]) / 2
    assert (pooled, averaged) == (1000, 500.5)


def test_a_part_of_a_load_does_not_repeat_the_prompts_of_another() -> None:
    prompts = measured_prompts(Target("http://h", "m"), Load(8, 200, 16, 4, seed=1), 1.0)
    assert len(set(map(str, prompts))) == 200


def test_an_answer_cut_short_enters_no_latency() -> None:
    whole, cut = transcript_of(0, chunked(token(" a"), DONE)), transcript_of(1, chunked(token(" a"))[:-5])
    assert np.isnan(ttft_ms(gather([reduce_one(whole), reduce_one(cut)]))).tolist() == [False, True]
