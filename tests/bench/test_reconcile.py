"""The client's latencies and the server's histograms of the same requests."""

import dataclasses

import pytest
from tests.bench.test_stats import records

from dyno.bench.counters import Counters, read_counters
from dyno.bench.reconcile import agrees, reconcile
from dyno.engine.metrics import Histogram

# 20 requests: ttft 21 ms (one 210), then 3 tokens 10 ms apart, the last byte 2 ms after the last of them.
TTFT = [21] * 19 + [210]
SEEN = records(*((0, [ttft, ttft + 10, ttft + 20, ttft + 30], ttft + 32, 4, "") for ttft in TTFT))
BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.25)
# The server saw each 2 ms earlier: most of its ttft lie in the bucket below the client's.
SERVED = Counters(
    generation_tokens=80,
    ttft=Histogram(BOUNDS, (0, 19, 19, 19, 20, 20), 19 * 0.019 + 0.208),
    itl=Histogram(BOUNDS, (60, 60, 60, 60, 60, 60), 0.6),
    e2el=Histogram(BOUNDS, (0, 0, 0, 19, 20, 20), 19 * 0.049 + 0.238),
    http=Histogram((0.1, 1.0), (19, 20, 20), 19 * 0.052 + 0.241),
)


def test_means_are_a_ratio_and_an_excess() -> None:
    figures = reconcile(SEEN, SERVED)
    assert figures["reconcile.ttft_mean_excess_ms"] == pytest.approx(2)
    assert figures["reconcile.ttft_mean_ratio"] == pytest.approx(30.45 / 28.45)
    assert figures["reconcile.itl_mean_ratio"] == pytest.approx(1)
    assert figures["reconcile.e2el_mean_excess_ms"] == pytest.approx(4)
    assert figures["reconcile.http_mean_excess_ms"] == pytest.approx(1)


def test_percentiles_tell_how_many_buckets_lie_between() -> None:
    figures = reconcile(SEEN, SERVED)
    assert {name: figures[f"reconcile.{name}_buckets"] for name in ("ttft_p50", "ttft_p99", "itl_p95", "e2el_p90")} == {
        "ttft_p50": 1, "ttft_p99": 0, "itl_p95": 0, "e2el_p90": 0}  # fmt: skip


def test_a_latency_observed_more_or_less_often_is_left_out() -> None:
    others = dataclasses.replace(SERVED, ttft=Histogram(BOUNDS, (0, 0, 0, 0, 0, 21), 9.0))
    two_a_step = dataclasses.replace(others, itl=Histogram(BOUNDS, (40, 40, 40, 40, 40, 40), 0.6))
    assert {name.split("_")[0] for name in reconcile(SEEN, two_a_step)} == {
        "reconcile.e2el", "reconcile.http", "reconcile.head"}  # fmt: skip


def test_without_histograms_there_is_nothing() -> None:
    assert reconcile(SEEN, Counters(generation_tokens=80)) == {}
    assert read_counters("http://127.0.0.1:9") == Counters()


def test_counters_and_histograms_are_what_was_added_since() -> None:
    half = Counters(generation_tokens=30, ttft=Histogram(BOUNDS, (0, 4, 4, 4, 4, 4), 0.076))
    added = SERVED.since(half)
    assert (added.generation_tokens, added.prompt_tokens, added.e2el) == (50, None, None)
    assert added.ttft == Histogram(BOUNDS, (0, 15, 15, 15, 16, 16), SERVED.ttft.sum - 0.076)


def means(tokens: int = 0, **latencies: tuple[float, float] | float) -> dict[str, float | None]:
    """Figures of `name=(the client's mean, the server's)`, in ms, for prompts of so many tokens."""
    made: dict[str, float | None] = {"prompt_tokens": 3 * tokens, "completed": 3}
    for name, value in latencies.items():
        if isinstance(value, tuple):
            made |= {f"reconcile.{name}_mean_ratio": value[0] / value[1],
                     f"reconcile.{name}_mean_excess_ms": value[0] - value[1]}  # fmt: skip
        else:
            made[f"reconcile.{name}_mean_ms"] = value
    return made


# Measured, on an H200 but for FAST: a prompt of 512 tokens; one of 32K, whose decoding holds the first token back; one
# of 8K on two slow cores; 64 at a time.
SHORT = {"ttft": (13.7, 12.3), "itl": (3.5, 3.51), "e2el": (234.3, 233.1), "http": (234.3, 234.1), "head": 1.5}
LONG = {"ttft": (934.6, 918.0), "itl": (4.3, 4.8), "e2el": (1070.0, 1066.2), "http": (1070.0, 1069.8), "head": 4.1}
FAST = {"ttft": (96.6, 85.9), "itl": (3.6, 3.9), "e2el": (180.2, 177.0), "http": (180.2, 180.6), "head": 3.5}
MANY = {"ttft": (122.2, 105.9), "itl": (5.21, 5.2), "e2el": (2781.0, 2765.0), "http": (2781.0, 2776.0), "head": 26.6}


@pytest.mark.parametrize("told", [SHORT | {"tokens": 512}, LONG, FAST | {"tokens": 8192}, MANY],
                         ids=["short", "long", "fast", "many"])  # fmt: skip
def test_a_client_that_is_right_agrees_whatever_its_requests_wait_for_in_the_server(told) -> None:
    assert agrees(means(**told)) is True


def later(told, ms: float, *names: str) -> dict[str, float | None]:
    return means(**told | {name: (told[name][0] + ms, told[name][1]) for name in names})


def test_a_client_that_is_wrong_does_not_agree() -> None:
    assert agrees(later(SHORT, 5, "ttft", "e2el", "http")) is False, "every stamp 5 ms late"
    assert agrees(later(SHORT, -5, "ttft", "e2el", "http")) is False, "sent 5 ms before it says so"
    assert agrees(later(SHORT, -5, "ttft", "e2el", "http") | {"reconcile.head_mean_ms": -3.5}) is False
    assert agrees(later(SHORT, 5, "ttft")) is False, "the first token's stamp 5 ms late"
    assert agrees(later(LONG, 20, "ttft")) is False
    assert agrees(means(**FAST)) is False, "more than prompts so short explain"
    assert agrees(later(FAST | {"tokens": 8192}, 5, "ttft")) is False
    assert agrees(later(FAST | {"tokens": 8192}, 5, "ttft", "e2el", "http")) is False
    assert agrees(later(SHORT, 5, "itl")) is False, "5 ms more at every token"
    assert agrees(later(SHORT, 5, "e2el", "http")) is False, "the last byte's stamp 5 ms late"
    assert agrees(later(MANY, -10, "ttft", "e2el", "http")) is False, "less than the server's web layer says"
    assert agrees(later(MANY, 20, "ttft", "e2el", "http")) is False, "longer before the clock than until the head"


def test_without_an_answer_s_end_to_compare_first_tokens_stand_for_themselves() -> None:
    assert agrees({}) is None
    assert agrees(means(ttft=(8.9, 6.0))) is True
    assert agrees(means(ttft=(1010.0, 1000.0))) is True
    assert agrees(means(ttft=(1030.0, 1000.0))) is False
