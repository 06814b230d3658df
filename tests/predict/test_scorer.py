"""benchmarks/memory.py on the starts that were written down."""

import importlib.util
import json
from pathlib import Path

import pytest

from dyno.predict.constants import MIB
from dyno.predict.weights import weights_bytes

ROOT = Path(__file__).parents[2] / "benchmarks"
RECORDED = sorted((ROOT / "boots").glob("*.jsonl"))


@pytest.fixture(scope="module")
def scorer():
    spec = importlib.util.spec_from_file_location("memory_scorer", ROOT / "memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def starts(scorer):
    return [scorer.read(json.loads(line)) for file in RECORDED for line in file.read_text().splitlines()]


def test_every_recorded_start_is_predicted_without_its_own_model(scorer, starts):
    for start in starts:
        if start.boot.facts.kv_cache_bytes:
            before, _ = scorer.score(start, starts).kv
            assert abs(before) < scorer.BEFORE_MIB


def test_the_weights_of_every_recorded_start_are_those_that_vllm_told(starts):
    told = [
        (start.id, start.boot.facts.weights_bytes - weights_bytes(start.boot.setup))
        for start in starts
        if start.boot.facts.weights_bytes
    ]
    assert [(name, off) for name, off in told if abs(off) > 5.2 * MIB] == []  # it tells GiB to two decimals


def test_other_dtypes_of_a_model_are_not_training(scorer, starts):
    (fp8,) = (start for start in starts if start.id == "h200-fp8")
    assert {start.model for start in scorer.training(fp8, starts)} & {fp8.model} == set()
    assert "h200-default" not in {start.id for start in scorer.training(fp8, starts)}


def test_a_test_id_that_is_found_in_training_ends_the_run(scorer, starts):
    copied = [json.loads(line) for file in RECORDED for line in file.read_text().splitlines()]
    copied[0]["model"] = {**copied[0]["model"], "num_hidden_layers": 35}
    disguised = [*starts[1:], scorer.read(copied[0])]
    with pytest.raises(SystemExit, match="is among the starts it is to be predicted from"):
        scorer.score(starts[0], [starts[0], *disguised])
