"""Names: what this release does not have."""

import json
from collections.abc import Iterator, Mapping

from dyno.errors import nearest
from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.known import Span
from dyno.lint.source import Item, Value
from dyno.lint.tables import SPECULATIVE, SUCCESSORS, UNDECIDED

RULES = Rules()
_PARSER = "vllm/engine/arg_utils.py and vllm/entrypoints/.../cli_args.py of each release"
_GUESSED = ("mention", "mapping", "fragment")  # may belong to something other than vLLM
_MOST_LOOKED_UP = 50  # names in one configuration that the nearest real one is looked up for


@RULES.rule("DYN101", "error", "No vLLM release has ever had this", _PARSER)
def never_existed(case: Case) -> Iterator[Hit]:
    """The parser ends with "unrecognized arguments", LLM(...) with a TypeError. Nothing like it was found in any
    release of the catalog; the nearest name that this release has is offered."""
    missing = [item for item in _missing(case) if not _span(case, item)]
    for number, item in enumerate(missing):
        successor = SUCCESSORS.get(item.name)
        if successor is None and case.configuration.entry in _GUESSED:
            continue
        what = f"{item.written} is not {_what(item)} of vLLM {case.known.version}, nor of any other release"
        if successor:
            yield Hit(item, f"{what}: {successor.note}", *_remedy(case, item))
        else:
            near = _near(case, item) if number < _MOST_LOOKED_UP else ""
            yield Hit(item, what + near, "leave it out, or write the name that was meant")


@RULES.rule("DYN102", "error", "Removed before this release", _PARSER)
def removed(case: Case) -> Iterator[Hit]:
    """An earlier release had it, this one ends with "unrecognized arguments" or a TypeError. What took its place is
    written where something did; otherwise leaving it out changes nothing that this release could do."""
    for item in _missing(case):
        span = _span(case, item)
        if span is None or not span.gone or not case.known.since(span.gone):
            continue
        if item.name in SPECULATIVE:
            yield _speculative(case, item, span.gone)
            continue
        successor = SUCCESSORS.get(item.name)
        note = f": {successor.note}" if successor else ""
        yield Hit(item, f"{item.written} was removed in vLLM {span.gone}{note}", *_remedy(case, item))


@RULES.rule("DYN103", "error", "Newer than this release", _PARSER)
def too_new(case: Case) -> Iterator[Hit]:
    """A later release brought it; this one ends with "unrecognized arguments" or a TypeError."""
    for item in _missing(case):
        span = _span(case, item)
        if span and not case.known.since(span.first):
            yield Hit(item, f"{item.written} exists only since vLLM {span.first}",
                      f"use vLLM {span.first} or newer, or leave it out", Change(item))  # fmt: skip


@RULES.rule("DYN104", "error", "Fits several flags", "argparse: allow_abbrev")
def ambiguous(case: Case) -> Iterator[Hit]:
    """argparse completes a shortened flag when only one begins like that, and refuses it when several do."""
    for item in case.settings:
        if item.written == "--model" and case.configuration.entry != "serve":
            continue
        if item.kind == "flag" and case.known.find(item.written) is None and (many := _completions(case, item)):
            yield Hit(item, f"{item.written} could mean {', '.join(many[:4])}", "write the name in full")


@RULES.rule("DYN105", "warning", "Shortened flag", "argparse: allow_abbrev")
def shortened(case: Case) -> Iterator[Hit]:
    """argparse completes it today; a new flag in the next release that begins alike makes it an error."""
    for item in case.settings:
        match = case.known.find(item.written) if item.kind == "flag" else None
        if match and match.abbreviated and case.configuration.entry != "mention":
            setting = Setting(match.option.removeprefix("--").replace("-", "_"), item.value if item.given else True)
            yield Hit(item, f"{item.written} is taken for {match.option} because nothing else begins like it",
                      f"write {match.option}", Change(item, (setting,)))  # fmt: skip


