"""Tables beside the matrix, the same for every medium: one for each of the longer tests that was taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

from dyno.report.matrix import NOTHING, bound_text, compared, in_unit, number
from dyno.report.wording import within_text
from dyno.study.outcome import Outcome, Row
from dyno.units import format_bytes, format_seconds
from dyno.verdict.decision import Decision
from dyno.workload import LATENCIES, STATISTICS, figure_of

Figures = Mapping[str, float | None]
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows of plain text; the first column holds names. The caption explains the words."""

    title: str
    caption: str
    headers: Cells
    rows: tuple[Cells, ...]
    words: Cells = ("Candidate",)  # headers of columns that are no figures


def decision_table(made: Decision) -> Table:
    """The weighted matrix: a criterion a column, its weight in the header."""
    headers = ("Candidate", *(f"{each.name}, {each.weight:.0%}" for each in made.criteria), "Total of 100")
    rows = [(option.name, *(NOTHING if score is None else f"{score:.0f}" for score in option.scores),
             NOTHING if option.total is None else f"{option.total:.1f}") for option in made.options]  # fmt: skip
    unmeasured = [each.name for each in made.criteria if not each.measured]
    caption = "Scores come from measurements alone: 100 is the best that was measured, others keep their ratio to it."
    if unmeasured:
        caption += f" Nobody measured {', '.join(unmeasured)}: no score, and no weight."
    if made.lead is not None:
        caption += (f" {made.options[0].name} leads {made.options[1].name} by {made.lead:.1f} points: a rank by single "
                    "launches, no verdict.")  # fmt: skip
    return Table("Decision matrix", caption, headers, tuple(rows))


def tables(outcome: Outcome) -> dict[str, Table]:
    """Tables by the test they are of, only those that hold something."""
    made = {"throughput": _throughput(outcome), "concurrency": _concurrency(outcome), "context": _context(outcome),
            "sustained": _sustained(outcome), "soak": _soak(outcome)}  # fmt: skip
    return {test: without_empty(table) for test, table in made.items() if table.rows}


def without_empty(table: Table) -> Table:
    """The table without columns that no row has anything in."""
    kept = [place for place, cells in enumerate(zip(*table.rows, strict=True)) if {*cells} - {NOTHING}]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return replace(table, headers=tuple(table.headers[place] for place in kept), rows=rows)


def _taken(outcome: Outcome, test: str) -> Sequence[tuple[Row, Figures]]:
    return [(row, figures) for row in outcome.rows if (figures := row.metrics.get(test))]


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def _three(figures: Figures, latency: str) -> str:
    return "/".join(number(figures.get(f"{latency}_ms.{percentile}")) for percentile in ("p50", "p95", "p99"))


def _capacity(value: float | None) -> str:
    return "none" if value == 0 else number(value)


def _throughput(outcome: Outcome) -> Table:
    names = compared(outcome)
    taken = [(row, figures) for row, figures in _taken(outcome, "throughput") if row.candidate.name in names]
    rows = [(row.candidate.name, latency.upper(),
             *(number(figures.get(figure_of(f"{latency}_{statistic}"))) for statistic in STATISTICS))
            for row, figures in taken for latency in LATENCIES]  # fmt: skip
    load = outcome.workload
    within = within_text(outcome)
    how = f"with as many clients as keep {within}" if within else f"{load.concurrency} at a time"
    caption = (f"Requests of {load.input_len} tokens in and {load.output_len} out, {how}. TTFT is the time to the "
               "first token, TPOT that per token after it, ITL that between tokens, E2EL that to the whole answer; in "
               "ms.")  # fmt: skip
    headers = ("Candidate", "Latency", *STATISTICS)
    return Table("Under the workload's own load", caption, headers,
                 tuple(line for line in rows if {*line[2:]} - {NOTHING}), headers[:2])  # fmt: skip


def _searched(outcome: Outcome) -> Sequence[tuple[Row, Figures]]:
    """The search for the concurrency at the limits: a test of its own, or how throughput was taken."""
    return _taken(outcome, "concurrency") or [(row, figures) for row, figures in _taken(outcome, "throughput")
                                              if "capacity_concurrency" in figures]  # fmt: skip


def _concurrency(outcome: Outcome) -> Table:
    headers = ("Candidate", "Clients within limits", "tok/s there", "Knee, clients", "tok/s there",
               "TTFT p50/p95/p99 ms", "TPOT p50/p95/p99 ms", "KV use", "Queue ms", "Prefill ms",
               "Queue efficiency")  # fmt: skip
    rows = [(row.candidate.name, _capacity(figures.get("capacity_concurrency")),
             number(figures.get("capacity_output_throughput")), number(figures.get("knee_concurrency")),
             number(figures.get("knee_output_throughput")), _three(figures, "ttft"), _three(figures, "tpot"),
             _share(figures.get("kv_usage_peak")), number(figures.get("queue_ms")), number(figures.get("prefill_ms")),
             _share(figures.get("queue_efficiency"))) for row, figures in _searched(outcome)]  # fmt: skip
    caption = ("The largest number of clients at a time that keeps the latency limits, and the knee, beyond which more "
               "clients bring little more. Latencies, KV use and queue are those at that number of clients, without "
               "limits at the knee. Queue efficiency is prefill / (queue + prefill): at 100% no request waits to be "
               "scheduled.")  # fmt: skip
    return Table("How many clients at a time", caption, headers, tuple(rows))


