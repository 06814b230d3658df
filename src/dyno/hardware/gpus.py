"""Cards that need not be here, by name, and what the table knows of one that is: gpus.toml."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from dyno.errors import InputError, shown
from dyno.hardware.spec import Gpu

_MIB = 2**20
# What the driver keeps of a card for itself, so that CUDA sees less than nvidia-smi's total: 483 MiB on a 4090, 615 on
# an H200. A live card tells.
_RESERVED_BYTES = 500 * _MIB

# FLOP a clock and SM with FP32 accumulation, dense, 16 bits: GeForce half of the professional card of the same chip.
_BF16_PER_CLOCK: Mapping[tuple[int, bool], int] = {
    (8, False): 512, (8, True): 1024, (12, False): 512, (12, True): 1024, (9, True): 4096,
}  # fmt: skip
_A100_PER_CLOCK = 2048
_MOST_OFFERED = 4
_PROFESSIONAL = re.compile(r"^(L\d|A\d|H\d|B\d|RTX PRO|RTX A\d|RTX \d+ Ada)")


@dataclass(frozen=True, slots=True)
class Card:
    """A card as its maker sells it. None where nobody says; `derived` are the fields that follow the rule.

    `memory_bytes` is what nvidia-smi shows, `cuda_bytes` what CUDA sees of it. FLOP/s are dense, FP32-accumulated.
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    cuda_bytes: int = 0  # 0: what the driver's reserve leaves
    sm_count: int | None = None
    bandwidth_bytes_s: float | None = None
    l2_bytes: int | None = None
    bf16_flops: float | None = None
    fp8_flops: float | None = None
    int8_flops: float | None = None
    fp4_flops: float | None = None
    pcie: tuple[int, int] | None = None  # generation, lanes
    power_w: float | None = None
    power_steps: tuple[tuple[float, float], ...] = ()  # W, BF16 FLOP/s
    derived: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cuda_bytes:
            object.__setattr__(self, "cuda_bytes", self.memory_bytes - _RESERVED_BYTES)

    def at_power(self, limit_w: float | None) -> "Card":
        """The card held to a power limit, where the table has its steps; in between, in proportion."""
        if limit_w is None or not self.power_steps or not self.bf16_flops:
            return self
        share = _between(limit_w, self.power_steps) / self.bf16_flops
        scaled = {name: value * share for name in _FLOPS if (value := getattr(self, name)) is not None}
        return replace(self, **scaled, power_w=limit_w)


_FLOPS = ("bf16_flops", "fp8_flops", "int8_flops", "fp4_flops")


@dataclass(frozen=True, slots=True)
class Named:
    """The card that is meant by a name, and what is to be said of the choice where several could be meant."""

    card: Card
    choice: str = ""


def named_card(name: str, where: str = "--gpu") -> Named:
    """The card that people mean by a name, such as `4090` or NVML's own; case and separators do not matter.

    Of several that are called so, the one without an addition (the RTX 4090, not the RTX 4090 Laptop) or the first in
    the table. InputError, which begins with `where`, has the nearest names.
    """
    wanted = _key(name)
    if found := _lookup(name):
        others = [known for known in _table() if _key(known).startswith(wanted) and known != found.name]
        shorter = len(wanted) < len(_key(found.name)) and _key(found.name).startswith(wanted)
        if name.casefold() == found.name.casefold() or not (others or shorter):
            return Named(found)
        instead = f", not the {' or the '.join(others)}" if others else ""
        return Named(found, f"{name} is taken to be the {found.name}{instead}")
    alike = [known for known in _table() if len(wanted) > 1 and wanted in _key(known)]
    close = alike[:_MOST_OFFERED] or _nearest(name)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise InputError(f"{where}: {shown(name)} is not in the table{hint}; there are {', '.join(_table())}")


def find_card(name: str, where: str = "--gpu") -> Card:
    """The card alone. InputError as in `named_card`."""
    return named_card(name, where).card


def live_card(gpu: Gpu) -> Card:
    """A card that is here: what NVML says of it wins over the table.

    InputError for one that is not in the table and does not tell its memory or capability.
    """
    known = _lookup(gpu.name)
    total = gpu.memory_total_bytes or (known.memory_bytes if known else None)
    capability = gpu.capability or (known.capability if known else None)
    if total is None or capability is None:
        raise InputError(
            f"{gpu.name}: does not tell its memory or capability, and is not in the table; name one (--gpu)"
        )
    known = known or Card(gpu.name, capability, total)
    free, used = gpu.memory_free_bytes, gpu.memory_used_bytes
    seen = free + used if free is not None and used is not None else total - (known.memory_bytes - known.cuda_bytes)
    live = replace(known, capability=capability, memory_bytes=total, cuda_bytes=seen)
    return live.at_power(gpu.power_limit_w)


def _key(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|rtx|gpu|graphics|[^a-z0-9]", "", name.lower())


def _lookup(name: str) -> Card | None:
    wanted = _key(name)
    for known, facts in _table().items():
        if wanted and wanted in map(_key, (known, *facts.get("also", ()))):
            return _card(known, facts)
    return None


def _nearest(name: str) -> list[str]:
    from difflib import get_close_matches

    keys = {_key(known): known for known in _table()}
    return [keys[key] for key in get_close_matches(_key(name), keys, n=3, cutoff=0.5)]


@cache
def _table() -> Mapping[str, dict[str, Any]]:
    return tomllib.loads((files("dyno.hardware") / "gpus.toml").read_text(encoding="utf-8"))


def _card(name: str, facts: dict[str, Any]) -> Card:
    memory = facts["memory_mib"] * _MIB
    card = Card(
        name,
        tuple(facts["capability"]),
        memory,
        round(facts.get("cuda_mib", 0) * _MIB),
        facts.get("sm"),
        _scaled(facts.get("bandwidth"), 1e9),
        facts.get("l2_mib", 0) * _MIB or None,
        _scaled(facts.get("bf16"), 1e12),
        _scaled(facts.get("fp8"), 1e12),
        _scaled(facts.get("int8"), 1e12),
        _scaled(facts.get("fp4"), 1e12),
        pcie=tuple(facts["pcie"]) if "pcie" in facts else None,
        power_w=facts.get("power"),
        power_steps=tuple((watts, tflops * 1e12) for watts, tflops in facts.get("power_steps", ())),
    )
    return card if card.bf16_flops else _derive(card, facts.get("boost_mhz"))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def _derive(card: Card, boost_mhz: float | None) -> Card:
    """SM x clock x K, which reproduces every row that has both, data-centre Hopper at its tensor clock."""
    professional = bool(_PROFESSIONAL.match(card.name))
    per_clock = _A100_PER_CLOCK if card.capability == (8, 0) else _BF16_PER_CLOCK.get(
        (card.capability[0], professional))  # fmt: skip
    if per_clock is None or card.sm_count is None or boost_mhz is None:
        return card
    bf16 = card.sm_count * boost_mhz * 1e6 * per_clock
    has_fp8, has_fp4 = card.capability >= (8, 9), card.capability >= (10, 0)
    return replace(
        card,
        bf16_flops=bf16,
        fp8_flops=2 * bf16 if has_fp8 else None,
        int8_flops=bf16 * (2 if professional else 4),
        fp4_flops=bf16 * (4 if professional else 8) if has_fp4 else None,
        derived=_FLOPS,
    )


def _between(x: float, steps: tuple[tuple[float, float], ...]) -> float:
    """Linear between steps, flat beyond them."""
    if x <= steps[0][0]:
        return steps[0][1]
    for (left, low), (right, high) in pairwise(steps):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return steps[-1][1]
