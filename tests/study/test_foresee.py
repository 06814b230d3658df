from dataclasses import replace

import pytest
from made import MODEL, failed, journal, prepared, whole

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.errors import InputError
from dyno.hardware.spec import Cpu, Gpu, Hardware
from dyno.model.config import parse_config
from dyno.report.foreseen import foreseen_table
from dyno.study.foresee import foresee, launched_anyway, refuse_baseline
from dyno.study.journal import PlanLine
from dyno.study.outcome import judge
from dyno.study.schedule import order_of, screen_order
from dyno.study.trial import Candidate, Foreseen

QWEN3_4B = {
    "architectures": ["Qwen3ForCausalLM"], "vocab_size": 151936, "max_position_embeddings": 40960, "hidden_size": 2560,
    "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 9728, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
}  # fmt: skip
CARD = Gpu(0, "GPU-1", "NVIDIA GeForce RTX 4090", capability=(8, 9), memory_total_bytes=25757220864)
MACHINE = Hardware(Cpu("Test CPU", 16, ("avx2",)), 64 << 30, 60 << 30, 32 << 30, 80 << 30, gpus=(CARD,))
CUDA = Environment("gpu", "venv", "/envs/gpu/bin/python", (), "cuda", "0.26.0", "3.11.7", "2.11.0+cu130")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path))


def study(*changes, model=None, engine=CUDA):
    """A study of a Qwen3-4B on one RTX 4090 with these candidates, the first of them the baseline."""
    model = model or parse_config(QWEN3_4B, "./m", where="m", path="/m", has_weights=True)
    candidates = tuple(Candidate(name, EngineArgs("/m", tuple(flags.items()))) for name, flags in changes)
    made = prepared(journal((), candidates=())[0])
    return replace(made, candidates=candidates, environment=engine, model=model, device_uuid=CARD.uuid)


FITS = ("baseline", {"max_model_len": 8192})
BATCHES = ("batched", {"max_model_len": 8192, "max_num_batched_tokens": 131072, "gpu_memory_utilization": 0.5})


def test_what_cannot_fit_is_foreseen_with_its_reason():
    line = foresee(study(FITS, BATCHES), MACHINE, "")
    first, second = line.candidates
    assert first.rejected == ()
    assert 0 < first.figures["kv_cache_bytes"] < first.figures["device_used_bytes"]
    assert "KV cache" in second.rejected[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_model_len": 200000}, "more than the model's 40960"),
        ({"max_num_batched_tokens": 64, "max_num_seqs": 65}, "is less than"),
        ({"tensor_parallel_size": 3}, "does not divide"),
    ],
)
@pytest.mark.parametrize("platform", ["cuda", "cpu"])
def test_what_vllm_refuses_is_foreseen_as_the_plan_says_it(change, said, platform):
    line = foresee(study(FITS, ("refused", FITS[1] | change), engine=replace(CUDA, platform=platform)), MACHINE, "")
    assert [each.name for each in line.candidates if each.rejected] == ["refused"]
    assert said in line.candidates[-1].rejected[0]
    assert not any(each.rejected for each in launched_anyway(line).candidates)


def test_a_length_that_vllm_is_told_to_take_is_launched():
    allowed = Candidate(
        "long", EngineArgs("/m", (("max_model_len", 200000),), (("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1"),))
    )
    tried = study(FITS)
    line = foresee(replace(tried, candidates=(*tried.candidates, allowed)), MACHINE, "")
    assert [each.name for each in line.candidates] == ["baseline"]


def test_it_is_not_launched_and_stands_in_the_matrix():
    made, spec = journal(whole(0, "baseline"), candidates=("batched",))
    made = replace(made, plan=PlanLine((Foreseen("batched", ("no memory is left",)),), "", ""))
    order = order_of(made.study.candidates, made.foreseen, spec)
    assert screen_order(order, (), 1) == ("baseline",)
    row = judge(made, spec, "study").rows[1]
    assert (row.state, row.cause) == ("rejected", "no memory is left")