@RULES.rule(
    "DYN106",
    "warning",
    "Deprecated in this release",
    "deprecated=True in vllm/engine/arg_utils.py, docstrings of vllm/config",
)
def deprecated(case: Case) -> Iterator[Hit]:
    """It still works and vLLM logs a warning; a release to come will not have it."""
    for item in case.settings:
        flag = case.flag(item)
        if flag and flag.deprecated and case.configuration.entry != "mention":
            gone = case.known.history[item.name].gone if item.name in case.known.history else None
            end = f", and is gone since {gone}" if gone else ""
            successor = SUCCESSORS.get(item.name)
            yield Hit(
                item,
                f"{item.written} is deprecated in vLLM {case.known.version}{end}"
                + (f": {successor.note}" if successor else ""),
                "prepare for its end",
            )


def _missing(case: Case) -> Iterator[Item]:
    """The items whose name this release does not know."""
    for item in case.settings:
        if item.written == "--model" and case.configuration.entry != "serve":
            missing = False  # 0.9.0 took it from `vllm serve` alone
        elif item.kind == "flag":
            missing = case.known.find(item.written) is None and not _completions(case, item)
        elif item.kind == "key" and case.configuration.entry == "yaml":
            missing = case.known.find("--" + item.written) is None
        else:
            missing = not case.known.takes(case.configuration.entry, item.name)
        if missing:
            yield item


def _completions(case: Case, item: Item) -> list[str]:
    return [match.option for match in case.known.completions(item.written.replace("_", "-"))]


def _span(case: Case, item: Item) -> Span | None:
    return case.known.span(case.configuration.entry if item.kind != "flag" else "", item.name)


def _what(item: Item) -> str:
    return "a flag" if item.kind == "flag" else "a key" if item.kind == "key" else "an argument"


def _near(case: Case, item: Item) -> str:
    if item.kind == "flag":
        return nearest(item.written.replace("_", "-"), case.known.spellings)
    return nearest(item.name, sorted(case.known.keywords))


def _speculative(case: Case, item: Item, gone: str) -> Hit:
    """All flags of speculation go into one JSON object, which takes the place of the first of them."""
    message = f"{item.written} was removed in vLLM {gone}: it is a part of --speculative-config"
    items = [each for each in case.settings if each.name in SPECULATIVE]
    whole: dict[str, Value] = {}
    for each in items:
        if key := SPECULATIVE[each.name]:
            whole[key] = int(each.value) if isinstance(each.value, str) and each.value.isdecimal() else each.value
    if whole.get("model") == "[ngram]":
        del whole["model"]
        whole["method"] = "ngram"
    words = f"write --speculative-config '{json.dumps(whole, default=str)}'"
    if not all(each.known and each.given for each in items) or case.configuration.entry == "mention":
        return Hit(item, message, 'write --speculative-config \'{"model": ..., "num_speculative_tokens": N}\'')
    if item is not items[0]:
        return Hit(item, message, f"it goes into the place of {items[0].written}", Change(item))
    value: Value = whole if item.kind in ("keyword", "key") else json.dumps(whole)
    return Hit(item, message, words, Change(item, (Setting("speculative_config", value),)))


def _exists(case: Case, name: str, value: Value) -> bool:
    """Whether this release has the flag, and the keys of it that are set."""
    keys = [f"{name}.{key}" for key in value] if isinstance(value, Mapping) else []
    told = any(known.startswith(f"{name}.") for known in case.known.keys)
    return case.known.flag(name) is not None and not (told and any(key not in case.known.keys for key in keys))


def _remedy(case: Case, item: Item) -> tuple[str, Change | None]:
    successor = SUCCESSORS.get(item.name)
    if successor is None or item.name in UNDECIDED:
        return "leave it out, or look up what took its place", None
    settings = successor.to(item.value) if successor and item.known else ()
    if settings and not all(_exists(case, name, value) for name, value in settings):
        return "leave it out: nothing took its place in this release", Change(item)
    if settings:
        words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings)
        return f"write {words}", Change(item, tuple(Setting(name, value) for name, value in settings))
    if successor.needs or not item.known:
        return "look up what took its place", None
    return "leave it out: nothing took its place", Change(item)
