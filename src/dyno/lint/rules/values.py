"""Values: what the parser of this release would not take."""

import operator
from collections.abc import Iterator, Mapping

from dyno.engine.catalog import Flag, read_value
from dyno.errors import nearest
from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.diff import in_words
from dyno.lint.source import UNKNOWN, Item, Value
from dyno.lint.tables import APART, CHOICES, LOOKED_UP_WITH, OBJECTS, SYNONYMS

RULES = Rules()


@RULES.rule(
    "DYN111", "error", "Value is none of the choices", "choices in vllm/engine/arg_utils.py, Literal in vllm/config"
)
def not_a_choice(case: Case) -> Iterator[Hit]:
    """The flag takes only the values of a list, which differs from release to release."""
    for item, flag, text in _texts(case):
        choices = flag.choices or CHOICES.get(item.name, ())
        if item.name in APART and "," in text and text in choices and case.known.since(APART[item.name]):
            yield Hit(item, f"{item.written} {text}: the parser takes it and the configuration refuses it",
                      f"write the words apart: {text.replace(',', ' ')}")  # fmt: skip
        elif choices and text not in choices and text not in flag.words and _of_type(flag, text):
            near = nearest(text, choices)
            better = next((word for word in SYNONYMS.get(item.name, {}).get(text, ()) if word in choices), None)
            remedy = f"write {better}" if better else f"choose one of {', '.join(choices)}"
            yield Hit(item, f"{item.written} {text}: vLLM {case.known.version} knows only {_some(choices)}{near}",
                      remedy, Change(item, (Setting(item.name, better),)) if better else None)  # fmt: skip


@RULES.rule("DYN112", "error", "Value of another type", "type= in vllm/engine/arg_utils.py")
def wrong_type(case: Case) -> Iterator[Hit]:
    """A number, a size such as 8k, or JSON is wanted, and the word cannot be read as one."""
    objects = {name.partition(".")[0] for name in case.known.keys}
    for item, flag, text in _texts(case):
        if not _of_type(flag, text):
            what = _WANTED.get(flag.kind, flag.kind)
        elif _is_no_object(case, item, flag, text, objects):
            what = "a JSON object such as '{\"key\": 1}'"
        else:
            continue
        yield Hit(item, f"{item.written} wants {what}, got {text!r}", "correct the value")


def _is_no_object(case: Case, item: Item, flag: Flag, text: str, objects: set[str]) -> bool:
    """Whether JSON is given that is no object, to a flag that becomes a class of vLLM's. Levels of compilation were
    numbers once."""
    if item.kind != "flag" or text in flag.words or text.lstrip().startswith("{"):
        return False
    is_level = item.name == "compilation_config" and not case.known.since("0.13.0")
    is_class = flag.kind == "json" and flag.nargs is None and item.name in objects
    return item.name in OBJECTS or (is_class and not is_level)


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
        with_flag = LOOKED_UP_WITH.get(name)
        if (
            (word := value.lower()) in known
            or word in ("none", "auto", "")
            or (with_flag and not case.is_on(with_flag))
        ):
            continue
        if better := next((each for each in SYNONYMS.get(name, {}).get(word, ()) if each in (*known, "auto")), None):
            yield Hit(item, f"{item.written} {value}: vLLM {case.known.version} has no such value", f"write {better}",
                      Change(item, (Setting(item.name, better),)))  # fmt: skip
        else:
            yield Hit(
                item,
                f"{item.written} {value}: vLLM {case.known.version} knows only {_some(known)}{nearest(word, known)}",
                f"choose one of {', '.join(known)}",
            )


@RULES.rule("DYN116", "error", "Number out of range", "Field(ge=..., le=...) of vllm/config")
def out_of_range(case: Case) -> Iterator[Hit]:
    """The configuration checks the number when it is built, and ends with a ValidationError. Of a flag that is given
    twice the last one counts; what is never built, as LoRA's settings without --enable-lora, is not checked."""
    for item in case.settings:
        flag, value = case.flag(item), case.typed(item)
        if (
            flag
            and flag.bounds
            and item is case.item(item.name)
            and case.is_built(flag)
            and isinstance(value, int | float)
            and not isinstance(value, bool)
            and not within(value, flag)
        ):
            yield Hit(item, f"{item.written} must be {in_words(flag.bounds)}, got {value:g}", "correct the value")


