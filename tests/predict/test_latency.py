"""Figures of a load, how sure they are, and what points do to them."""

from dataclasses import replace
from math import log

import pytest
from models import DEEPSEEK_V3, GPT_OSS_20B, LLAMA_8B, NEMOTRON_3_NANO, QWEN3_4B, QWEN35_27B, setup

from dyno.hardware.gpus import find_card
from dyno.predict.calibrate import Point, calibrate
from dyno.predict.latency import Run, closed_loop, open_loop, predict_latency, reasons_unserved, simulated, unsettled
from dyno.predict.memory import predict_memory
from dyno.predict.rates import LAUNCHES, generic
from dyno.workload import Workload

KNOWN = generic(find_card("H200"))


def run_of(made, input_len=512, output_len=128, clients=16, number=None, prefix=0):
    load = Workload("test", input_len, output_len, clients, number or 4 * clients, prefix)
    return Run(made, predict_memory(made).blocks, closed_loop(load))


def test_figures_hang_together():
    told = predict_latency(run_of(setup(QWEN3_4B)), KNOWN)
    for spread in (told.ttft_ms, told.tpot_ms, told.e2el_ms):
        assert 0 < spread.low < spread.p50 <= spread.p90 <= spread.p95 <= spread.p99
        assert spread.high > spread.p50
    assert told.e2el_ms.p50 == pytest.approx(told.ttft_ms.p50 + 127 * told.tpot_ms.p50, rel=0.1)
    assert told.output_throughput == pytest.approx(64 * 128 / told.duration_s)
    assert told.output_throughput_low < told.output_throughput < told.output_throughput_high
    assert told.fitted_on == ()


def test_an_answer_of_one_token_has_no_time_between_tokens():
    assert predict_latency(run_of(setup(QWEN3_4B), output_len=1), KNOWN).tpot_ms is None


def test_more_clients_bring_more_tokens_and_longer_waits():
    told = [predict_latency(run_of(setup(QWEN3_4B), clients=clients), KNOWN, {}) for clients in (1, 4, 16, 64, 256)]
    throughputs, waits = [each.output_throughput for each in told], [each.ttft_ms.p50 for each in told]
    assert throughputs == sorted(throughputs)
    assert waits == sorted(waits)


def test_a_shared_beginning_shortens_the_wait():
    runs = (run_of(setup(QWEN3_4B), 4096, prefix=length) for length in (0, 4000))
    plain, shared = (predict_latency(each, KNOWN, {}) for each in runs)
    assert shared.ttft_ms.p50 < 0.5 * plain.ttft_ms.p50


def test_more_api_servers_take_up_what_comes_together_sooner():
    runs = (run_of(setup(QWEN3_4B, api_server_count=servers), 128, 16, 64, 64) for servers in (1, 4))
    one, four = (predict_latency(run, KNOWN, {}).ttft_ms for run in runs)
    assert four.mean < one.mean - 10


def test_a_request_alone_waits_as_long_with_more_api_servers():
    runs = (run_of(setup(QWEN3_4B, api_server_count=servers), clients=1) for servers in (1, 4))
    one, four = (predict_latency(run, KNOWN, {}).ttft_ms for run in runs)
    assert four == one


def test_where_first_tokens_come_in_waves_their_median_is_less_sure():
    runs = [run_of(setup(QWEN3_4B), clients=clients) for clients in (64, 1)]
    waves, alone = (unsettled(simulated(run, KNOWN.rates).ttft_ms) for run in runs)
    assert waves > 2 * alone
    told = predict_latency(runs[0], KNOWN, {"ttft": 0.0})
    assert log(told.ttft_ms.high / told.ttft_ms.low) == pytest.approx(2 * 1.2816 * waves)


def test_an_open_loop_below_what_is_possible_is_served_as_it_comes():
    load = Workload("open", 512, 128, 1, 200)
    made = setup(QWEN3_4B)
    told = predict_latency(Run(made, predict_memory(made).blocks, open_loop(load, 5.0)), KNOWN, {})
    assert told.request_throughput == pytest.approx(5.0, rel=0.2)
    assert told.ttft_ms.p50 < 100


def test_a_request_that_fits_nowhere_is_refused_with_the_reason():
    made = setup(QWEN3_4B, max_model_len=1024)
    (reason,) = reasons_unserved(made, 10_000, closed_loop(Workload("long", 1000, 100, 1, 1)))
    assert "1,100 tokens" in reason
    (reason,) = reasons_unserved(made, 10, closed_loop(Workload("long", 1000, 10, 1, 1)))
    assert "there are 10" in reason


