"""Environment variables: what this release, CUDA or PyTorch never reads."""

from collections.abc import Iterator

from dyno.errors import nearest
from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.source import Item
from dyno.lint.tables import INVENTED, VARIABLES

RULES = Rules()
_ENVS = "vllm/envs.py of each release"


@RULES.rule("DYN201", "warning", "No vLLM release has ever read this variable", _ENVS)
def never_read(case: Case) -> Iterator[Hit]:
    """VLLM_ and a flag's name is not a mechanism that vLLM has. Until 0.16 such a variable is passed over in silence,
    since 0.17 vLLM logs "Unknown vLLM environment variable detected"."""
    for item in _unread(case):
        if item.name in case.known.variable_history:
            continue
        flag = case.known.flag(item.name.removeprefix("VLLM_").lower())
        if flag is not None and flag.kind != "switch":
            change = Change(item, (Setting(flag.name, item.value),)) if item.known else None
            yield Hit(item, f"no vLLM release reads {item.name}: it is the flag {flag.options[0]}",
                      f"pass {flag.options[0]} {item.value if item.known else 'VALUE'}", change)  # fmt: skip
        elif flag is not None:
            yield Hit(
                item,
                f"no vLLM release reads {item.name}: it is the flag {flag.options[0]}",
                _switched(item, flag.options[0]),
                Change(item, (Setting(flag.name, True),)) if _on(item) else Change(item),
            )
        elif (gone := case.known.history.get(item.name.removeprefix("VLLM_").lower())) and gone.gone:
            flag_was = "--" + item.name.removeprefix("VLLM_").lower().replace("_", "-")
            yield Hit(item, f"no vLLM release reads {item.name}: there was a flag {flag_was}, until {gone.gone}",
                      "leave it out", Change(item))  # fmt: skip
        else:
            near = nearest(item.name, sorted(case.known.variables or ()))
            yield Hit(
                item, f"no vLLM release reads {item.name}{near}", "leave it out, or write the name that was meant"
            )


@RULES.rule("DYN202", "warning", "Variable no longer read", _ENVS)
def no_longer_read(case: Case) -> Iterator[Hit]:
    """An earlier release read it. What took its place is written where something did."""
    for item in _unread(case):
        span = case.known.variable_history.get(item.name)
        if span is None or not span.gone or not case.known.since(span.gone):
            continue
        successor = VARIABLES.get(item.name)
        message = f"vLLM reads {item.name} no longer, since {span.gone}"
        if successor and (flag := case.known.flag(successor.flag)) and item.known:
            value = successor.translate(item.value)
            known = flag.choices or case.known.lists.get(flag.name, ())
            if value is not None and known and str(value).lower() not in (each.lower() for each in known):
                yield Hit(item, f"{message}: {successor.note}, which has no {value}", "leave it out", Change(item))
            elif value is None:
                yield Hit(item, f"{message}: {successor.note}", "leave it out", Change(item))
            else:
                yield Hit(item, f"{message}: {successor.note}", f"pass {flag.options[0]} {value}",
                          Change(item, (Setting(flag.name, value),)))  # fmt: skip
        else:
            note = f": {successor.note}" if successor else ""
            yield Hit(item, message + note, "leave it out", Change(item) if successor else None)


@RULES.rule("DYN203", "warning", "Variable not read yet", _ENVS)
def not_read_yet(case: Case) -> Iterator[Hit]:
    """A later release brought it."""
    for item in _unread(case):
        span = case.known.variable_history.get(item.name)
        if span and not case.known.since(span.first):
            yield Hit(item, f"vLLM reads {item.name} only since {span.first}", f"use vLLM {span.first} or newer")


@RULES.rule(
    "DYN204",
    "warning",
    "Variable that CUDA and PyTorch do not read",
    "CUDA, cuDNN and PyTorch manuals; torch 2.11's files",
)
def invented(case: Case) -> Iterator[Hit]:
    """Nothing in CUDA, cuDNN, PyTorch, Triton or vLLM reads it; it is handed on from one blog post to the next."""
    for item in case.variables.values():
        if found := INVENTED.get(item.name):
            yield Hit(item, f"nothing reads {item.name}: {found}", "leave it out", Change(item))


@RULES.rule("DYN205", "error", "Value that vLLM cannot read", _ENVS)
def unreadable(case: Case) -> Iterator[Hit]:
    """vLLM turns the text into a number when it starts, and ends with a ValueError where that fails."""
    item = case.variables.get("VLLM_CPU_KVCACHE_SPACE")
    if item and item.known and not str(item.value).strip().lstrip("-").isdecimal():
        yield Hit(item, f"VLLM_CPU_KVCACHE_SPACE wants whole GiB, got {item.value!r}", "write a whole number")
    for name, choices in case.known.variable_choices.items():
        item = case.variables.get(name)
        if (
            item
            and item.known
            and str(item.value).lower() not in (each.lower() for each in choices)
            and item.value != ""
        ):
            yield Hit(item, f"{name} takes {', '.join(choices)}, got {item.value!r}", "choose one of these")
    item, backends = case.variables.get("VLLM_ATTENTION_BACKEND"), case.known.lists.get("attention_backend", ())
    if item and item.known and backends and "VLLM_ATTENTION_BACKEND" in (case.known.variables or ()) \
            and str(item.value).lower() not in (*backends, ""):  # fmt: skip
        gone = VARIABLES[item.name].translate(item.value) is None
        yield Hit(item, f"VLLM_ATTENTION_BACKEND={item.value}: vLLM {case.known.version} has no such backend",
                  "leave it out: vLLM chooses" if gone else f"choose one of {', '.join(backends).upper()}",
                  Change(item) if gone else None)  # fmt: skip
    item = case.variables.get("VLLM_PORT")
    if item and item.known and "://" in str(item.value):
        yield Hit(item, "VLLM_PORT is an address here, as Kubernetes sets it for a service called vllm",
                  "call the service something else")  # fmt: skip


@RULES.rule("DYN206", "note", "VLLM_PORT is not the server's port", _ENVS)
def internal_port(case: Case) -> Iterator[Hit]:
    """It is the first port that vLLM's own processes talk over; the API listens on --port."""
    item = case.variables.get("VLLM_PORT")
    if item and case.configuration.words and case.item("port") is None:
        yield Hit(
            item, "VLLM_PORT is where vLLM's own processes meet, not where the API listens", "pass --port for that"
        )


def _unread(case: Case) -> Iterator[Item]:
    """Variables in vLLM's name that this release does not read."""
    for item in case.variables.values() if case.known.variables is not None else ():
        if item.name.startswith("VLLM_") and item.name not in (case.known.variables or ()):
            yield item


def _on(item: Item) -> bool:
    return str(item.value).strip().lower() in ("1", "true", "yes", "on")


def _switched(item: Item, option: str) -> str:
    return f"pass {option}" if _on(item) else "leave it out"
