"""A study made by hand: a winner, a limit missed, an altered output, a void and a failed row, a hostile name."""

from dataclasses import replace

import pytest

from dyno.engine.args import EngineArgs
from dyno.engine.facts import StartFacts
from dyno.engine.failures import Cause, Failure
from dyno.hardware.spec import Cpu, Hardware
from dyno.study.outcome import Outcome, Recommendation, Row
from dyno.study.trial import Candidate, Step
from dyno.verdict.compare import compare
from dyno.verdict.limits import check_limits
from dyno.workload import PRESETS, Objective, parse_limits

MODEL = "./demo-model"
LIMITS = parse_limits({"ttft_p95": "2 s", "ram": "4 GiB"})
HOSTILE = "<script>alert('x')</script>|*`"
PAIRS = [(512.0, 336.0), (521.0, 333.5), (505.0, 337.2), (515.5, 334.1)]

FAILURE = Failure(
    Cause.KV_TOO_SMALL,
    "ValueError: Available memory 7.1 GiB < 40.0 GiB <requested>",
    "Lower VLLM_CPU_KVCACHE_SPACE.",
    "INFO starting\nValueError: <b>Available</b> memory 7.1 GiB",
)


def candidate(name, reason="", env=(), alters_output=False, **flags):
    return Candidate(name, EngineArgs(MODEL, tuple(flags.items()), env), reason, alters_output)


CANDIDATES = {
    each.name: each
    for each in (
        candidate("baseline", "What everything else is compared with."),
        candidate("all-cores", "The model is better off with all cores.", (("VLLM_CPU_NUM_OF_RESERVED_CPU", "0"),)),
        candidate("eager", "Starts fastest: nothing is compiled.", enforce_eager=True),
        candidate("fp8-kv", "Half the bytes per KV token.", alters_output=True, kv_cache_dtype="fp8"),
        candidate("batched-256", "Smaller prefill chunks.", max_num_batched_tokens=256),
        candidate("kv-40g", "More KV cache than there is memory.", (("VLLM_CPU_KVCACHE_SPACE", "40"),)),
        candidate(HOSTILE, "A name & reason with <markup>.", served_model_name=HOSTILE),
    )
}

# name: ready_s, one request's TTFT, throughput, loaded TTFT p95, TPOT, long context, repeated prefix, rss GiB
MEASURED = {
    "baseline": (31.2, 41.8, 335.0, 992.0, 15.1, 1830.0, 33.4, 3.1),
    "all-cores": (33.9, 38.2, 512.7, 510.0, 11.2, 1402.0, 30.9, 3.2),
    "eager": (18.4, 44.0, 294.2, 2310.0, 19.6, 1911.0, 36.0, 2.7),
    "fp8-kv": (32.0, 41.1, 540.4, 940.0, 14.6, 1822.0, 33.0, 3.1),
    HOSTILE: (30.0, 41.0, 333.0, 1000.0, 15.0, 1800.0, 33.0, 3.1),
}


def metrics(name):
    ready, ttft, throughput, loaded, tpot, long, prefix, rss = MEASURED[name]
    memory = {"rss_peak_bytes": rss * 2**30, "device_peak_bytes": None}
    load = {"output_throughput": throughput, "ttft_ms.p95": loaded, "tpot_ms.p50": tpot}
    kv_tokens = 116736 if name == "fp8-kv" else 58368
    return {"startup": {"ready_s": ready}, "ttft": {"ttft_ms.p50": ttft}, "throughput": load,
            "long_context": {"ttft_ms.p50": long}, "prefix_reuse": {"warm_ttft_ms": prefix, "hit_rate": 0.94},
            "memory": memory | {"kv_cache_tokens": kv_tokens}}  # fmt: skip


def row(name):
    figures = metrics(name)
    flat = {key: value for test in figures.values() for key, value in test.items()}
    launches = 6 if name == "baseline" else 5 if name == "all-cores" else 1
    return Row(CANDIDATES[name], "complete", None, launches, figures, check_limits(LIMITS, flat),
               MEASURED[name][2] / 335.0)  # fmt: skip


def screening():
    order = ["baseline", "eager", "all-cores", "fp8-kv", HOSTILE, "baseline"]
    for launch, name in enumerate(order):
        facts = StartFacts(MEASURED[name][0], 1.2, 94 * 2**20, 58368, 4 * 2**30, 28.5, 2048, 128, 9.5)
        for test, figures in metrics(name).items():
            first = test == "startup"
            yield Step(1, launch, "screen", None, name, test, 1, "complete", figures, facts=facts if first else None)
    yield Step(1, 6, "screen", None, "batched-256", "throughput", 1, "void", {"output_throughput": 320.0},
               void=("1,024 tokens by usage, 1,030 by vLLM's counters",))  # fmt: skip
    yield Step(1, 7, "screen", None, "kv-40g", "startup", 1, "failed", failure=FAILURE, log="logs/007.log")


def confirmation():
    for pair, (ours, theirs) in enumerate(PAIRS):
        for place, (name, value) in enumerate((("baseline", theirs), ("all-cores", ours))):
            figures = metrics(name)["throughput"] | {"output_throughput": value}
            yield Step(1, 8 + 2 * pair + place, "confirm", pair, name, "throughput", 2, "complete", figures)


@pytest.fixture
def outcome():
    unmeasured = check_limits(LIMITS, {})
    rows = [row(name) for name in MEASURED]
    rows.insert(4, Row(CANDIDATES["batched-256"], "void", "1,024 tokens by usage, 1,030 by vLLM's counters", 1, {},
                       unmeasured, None))  # fmt: skip
    rows.insert(5, Row(CANDIDATES["kv-40g"], "failed", "KV cache too small", 1, {}, unmeasured, None))
    machine = Hardware(Cpu("AMD EPYC 7B13", 2, ("avx2", "avx512f")), 24 * 2**30, 22 * 2**30, 2**30, 80 * 2**30,
                       compiler="g++ 12.2.0", python="3.11.2")  # fmt: skip
    return Outcome("demo", MODEL, PRESETS["chat"], Objective(), "vLLM 0.32.0+cpu on cpu", machine, "0.1.0", 1,
                   tuple(rows), (*screening(), *confirmation()),
                   compare("all-cores", "baseline", "output_throughput", PAIRS, higher_is_better=True),
                   Recommendation(CANDIDATES["all-cores"], "It is better than the baseline by 8 interleaved launches."),
                   Recommendation(CANDIDATES["fp8-kv"], "Screens faster: accuracy not tested."),
                   ("Went on after an interruption, 9 tests finished.",))  # fmt: skip


@pytest.fixture
def unproven(outcome):
    """A study that stopped before its confirmation, and in which no row keeps the limits."""
    eager = next(row for row in outcome.rows if row.candidate.name == "eager")
    pending = replace(outcome.rows[0], state="pending", metrics={}, launches=0, ratio=None,
                      checks=check_limits(LIMITS, {}))  # fmt: skip
    return replace(outcome, rows=(pending, eager), steps=(), verdict=None, recommended=None, also_fast=None, notes=())
