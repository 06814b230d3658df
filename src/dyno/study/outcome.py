"""From the steps of a study to its rows, its verdict and its recommendation."""

from dataclasses import dataclass
from typing import Literal

from dyno.hardware.spec import Hardware
from dyno.study.trial import Candidate, Step
from dyno.verdict.compare import Comparison
from dyno.verdict.limits import LimitCheck
from dyno.workload import Objective, Workload


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration of the matrix. `metrics[scenario][figure]`: medians over the launches that measured it."""

    candidate: Candidate
    state: Literal["complete", "void", "failed", "pending"]
    cause: str | None
    launches: int
    metrics: dict[str, dict[str, float | None]]
    checks: tuple[LimitCheck, ...]
    ratio: float | None  # objective against its block's baseline, from screening: a rank, never a verdict


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to run, and why in one sentence."""

    candidate: Candidate
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything a report shows, derived from the journal alone."""

    study: str  # the folder's name
    model: str
    workload: Workload
    objective: Objective
    engine: str  # vLLM's version and platform
    machine: Hardware
    dyno_version: str
    blocks: int
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]
    verdict: Comparison | None
    recommended: Recommendation | None
    also_fast: Recommendation | None  # faster but alters the output and the spec does not allow it
    notes: tuple[str, ...]
