"""Speculative decoding: what drafts, and how many tokens at once."""

from collections.abc import Iterator, Mapping

from dyno.lint.case import Case, Change, Hit, Rules
from dyno.lint.source import UNKNOWN, Item, Value

RULES = Rules()
_SOURCE = "vllm/config/speculative.py"
_FLAGS = {"spec_model": "model", "spec_method": "method", "spec_tokens": "num_speculative_tokens"}
_WITHOUT_MODEL = ("ngram", "[ngram]", "ngram_gpu", "suffix", "extract_hidden_states", "dspark", "custom_class")
_NEVER_ASYNC = ("ngram", "suffix", "medusa", "mlp_speculator")
_OWN_DRAFT = ("deepseek", "mimo", "ernie", "next")  # architectures that draft for themselves


@RULES.rule("DYN414", "error", "Asynchronous scheduling with such speculation", "vllm/config/vllm.py: async_scheduling")
def async_and_speculation(case: Case) -> Iterator[Hit]:
    """Left alone, vLLM switches asynchronous scheduling off for n-gram, suffix and Medusa speculation; asked for, it
    refuses the two together."""
    item, (_, given) = case.item("async_scheduling"), _speculation(case)
    method = given.get("method")
    if item and case.value("async_scheduling") is True and method in _NEVER_ASYNC:
        yield Hit(
            item, f"{item.written} is refused with speculation by {method}", "leave it out: vLLM decides", Change(item)
        )


@RULES.rule("DYN415", "error", "How many tokens to guess", _SOURCE)
def tokens_to_guess(case: Case) -> Iterator[Hit]:
    """Only a draft model may bring a number of its own; without one vLLM ends with "num_speculative_tokens must be
    provided"."""
    item, given = _speculation(case)
    if item is None or given.get("num_speculative_tokens") is not None or given.get("method") in (UNKNOWN, "suffix"):
        return
    if given.get("model") is None or given.get("method") in ("ngram", "ngram_gpu"):
        yield Hit(item, f"{item.written} does not say how many tokens to guess", 'add "num_speculative_tokens": 4')


@RULES.rule("DYN417", "error", "Nothing to guess with", _SOURCE)
def nothing_drafts(case: Case) -> Iterator[Hit]:
    """A number of tokens needs a draft model, or a method that works without one (ngram, suffix, the model's own MTP
    layers); else vLLM ends with "num_speculative_tokens was provided but without speculative model"."""
    item, given = _speculation(case)
    method = given.get("method")
    if item is None or given.get("num_speculative_tokens") is None or given.get("model") is not None:
        return
    if method is UNKNOWN or method in _WITHOUT_MODEL or str(method).endswith("mtp") or _drafts_itself(case):
        return
    yield Hit(item, f"{item.written} names neither a draft model nor a method that works without one",
              'add "model": ..., or "method": "ngram"')  # fmt: skip


def _drafts_itself(case: Case) -> bool:
    """Until 0.11 a model with MTP layers of its own needed no method; which models have them is not always known."""
    if case.known.since("0.12.0"):
        return False
    architecture = case.model.architecture if case.model else None
    return architecture is None or any(name in architecture.lower() for name in _OWN_DRAFT)


def _speculation(case: Case) -> tuple[Item | None, Mapping[str, Value]]:
    """What is said of speculation, by one JSON or by flags of their own, and where; no item when it cannot be read."""
    own = {key: case.value(name) for name, key in _FLAGS.items() if (item := case.item(name)) and case.flag(item)}
    items = [item for name in ("speculative_config", *_FLAGS) if (item := case.item(name)) and case.flag(item)]
    whole = case.whole("speculative_config")
    if whole is None or not items or not case.closed:
        return None, own
    return items[0], {**whole, **own}
