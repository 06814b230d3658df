"""What a plan says of a study's candidates before any of them is launched."""

from collections.abc import Sequence
from dataclasses import replace

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment, load_environment
from dyno.errors import InputError
from dyno.hardware.gpus import live_card
from dyno.hardware.spec import Hardware
from dyno.model.spec import ModelSpec
from dyno.plan.calibration import calibration_of
from dyno.plan.known import beyond
from dyno.plan.observed import kept_boots, parse_release
from dyno.plan.planning import Question
from dyno.plan.planning import candidate as planned
from dyno.plan.record import Candidate as Planned
from dyno.predict.latency import Run, closed_loop, predict_latency, reasons_unserved
from dyno.predict.memory import Host, lacking
from dyno.predict.setup import refusals
from dyno.study.boots import workload_of
from dyno.study.journal import PlanLine
from dyno.study.prepare import Prepared
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate, Foreseen
from dyno.workload import LATENCIES, STATISTICS

# With these a plan would be of another engine than the one that is launched.
_BEYOND_A_PLAN = frozenset({
    "hf_overrides", "speculative_config", "pipeline_parallel_size", "data_parallel_size", "cpu_offload_gb",
    "decode_context_parallel_size", "enable_lora", "kv_transfer_config", "config", "limit_mm_per_prompt",
    "rope_scaling", "VLLM_ALLOW_LONG_MAX_MODEL_LEN",
})  # fmt: skip


def foresee(prepared: Prepared, hardware: Hardware, at: str) -> PlanLine:
    """The line of the journal. Where nothing can be said of any candidate, a note says why."""
    model, platform = prepared.model, prepared.environment.platform
    if not model.caches:
        return PlanLine((), f"Nothing is predicted: {model.unknown}.", at)
    if platform not in ("cpu", "cuda"):
        return PlanLine((), f"Nothing is predicted for an engine on {platform}.", at)
    try:
        question = _question(prepared.environment, model, hardware, prepared.device_uuid)
        seen = [_foreseen(each, question, prepared.spec) for each in prepared.candidates if _plannable(each, model)]
    except InputError as error:
        return PlanLine((), f"Nothing is predicted: {error}.", at)
    return PlanLine(tuple(each for each in seen if each.rejected or each.figures), "", at)


def launched_anyway(line: PlanLine) -> PlanLine:
    """The same with nothing rejected: its figures stand beside what is measured."""
    return replace(line, candidates=tuple(replace(each, rejected=()) for each in line.candidates))


def refuse_baseline(line: PlanLine, candidates: Sequence[Candidate]) -> None:
    """InputError where what everything is compared with does not fit."""
    first = candidates[0].name
    for each in line.candidates:
        if each.name == first and each.rejected:
            raise InputError(*(f"{first}: {reason}; give it a smaller --max-model-len or --max-num-seqs, or launch it "
                               "by --no-lint" for reason in each.rejected))  # fmt: skip


def _plannable(candidate: Candidate, model: ModelSpec) -> bool:
    names = {name for name, _ in (*candidate.args.flags, *candidate.args.env)}
    return not _BEYOND_A_PLAN & names and not beyond(candidate.args, model)


def _question(environment: Environment, model: ModelSpec, hardware: Hardware, device: str | None) -> Question:
    gpu = next((gpu for gpu in hardware.gpus if gpu.uuid == device), None)
    if environment.platform == "cuda" and gpu is None:
        raise InputError("the engine's card is not known")
    card = live_card(gpu) if gpu else None
    host = Host((gpu.memory_used_bytes or 0) if gpu else 0, hardware.ram_total_bytes, hardware.ram_available_bytes,
                hardware.shm_free_bytes)  # fmt: skip
    seen = kept_boots() if card else ()
    boots = tuple(observation.boot() for observation in seen)
    calibration = calibration_of(card, seen, keep=True) if card else None
    return Question(
        model,
        EngineArgs(model.source),
        parse_release(environment.version),
        card,
        host,
        boots,
        calibration=calibration,
        warm=True,
        launched=True,
    )  # as studies compile before they measure


def _foreseen(candidate: Candidate, question: Question, spec: StudySpec) -> Foreseen:
    if candidate.engine:
        question = replace(question, release=parse_release(load_environment(candidate.engine).version))
    made = planned(question, candidate.name, candidate.args)
    if question.card is None and made.setup.kv_cache_bytes is None:
        return Foreseen(candidate.name, refusals(made.setup))  # the host's memory that is free at its start decides
    return Foreseen(candidate.name, _rejected(made, question.host), {**_figures(made), **_speeds(made, question, spec)})


def _rejected(made: Planned, host: Host) -> tuple[str, ...]:
    """What vLLM refuses, and what does not fit even if the plan errs to its disadvantage, by twice what it may."""
    memory = made.memory
    most = memory.kv_cache_bytes + 2 * (memory.high_bytes - memory.kv_cache_bytes)
    kind = replace(memory, kv_cache_bytes=most,
                   device_used_bytes=memory.device_used_bytes - 2 * memory.device_spread_bytes)  # fmt: skip
    return (*refusals(made.setup), *(lacking(made.setup, memory, host) if lacking(made.setup, kind, host) else ()))


def _figures(made: Planned) -> dict[str, float]:
    memory = made.memory
    in_use = {"device_used_bytes": float(memory.device_used_bytes)} if made.setup.card else {}
    return {"kv_cache_bytes": float(memory.kv_cache_bytes), **in_use}


def _speeds(made: Planned, question: Question, spec: StudySpec) -> dict[str, float]:
    """What the test `throughput` would measure, by the names of its figures; nothing where nothing can be said."""
    demand = closed_loop(workload_of("throughput", spec, made.setup.max_model_len))
    if (
        question.calibration is None
        or made.setup.offload_bytes
        or reasons_unserved(made.setup, made.memory.blocks, demand)
    ):
        return {}
    latency = predict_latency(Run(made.setup, made.memory.blocks, demand), question.calibration, {})
    if latency is None:
        return {}
    told = {f"{name}_ms.{statistic}": spread.of(statistic) for name in LATENCIES if name != "itl"
            and (spread := latency.of(name)) for statistic in STATISTICS}  # fmt: skip
    return {**told, "output_throughput": latency.output_throughput, "request_throughput": latency.request_throughput}