EXTREMES = [(1, 1, 1), (1, 2, 1), (130_000, 64, 1), (1, 2000, 64), (16, 16, 4096), (130_000, 1, 32)]


@pytest.mark.parametrize(("input_len", "output_len", "clients"), EXTREMES)
@pytest.mark.parametrize("config", [LLAMA_8B, GPT_OSS_20B, NEMOTRON_3_NANO, QWEN35_27B])
def test_extremes_are_sane(config, input_len, output_len, clients):
    made = setup(config, release=(0, 32))
    load = Workload("extreme", input_len, output_len, clients, clients)
    told = predict_latency(Run(made, predict_memory(made).blocks, closed_loop(load)), KNOWN, {})
    assert 1 < told.ttft_ms.p50 < 1e7
    assert 0 < told.output_throughput < 1e6
    assert told.tpot_ms is None or 0.5 < told.tpot_ms.p50 < 1e4


def test_every_card_with_known_peaks_has_an_answer():
    for name in ("RTX 4090 Laptop", "RTX 5090", "L4", "A100 80GB", "B200", "RTX PRO 6000"):
        made = setup(QWEN3_4B, card=find_card(name), max_model_len=4096)
        known = generic(find_card(name))
        assert predict_latency(run_of(made), known).tpot_ms.low > 0.5


def test_several_cards_are_faster_than_one_but_not_so_many_times():
    large = setup(DEEPSEEK_V3, tensor_parallel_size=8, quantization="fp8")
    one, eight = (predict_latency(run, KNOWN, {}) for run in (run_of(setup(LLAMA_8B)), run_of(large, clients=4)))
    assert one.tpot_ms.p50 < eight.tpot_ms.p50 < 10 * one.tpot_ms.p50


TRUTH = KNOWN.moved("weights", -0.05)  # rates
LOADS = ((64, 64, 1), (2048, 32, 1), (512, 128, 64), (8192, 64, 8), (128, 256, 64))


def points(made, rates):
    found = []
    for number, (input_len, output_len, clients) in enumerate(LOADS):
        run = run_of(made, input_len, output_len, clients, 2 * clients)
        found.append(Point(f"p{number}", run, simulated(run, rates).medians()))
    return found


def test_points_of_one_model_correct_another():
    fitted = calibrate(points(setup(QWEN3_4B), TRUTH), KNOWN)
    assert fitted.fitted_on == tuple(f"p{number}" for number in range(5))
    other = run_of(setup(LLAMA_8B), clients=8)
    wanted = simulated(other, TRUTH).medians()["tpot"]
    before, after = (predict_latency(other, known).tpot_ms for known in (KNOWN, fitted))
    assert abs(after.p50 / wanted - 1) < 0.7 * abs(before.p50 / wanted - 1)
    assert after.high / after.low < before.high / before.low
    assert after.low < wanted < after.high


def test_a_machine_that_is_slower_throughout_is_believed():
    slower = [replace(each, told={name: value / 1.4 if name == "output_throughput" else 1.4 * value
                                  for name, value in each.told.items()})
              for each in points(setup(QWEN3_4B), KNOWN.rates)]  # fmt: skip
    fitted = calibrate(slower, KNOWN)
    for each in slower:
        assert log(simulated(each.run, fitted.rates).medians()["tpot"] / each.told["tpot"]) == pytest.approx(0, abs=0.1)


def test_nothing_is_surer_than_launches_differ():
    fitted = calibrate(points(setup(QWEN3_4B), KNOWN.rates) * 8, KNOWN)
    assert all(fitted.residual[name] >= least for name, least in LAUNCHES.items())


def test_without_points_nothing_moves_and_a_wild_one_moves_little():
    assert calibrate([], KNOWN) is KNOWN
    seen = points(setup(QWEN3_4B), KNOWN.rates)
    wild = [*seen, Point("wild", seen[0].run, {"tpot": 100 * seen[0].told["tpot"]})]
    assert calibrate(wild, KNOWN).rates.weights == pytest.approx(KNOWN.rates.weights, rel=0.05)


def test_the_cpu_engine_needs_points():
    made = setup(QWEN3_4B, card=None, env=(("VLLM_CPU_KVCACHE_SPACE", "4"),))
    run = run_of(made, 64, 16, 2)
    fitted = calibrate([Point("cpu", run, {"tpot": 400.0, "ttft": 900.0, "output_throughput": 4.6})], generic(None))
    assert predict_latency(run, fitted).tpot_ms.p50 == pytest.approx(400, rel=0.2)
