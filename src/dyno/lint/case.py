"""What rules look at, and what they say."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dyno.engine.catalog import Flag, read_value
from dyno.hardware.gpus import Card
from dyno.lint.known import Known
from dyno.lint.source import UNKNOWN, Configuration, Item, Kind, Value

Severity = Literal["error", "warning", "note"]
SETTINGS = ("flag", "keyword", "key")  # the kinds that set an engine argument


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fix writes: a flag (or keyword, or key, by where it goes) or a variable."""

    name: str
    value: Value
    kind: Kind = "flag"


@dataclass(frozen=True, slots=True)
class Change:
    """What a fix does: `old` goes and `new` stands in its place."""

    old: Item
    new: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule found at one item. Without `change` a person has to decide."""

    item: Item
    message: str
    remedy: str
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a rule may know of the model."""

    name: str
    architecture: str | None = None
    max_model_len: int | None = None
    quantization: str | None = None  # None: not quantized
    num_attention_heads: int | None = None
    num_experts: int | None = None  # 0: not a mixture of experts

    @property
    def is_text_only(self) -> bool:
        """Whether it certainly takes nothing but text."""
        return (self.architecture or "").endswith("ForCausalLM")


@dataclass(frozen=True)
class Case:
    """One configuration against one release, on a card and with a model when these are known."""

    configuration: Configuration
    items: tuple[Item, ...]
    known: Known
    card: Card | None = None
    model: ModelFacts | None = None
    platform: str | None = None  # "cpu", "cuda"; None when nobody said

    @cached_property
    def settings(self) -> tuple[Item, ...]:
        """The items that set an engine argument."""
        return tuple(item for item in self.items if item.kind in SETTINGS)

    @cached_property
    def variables(self) -> Mapping[str, Item]:
        return {item.name: item for item in self.items if item.kind == "variable"}

    @cached_property
    def _last(self) -> Mapping[str, Item]:
        return {item.name: item for item in self.settings}

    def item(self, name: str) -> Item | None:
        """Where an argument is set, or the JSON with a key of it (`eplb_config.policy`); the last one holds."""
        return self._last.get(name.partition(".")[0])

    def flag(self, item: Item) -> Flag | None:
        """What this release has under the name of an item."""
        if item.kind == "flag":
            match = self.known.find(item.written)
            return match.flag if match else None
        return self.known.flag(item.name)

    def value(self, name: str) -> Value:
        """What an argument or a key is set to, as its own type; None when not set, UNKNOWN when it cannot be read."""
        flag, dot, key = name.partition(".")
        if dot:
            whole = self.whole(flag)
            return UNKNOWN if whole is None else whole.get(key)
        item = self.item(name)
        return None if item is None else self.typed(item)

    def whole(self, name: str) -> Mapping[str, Value] | None:
        """The JSON object that an argument is set to, its dotted keys put together; None when it cannot be read."""
        dotted: dict[str, Value] = {}
        for item in self.settings:
            if item.name == name and "." in item.written and isinstance(item.value, Mapping):
                for path, value in item.value.items():
                    key, dot, _ = path.partition(".")
                    dotted[key] = UNKNOWN if dot else _read(value)
        value = self.value(name)
        return dotted or (value if isinstance(value, Mapping) else {} if value is None else None)

    def typed(self, item: Item) -> Value:
        """The value of an item as its flag's type has it."""
        if not item.known:
            return UNKNOWN
        flag = self.flag(item)
        if item.kind != "flag" or flag is None:
            return item.value
        if flag.kind == "switch":
            match = self.known.find(item.written)
            return UNKNOWN if item.given else not (match and match.negated)
        if not isinstance(item.value, str):
            return item.value
        try:
            value = read_value(flag, item.value)
        except ValueError:
            return UNKNOWN
        return json.loads(value) if flag.kind == "json" and isinstance(value, str) and value != "None" else value

    def is_on(self, name: str) -> bool:
        """Whether an argument is given and not switched off."""
        value = self.value(name)
        return self.item(name) is not None and value is not None and value is not False

    def is_built(self, flag: Flag) -> bool:
        """Whether vLLM makes the class that checks a flag: without LoRA or images it does not."""
        if flag.group == "LoRAConfig":
            return not self.closed or self.is_on("enable_lora")
        return flag.group != "MultiModalConfig" or self.model is None or not self.model.is_text_only

    @cached_property
    def closed(self) -> bool:
        """Whether all of the configuration is seen: no `$ARGS`, no `**kwargs`, no excerpt."""
        whole = self.configuration.entry in ("serve", "api_server", "LLM", "EngineArgs", "AsyncEngineArgs", "yaml")
        opened = any(item.kind == "positional" and not item.known for item in self.items[1:])
        return whole and not self.configuration.open and not opened

    @cached_property
    def backend(self) -> Value:
        """The attention backend that is asked for, by flag or by variable."""
        variable = self.variables.get("VLLM_ATTENTION_BACKEND")
        by_variable = variable.value if variable and "VLLM_ATTENTION_BACKEND" in (self.known.variables or ()) else None
        return self.value("attention_backend") if self.item("attention_backend") else by_variable

    @cached_property
    def model_name(self) -> str | None:
        """The model as it is written, None where nobody can know."""
        item = self.item("model") or next((each for each in self.items if each.kind == "positional"), None)
        return item.value if item and isinstance(item.value, str) else None

    @cached_property
    def weights(self) -> str | None:
        """How the weights are quantized: as asked for, as the model's config says, or as its name does."""
        asked = self.value("quantization")
        if isinstance(asked, str):
            return asked
        if self.model is not None:
            return self.model.quantization
        name = (self.model_name or "").lower()
        return next((method for method in ("fp8", "awq", "gptq") if method in re.split(r"[^a-z0-9]", name)), None)


def _read(value: Value) -> Value:
    """A word after a dotted key, as vLLM reads it: JSON where it is that."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


Check = Callable[[Case], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One code. `why` is what `--explain` says, `source` is where it can be checked."""

    code: str
    severity: Severity
    title: str
    why: str
    source: str
    check: Check


@dataclass(slots=True)
class Rules:
    """The rules of one module, in the order they are written."""

    all: list[Rule] = field(default_factory=list)

    def rule(self, code: str, severity: Severity, title: str, source: str) -> Callable[[Check], Check]:
        """Makes a rule of a function; its docstring is the explanation."""

        def register(check: Check) -> Check:
            why = " ".join((check.__doc__ or "").split())
            self.all.append(Rule(code, severity, title, why, source, check))
            return check

        return register
