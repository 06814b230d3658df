"""Cards that need not be here, by name: gpus.toml."""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files

from dyno.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Card:
    """A card as its maker sells it."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int


def find_card(name: str) -> Card:
    """The card that people mean by a name, such as `rtx4090`, `H200` or NVML's own. InputError has the nearest ones."""
    table = tomllib.loads((files("dyno.hardware") / "gpus.toml").read_text(encoding="utf-8"))
    wanted = _key(name)
    for known, facts in table.items():
        if wanted in map(_key, (known, *facts.get("also", ()))):
            return Card(known, tuple(facts["capability"]), facts["memory_mib"] * 2**20)
    raise InputError(f"--gpu: {name!r} is not in the table{nearest(name, list(table))}; there are {', '.join(table)}")


def _key(name: str) -> str:
    return re.sub(r"nvidia|geforce|gpu|graphics|[^a-z0-9]", "", name.lower())
