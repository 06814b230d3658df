"""Quantities as people write them, read into SI numbers and back."""

import math
import re
from collections.abc import Mapping

_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-z%°/]*)\s*")

_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "m": 60.0, "min": 60.0, "h": 3600.0}


def _parse(text: str | float, scale: Mapping[str, float], what: str) -> float:
    match = None if isinstance(text, bool) else _QUANTITY.fullmatch(str(text))
    sizes = {unit.casefold(): size for unit, size in scale.items()}
    if not match or match[2].casefold() not in sizes:
        raise ValueError(f"{text!r} is not {what} (units: {', '.join(unit for unit in scale if unit)})")
    amount = float(match[1]) * sizes[match[2].casefold()]
    if not math.isfinite(amount):
        raise ValueError(f"{str(text)[:20]!r}... is too large")
    return amount


def parse_bytes(text: str | float) -> int:
    """`11 GiB`, `500 MB` or a bare number of bytes. ValueError for anything else."""
    return round(_parse(text, _BYTES, "an amount of memory such as '11 GiB'"))


def parse_seconds(text: str | float) -> float:
    """`2 s`, `350 ms`, `40m`, `1 h` or a bare number of seconds. ValueError for anything else."""
    return _parse(text, _SECONDS, "a duration such as '2 s' or '40m'")


def parse_celsius(text: str | float) -> float:
    """`82 C` or a bare number. ValueError for anything else."""
    return _parse(text, {"": 1.0, "C": 1.0, "°C": 1.0}, "a temperature such as '82 C'")


def parse_rate(text: str | float) -> float:
    """`250`, `250 tok/s` or `4 req/s`. ValueError for anything else."""
    return _parse(text, dict.fromkeys(("", "tok/s", "tokens/s", "req/s", "requests/s"), 1.0), "a rate such as 250")


def parse_times(text: str | float) -> float:
    """`1.5x` or `1.5`. ValueError for anything else."""
    return _parse(text, {"": 1.0, "x": 1.0}, "a ratio such as '1.5x'")


def parse_fraction(text: str | float) -> float:
    """`2 %` or `0.02`. ValueError for anything else."""
    return _parse(text, {"": 1.0, "%": 0.01}, "a share such as '2 %'")


def format_bytes(amount: float) -> str:
    """Three significant figures with a binary unit."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if amount >= size:
            return f"{amount / size:.3g} {unit}" if amount < 1000 * size else f"{amount / size:.0f} {unit}"
    return f"{amount:.0f} B"


def format_seconds(seconds: float) -> str:
    """`850 ms`, `12.3 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_figure(value: float) -> str:
    """Three digits, or all before the point: `3.48`, `27.6`, `1,414`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
