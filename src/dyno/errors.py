"""Every error Dyno raises on purpose, with the exit code it ends the command line with.

    DynoError                   3   the machine, the engine or the environment failed
    ├── InputError              2   the input or the command line cannot be used
    ├── EnvironmentBroken       3   an engine environment is missing, half-made or cannot start an engine
    │   └── NoDiskSpace         3
    ├── EngineFailed            3   an engine did not become ready, or died; carries its typed failure
    ├── Busy                    3   another Dyno holds the card or the study
    └── Stopped                130  Ctrl-C or TERM; what was finished is kept

A message says what, which value, and what to do.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, ClassVar


class DynoError(Exception):
    """Base of all errors that end in one clear message."""

    exit_code: ClassVar[int] = 3


class InputError(DynoError):
    """The input cannot be used. Carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EnvironmentBroken(DynoError):
    """An engine environment is missing, half-made or cannot start an engine."""


class NoDiskSpace(EnvironmentBroken):
    """Too little free disk for what was asked."""


class EngineFailed(DynoError):
    """An engine did not become ready, or died. `failure` is the `dyno.engine.failures.Failure` that says why."""

    def __init__(self, message: str, failure: object) -> None:
        super().__init__(message)
        self.failure: Any = failure  # its type lives in a higher room


class Busy(DynoError):
    """Another running Dyno holds what this one needs."""


class Stopped(DynoError):
    """The user or the system asked to stop."""

    exit_code = 130


class Together:
    """Readings that do not depend on each other, each in a `with` block of its own: `end` tells all their problems."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def __enter__(self) -> None:
        """Begins a reading."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, InputError):
            self._problems += error.problems
        return isinstance(error, InputError)

    def end(self) -> None:
        """InputError with every problem of them, when there was any."""
        if self._problems:
            raise InputError(*self._problems)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 70


def shown(value: object) -> str:
    """A value as it stands in a message: `repr`, cut where it is long or deep."""
    return _SHORT.repr(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'X'?` for the closest known name, or nothing when none is close."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
