"""What is accepted and changes nothing."""

from collections.abc import Iterator

from dyno.lint.case import Case, Change, Hit, Rules
from dyno.lint.known import number
from dyno.lint.source import UNKNOWN, Item
from dyno.lint.tables import IGNORED, NEVER_IN_V1, ON_BY_DEFAULT, V0_ONLY

RULES = Rules()
_SPLIT_BEYOND = 32768  # tokens of a model, for the V0 engine


@RULES.rule("DYN301", "warning", "Accepted and ignored", "vllm/v1 of each release: nothing reads it")
def ignored(case: Case) -> Iterator[Hit]:
    """The parser takes it, and no code of this release acts on it."""
    if case.configuration.entry == "mention":
        return
    for item in case.settings:
        rule = IGNORED.get(item.name)
        accepted = case.flag(item) or (item.kind != "flag" and case.known.takes(case.configuration.entry, item.name))
        if rule and accepted and number(rule.since) <= case.known.number < number(rule.until):
            yield Hit(item, f"vLLM {case.known.version} accepts {item.written} and ignores it: {rule.note}",
                      "leave it out: nothing took its place", Change(item))  # fmt: skip


@RULES.rule("DYN302", "note", "Already the default", "vllm/config and vllm/engine/arg_utils.py of each release")
def default(case: Case) -> Iterator[Hit]:
    """Leaving it out gives the same, today; naming it keeps it when a later release changes the default."""
    if case.configuration.entry == "mention":
        return
    for item in case.settings:
        value, flag = case.typed(item), case.flag(item)
        if flag is None or value is UNKNOWN or value is None:
            continue
        since = ON_BY_DEFAULT.get(item.name)
        if value is True and since and case.known.since(since):
            yield Hit(item, f"{item.written} is on by default since vLLM {since}", "it may be left out")
        elif flag.default is not None and flag.default == value and type(flag.default) is type(value):
            yield Hit(
                item,
                f"{item.written} {_shown(value)} is the default of vLLM {case.known.version}",
                "it may be left out",
            )


@RULES.rule("DYN303", "warning", "Only the V0 engine has it", "vllm/engine/arg_utils.py: _is_v1_supported_oracle")
def falls_back(case: Case) -> Iterator[Hit]:
    """Until V0 went, such a flag quietly gave up the V1 engine, and with it most of the speed."""
    for item in case.settings:
        until = V0_ONLY.get(item.name)
        if until and _gives_up_v1(case, item, until) and not _v1(case):
            yield Hit(
                item,
                f"{item.written} makes vLLM {case.known.version} fall back to the V0 engine",
                "leave it out",
                Change(item),
            )


@RULES.rule("DYN304", "error", "V1 refuses it", "vllm/engine/arg_utils.py: _raise_or_fallback")
def v1_refuses(case: Case) -> Iterator[Hit]:
    """With VLLM_USE_V1=1, and since 0.11 always, vLLM ends with a NotImplementedError instead of falling back to V0."""
    for item in case.settings:
        until = V0_ONLY.get(item.name)
        if until and _gives_up_v1(case, item, until) and _v1(case):
            yield Hit(item, f"VLLM_USE_V1=1 and {item.written}: NotImplementedError", "leave it out", Change(item))
        elif item.name in NEVER_IN_V1 and case.known.since("0.11.0") and _is_changed(case, item):
            yield Hit(item, f"{item.written}: the V1 engine, the only one since 0.11, does not have it", "leave it out",
                      Change(item))  # fmt: skip


@RULES.rule("DYN305", "error", "Partial prefills need chunks", "vllm/config/__init__.py of 0.10: SchedulerConfig")
def partial_prefills(case: Case) -> Iterator[Hit]:
    """The V0 engine, which this flag asks for, splits prompts by itself only of models longer than 32,768 tokens, and
    never on a CPU; else vLLM ends with "Chunked prefill must be enabled to set max_num_partial_prefills > 1"."""
    item, count = case.item("max_num_partial_prefills"), case.value("max_num_partial_prefills")
    if item is None or not isinstance(count, int) or count < 2 or not case.closed or case.known.since("0.11.0"):
        return
    length = case.value("max_model_len") or (case.model.max_model_len if case.model else None)
    is_short = case.platform == "cpu" or (isinstance(length, int) and length <= _SPLIT_BEYOND)
    if is_short and not case.is_on("enable_chunked_prefill"):
        yield Hit(item, f"{item.written} {count} needs --enable-chunked-prefill", "give it, or leave this out",
                  Change(item))  # fmt: skip


def _gives_up_v1(case: Case, item: Item, until: str) -> bool:
    return case.known.since("0.8.0") and not case.known.since(until) and _is_changed(case, item)


def _is_changed(case: Case, item: Item) -> bool:
    """Whether it says something else than the default."""
    flag, value = case.flag(item), case.typed(item)
    return flag is not None and value is not None and value is not UNKNOWN and value != flag.default


def _v1(case: Case) -> bool:
    item = case.variables.get("VLLM_USE_V1")
    return item is not None and item.value == "1"


def _shown(value: object) -> str:
    return "" if value is True else str(value)
