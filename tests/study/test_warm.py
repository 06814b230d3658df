"""What is warmed, in which order, and where time went."""

from dataclasses import replace

import pytest
from made import FACTS, failed, journal, step

from dyno.engine.args import EngineArgs
from dyno.engine.compile_key import compile_key
from dyno.study.spent import spent
from dyno.study.warm import cold

FLAGS = {
    "plain": (),
    "small": (("gpu_memory_utilization", 0.2), ("stream_interval", 8), ("enable_prefix_caching", False)),
    "long": (("max_model_len", 8192),),
    "eager": (("enforce_eager", True),),
}


def args(name):
    return EngineArgs("/m", FLAGS[name])


def study(steps):
    made, _ = journal(steps, candidates=("small", "long", "eager"))
    names = ("plain", "small", "long", "eager")
    candidates = (replace(each, args=args(name)) for each, name in zip(made.study.candidates, names, strict=True))
    return replace(made, study=replace(made.study, candidates=tuple(candidates)))


def names(steps=(), block=1):
    return [each.name for each in cold(study(steps), ("baseline", "small", "long", "eager"), block)]


def test_memory_streaming_and_prefix_caching_share_compiled_code_and_lengths_do_not():
    assert compile_key(args("plain")) == compile_key(args("small")) != compile_key(args("long"))
    assert compile_key(args("eager")) is None
    assert compile_key(replace(args("plain"), env=(("VLLM_X", "1"),))) != compile_key(args("plain"))


def test_one_of_each_compiled_code_is_warmed_and_none_twice_in_a_block():
    assert names() == ["baseline", "long"]
    started = [step(-1, "baseline", "startup", phase="warm", facts=FACTS), failed(-2, "long", phase="warm")]
    assert names(started) == []
    assert names(started, block=2) == ["baseline", "long"]
    assert names([step(0, "small", "startup")]) == ["long"]


def test_what_has_a_time_of_its_own_to_start_is_warmed_first():
    made = study(())
    timed = tuple(replace(each, timeout_s=300.0 if each.name == "long" else None) for each in made.study.candidates)
    made = replace(made, study=replace(made.study, candidates=timed))
    assert [each.name for each in cold(made, ("baseline", "long"), 1)] == ["long", "baseline"]


def test_engines_that_warm_together_count_once_and_what_is_measured_is_told_apart():
    at = "2026-01-01T00:00:{:02d}+00:00".format
    steps = [step(-1, "a", "startup", phase="warm", started_at=at(0), duration_s=20.0),
             step(-2, "b", "startup", phase="warm", started_at=at(10), duration_s=20.0),
             step(0, "a", "startup", duration_s=40.0), step(0, "a", duration_s=60.0)]  # fmt: skip
    made = spent(steps)
    assert (made.warming_s, made.starting_s, made.measuring_s) == (30.0, 40.0, 60.0)
    assert made.measuring_share == pytest.approx(60 / 130)
