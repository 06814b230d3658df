"""What a study records: one Step per finished test of a launch."""

from dataclasses import dataclass, field
from typing import Literal

from dyno.engine.args import EngineArgs
from dyno.engine.facts import StartFacts
from dyno.engine.failures import Failure

Phase = Literal["warm", "screen", "confirm"]
StepState = Literal["complete", "void", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration with a name. `reason` is one sentence; `alters_output` marks weights or KV of another dtype."""

    name: str
    args: EngineArgs
    reason: str = ""
    alters_output: bool = False
    engine: str | None = None  # an environment other than the study's
    against: str | None = None  # whose figures its ratio is taken to; None: the baseline's
    timeout_s: float | None = None  # to get ready; None: the study's


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a plan said of a candidate. One that is `rejected` is not launched; `figures` are named as measured ones."""

    name: str
    rejected: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A finished test of a launch. (candidate, scenario, launch, seed) identifies it within a study.

    `launch` is the place in the study's order, from 0; launches that only warm stand outside of it, from -1 downwards.
    `pair` numbers the rounds of the confirmation, from 0.
    A `startup` step that failed ends its launch; its `failure` says why. `again` is an attempt at a test that is taken
    again in the same launch, with other prompts, as the host worked for others meanwhile. `interrupted` is a test that
    had begun when Dyno or the machine went away, and a load of a launch that was cut between its loads; neither counts.
    """

    block: int
    launch: int
    phase: Phase
    pair: int | None
    candidate: str
    scenario: str
    seed: int
    state: StepState
    figures: dict[str, float | None] = field(default_factory=dict)
    void: tuple[str, ...] = ()
    again: bool = False
    failure: Failure | None = None
    facts: StartFacts | None = None  # with scenario "startup"
    raw: tuple[str, ...] = ()  # paths relative to the study folder
    log: str = ""  # the engine's log, relative to the study folder
    started_at: str = ""  # ISO 8601, UTC
    duration_s: float = 0.0
