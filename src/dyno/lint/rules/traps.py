"""What the shell and vLLM's parser do with a line that nobody expects."""

from collections.abc import Iterator
from pathlib import PurePath

from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.source import Item

RULES = Rules()
_MODEL_UNTIL = "0.11.1"  # the release that takes `vllm serve --model NAME` again
_FLEXIBLE = "vllm/utils/argparse_utils.py: FlexibleArgumentParser"
_EXTRAS_GONE = {"cuda": "there has never been such an extra: plain `vllm` is the CUDA build"}


@RULES.rule("DYN701", "error", "The shell takes part of it away", "POSIX shell: redirection")
def redirected(case: Case) -> Iterator[Hit]:
    """Without quotes `>=0.10.1` writes the output to a file called `=0.10.1`, and any release is installed."""
    for item in case.items:
        if item.kind == "shell" and item.name == "redirect":
            requirement = item.written
            yield Hit(
                item,
                f"the shell writes to a file here: {requirement.partition('>')[0]} is installed in any release",
                f'quote it: "{requirement}"',
            )


@RULES.rule("DYN702", "error", "The line is not continued", "POSIX shell: quoting")
def not_continued(case: Case) -> Iterator[Hit]:
    """A backslash continues a line only as its very last letter; a line that begins with a flag and follows one without
    a backslash is a command of its own."""
    for item in case.items:
        if item.kind == "shell" and item.name == "backslash":
            yield Hit(item, "blanks after the backslash: the command ends here", "delete what follows the backslash")
        if item.kind == "shell" and item.name == "line":
            yield Hit(item, f"{item.written} stands on a line of its own: the line before does not end in a backslash",
                      "end the line before with a backslash")  # fmt: skip


@RULES.rule("DYN703", "warning", "--config=FILE is not read", _FLEXIBLE)
def config_unread(case: Case) -> Iterator[Hit]:
    """vLLM looks for the word --config and takes the word after it; joined by = the option is accepted and the file
    never opened."""
    item = case.item("config")
    if item and item.kind == "flag" and len(item.parts) == 1 and item.known and item.given:
        yield Hit(item, f"--config={item.value}: the file is silently not read", "write two words: --config FILE",
                  None)  # fmt: skip


@RULES.rule("DYN704", "error", "--config file of another type", _FLEXIBLE)
def config_type(case: Case) -> Iterator[Hit]:
    """Only names that end in .yaml or .yml are read."""
    item = case.item("config")
    if item and item.kind == "flag" and len(item.parts) == 2 and isinstance(item.value, str) \
            and PurePath(item.value).suffix not in (".yaml", ".yml"):  # fmt: skip
        yield Hit(item, f"--config {item.value}: vLLM reads only .yaml and .yml", "rename the file")


@RULES.rule("DYN705", "warning", "false is dropped", _FLEXIBLE)
def false_dropped(case: Case) -> Iterator[Hit]:
    """`vllm serve --config` looks for --no-KEY among the flags of the top command, finds none and drops the line: what
    is on by default stays on."""
    for item in case.settings:
        flag = case.known.flag(item.name)
        if item.kind == "key" and item.value is False and case.configuration.entry == "yaml" and flag:
            negation = flag.negations[0].removeprefix("--") if flag.negations else ""
            yield Hit(item, f"{item.written}: false is silently dropped",
                      f"write {negation}: true" if negation else "leave it out: it is off unless it is given",
                      Change(item, (Setting(negation.replace("-", "_"), True),) if negation else ()))  # fmt: skip


@RULES.rule("DYN706", "error", "null becomes a word", _FLEXIBLE)
def null_is_none(case: Case) -> Iterator[Hit]:
    """An empty value in the YAML file is handed on as the word None."""
    for item in case.settings:
        flag = case.known.flag(item.name)
        if (
            item.kind == "key"
            and item.value is None
            and case.configuration.entry == "yaml"
            and flag
            and "None" not in flag.words
        ):
            yield Hit(item, f"{item.written} has no value: vLLM gets the word None", "leave it out", Change(item))


