"""Launches that only fill caches: the first start of a configuration is not like the later ones.

They compile at the same time, as many as the card's memory and the processors hold, each with the smallest KV cache
that it starts with, and all have ended before anything is measured.
"""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dyno.engine.args import EngineArgs
from dyno.engine.compile_key import compile_key
from dyno.engine.process import POLL_S, EngineProcess
from dyno.errors import EngineFailed, InputError
from dyno.hardware.gpus import Card, live_card
from dyno.hardware.nvml import read_cards
from dyno.plan.observed import parse_release
from dyno.predict.kv_cache import needed_bytes
from dyno.predict.memory import predict_memory
from dyno.predict.setup import resolve
from dyno.study.journal import Journal, StepLine, append
from dyno.study.launch import Began, Launch, Session, start_figures
from dyno.study.progress import ProgressKind
from dyno.study.schedule import LaunchPlan
from dyno.study.trial import Candidate, Step

CORES_EACH = 2  # while it starts, an engine keeps its core process and its API server busy
MEMORY_SHARE = 0.9  # of the card
LEAST_UTILIZATION = 0.05  # vLLM wants to see this free at the start, and then keeps to the bytes that were named

Tell = Callable[[ProgressKind, LaunchPlan, str], None]


def warm_plans(session: Session, journal: Journal, names: Sequence[str]) -> tuple[LaunchPlan, ...]:
    """One launch for each compiled code that no start of this block has made yet."""
    asked = session.spec.warm
    if asked is False or asked == 0 or (asked is None and session.environment.platform != "cuda"):
        return ()
    chosen = cold(journal, names, session.block)
    first = min((step.launch for step in journal.steps), default=0)
    first = min(first, 0) - 1
    return tuple(LaunchPlan(first - place, session.block, "warm", None, candidate.name, ("startup",), place + 1,
                            len(chosen)) for place, candidate in enumerate(chosen))  # fmt: skip


def cold(journal: Journal, names: Sequence[str], block: int) -> tuple[Candidate, ...]:
    """Of the configurations named, one for each compiled code that was not started in this block."""
    by_name = {candidate.name: candidate for candidate in journal.study.candidates}
    known = {_key(by_name[step.candidate]) for step in journal.steps
             if step.block == block and step.scenario == "startup" and step.state != "interrupted"}  # fmt: skip
    found: dict[object, Candidate] = {}
    for name in names:
        key = _key(by_name[name])
        if key is not None and key not in known:
            found.setdefault(key, by_name[name])
    return tuple(sorted(found.values(), key=lambda each: each.timeout_s is None))  # what may take longest comes first


def warm_up(session: Session, journal: Journal, plans: Sequence[LaunchPlan], tell: Tell) -> None:
    """Start and stop them all. A start that fails is written down, and launched once more when its turn comes."""
    by_name = {candidate.name: session.here(candidate) for candidate in journal.study.candidates}
    lean = [_lean(session, journal, by_name[plan.candidate]) for plan in plans]
    width = at_once(session, [need for _, need in lean])
    engines: list[EngineProcess] = []
    pool = ThreadPoolExecutor(width, "warm")
    left: set[Future[Step]] = set()
    try:
        for plan, (args, _) in zip(plans, lean, strict=True):
            candidate = replace(by_name[plan.candidate], args=args)
            left.add(pool.submit(_warm_one, session, plan, candidate, tell, engines))
        while left:
            done, left = wait(left, return_when="FIRST_COMPLETED")
            for each in done:
                append(session.folder, StepLine(each.result()))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while left := {each for each in left if not each.done()}:  # interrupted: nobody waits for a start to end
            for engine in engines:
                _end(engine)
            wait(left, POLL_S)


def at_once(session: Session, needs: Sequence[int | None]) -> int:
    """How many engines start at a time: what was asked, else as many of the largest as card and processors hold."""
    if session.spec.warm is not None and session.spec.warm is not True:
        return max(1, int(session.spec.warm))
    card = _card(session)
    if card is None or not needs or None in needs:
        return 1
    largest = max(need for need in needs if need)
    cores = len(os.sched_getaffinity(0))
    return max(1, min(int(MEMORY_SHARE * card.cuda_bytes // largest), cores // CORES_EACH))


def _key(candidate: Candidate) -> object:
    key = compile_key(candidate.args)
    return None if key is None else (candidate.engine, key)


def _lean(session: Session, journal: Journal, candidate: Candidate) -> tuple[EngineArgs, int | None]:
    """The configuration with the smallest KV cache, and what it takes of the card; as it is where nobody can tell."""
    card = _card(session)
    if card is None:
        return candidate.args, None
    try:
        release = parse_release(session.engine_of(candidate).version)
        setup = resolve(journal.study.model, candidate.args, release, card)
        kv_bytes = round(1.05 * needed_bytes(setup, setup.max_model_len))
        small = (("gpu_memory_utilization", LEAST_UTILIZATION), ("kv_cache_memory_bytes", kv_bytes))
        args = candidate.args.overlay(EngineArgs(candidate.args.model, small))
        return args, predict_memory(resolve(journal.study.model, args, release, card)).device_used_bytes
    except (InputError, IndexError):  # a model whose shape is not known
        return candidate.args, None


def _card(session: Session) -> Card | None:
    gpu = next((gpu for gpu in read_cards().gpus if gpu.uuid == session.device_uuid), None)
    try:
        return live_card(gpu) if gpu else None
    except InputError:
        return None


def _warm_one(session: Session, plan: LaunchPlan, candidate: Candidate, tell: Tell, engines: list[EngineProcess]
              ) -> Step:  # fmt: skip
    launch = Launch(session, plan, candidate, lambda kind, text: tell(kind, plan, text))
    launch.log, began = Path("logs") / f"warm-{-plan.launch:03d}.log", Began()
    engine = EngineProcess(session.engine_of(candidate), candidate.args, session.folder / launch.log,
                           session.device_uuid, candidate.timeout_s or session.spec.ready_timeout_s,
                           alone=False)  # fmt: skip
    engines.append(engine)
    launch.begin()
    tell("launch", plan, candidate.args.changes())
    with engine:
        try:
            facts = engine.start(lambda _: None)
        except EngineFailed as error:
            return replace(launch.step("startup", began, "failed"), failure=error.failure)
        step = replace(launch.step("startup", began, "complete", start_figures(facts)), facts=facts)
    tell("test", plan, f"startup: {facts.ready_s:.3g} s to ready")
    return step


def _end(engine: EngineProcess) -> None:
    """Ends an engine whose thread waits for it; without effect where it has ended already."""
    if engine.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(engine.pid, signal.SIGKILL)
