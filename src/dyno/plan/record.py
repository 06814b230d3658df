"""What a plan is: the engine that was asked about, others beside it, and what each would take."""

from dataclasses import dataclass

from dyno.engine.args import EngineArgs
from dyno.hardware.gpus import Card
from dyno.model.spec import ModelSpec
from dyno.predict.latency import Latency
from dyno.predict.memory import Host, Memory
from dyno.predict.offload import Offload
from dyno.predict.setup import Setup


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration. `rejected` says why vLLM would not start, could not answer, or would miss a limit."""

    name: str
    args: EngineArgs
    setup: Setup
    memory: Memory
    rejected: tuple[str, ...]
    latency: Latency | None = None  # without a load, or where nothing can be said


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest of each that fits with all else as asked; 0 when not even the least does.

    The share of the card is another than was asked where only a smaller one keeps a limit.
    """

    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float


@dataclass(frozen=True, slots=True)
class Cell:
    """Of a grid: `concurrency` requests of `max_model_len` tokens each, at once."""

    max_model_len: int
    concurrency: int
    kv_bytes: int
    fits: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer. The first candidate is what was asked."""

    model: ModelSpec
    card: Card | None
    host: Host
    candidates: tuple[Candidate, ...]
    largest: Largest
    offload: Offload | None = None  # None where the host's memory is not known
    grid: tuple[Cell, ...] = ()
    boots: int = 0  # that corrected it
    notes: tuple[str, ...] = ()  # what a figure assumes

    @property
    def asked(self) -> Candidate:
        """What the plan was made for."""
        return self.candidates[0]
