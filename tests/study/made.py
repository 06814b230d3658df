"""Steps and studies made by hand."""

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.facts import StartFacts
from dyno.engine.failures import Cause, Failure
from dyno.hardware.spec import Cpu, Hardware
from dyno.model.spec import ModelSpec
from dyno.study.journal import BlockLine, ConfirmLine, Journal, StudyLine
from dyno.study.prepare import Prepared
from dyno.study.spec import parse_spec
from dyno.study.trial import Candidate, Step

HARDWARE = Hardware(Cpu("Test CPU", 2, ("avx2",)), 24 << 30, 20 << 30, 12 << 30, 80 << 30)
ENGINE = Environment("cpu", "venv", "/envs/cpu/bin/python", (), "cpu", "0.32.0+cpu", "3.11.7", "2.13.0+cpu")
MODEL = ModelSpec("./m", "/m", "Qwen3ForCausalLM", 4096, 40960, 1024, 4, 16, 4, 64, "bfloat16", has_weights=False)


def step(launch, candidate, scenario="throughput", figure=100.0, **changes):
    """A finished test; `figure` is its output_throughput."""
    figures = {"output_throughput": figure, "ttft_ms.p95": 50.0} if scenario == "throughput" else {}
    given = {"block": 1, "phase": "screen", "pair": None, "seed": 1, "state": "complete", "figures": figures}
    return Step(launch=launch, candidate=candidate, scenario=scenario, **given | changes)


def failed(launch, candidate, **changes):
    """A launch that did not get ready."""
    failure = Failure(Cause.KV_TOO_SMALL, "needs more", "shorten it", "last line")
    return step(launch, candidate, "startup", state="failed", failure=failure, **changes)


def whole(launch, candidate, figure=100.0, tests=("startup", "throughput"), **changes):
    """All steps of a launch."""
    return tuple(step(launch, candidate, test, figure, **changes) for test in tests)


def pair(number, launch, candidate, ours, theirs, **changes):
    """Both launches of a confirmation's pair."""
    given = {"phase": "confirm", "pair": number} | changes
    return whole(launch, "baseline", theirs, **given) + whole(launch + 1, candidate, ours, **given)


def journal(steps, candidates=("eager", "fast"), altering=(), confirm=None, blocks=1, **spec):
    """A journal and the spec it was started with."""
    if "prove" in spec:
        spec |= {"candidates": dict.fromkeys(candidates, "")}
    written, understood = parse_spec({"model": "./m", "tests": ("startup", "throughput", "memory")} | spec)
    made = [Candidate(name, EngineArgs("/m"), "", name in altering) for name in ("baseline", *candidates)]
    head = StudyLine(1, "0", "2026-01-01T00:00:00+00:00", written, MODEL, ENGINE, HARDWARE, tuple(made))
    lines = tuple(BlockLine(number, f"machine {number}", HARDWARE, "") for number in range(1, blocks + 1))
    decided = ConfirmLine(confirm[0], confirm[1], confirm[1], "", *confirm[2:]) if confirm else None
    return Journal(head, lines, decided, tuple(steps), ()), understood


def prepared(made):
    """What such a journal's study was made from."""
    head = made.study
    return Prepared(head.spec, parse_spec({"model": "./m"})[1], head.engine, head.model, head.candidates, None, ())


FACTS = StartFacts(ready_s=12.5, kv_cache_tokens=1000)
