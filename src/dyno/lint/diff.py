"""What changed between two releases, in words."""

from collections.abc import Iterable, Iterator

from dyno.engine.catalog import Flag
from dyno.lint.known import Known

_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def in_words(bounds: Iterable[tuple[str, float]]) -> str:
    """`more than 0 and at most 1`."""
    return " and ".join(f"{_BOUNDS[kind]} {limit:g}" for kind, limit in bounds)


def changes(old: Known, new: Known) -> list[str]:
    """Flags, values and variables that came, went or changed, one line each."""
    return [*_flags(old, new), *_names("argument of EngineArgs", old.keywords, new.keywords),
            *_names("variable", old.variables or (), new.variables or ()), *_lists(old, new)]  # fmt: skip


def _flags(old: Known, new: Known) -> Iterator[str]:
    before, after = ({flag.name: flag for flag in each.flags} for each in (old, new))
    yield from _names("flag", before, after)
    for name in sorted(before.keys() & after.keys()):
        for what in _differences(before[name], after[name]):
            yield f"changed flag {after[name].options[0]}: {what}"


def _differences(old: Flag, new: Flag) -> Iterator[str]:
    if old.kind != new.kind or old.nargs != new.nargs:
        yield f"takes {_kind(new)}, not {_kind(old)} any more"
    if old.choices and new.choices:
        yield from (f"{'no longer takes' if gone else 'takes now'} {word}" for gone, words in
                    ((True, set(old.choices) - set(new.choices)), (False, set(new.choices) - set(old.choices)))
                    for word in sorted(words))  # fmt: skip
    elif bool(old.choices) != bool(new.choices):
        yield "takes only certain values now" if new.choices else "takes any word now"
    if old.negatable != new.negatable:
        yield f"{'has' if new.negatable else 'lost'} --no-{new.name.replace('_', '-')}"
    if old.default != new.default:
        yield f"default {old.default} became {new.default}"
    if old.bounds != new.bounds:
        yield f"takes {in_words(new.bounds) or 'any number'} now"
    if new.deprecated and not old.deprecated:
        yield "is deprecated now"


def _kind(flag: Flag) -> str:
    return "nothing" if flag.kind == "switch" else f"{flag.kind}{'s' if flag.nargs in ('+', '*') else ''}"


def _names(what: str, old: Iterable[str], new: Iterable[str]) -> Iterator[str]:
    shown = (lambda name: "--" + name.replace("_", "-")) if what == "flag" else str
    yield from (f"new {what} {shown(name)}" for name in sorted(set(new) - set(old)))
    yield from (f"gone {what} {shown(name)}" for name in sorted(set(old) - set(new)))


def _lists(old: Known, new: Known) -> Iterator[str]:
    for name in sorted(old.lists.keys() & new.lists.keys()):
        yield from _names(f"value of --{name.replace('_', '-')}:", old.lists[name], new.lists[name])