@RULES.rule("DYN117", "error", "Key that the JSON does not have", "classes of vllm/config")
def unknown_key(case: Case) -> Iterator[Hit]:
    """The object becomes a class of vLLM's, which takes no other keys: a TypeError or a ValidationError ends it."""
    for item, name, key, _ in _keys(case):
        if name not in case.known.keys and not _passes_over(case, item.name):
            near = nearest(key, _family(case, item.name))
            yield Hit(
                item,
                f"{item.written} has no key {key!r} in vLLM {case.known.version}{near}",
                "leave it out, or write what was meant",
            )


@RULES.rule("DYN118", "error", "Value in the JSON", "classes of vllm/config")
def wrong_key_value(case: Case) -> Iterator[Hit]:
    """As DYN111, DYN112 and DYN116, for the keys of an object."""
    for item, name, key, value in _keys(case):
        flag = case.known.keys.get(name)
        if flag is None or value is None or isinstance(value, dict | tuple) or value is UNKNOWN:
            continue
        if flag.choices and isinstance(value, str) and value not in (*flag.choices, *flag.words):
            yield Hit(
                item,
                f"{item.written} {key}: {value!r} is not one of {_some(flag.choices)}{nearest(value, flag.choices)}",
                f"choose one of {', '.join(flag.choices)}",
            )
        elif flag.bounds and isinstance(value, int | float) and not isinstance(value, bool) and not within(value, flag):
            yield Hit(item, f"{item.written} {key} must be {in_words(flag.bounds)}, got {value:g}", "correct the value")


@RULES.rule("DYN119", "error", "Key missing in the JSON", "classes of vllm/config")
def missing_key(case: Case) -> Iterator[Hit]:
    """The object becomes a class of vLLM's that has no default for this key: a ValidationError ends it."""
    needed = [name.partition(".") for name, flag in case.known.keys.items() if flag.required and name.count(".") == 1]
    for flag_name, _, key in needed:
        item = case.item(flag_name)
        if item is None or not case.flag(item) or not item.given or not case.closed:
            continue
        if (whole := case.whole(flag_name)) is not None and key not in whole:
            yield Hit(item, f"{item.written} has no key {key!r}, which vLLM {case.known.version} needs",
                      f'add "{key}": ...')  # fmt: skip


@RULES.rule("DYN120", "warning", "Key that is passed over", "ConfigDict of vllm/config; extra=forbid since 0.16")
def passed_over(case: Case) -> Iterator[Hit]:
    """Until 0.15 most of vLLM's classes took keys that they do not have, and forgot them without a word; since 0.16, of
    --compilation-config since 0.13, they refuse them."""
    for item, name, key, _ in _keys(case):
        if name not in case.known.keys and _passes_over(case, item.name):
            near = nearest(key, _family(case, item.name))
            yield Hit(item, f"{item.written} has no key {key!r} in vLLM {case.known.version}, which forgets it{near}",
                      "leave it out, or write what was meant")  # fmt: skip


def _passes_over(case: Case, name: str) -> bool:
    refuses = "0.13.0" if name == "compilation_config" else "0.16.0"
    return case.known.since("0.9.1") and not case.known.since(refuses)


def _family(case: Case, name: str) -> list[str]:
    """The keys of one flag."""
    return [known.rpartition(".")[2] for known in case.known.keys if known.rpartition(".")[0] == name]


def within(value: float, flag: Flag) -> bool:
    """Whether a number keeps a flag's bounds."""
    return all(_KEPT[kind](value, limit) for kind, limit in flag.bounds)


_KEPT = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}


def _keys(case: Case) -> Iterator[tuple[Item, str, str, Value]]:
    """The keys of every object whose keys this release tells: item, `flag.key`, key, value."""
    described = {name.partition(".")[0] for name in case.known.keys}
    for item in case.settings:
        value = case.typed(item) if item.name in described else None
        if isinstance(value, Mapping):
            for key, inner in value.items():
                first = key.partition(".")[0]
                yield item, f"{item.name}.{first}", first, inner if first == key else UNKNOWN


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
