"""The matrix of a study as plain strings, the same for every medium: one row per configuration."""

from collections.abc import Callable

from dyno.study.outcome import Outcome, Row
from dyno.units import format_bytes, format_seconds
from dyno.verdict.limits import LimitCheck
from dyno.workload import Limit

NOTHING = "-"
WORDS = ("Candidate", "Limits", "State")  # columns that are no figures


_ALWAYS = ("Candidate", "Throughput tok/s", "State")


def number(value: float | None) -> str:
    """Three significant figures, thousands set apart; `-` for what was not measured."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def matrix_table(outcome: Outcome) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Headers and rows of the matrix, without columns that no row has anything in."""
    cells: dict[str, Callable[[Row], str]] = {
        "Candidate": lambda row: row.candidate.name,
        "Startup s": lambda row: number(figure(row, "startup", "ready_s")),
        "TTFT ms": lambda row: number(figure(row, "ttft", "ttft_ms.p50")),
        "Throughput tok/s": _throughput,
        "Long context ms": _long_context,
        "Prefix reuse ms, hits": _prefix_reuse,
        "Memory GiB": _memory,
        "KV tokens": lambda row: number(figure(row, "memory", "kv_cache_tokens")),
        "vs baseline": lambda row: _ratio(row) if len(outcome.rows) > 1 else NOTHING,
        "Limits": limits_text,
        "State": lambda row: state_text(row, outcome),
    }
    columns = {header: tuple(map(cell, outcome.rows)) for header, cell in cells.items()}
    shown = {header: column for header, column in columns.items() if header in _ALWAYS or {*column} - {NOTHING}}
    return tuple(shown), tuple(zip(*shown.values(), strict=True))


def figure(row: Row, scenario: str, name: str) -> float | None:
    """A figure of a row's scenario, None when it was not measured."""
    return row.metrics.get(scenario, {}).get(name)


def _ratio(row: Row) -> str:
    """Over all workloads; to another candidate where one is named."""
    if not row.ratio:
        return NOTHING
    return f"x{row.ratio:.2f}" + (f" of {row.candidate.against}" if row.candidate.against else "")


def _throughput(row: Row) -> str:
    """Tokens a second, and with how many clients where those follow from the limits."""
    rate, clients = (figure(row, "throughput", name) for name in ("output_throughput", "capacity_concurrency"))
    return number(rate) + (f" at {number(clients)}" if clients else "")


def _long_context(row: Row) -> str:
    """Time to the first token, with the length of the prompts: a candidate's `max_model_len` decides it."""
    tokens, completed = (figure(row, "long_context", name) for name in ("prompt_tokens", "completed"))
    length = f" at {tokens / completed / 1024:.3g}K" if tokens and completed else ""
    return number(figure(row, "long_context", "ttft_ms.p50")) + length


def _prefix_reuse(row: Row) -> str:
    ttft, hit_rate = figure(row, "prefix_reuse", "warm_ttft_ms"), figure(row, "prefix_reuse", "hit_rate")
    return number(ttft) if hit_rate is None else f"{number(ttft)}, {hit_rate:.0%}"


def _memory(row: Row) -> str:
    peak = figure(row, "memory", "device_peak_bytes") or figure(row, "memory", "rss_peak_bytes")
    return number(peak / 2**30 if peak else None)


def state_text(row: Row, outcome: Outcome) -> str:
    """What became of a row, in words."""
    if row.state == "pending":
        return "not finished" if row.metrics else "not run yet"
    if row.state != "complete":
        return f"{row.state}: {row.cause}" if row.cause else row.state
    told = ["recommended"] if is_recommended(row, outcome) else []
    if stays(outcome) and row.candidate == outcome.rows[0].candidate:
        told = ["nothing confirmed against it"]
    words = told + ["accuracy not tested"] * row.candidate.alters_output
    return ", ".join(words) or "measured"


def is_recommended(row: Row, outcome: Outcome) -> bool:
    """Whether this row is what the study tells to run; of a single one there is nothing to choose."""
    chosen = outcome.recommended is not None and outcome.recommended.candidate.name == row.candidate.name
    return chosen and len(outcome.rows) > 1 and not stays(outcome)


def stays(outcome: Outcome) -> bool:
    """Whether the baseline is told for want of a confirmation, which is no recommendation.

    One that was cut before it had two pairs has no interval, and says as little as none.
    """
    told = outcome.recommended.candidate.name if outcome.recommended else None
    open_yet = all(each is None or each.low is None for each in (outcome.verdict, *outcome.verdicts))
    return open_yet and len(outcome.rows) > 1 and told == outcome.rows[0].candidate.name


def compared(outcome: Outcome) -> tuple[str, ...]:
    """The baseline, the best that leaves the output unchanged and the best that may change it, as far as there are.

    The best of either kind is what is recommended, else what was confirmed, else what screened best.
    """
    changes = {row.candidate.name: row.candidate.alters_output for row in outcome.rows[1:]}
    screened = sorted((row for row in outcome.rows[1:] if row.ratio), key=lambda row: row.ratio or 0,
                      reverse=outcome.objective.higher_is_better)  # fmt: skip
    told = [outcome.recommended.candidate.name] if outcome.recommended else []
    told += [verdict.candidate for verdict in (outcome.verdict, *outcome.confirmed) if verdict]
    best: dict[bool, str] = {}
    for name in (*told, *(row.candidate.name for row in screened)):
        if name in changes:
            best.setdefault(changes[name], name)
    return (*(row.candidate.name for row in outcome.rows[:1]), *(best[kind] for kind in sorted(best)))


def limits_text(row: Row) -> str:
    """`kept` when every limit is, else each limit that is not."""
    if not row.checks or row.state != "complete":
        return NOTHING
    unkept = [f"{check_text(check)} ({bound_text(check.limit)})" for check in row.checks if not check.met]
    return "; ".join(unkept) or "kept"


def check_kind(check: LimitCheck) -> str:
    """`kept`, `missed` or `not measured`."""
    return "not measured" if check.met is None else "kept" if check.met else "missed"


def check_text(check: LimitCheck) -> str:
    """One limit against its row: `missed: ttft_p95 2,310 ms`."""
    value = "" if check.value is None else f" {in_unit(check.limit.name, check.value)}"
    return f"{check_kind(check)}: {check.limit.name}{value}"


def bound_text(limit: Limit) -> str:
    """A limit's bound in words: `at most 2,000 ms`."""
    return f"{limit.side} {in_unit(limit.name, limit.bound)}"


def in_unit(name: str, value: float) -> str:
    """A value of a limit or an objective with its unit."""
    if name in ("vram", "ram"):
        return format_bytes(value)
    if name == "ready":
        return format_seconds(value)
    if name == "accuracy_drop":
        return f"{value:.2%}"
    return f"{number(value)} {unit_of(name)}"


def unit_of(name: str) -> str:
    """The unit of a limit, an objective or a figure that is a plain number."""
    return {
        "output_throughput": "tok/s",
        "request_throughput": "req/s",
        "temperature": "°C",
        "speedup": "times the baseline",
    }.get(name, "ms")
