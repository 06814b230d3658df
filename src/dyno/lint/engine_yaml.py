"""vLLM's own `--config` files, and mappings in other YAML that hold its keywords."""

from collections.abc import Collection, Sequence
from typing import Any

from dyno.lint.source import Configuration, Entry, Item, Source
from dyno.lint.yaml_nodes import pairs, place, value_of, walk


def read_engine_yaml(source: Source, roots: Sequence[Any], known: Collection[str]) -> list[Configuration]:
    """A `--config` file when the top level has vLLM's flags; else every mapping that has at least two of them.

    `known` are the names of flags of all releases, with underscores.
    """
    found = []
    for root in roots:
        if _vllm_keys(root, known) >= 1 and all(value.id != "mapping" or _name(key) in known
                                                for key, value in pairs(root).values()):  # fmt: skip
            found.append(_configuration("yaml", source, root))
            continue
        found += [_configuration("mapping", source, node) for node in walk(root) if _vllm_keys(node, known) >= 2]
    return [each for each in found if each.items]


def looks_like_keywords(names: Collection[str], known: Collection[str]) -> bool:
    """Whether a mapping's keys are vLLM's: two of them, one a word that no other tool uses."""
    ours = {plain for name in names if (plain := name.replace("-", "_").removeprefix("no_")) in known}
    if "num_speculative_tokens" in ours and "speculative_model" not in ours:
        return False  # a --speculative-config, whose keys are others
    return len(ours) >= 2 and bool({name for name in ours if "_" in name} - _COMMON)


# Names that vLLM shares with requests, training scripts and other servers.
_COMMON = {"chat_template", "response_role", "log_level", "root_path", "api_key", "model_name", "max_tokens"}


def _vllm_keys(node: Any, known: Collection[str]) -> int:  # noqa: ANN401
    names = [_name(key).removeprefix("no_") for key, _ in pairs(node).values()]
    ours = looks_like_keywords(names, known) or _alone(names, known)
    return len({name for name in names if name in known}) if ours else 0


def _alone(names: Sequence[str], known: Collection[str]) -> bool:
    """A `--config` file may hold one flag alone."""
    return len(names) == 1 and names[0] in known and "_" in names[0] and names[0] not in _COMMON


def _name(key: Any) -> str:  # noqa: ANN401
    return str(key.value).replace("-", "_")


def _configuration(entry: Entry, source: Source, node: Any) -> Configuration:  # noqa: ANN401
    items = []
    for key, value in node.value:
        if key.id != "scalar":
            continue
        name, last = place(source, key), place(source, value)
        parts = (name, last) if last[0] >= name[1] else (name,)
        items.append(Item("key", str(key.value), _name(key), value_of(value), parts, "yaml"))
    start, end = place(source, node)
    return Configuration(entry, "yaml", start, end, (), tuple(items))
