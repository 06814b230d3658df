import json
from dataclasses import replace

import pytest
from made import FACTS, journal, step
from models import QWEN3_4B, read

from dyno.engine.args import EngineArgs
from dyno.hardware.spec import Gpu
from dyno.plan.observed import boots_file, kept_boots
from dyno.study.boots import keep_starts, observed_starts
from dyno.study.trial import Candidate

GIB = 2**30
READY = replace(FACTS, weights_bytes=8 * GIB, kv_cache_bytes=100 * GIB, graph_bytes=GIB, device_used_bytes=120 * GIB)
GPU = Gpu(0, "GPU-1", "NVIDIA H200", (9, 0), 150754820096, 150109880320, 0)


@pytest.fixture
def on_a_card(tmp_path, monkeypatch):
    """The journal of a study on an H200 in which two of three candidates became ready."""
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_4B))
    steps = [step(0, "baseline", "startup", facts=READY), step(1, "fast", "startup", facts=READY),
             step(2, "baseline", "startup", facts=replace(READY, kv_cache_bytes=1))]  # fmt: skip
    made, _ = journal(steps)
    head = made.study
    changed = Candidate("fast", EngineArgs("/m", (("quantization", "fp8"),)))
    engine = replace(head.engine, platform="cuda", version="0.26.0")
    hardware = replace(head.hardware, gpus=(GPU,))
    model = replace(read(QWEN3_4B), path=str(tmp_path))
    candidates = (*head.candidates[:2], changed)
    return replace(made, study=replace(head, model=model, engine=engine, hardware=hardware, candidates=candidates))


def test_the_first_start_of_each_candidate_is_observed(on_a_card):
    first, second = observed_starts(on_a_card)
    assert (first.card.name, first.release, first.facts.kv_cache_bytes) == ("H200", (0, 26), 100 * GIB)
    assert second.args.flag("quantization") == "fp8"


def test_a_studys_starts_are_kept_once_for_the_machine(on_a_card, tmp_path):
    keep_starts(on_a_card, tmp_path)
    keep_starts(on_a_card, tmp_path)
    kept = kept_boots()
    assert [observation.args.flag("quantization") for observation in kept] == [None, "fp8"]
    assert kept[0].boot().setup.model.caches
    assert kept[0].facts.device_used_bytes == 120 * GIB


def test_a_line_that_cannot_be_read_any_more_is_passed_over(on_a_card, tmp_path):
    keep_starts(on_a_card, tmp_path)
    boots_file().write_text("{torn\n[]\n" + boots_file().read_text())
    assert len(kept_boots()) == 2


def test_the_cpu_engine_has_nothing_to_keep(on_a_card, tmp_path):
    on_the_cpu = replace(
        on_a_card, study=replace(on_a_card.study, engine=replace(on_a_card.study.engine, platform="cpu"))
    )
    keep_starts(on_the_cpu, tmp_path)
    assert kept_boots() == ()
