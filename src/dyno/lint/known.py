"""What one vLLM release knows, looked up by the way people spell it, and since when and until when others knew it."""

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile

from dyno.engine.catalog import Flag


@dataclass(frozen=True, slots=True)
class Span:
    """The releases that have something: the first, the last, and the one that no longer has it."""

    first: str
    last: str
    gone: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A flag found by a spelling. `path` is what follows a dot: `--compilation-config.mode`."""

    flag: Flag
    option: str
    negated: bool = False
    abbreviated: bool = False
    path: str = ""


@dataclass(frozen=True)
class Known:
    """One release, with the history of all others beside it. Names are with underscores, as keywords have them."""

    version: str
    flags: tuple[Flag, ...]
    keywords: frozenset[str]  # what EngineArgs takes; LLM takes these and its own
    variables: frozenset[str] | None  # None: nobody told which it reads
    history: Mapping[str, Span] = field(default_factory=dict)
    variable_history: Mapping[str, Span] = field(default_factory=dict)
    others: Mapping[str, Flag] = field(default_factory=dict)  # flags that only other releases have
    keys: Mapping[str, Flag] = field(default_factory=dict)  # of the JSON of a flag: `speculative_config.method`
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # values that the parser does not check itself
    variable_choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def number(self) -> tuple[int, ...]:
        return number(self.version)

    @cached_property
    def _options(self) -> dict[str, Match]:
        found: dict[str, Match] = {}
        for flag in self.flags:
            found |= {option: Match(flag, option) for option in flag.options}
            found |= {option: Match(flag, option, negated=True) for option in (*flag.negations, *flag.inverses)}
        return found

    @cached_property
    def _names(self) -> dict[str, Flag]:
        return {flag.name: flag for flag in self.flags}

    def flag(self, name: str) -> Flag | None:
        """The flag of this name, `max_num_seqs`."""
        return self._names.get(name)

    @cached_property
    def _found(self) -> dict[str, Match | None]:
        return {}

    def find(self, written: str) -> Match | None:
        """The flag that this release's parser takes `--as_written` for; None when there is none or several."""
        if written not in self._found:
            self._found[written] = self._find(written)
        return self._found[written]

    def _find(self, written: str) -> Match | None:
        head, _, path = dashed(written).partition(".")
        if re.fullmatch(r"-O=?\w*", head):
            head = "-O" if "-O" in self._options else "--optimization-level"
        if exact := self._options.get(head):
            return Match(exact.flag, exact.option, exact.negated, path=path)
        near = self.completions(head)
        if len({match.option for match in near}) == 1:
            return Match(near[0].flag, near[0].option, near[0].negated, abbreviated=True, path=path)
        return None

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._options)

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        return tuple(self._options)

    @cached_property
    def names(self) -> frozenset[str]:
        """Of flags and keywords of all releases."""
        return self.keywords | frozenset(self._names) | frozenset(self.history)

    def takes(self, entry: str, name: str) -> bool:
        """Whether LLM(...) or EngineArgs(...) takes this keyword."""
        until = _LLM_ONLY.get(name) if entry in ("LLM", "mapping", "mention") else None
        return name in self.keywords or (until is not None and not self.since(until))

    def span(self, entry: str, name: str) -> Span | None:
        """Since when and until when a name is taken; LLM(...) keeps some longer than the flags go."""
        span = self.history.get(name)
        until = _LLM_ONLY.get(name) if entry in ("LLM", "mapping") else None
        return replace(span, gone=until) if span and until else span

    def other_flag(self, name: str) -> Flag | None:
        """The flag of this name in whichever release had it."""
        return self._names.get(name) or self.others.get(name)

    def completions(self, head: str) -> list[Match]:
        """The options that begin like this, as argparse completes them."""
        if not head.startswith("--") or len(head) < 3:
            return []
        at = bisect_left(self._sorted, head)
        return [self._options[each] for each in takewhile(lambda each: each.startswith(head), self._sorted[at:])]

    def since(self, version: str) -> bool:
        """Whether this release is that one or newer."""
        return self.number >= number(version)


# What LLM(...) takes beside the fields of EngineArgs, until before that release.
_LLM_ONLY = {"swap_space": "0.26.0"}


def dashed(written: str) -> str:
    """Dashes for underscores before the first dot, as vLLM's parser has it."""
    if not written.startswith("--"):
        return written
    head, dot, rest = written.partition(".")
    return head.replace("_", "-") + dot + rest


def number(version: str) -> tuple[int, ...]:
    """A release to compare by; its local part does not count, a post-release is later."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))
