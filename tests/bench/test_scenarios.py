"""The tests of the set, on the fake engine."""

from itertools import combinations

import pytest

from dyno.bench.record import Target
from dyno.bench.run import Run
from dyno.bench.scenarios import context_lengths, long_input_len, plan_load, run_test
from dyno.errors import DynoError, InputError
from dyno.workload import Workload

ONE_LOAD = ("ttft", "throughput", "long_context", "prefix_reuse")
WORKLOAD = Workload("small", input_len=64, output_len=8, concurrency=4, num_requests=12)


def test_every_test_of_one_load_is_valid_and_none_disturbs_another(engine, tmp_path):
    target = Target(engine(FAKE_TTFT_MS="20"), "m", token_ids=(100, 4000), shared_host=True)
    results = {name: run_test(name, Run(target, WORKLOAD, 5, 2048, tmp_path)) for name in ONE_LOAD}
    assert {name: result.void for name, result in results.items()} == dict.fromkeys(ONE_LOAD, ())
    assert all(result.raw == (tmp_path / f"{name}.npz",) for name, result in results.items())
    reuse, throughput = results["prefix_reuse"].figures, results["throughput"].figures
    assert reuse["cold_ttft_ms"] > reuse["warm_ttft_ms"]
    assert 0.7 < reuse["hit_rate"] < 5 / 6
    assert (throughput["completed"], throughput["output_tokens"]) == (12, 96)
    assert throughput["kv_usage_peak"] is not None
    assert results["long_context"].figures["prompt_tokens"] == 2 * 1024
    for name in ONE_LOAD:
        assert results[name].figures["reconcile.ttft_mean_excess_ms"] > 0
        assert "reconcile.ttft_p95_buckets" in results[name].figures


def test_without_a_prefix_cache_nothing_is_reused(engine):
    target = Target(
        engine("--no-enable-prefix-caching", FAKE_TTFT_MS="4"), "m", token_ids=(100, 4000), shared_host=True
    )
    assert not run_test("prefix_reuse", Run(target, WORKLOAD, 5, 2048)).figures["hit_rate"]


def test_the_same_seed_again_on_a_live_engine_is_void(engine):
    target = Target(engine(), "m", token_ids=(100, 4000), shared_host=True)
    assert run_test("throughput", Run(target, WORKLOAD, 5)).void == ()
    (reason,) = run_test("throughput", Run(target, WORKLOAD, 5)).void
    assert "the prefix cache answered" in reason


def test_an_engine_that_dies_voids_the_test_and_stops_the_next(engine):
    target = Target(
        engine(FAKE_FAIL="dies_mid_stream", FAKE_FAIL_AFTER="5"), "m", token_ids=(100, 4000), shared_host=True
    )
    (reason,) = run_test("throughput", Run(target, WORKLOAD, 5)).void
    assert "of 12 requests failed" in reason
    with pytest.raises(DynoError, match="connection refused"):
        run_test("throughput", Run(target, WORKLOAD, 6))


@pytest.mark.parametrize(("max_model_len", "expected"), [
    (None, 8192), (131072, 32768), (32768, 16384), (32832, 32768), (8192, 4096), (8256, 8192), (4096, 2048), (100, 32),
])  # fmt: skip
def test_the_long_prompt_is_the_longest_that_fits(max_model_len, expected):
    assert long_input_len(max_model_len, 64) == expected


@pytest.mark.parametrize("max_model_len", [64, 512, 40960])
@pytest.mark.parametrize("name", ["long_context", "prefix_reuse"])
def test_the_tests_own_lengths_fit_the_engine(name, max_model_len):
    load = plan_load(name, WORKLOAD, 0, max_model_len)
    assert load.input_len + load.output_len <= max_model_len


def test_no_two_tests_or_seeds_share_prompts():
    seeds = {(name, seed): plan_load(name, WORKLOAD, seed, None).seed for name in ONE_LOAD for seed in range(5)}
    assert all(one != other for one, other in combinations(seeds.values(), 2))


def test_an_unknown_test_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="'throughputs' is not known; did you mean 'throughput'"):
        plan_load("throughputs", WORKLOAD, 0, None)
    with pytest.raises(InputError, match="'contxt' is not known; did you mean 'context'"):
        run_test("contxt", Run(Target("http://127.0.0.1:1", "m"), WORKLOAD, 0))


@pytest.mark.parametrize(("max_model_len", "expected"), [
    (None, (2048, 4096, 8192)), (4096, (2048,)), (4128, (2048, 4096)), (40960, (2048, 4096, 8192, 16384, 32768)),
    (1000, (512,)), (1, (1,)),
])  # fmt: skip
def test_the_ladder_of_lengths_goes_as_far_as_the_engine_holds(max_model_len, expected):
    assert context_lengths(max_model_len) == expected


def test_context_tells_what_each_length_costs(engine, tmp_path):
    target = Target(engine(FAKE_TTFT_MS="8"), "m", token_ids=(100, 4000), shared_host=True)
    result = run_test("context", Run(target, WORKLOAD, 5, 4200, tmp_path))
    assert (result.void, result.errors) == ((), {})
    assert [path.name for path in result.raw] == ["context-2048.npz", "context-4096.npz"]
    figures = result.figures
    assert figures["4096.ttft_ms"] > 1.5 * figures["2048.ttft_ms"] > 0
    assert figures["ttft_ms.p50"] == figures["4096.ttft_ms"]
    assert figures["2048.tpot_ms"] > 0
    assert 0 <= figures["2048.kv_usage"] <= 1
