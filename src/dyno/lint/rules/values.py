"""Values: what the parser of this release would not take."""

from collections.abc import Iterator

from dyno.engine.catalog import Flag, read_value
from dyno.errors import nearest
from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.source import Item
from dyno.lint.tables import SYNONYMS

RULES = Rules()


@RULES.rule(
    "DYN111", "error", "Value is none of the choices", "choices in vllm/engine/arg_utils.py, Literal in vllm/config"
)
def not_a_choice(case: Case) -> Iterator[Hit]:
    """The flag takes only the values of a list, which differs from release to release."""
    for item, flag, text in _texts(case):
        if flag.choices and text not in flag.choices and text not in flag.words and _of_type(flag, text):
            near = nearest(text, flag.choices)
            better = next((word for word in SYNONYMS.get(item.name, {}).get(text, ()) if word in flag.choices), None)
            remedy = f"write {better}" if better else f"choose one of {', '.join(flag.choices)}"
            yield Hit(item, f"{item.written} {text}: vLLM {case.known.version} knows only {_some(flag.choices)}{near}",
                      remedy, Change(item, (Setting(item.name, better),)) if better else None)  # fmt: skip


@RULES.rule("DYN112", "error", "Value of another type", "type= in vllm/engine/arg_utils.py")
def wrong_type(case: Case) -> Iterator[Hit]:
    """A number, a size such as 8k, or JSON is wanted, and the word cannot be read as one."""
    for item, flag, text in _texts(case):
        if not _of_type(flag, text):
            yield Hit(
                item, f"{item.written} wants {_WANTED.get(flag.kind, flag.kind)}, got {text!r}", "correct the value"
            )


@RULES.rule("DYN113", "error", "Value missing", "argparse: nargs")
def no_value(case: Case) -> Iterator[Hit]:
    """The flag takes a value and none follows: the next word is a flag, or nothing."""
    for item in case.settings:
        match = case.known.find(item.written) if item.kind == "flag" else None
        if match is None or item.given or case.configuration.entry == "mention":
            continue
        if match.path or (match.flag.kind != "switch" and match.flag.nargs not in ("?", "*")):
            yield Hit(item, f"{item.written} needs a value and none follows it", "write the value after it")


@RULES.rule("DYN114", "error", "Switch with a value", "argparse: BooleanOptionalAction")
def switch_with_value(case: Case) -> Iterator[Hit]:
    """A switch is on when it stands there and off as --no-...; `--switch=true` ends in "ignored explicit argument", and
    in `--switch true` the word is taken for the model, or for one word too many."""
    for item in case.settings:
        flag = case.flag(item) if item.kind == "flag" else None
        if flag is None or flag.kind != "switch" or flag.nargs is not None or not item.given or "." in item.written:
            continue
        change, words = None, f"{flag.options[0]}" + (f" or {flag.negations[0]}" if flag.negations else "")
        if (value := str(item.value).lower()) in ("true", "false"):
            on = value == "true"
            change = Change(item, (Setting(flag.name, on),) if on or flag.negations else ())
            words = flag.options[0] if on else flag.negations[0] if flag.negations else "nothing: it is off"
        yield Hit(item, f"{item.written} is a switch and takes no value, got {item.value!r}", f"write {words}", change)


@RULES.rule(
    "DYN115",
    "error",
    "Value that this release does not know",
    "registries of vLLM: backends, quantization, load formats",
)
def unknown_value(case: Case) -> Iterator[Hit]:
    """The parser takes any word; what reads it later ends with "Unknown ..." and a list of what there is."""
    for name, known in case.known.lists.items():
        item, value = case.item(name), case.value(name)
        if item is None or not isinstance(value, str) or not known or (flag := case.flag(item)) is None or flag.choices:
            continue
        if (word := value.lower()) not in known and word not in ("none", "auto", ""):
            yield Hit(
                item,
                f"{item.written} {value}: vLLM {case.known.version} knows only {_some(known)}{nearest(word, known)}",
                f"choose one of {', '.join(known)}",
            )


_WANTED = {"int": "a whole number", "size": "a whole number such as 8192 or 8k", "float": "a number", "json": "JSON"}


def _texts(case: Case) -> Iterator[tuple[Item, Flag, str]]:
    """Every value that the parser reads, as its text."""
    for item in case.settings:
        flag = case.flag(item)
        if flag is None or flag.kind == "switch" or not item.known or not item.given:
            continue
        values = item.value if isinstance(item.value, tuple) else (item.value,)
        for value in values:
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield item, flag, str(value)


def _of_type(flag: Flag, text: str) -> bool:
    if flag.choices and flag.kind in ("str", "folded"):
        return True
    try:
        read_value(flag, text)
    except ValueError as error:
        return "is not one of" in str(error)
    return True


def _some(choices: tuple[str, ...]) -> str:
    return ", ".join(choices) if len(choices) <= 8 else ", ".join(choices[:7]) + f" and {len(choices) - 7} more"
