"""benchmarks/memory.py on the starts that were written down."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from dyno.predict.constants import MIB
from dyno.predict.weights import weights_bytes

ROOT = Path(__file__).parents[2] / "benchmarks"
RECORDED = sorted((ROOT / "boots").glob("*.jsonl"))


@pytest.fixture(scope="module")
def scorer():
    sys.path.insert(0, str(ROOT))
    spec = importlib.util.spec_from_file_location("memory_scorer", ROOT / "memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(ROOT))
    return module


@pytest.fixture(scope="module")
def recorded():
    return [json.loads(line) for file in RECORDED for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def starts(scorer, recorded):
    return [scorer.read(line) for line in recorded]


def test_every_recorded_start_is_predicted_without_its_own_model(scorer, starts):
    for start in starts:
        if start.boot.facts.kv_cache_bytes:
            assert abs(scorer.score(start, starts).kv.before) < scorer.BEFORE_MIB


def test_the_weights_of_every_recorded_start_are_those_that_vllm_told(starts):
    told = [
        (start.id, start.boot.facts.weights_bytes - weights_bytes(start.boot.setup))
        for start in starts
        if start.boot.facts.weights_bytes
    ]
    assert [(name, off) for name, off in told if abs(off) > 5.2 * MIB] == []  # it tells GiB to two decimals


def test_other_dtypes_of_a_model_are_not_training(scorer, starts):
    (fp8,) = (start for start in starts if start.id == "h200-fp8")
    assert {start.shape for start in scorer.training(fp8, starts)} & {fp8.shape} == set()
    assert "h200-default" not in {start.id for start in scorer.training(fp8, starts)}


def test_a_test_id_that_is_found_in_training_ends_the_run(scorer, starts, recorded):
    copied = {**recorded[0], "model": {**recorded[0]["model"], "num_hidden_layers": 35}}
    disguised = [*starts[1:], scorer.read(copied)]
    with pytest.raises(SystemExit, match="is among the starts it is to be predicted from"):
        scorer.score(starts[0], [starts[0], *disguised])


def test_a_copy_by_another_name_is_not_training(scorer, starts, recorded):
    """Neither a key that changes nothing nor another id makes it another model; what it told gives it away else."""
    kept = {**recorded[0], "id": "mine", "model": {**recorded[0]["model"], "use_cache": False, "rope_theta": 7}}
    assert "mine" not in {start.id for start in scorer.training(starts[0], [*starts, scorer.read(kept)])}
    changed = {**kept, "model": {**kept["model"], "num_hidden_layers": 35}}
    with pytest.raises(SystemExit, match="tells what mine told"):
        scorer.training(starts[0], [*starts, scorer.read(changed)])


@pytest.mark.parametrize("altered", [{"kv_cache_tokens": None}, {"kv_cache_bytes": 1}, {"device_used_bytes": 10**9}])
def test_a_copy_with_a_fact_left_out_or_altered_is_found_too(scorer, starts, recorded, altered):
    """Altered: by so many bytes more."""
    facts = recorded[0]["facts"]
    facts = {**facts, **{name: more and facts[name] + more for name, more in altered.items()}}
    model = {**recorded[0]["model"], "num_hidden_layers": 35}
    copied = scorer.read({**recorded[0], "id": "mine", "model": model, "facts": facts})
    with pytest.raises(SystemExit, match="tells what mine told"):
        scorer.training(starts[0], [*starts, copied])