@RULES.rule("DYN707", "warning", "Given twice", _FLEXIBLE)
def twice(case: Case) -> Iterator[Hit]:
    """The last one holds; vLLM logs "Found duplicate keys"."""
    seen: dict[str, object] = {}
    for item in reversed(case.settings):
        if "." in item.written or case.configuration.entry == "mention":
            continue
        if item.name in seen and item.kind == "flag":
            yield Hit(
                item, f"{item.written} is given twice: the last one holds", "leave the first one out", Change(item)
            )
        seen[item.name] = item.value


@RULES.rule("DYN708", "error", "Word that belongs to nothing", "argparse: unrecognized arguments")
def stray(case: Case) -> Iterator[Hit]:
    """The one word without a flag is the model; vLLM ends with "unrecognized arguments" at a second one. In a list
    every word is an element of its own."""
    words = [item for item in case.items if item.kind == "positional"]
    if case.configuration.entry not in ("serve", "api_server"):
        return
    for number, item in enumerate(words):
        if item.known and item.written.startswith("-") and " " in item.written:
            yield Hit(item, f"{item.written!r} is one element of the list and two words", "make it two elements")
        elif item.known and number and not case.configuration.open:
            yield Hit(item, f"{item.written!r} belongs to no flag: the model is {words[0].written!r} already",
                      "leave it out, or quote the value that it is a part of")  # fmt: skip


@RULES.rule("DYN709", "warning", "--model after vllm serve", _FLEXIBLE)
def model_flag(case: Case) -> Iterator[Hit]:
    """It works, and vLLM logs that the option "will be removed in a future version"; the model comes first."""
    if (item := _model_after_serve(case)) and case.known.since(_MODEL_UNTIL):
        yield Hit(item, "--model after `vllm serve` will go: the model comes first", "write vllm serve MODEL")


@RULES.rule("DYN712", "error", "--model after vllm serve is refused", _FLEXIBLE)
def model_flag_refused(case: Case) -> Iterator[Hit]:
    """From 0.8.3 to 0.11.0 vLLM ends with "you should provide the model as a positional argument"; only
    `--model=NAME` slips through, and `python -m vllm.entrypoints.openai.api_server` takes both."""
    item = _model_after_serve(case)
    if item and case.known.since("0.8.3") and not case.known.since(_MODEL_UNTIL) and len(item.parts) > 1:
        yield Hit(item, f"--model after `vllm serve` is refused by vLLM {case.known.version}: the model comes first",
                  "write vllm serve MODEL")  # fmt: skip


def _model_after_serve(case: Case) -> Item | None:
    item = case.item("model")
    if item is None or item.kind != "flag" or case.configuration.entry != "serve":
        return None
    is_image = any(each.kind == "image" for each in case.items)
    return None if is_image or case.configuration.form != "shell" else item


@RULES.rule("DYN710", "warning", "Extra that does not exist", "METADATA of vLLM's wheels")
def no_such_extra(case: Case) -> Iterator[Hit]:
    """pip installs vLLM without it and only warns."""
    for item in case.items:
        if item.kind == "package" and (extras := item.name.partition("[")[2].partition("]")[0]):
            for extra in (each.strip() for each in extras.split(",")):
                if reason := _EXTRAS_GONE.get(extra):
                    yield Hit(item, f"vllm[{extra}]: {reason}", "write vllm")


@RULES.rule("DYN711", "error", "Not a part of vLLM's Python API", "vllm/entrypoints/llm.py of each release")
def no_such_attribute(case: Case) -> Iterator[Hit]:
    """The call ends with an AttributeError. LLM.get_metrics(), /metrics (vllm:cache_config_info) and the log of the
    start tell what people look for there."""
    for item in case.items:
        if item.kind == "attribute":
            yield Hit(item, f"{item.name} has never been a part of LLM", _REAL.get(item.name, "see LLM.get_metrics()"))


_REAL = {"get_memory_usage": "LLM.get_metrics(), or vllm:cache_config_info on /metrics",
         "attn_backend": "the log of the start says `Using ... attention backend`"}  # fmt: skip
