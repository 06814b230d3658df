from dataclasses import replace

import pytest

from dyno.hardware.spec import Gpu
from dyno.report.wording import also_fast, failure_line, failures, machine_facts, recommendation, verdict_sentence
from dyno.verdict.compare import Comparison


def verdict(answer, *, pairs=6, more=None, ratio=1.52, low=1.44, high=1.61, baseline="baseline"):
    return Comparison("all-cores", baseline, "output_throughput", answer, ratio, low, high, pairs, more)


@pytest.mark.parametrize(("comparison", "sentence"), [
    (None, "No verdict: no candidate was confirmed against the baseline."),
    (verdict("better"), "all-cores is better than the baseline: output_throughput x1.52 [1.44, 1.61], "
                        "6 pairs of launches."),
    (verdict("worse", baseline="mine"), "all-cores is worse than mine: output_throughput x1.52 [1.44, 1.61], "
                                        "6 pairs of launches."),
    (verdict("equivalent"), "all-cores and the baseline are equivalent within 2%: output_throughput "
                            "x1.52 [1.44, 1.61], 6 pairs of launches."),
    (verdict("inconclusive", more=1), "all-cores against the baseline is inconclusive: output_throughput "
                                      "x1.52 [1.44, 1.61], 6 pairs of launches. "
                                      "About 1 more pair would likely settle it."),
    (verdict("inconclusive", pairs=1, low=None, high=None),
     "all-cores against the baseline is inconclusive: output_throughput x1.52, 1 pair of launches."),
    (verdict("inconclusive", pairs=0, ratio=None),
     "all-cores against the baseline is inconclusive: no pair of launches finished."),
])  # fmt: skip
def test_the_verdict_is_one_plain_sentence(outcome, comparison, sentence):
    assert verdict_sentence(replace(outcome, verdict=comparison)) == sentence


def test_without_a_recommendation_it_says_why(outcome, unproven):
    assert recommendation(unproven) == "No configuration is recommended: nothing that was measured keeps the limits."
    assert recommendation(replace(outcome, recommended=None, rows=())) == "No configuration is recommended."
    assert also_fast(unproven) is None


def test_a_recommendation_that_alters_the_output_says_so(outcome):
    assert "accuracy" not in recommendation(outcome)
    assert recommendation(replace(outcome, recommended=outcome.also_fast)).endswith("Its accuracy was not tested.")


def test_equal_failures_are_told_once(outcome):
    assert len(failures(outcome)) == 1
    assert failures(replace(outcome, steps=outcome.steps * 2)) == failures(outcome)


def test_a_failure_is_one_short_line_with_its_remedy(outcome):
    failed = failures(outcome)[0]
    assert failure_line(failed) == ("kv-40g failed (startup): KV cache too small: ValueError: Available memory 7.1 GiB "
                                    "< 40.0 GiB <requested> Remedy: Lower VLLM_CPU_KVCACHE_SPACE.")  # fmt: skip
    long = replace(failed, failure=replace(failed.failure, detail="many\nwords " * 100, remedy=""))
    assert len(failure_line(long)) < 250
    assert "\n" not in failure_line(long)


def test_what_the_machine_would_not_say_is_left_out(outcome):
    card = Gpu(0, "GPU-1", "NVIDIA RTX 5070", capability=(12, 0), memory_total_bytes=12 * 2**30, display_attached=True)
    facts = dict(machine_facts(replace(outcome.machine, gpus=(card, Gpu(1, "GPU-2", "NVIDIA H200")), wsl2=True)))
    assert facts["Card"] == "NVIDIA H200"
    assert facts["Surroundings"] == "WSL2"
    assert "Driver" not in facts
    first, *_ = machine_facts(replace(outcome.machine, gpus=(card,)))
    assert first == ("Card", "NVIDIA RTX 5070, 12 GiB, compute capability 12.0, drives a display")
