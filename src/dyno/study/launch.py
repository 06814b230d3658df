"""One launch: an engine is started, takes the tests it owes, is stopped; each finished test is one Step on disk."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dyno.bench.audit import WANTS_QUIET, PhysicalBounds, card_reasons, host_reasons
from dyno.bench.raw import save_samples, save_void
from dyno.bench.record import ScenarioResult, Search, Target
from dyno.bench.run import Run
from dyno.bench.scenarios import run_test
from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.facts import StartFacts
from dyno.engine.failures import Cause, Failure
from dyno.engine.process import EngineProcess
from dyno.errors import DynoError, EngineFailed
from dyno.hardware.probe import gpu_memory_used
from dyno.hardware.sampler import PEAKS, Samples, watch
from dyno.study.journal import BeganLine, NoteLine, StepLine, append, read_journal
from dyno.study.pairs import search_from
from dyno.study.progress import ProgressKind
from dyno.study.schedule import LaunchPlan
from dyno.study.spec import StudySpec
from dyno.study.store import now
from dyno.study.trial import Candidate, Step, StepState

# What others did to a start, which says nothing of the configuration; a port that was taken is seen to by the process.
# A kill is not here: it is mostly for the configuration's own memory.
TRANSIENT = (Cause.MEMORY_TAKEN,)

# Ids at both ends of a vocabulary are its special tokens; prompts are drawn from what lies between.
SPECIAL_SHARE = 16

ATTEMPTS = 3  # at a test that the host disturbed
AGAIN_UP_TO_S = 600.0  # longer tests are not taken again: a soak is hours


@dataclass(frozen=True, slots=True)
class Session:
    """One uninterrupted run of a study in one block."""

    folder: Path
    spec: StudySpec
    environment: Environment
    vocab_size: int
    block: int
    device_uuid: str | None
    others: tuple[Environment, ...] = ()  # environments that candidates name
    bounds: Callable[[EngineArgs], PhysicalBounds] = lambda _: PhysicalBounds()
    model: str = ""  # where the model is on this host, by its whole path; "" where it was when the study began

    def engine_of(self, candidate: Candidate) -> Environment:
        """The environment that a candidate is launched in."""
        named = (other for other in self.others if other.name == candidate.engine)
        return next(named, self.environment)

    def here(self, candidate: Candidate) -> Candidate:
        """The candidate with the model where this host has it."""
        if not Path(self.model).is_absolute():
            return candidate
        return replace(candidate, args=replace(candidate.args, model=self.model))


@dataclass(frozen=True, slots=True)
class Began:
    """A moment, by the clock that durations are taken from and by that of the world."""

    clock: float = field(default_factory=time.monotonic)
    at: str = field(default_factory=now)


class Launch:
    """One launch of a candidate and the steps it leaves in the journal."""

    def __init__(self, session: Session, plan: LaunchPlan, candidate: Candidate,
                 tell: Callable[[ProgressKind, str], None]) -> None:  # fmt: skip
        self.session, self.plan, self.candidate, self.tell = session, plan, candidate, tell
        self.log = Path("logs") / f"{plan.launch:03d}.log"

    def take(self) -> None:
        """Start the engine, take every test that is owed, stop it. A start that others spoiled is tried once more."""
        began = Began()
        self.begin()
        failure = self.start()
        if failure and failure.cause in TRANSIENT:
            append(self.session.folder, NoteLine(f"Launch {self.plan.launch}: {failure.cause}; started again.", now()))
            self.log = self.log.with_stem(f"{self.log.stem}-again")
            failure = self.start()
        if failure:
            self.write(replace(self.step(self.plan.tests[0], began, "failed"), failure=failure))

    def begin(self) -> None:
        """Write down that it begins, so that a launch which never ends is known."""
        plan = self.plan
        append(self.session.folder, BeganLine(plan.block, plan.launch, plan.phase, plan.pair, plan.candidate,
                                              plan.tests, now()))  # fmt: skip

    def start(self) -> Failure | None:
        """One start and all that follows; why the engine did not get ready. What it leaves behind is noted."""
        session = self.session
        environment, log = session.engine_of(self.candidate), session.folder / self.log
        with EngineProcess(environment, self.candidate.args, log, session.device_uuid,
                           self.candidate.timeout_s or session.spec.ready_timeout_s) as engine:  # fmt: skip
            failure = self.use(engine)
        if left := engine.stop():
            append(session.folder, NoteLine(f"Launch {self.plan.launch} left {', '.join(left)}.", now()))
        return failure

    def use(self, engine: EngineProcess) -> Failure | None:
        began = Began()
        try:
            facts = engine.start(lambda phase: self.tell("start", phase))
        except EngineFailed as error:
            failure: Failure = error.failure
            return failure
        if "startup" in self.plan.tests:
            self.write(replace(self.step("startup", began, "complete", start_figures(facts)), facts=facts))
        for test in self.plan.tests:
            if test not in ("startup", "memory") and not self.measure(engine, facts, test):
                return None
        if "memory" in self.plan.tests:
            self.write(self.step("memory", Began(), "complete", self.memory(facts)))
        return None

    def measure(self, engine: EngineProcess, facts: StartFacts, test: str) -> bool:
        """Take one test, again where the host disturbed it; every attempt is written down. False: the engine failed."""
        taken = [step for step in self.taken() if step.scenario == test]
        for attempt in range(len(taken), ATTEMPTS):
            self.tell("test", test)
            step = self.attempt(engine, facts, test, attempt)
            self.write(step)
            if not step.again:
                break
        return step.failure is None

    def attempt(self, engine: EngineProcess, facts: StartFacts, test: str, attempt: int) -> Step:
        """One attempt at a test, with prompts of its own, as the engine may have cached those of the one before."""
        began, raw_folder = Began(), self.raw_folder(test, attempt)
        with watch(engine.pid, self.session.device_uuid) as sampler:
            result, refused = self.run(engine, facts, test, attempt)
        samples = sampler.samples
        save_samples(raw_folder, kind_of(test), samples)
        if failure := engine.died() or refused:
            return replace(self.step(test, began, "failed", attempt=attempt), failure=failure)
        figures = result.figures | samples.peaks()
        host, card = self.host_reasons(test, samples), card_reasons(samples)
        void = (*result.void, *card, *host)
        objective = self.session.spec.objective
        if test in self.session.spec.loads and not void and figures.get(objective.figure) is None:
            void = (f"the server told nothing from which {objective.name} could be had",)
        save_void(raw_folder, kind_of(test), void)
        raw = tuple(str(path.relative_to(self.session.folder)) for path in result.raw)
        cured = bool(host) and not card and not result.errors and samples.duration_s <= AGAIN_UP_TO_S
        step = self.step(test, began, "void" if void else "complete", figures, attempt)
        return replace(step, void=void, raw=raw, again=cured and attempt + 1 < ATTEMPTS)

    def host_reasons(self, test: str, samples: Samples) -> tuple[str, ...]:
        """Whom the host worked for besides. Where it is always shared that is noted, for the test that decides most."""
        reasons = host_reasons(samples)
        if not self.session.spec.shared_host:
            return reasons
        for reason in reasons if test in self.session.spec.loads else ():
            told = reason.removesuffix(WANTS_QUIET)
            append(self.session.folder, NoteLine(f"Launch {self.plan.launch}, {test}: {told}.", now()))
        return ()

    def run(self, engine: EngineProcess, facts: StartFacts, test: str,
            attempt: int = 0) -> tuple[ScenarioResult, Failure | None]:  # fmt: skip
        session, edge = self.session, self.session.vocab_size // SPECIAL_SHARE
        target = Target(engine.url, engine.model_name, token_ids=(edge, session.vocab_size - edge),
                        silence_s=session.spec.silence_s, shared_host=session.spec.shared_host)  # fmt: skip
        gauges: dict[str, Callable[[], int | None]] = {"rss_bytes": engine.rss_bytes}
        if session.device_uuid:
            gauges["device_bytes"] = partial(gpu_memory_used, session.device_uuid)
        workload = session.spec.loads.get(test, session.spec.workload)
        run = Run(target, workload, self.seed(test, attempt), facts.max_model_len,
                  self.raw_folder(test, attempt), limits=session.spec.limits, duration_s=session.spec.duration_s,
                  gauges=gauges, at_limits=self.search(test),
                  bounds=session.bounds(self.candidate.args))  # fmt: skip
        try:
            return run_test(kind_of(test), run), None
        except DynoError as error:
            refused = Failure(Cause.NO_ANSWERS, str(error), f"See the end of {self.log}.", "")
            return ScenarioResult(test, {}, ()), refused

    def seed(self, test: str, attempt: int) -> int:
        return self.plan.seed(self.session.spec.seed, f"{test} again {attempt}" if attempt else test)

    def raw_folder(self, test: str, attempt: int = 0) -> Path:
        place = f"{self.plan.launch:03d}-again-{attempt}" if attempt else f"{self.plan.launch:03d}"
        return self.session.folder / "raw" / f"{place}-{test}"

    def search(self, test: str) -> Search | None:
        """Where to look for the concurrency at the limits, from what earlier launches found."""
        spec = self.session.spec
        if test not in spec.loads or not spec.at_limits:
            return None
        others = [each for each in spec.loads if each != test]  # what holds for one workload says nothing of another
        steps = [step for step in read_journal(self.session.folder).steps if step.scenario not in others]
        return search_from(steps, self.candidate.name, spec.loads[test].concurrency)

    def taken(self) -> list[Step]:
        """What is on disk of this launch, but for what an interruption has cut."""
        return [step for step in read_journal(self.session.folder).steps
                if step.launch == self.plan.launch and step.state != "interrupted"]  # fmt: skip

    def memory(self, facts: StartFacts) -> dict[str, float | None]:
        """Peaks over all tests of the launch, whichever attempt took them, and what the cache holds."""
        steps = self.taken()
        peaks = {name: _peak(steps, name) for name in (*PEAKS, "kv_usage_peak")}
        return peaks | {"kv_cache_tokens": facts.kv_cache_tokens, "kv_cache_bytes": facts.kv_cache_bytes,
                        "max_concurrency": facts.max_concurrency}  # fmt: skip

    def step(self, test: str, began: Began, state: StepState, figures: dict[str, float | None] | None = None,
             attempt: int = 0) -> Step:  # fmt: skip
        plan, took_s = self.plan, round(time.monotonic() - began.clock, 3)
        seed = self.seed(test, attempt)
        return Step(plan.block, plan.launch, plan.phase, plan.pair, plan.candidate, test, seed, state, figures or {},
                    log=str(self.log), started_at=began.at, duration_s=took_s)  # fmt: skip

    def write(self, step: Step) -> None:
        append(self.session.folder, StepLine(step))
        self.tell("test", f"{step.scenario}: {_summary(step)}")


def kind_of(test: str) -> str:
    """What is done in a test: `throughput` for `throughput@NAME`, which differ in their workloads alone."""
    return test.partition("@")[0]


def start_figures(facts: StartFacts) -> dict[str, float | None]:
    """What of a start the matrix shows."""
    return {"ready_s": facts.ready_s, "weights_load_s": facts.weights_load_s, "compile_s": facts.compile_s,
            "graph_capture_s": facts.graph_capture_s}  # fmt: skip


def _peak(steps: list[Step], figure: str) -> float | None:
    known = [value for step in steps if (value := step.figures.get(figure)) is not None]
    return max(known, default=None)


# The figure of each test that says most, and its unit.
_TELLING = {"startup": ("ready_s", "s to ready"), "ttft": ("ttft_ms.p50", "ms to the first token"),
            "throughput": ("output_throughput", "tokens/s"), "long_context": ("ttft_ms.p50", "ms to the first token"),
            "prefix_reuse": ("warm_ttft_ms", "ms to the first token of a repeated prefix"),
            "context": ("ttft_ms.p50", "ms to the first token of the longest prompt"),
            "concurrency": ("output_throughput", "tokens/s at the capacity or the knee"),
            "sustained": ("sustained_throughput", "tokens/s sustained"),
            "soak": ("output_throughput", "tokens/s over all"),
            "memory": ("kv_cache_tokens", "KV tokens")}  # fmt: skip


def _summary(step: Step) -> str:
    """The last figures, for whoever watches."""
    if step.failure:
        return f"{step.state}: {step.failure.cause}"
    figure, unit = _TELLING[kind_of(step.scenario)]
    value = step.figures.get(figure)
    told = "" if value is None else f"{value:,.4g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
    if step.state == "void":
        return f"void{', to be taken again' if step.again else ''}: {'; '.join(step.void)}"
    return told or step.state
