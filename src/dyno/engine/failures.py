"""Why an engine did not start, or died: one table of exit state and log signature."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Typed causes of a failed launch."""

    OOM_LOAD = "out of memory while loading weights"
    OOM_PROFILE = "out of memory while profiling"
    OOM_GRAPHS = "out of memory while capturing graphs"
    MEMORY_TAKEN = "the card's memory is taken by others"
    KV_TOO_SMALL = "KV cache too small"
    BAD_ARGUMENT = "unsupported argument value"
    MODEL_FILES = "model files missing or corrupt"
    PORT_IN_USE = "port in use"
    TIMEOUT = "not ready in time"
    KILLED = "killed"
    DIED = "engine died"


@dataclass(frozen=True, slots=True)
class Failure:
    """A launch's failure: the cause, the line that shows it, what to do, and the end of the log."""

    cause: Cause
    detail: str
    remedy: str
    log_tail: str