def _context(outcome: Outcome) -> Table:
    taken = _taken(outcome, "context")
    lengths = sorted({int(name.partition(".")[0]) for _, figures in taken for name in figures if name[0].isdigit()})
    shown = {"TTFT ms": ("ttft_ms", number), "TPOT ms": ("tpot_ms", number)}
    if all(figures.get(f"{length}.kv_usage") for _, figures in taken for length in lengths):  # 0: read at other moments
        shown["KV use"] = ("kv_usage", _share)
    rows = [(row.candidate.name, label, *(show(figures.get(f"{length}.{name}")) for length in lengths))
            for row, figures in taken for label, (name, show) in shown.items()]  # fmt: skip
    headers = ("Candidate", "Figure", *(f"{length / 1024:.3g}K" for length in lengths))
    usage = "; KV use is the highest share of the cache" * ("KV use" in shown)
    return Table("How long a prompt", f"By tokens in a prompt, one request at a time, the middle of three{usage}.",
                 headers, tuple(rows), headers[:2])  # fmt: skip


def limits_table(outcome: Outcome) -> Table:
    """What was measured of every limit, for each configuration that has all its figures."""
    checks = outcome.rows[0].checks if outcome.rows else ()
    headers = ("Candidate", *(f"{check.limit.name}, {bound_text(check.limit)}" for check in checks))
    told = [row for row in outcome.rows if checks and row.state == "complete"]
    rows = [(row.candidate.name, *(NOTHING if check.value is None else in_unit(check.limit.name, check.value)
                                   for check in row.checks)) for row in told]  # fmt: skip
    return Table("Measured against the limits", "Of several workloads the worst.", headers, tuple(rows))


def _sustained(outcome: Outcome) -> Table:
    rows = []
    for row, figures in _taken(outcome, "sustained"):
        change, peak = figures.get("change_s"), figures.get("temperature_peak_c")
        rows.append((row.candidate.name, number(figures.get("burst_throughput")),
                     number(figures.get("sustained_throughput")), _share(figures.get("sustained_share")),
                     "none" if change is None else format_seconds(change),
                     NOTHING if peak is None else f"{peak:.0f} °C"))  # fmt: skip
    headers = ("Candidate", "Burst tok/s", "Sustained tok/s", "Sustained / burst", "Change after", "Hottest")
    return Table("How fast for how long", "Burst is what comes before a lasting fall of the throughput; without one "
                 "there is no burst.", headers, tuple(rows))  # fmt: skip


def _soak(outcome: Outcome) -> Table:
    rows = []
    for row, figures in _taken(outcome, "soak"):
        duration, memory = figures.get("duration_s"), figures.get("rss_peak_bytes")
        rows.append((row.candidate.name, NOTHING if duration is None else format_seconds(duration),
                     number(figures.get("completed")), number(figures.get("failed")),
                     number(figures.get("output_throughput")), NOTHING if memory is None else format_bytes(memory),
                     *(_growth(figures, gauge) for gauge in ("rss_bytes", "device_bytes"))))  # fmt: skip
    headers = ("Candidate", "Under load", "Answered", "Failed", "tok/s", "Most host memory", "Host memory",
               "Card memory")  # fmt: skip
    return Table("Does it leak", "Memory of the engine while it works: the slope after the warm-up with its 99 % "
                 "interval. It leaks when the whole interval is above 0. In less than ten minutes most of it is still "
                 "warm-up.", headers, tuple(rows), ("Candidate", *headers[-2:]))  # fmt: skip


def _growth(figures: Figures, gauge: str) -> str:
    return growth_text(*leak(figures, gauge)) if f"{gauge}_per_h.slope" in figures else NOTHING


def leak(figures: Figures, gauge: str) -> tuple[float, float, float]:
    """Slope of a gauge and its interval, MiB an hour; NaN where there were too few readings."""
    told = [figures.get(f"{gauge}_per_h.{part}") for part in ("slope", "low", "high")]
    slope, low, high = (nan if value is None else value / 2**20 for value in told)
    return slope, low, high


def growth_text(slope: float, low: float, high: float) -> str:
    """What a slope in MiB an hour says, with its interval."""
    if isnan(slope):
        return "too few readings for a slope"
    what = "it grows" if low > 0 else "it shrinks" if high < 0 else "no growth can be told from none"
    return f"{what}: {slope:+.3g} MiB an hour [{low:+.3g}, {high:+.3g}]"