def test_what_was_launched_all_the_same_is_judged_by_its_launch():
    made, spec = journal([*whole(0, "baseline"), failed(1, "batched")], candidates=("batched",))
    made = replace(made, plan=PlanLine((Foreseen("batched", ("no memory is left",)),), "", ""))
    assert judge(made, spec, "study").rows[1].state == "failed"


def test_candidates_come_in_the_plans_order_where_it_has_one():
    made, spec = journal((), candidates=("a", "b", "c"))
    speeds = {"a": 2.0, "b": 3.0, "c": 1.0}
    foreseen = {name: Foreseen(name, (), {"output_throughput": speed}) for name, speed in speeds.items()}
    names = screen_order(order_of(made.study.candidates, foreseen, spec), (), 1)
    assert names == ("baseline", "b", "a", "c", "baseline")
    del foreseen["c"]
    assert not order_of(made.study.candidates, foreseen, spec).ranked


def test_a_baseline_that_does_not_fit_is_refused_unless_it_is_launched_anyway():
    tried = study(("baseline", BATCHES[1]))
    line = foresee(tried, MACHINE, "")
    with pytest.raises(InputError, match=r"baseline: .*--no-lint"):
        refuse_baseline(line, tried.candidates)
    refuse_baseline(launched_anyway(line), tried.candidates)


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (study(FITS, model=replace(MODEL, unknown="this Dyno does not know FooForCausalLM")), "FooForCausalLM"),
        (study(FITS, engine=replace(CUDA, platform="rocm")), "rocm"),
        (replace(study(FITS), device_uuid="GPU-of-another-host"), "card is not known"),
    ],
)
def test_what_nothing_is_known_of_stops_no_study_and_is_said_once(tried, said):
    line = foresee(tried, MACHINE, "")
    assert line.candidates == ()
    assert said in line.note


@pytest.mark.parametrize(
    "change",
    [
        {"speculative_config": "{}"},
        {"quantization": "bitsandbytes"},
        {"dtype": "float32"},
        {"kv_cache_dtype": "turboquant_k8v4"},
    ],
)
def test_flags_that_no_plan_understands_are_left_to_the_engine(change):
    line = foresee(study(FITS, ("draft", {**BATCHES[1], **change})), MACHINE, "")
    assert [each.name for each in line.candidates] == ["baseline"]


def test_what_was_foreseen_stands_beside_what_was_measured():
    made, spec = journal(whole(0, "baseline", 100.0), candidates=())
    made = replace(made, plan=PlanLine((Foreseen("baseline", (), {"output_throughput": 110.0}),), "", ""))
    assert foreseen_table(judge(made, spec, "study")).rows == (
        ("baseline", "Throughput tok/s", "110", "100", "+10.0%"),
    )


def test_speed_is_foreseen_and_orders_the_candidates():
    tried = study(FITS, ("eager", {**FITS[1], "enforce_eager": True}), ("fp8", {**FITS[1], "quantization": "fp8"}))
    line = foresee(tried, MACHINE, "")
    figures = {each.name: each.figures for each in line.candidates}
    assert figures["fp8"]["output_throughput"] > figures["eager"]["output_throughput"]
    assert (
        0 < figures["baseline"]["tpot_ms.p50"] <= figures["baseline"]["tpot_ms.p99"] < figures["eager"]["ttft_ms.p50"]
    )
    order = order_of(tried.candidates, {each.name: each for each in line.candidates}, tried.spec)
    assert screen_order(order, (), 1) == ("baseline", "fp8", "eager", "baseline")


def test_no_speed_is_foreseen_of_a_load_that_does_not_fit_a_request():
    (seen,) = foresee(study(("short", {"max_model_len": 16})), MACHINE, "").candidates
    assert "output_throughput" not in seen.figures
    assert "kv_cache_bytes" in seen.figures
