"""Metrics as real vLLM writes them, and what is none."""

from pathlib import Path

import pytest

from dyno.engine.metrics import parse, scrape

REAL = (Path(__file__).parents[1] / "data" / "metrics-0.32.txt").read_text()


def test_a_counter_is_read_with_or_without_its_ending():
    metrics = parse(REAL)
    assert metrics is not None
    assert metrics.total("vllm:generation_tokens") == metrics.total("vllm:generation_tokens_total") == 7.0
    assert metrics.total("vllm:prompt_tokens") == 6.0


def test_a_total_is_over_all_label_sets():
    metrics = parse(REAL)
    assert metrics is not None
    assert metrics.total("vllm:request_success") == 3.0
    two_engines = parse('x_total{engine="0"} 1\nx_total{engine="1"} 2\n')
    assert two_engines is not None
    assert two_engines.total("x") == 3.0


def test_a_gauge_and_the_parts_of_a_histogram_are_read():
    metrics = parse(REAL)
    assert metrics is not None
    assert metrics.total("vllm:num_requests_running") == 0.0
    assert metrics.total("vllm:time_to_first_token_seconds_count") == 3.0


def test_the_labels_of_the_cache_tell_its_capacity():
    metrics = parse(REAL)
    assert metrics is not None
    labels = metrics.labels("vllm:cache_config_info")
    assert labels is not None
    assert (labels["kv_cache_size_tokens"], labels["block_size"]) == ("262144", "128")


@pytest.mark.parametrize("text", ["", "# nothing\n", "python_info 1\n"])
def test_a_series_that_is_not_there_is_not_zero(text):
    metrics = parse(text)
    assert metrics is not None
    assert metrics.total("vllm:prompt_tokens") is None
    assert metrics.labels("vllm:cache_config_info") is None


@pytest.mark.parametrize(
    "text", ["<html><body>no</body></html>", "{", "a{b 1", 'a{b="c} 1', "a b c d e", "\x00\x01", "a"]
)
def test_what_is_no_metric_is_none(text):
    assert parse(text) is None


def test_a_server_that_is_not_there_has_no_metrics():
    assert scrape("http://127.0.0.1:9", timeout_s=0.5) is None


def test_a_histogram_is_over_all_label_sets():
    metrics = parse(REAL)
    assert metrics is not None
    ttft = metrics.histogram("vllm:time_to_first_token_seconds")
    assert ttft is not None
    assert (ttft.count, round(ttft.sum, 4), ttft.bounds[:4]) == (3, 0.0444, (0.001, 0.005, 0.01, 0.02))
    assert [ttft.bounds[ttft.bucket(share)] for share in (0.3, 0.5, 0.99)] == [0.01, 0.02, 0.04]
    twice = parse(REAL + REAL.replace('engine="0"', 'engine="1"'))
    assert twice is not None
    both = twice.histogram("vllm:time_to_first_token_seconds")
    assert both is not None
    assert (both.count, both - ttft) == (6, ttft)
    assert metrics.histogram("vllm:no_such_thing") is None


def test_a_histogram_can_be_of_one_handler():
    page = parse("".join(f'x_bucket{{handler="{path}",le="+Inf"}} 2\nx_sum{{handler="{path}"}} {took}\n'
                         for path, took in (("/v1/completions", 1.5), ("/tokenize", 9.0))))  # fmt: skip
    assert page is not None
    made = page.histogram("x", "/completions")
    assert made is not None
    assert (made.count, made.sum) == (2, 1.5)
    assert page.histogram("x", "/none") is None
