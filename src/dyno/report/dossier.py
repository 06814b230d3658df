"""What studies of one machine say together, as tables in markdown: for evidence that is kept with a project.

Everything is derived from the studies' journals; the same studies make the same text.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from dyno.bench.reconcile import agrees, difference
from dyno.report.findings import audit_sentence
from dyno.report.launches import cut_short
from dyno.report.markdown import markdown_table
from dyno.report.matrix import NOTHING, figure, number, state_text
from dyno.report.tables import Cells, Table, tables, without_empty
from dyno.report.workloads import confirmed_table
from dyno.study.outcome import Outcome, Row
from dyno.study.pairs import mean_figure, screened
from dyno.study.space import BASELINE
from dyno.study.spent import spent
from dyno.study.trial import Step
from dyno.units import format_seconds
from dyno.verdict.compare import half_width

LENGTHS = (8192, 16384, 32768)
LEAST_FREEDOM = 3  # below that, an interval says nothing


@dataclass(frozen=True, slots=True)
class Worth:
    """A ratio to the baseline (or what is named instead) with its 95 % interval, and the launches on both sides."""

    ratio: float
    low: float | None
    high: float | None
    ours: int
    theirs: int


def setting_table(outcomes: Sequence[Outcome]) -> str:
    """What was measured, where, and what it cost."""
    headers = ("Study", "Model", "Engine", "Machine", "Blocks", "Launches", "Cut short", "Warming", "Starting",
               "Measuring", "Share measuring")  # fmt: skip
    rows, all_s = [], [0.0, 0.0, 0.0]
    for outcome in outcomes:
        made = spent(outcome.steps)
        seconds = (made.warming_s, made.starting_s, made.measuring_s)
        all_s = [before + more for before, more in zip(all_s, seconds, strict=True)]
        launches = len({step.launch for step in outcome.steps if step.phase != "warm"})
        times = map(format_seconds, seconds)
        rows.append((outcome.study, outcome.model, outcome.engine, outcome.machine.kind, str(outcome.blocks),
                     str(launches), str(cut_short(outcome)), *times, f"{made.measuring_share or 0:.0%}"))  # fmt: skip
    total_s = sum(all_s)
    if len(outcomes) > 1 and total_s:
        rows.append((f"all, {format_seconds(total_s)}", *[""] * 6, *map(format_seconds, all_s),
                     f"{all_s[-1] / total_s:.0%}"))  # fmt: skip
    return markdown_table(headers, rows, headers[:4])


def seed_matrix(outcome: Outcome) -> str:
    """The six tests for every configuration."""
    lengths = [length for length in LENGTHS if any(figure(row, "context", f"{length}.ttft_ms") for row in outcome.rows)]
    headers = ("Config", "1: ready s", "2: TTFT ms", "3: tok/s", *(f"4: TTFT ms at {length // 1024}K"
               for length in lengths), "4: tok/s at the longest", "5: repeated prefix ms, hits",
               "6: card GiB", "6: KV tokens", "vs baseline", "State")  # fmt: skip
    made = Table(
        "", "", headers, tuple(_tests(row, outcome, lengths) for row in outcome.rows), headers[:: len(headers) - 1]
    )
    made = without_empty(made)
    return markdown_table(made.headers, made.rows, made.words)


def _tests(row: Row, outcome: Outcome, lengths: Sequence[int]) -> Cells:
    hits = figure(row, "prefix_reuse", "hit_rate")
    cold, warm = (figure(row, "prefix_reuse", name) for name in ("cold_ttft_ms", "warm_ttft_ms"))
    tpot = figure(row, "context", f"{lengths[-1]}.tpot_ms") if lengths else None
    memory = figure(row, "memory", "device_peak_bytes") or figure(row, "memory", "rss_peak_bytes")
    return (row.candidate.name, number(figure(row, "startup", "ready_s")), number(figure(row, "ttft", "ttft_ms.p50")),
            number(figure(row, "throughput", "output_throughput")),
            *(number(figure(row, "context", f"{length}.ttft_ms")) for length in lengths),
            number(1000 / tpot if tpot else None),
            f"{number(cold)} to {number(warm)}" + (f", {hits:.0%}" if hits is not None else "") if warm else NOTHING,
            number(memory / 2**30 if memory else None), number(figure(row, "memory", "kv_cache_tokens")),
            f"x{row.ratio:.3f}" if row.ratio else NOTHING, state_text(row, outcome))  # fmt: skip


def long_table(outcome: Outcome, test: str) -> str:
    """The table of a test that takes long, `concurrency`, `sustained` or `soak`; "" where it was not taken."""
    made = tables(outcome).get(test)
    return "" if made is None else f"{made.caption}\n\n{markdown_table(made.headers, made.rows, made.words)}"


def rounds_table(outcome: Outcome) -> str:
    """Every verdict of the rounds."""
    made = confirmed_table(outcome)
    return "" if not made.rows else f"{made.caption}\n\n{markdown_table(made.headers, made.rows, made.words)}"


def worth_table(outcome: Outcome, outcomes: Sequence[Outcome] = ()) -> str:
    """What each change is worth under each workload, from single launches and the spread between launches.

    The spread is taken from all `outcomes`, which are studies on the same kind of machine, as far as they put the same
    load on the same model. "cold" are launches that compiled what they ran: their KV cache is a little smaller.
    """
    tests = list(outcome.loads)
    headers = ("Change", "Against", *(outcome.loads[test].name for test in tests), *(["all"] if len(tests) > 1 else []),
               "Launches", "Output")  # fmt: skip
    rows = []
    for row in outcome.rows[1:]:
        found = [worth(row, (test,), outcome, outcomes) for test in tests]
        found += [worth(row, tuple(tests), outcome, outcomes)] * (len(tests) > 1)
        counts = [f"{each.ours} and {each.theirs}" for each in found if each]
        cold = ", cold" if _compiled(row.candidate.name, outcome) else ""
        rows.append((row.candidate.name, row.candidate.against or BASELINE, *map(_worth_cell, found),
                     counts[0] + cold if counts else state_text(row, outcome),
                     "may change" if row.candidate.alters_output else "unchanged"))  # fmt: skip
    return markdown_table(headers, rows, ("Change", "Against", "Launches", "Output")) if rows else ""


def _compiled(name: str, outcome: Outcome) -> bool:
    """Whether a screened launch of a configuration found some of its code not yet compiled."""
    return any(step.facts is not None and step.facts.compile_cached is False
               for step in outcome.steps if step.phase == "screen" and step.candidate == name)  # fmt: skip


def _worth_cell(made: Worth | None) -> str:
    if made is None:
        return NOTHING
    return f"x{made.ratio:.3f}" + (f" [{made.low:.3f}, {made.high:.3f}]" if made.low and made.high else "")


def worth(row: Row, tests: Sequence[str], outcome: Outcome, outcomes: Sequence[Outcome] = ()) -> Worth | None:
    """The ratio of screening; its interval is from the spread between launches of one configuration in one block."""
    ranked = screened(outcome.steps, outcome.loads)
    alike = [each for each in outcomes or (outcome,) if each.model == outcome.model
             and all(each.loads.get(test) == outcome.loads.get(test) for test in tests)]  # fmt: skip
    spread, freedom = launch_spread(alike, tests)
    for block in sorted({step.block for step in ranked}, reverse=True):
        sides = [_figures([step for step in ranked if step.block == block and step.candidate == name], outcome, tests)
                 for name in (row.candidate.name, row.candidate.against or BASELINE)]  # fmt: skip
        if not all(sides):
            continue
        ours, theirs = sides
        middle = fmean(map(math.log, ours)) - fmean(map(math.log, theirs))
        if freedom < LEAST_FREEDOM:
            return Worth(math.exp(middle), None, None, len(ours), len(theirs))
        half = half_width(spread * math.sqrt((freedom + 1) * (1 / len(ours) + 1 / len(theirs))), freedom + 1)
        return Worth(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(ours), len(theirs))
    return None


def launch_spread(outcomes: Sequence[Outcome], tests: Sequence[str]) -> tuple[float, int]:
    """The standard deviation of a launch's log figure, pooled over configurations and blocks; degrees of freedom."""
    several = []
    for outcome in outcomes:
        groups: dict[tuple[int, str], list[Step]] = {}
        for step in outcome.steps:
            if step.phase != "warm":
                groups.setdefault((step.block, step.candidate), []).append(step)
        logs = [[math.log(value) for value in _figures(steps, outcome, tests)] for steps in groups.values()]
        several += [values for values in logs if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * stdev(values) ** 2 for values in several)
    return math.sqrt(squares / freedom) if freedom else 0.0, freedom


def _figures(steps: Sequence[Step], outcome: Outcome, tests: Sequence[str]) -> list[float]:
    """The figure of each launch, over the tests in geometric mean."""
    launches = sorted({step.launch for step in steps})
    found = (mean_figure([step for step in steps if step.launch == launch], outcome.objective, tests)
             for launch in launches)  # fmt: skip
    return [value for value in found if value]


def audit_table(outcomes: Sequence[Outcome]) -> str:
    """How the client's latencies stand to vLLM's own over the same requests, and what the audit says, by test."""
    headers = ("Study", "Test", "Runs", "Void", "Compared", "Agree", "Worst TTFT mean, client less server ms",
               "of it before vLLM's clock starts", "after it stops", "Worst ITL mean, client over server",
               "Worst throughput")  # fmt: skip
    rows = [_audited(outcome, test) for outcome in outcomes for test in _tests_of(outcome)]
    told = "\n".join(f"- {outcome.study}: {audit_sentence(outcome)}" for outcome in outcomes)
    return f"{markdown_table(headers, rows, headers[:2])}\n\n{told}"


def _tests_of(outcome: Outcome) -> Iterator[str]:
    taken = {step.scenario for step in outcome.steps if step.figures}
    yield from sorted(taken - {"startup", "memory"})


def _audited(outcome: Outcome, test: str) -> Cells:
    steps = [step for step in outcome.steps if step.scenario == test and step.figures]
    valid = [step for step in steps if step.state == "complete"]
    told = [answer for step in valid if (answer := agrees(step.figures)) is not None]
    firsts = [first_token(step.figures) for step in valid]
    first = max(firsts, key=lambda parts: abs(parts[0] or 0), default=(None, None, None))
    gaps = _farthest(step.figures.get("reconcile.itl_mean_ratio") for step in valid)
    rates = _farthest(throughput_ratio(step.figures) for step in valid)
    return (outcome.study, test, str(len(steps)), str(sum(step.state == "void" for step in steps)), str(len(told)),
            str(sum(told)), *map(number, first), gaps, rates)  # fmt: skip


def _farthest(ratios: Iterable[float | None]) -> str:
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{max(known, key=lambda ratio: abs(ratio - 1)):.4f}" if known else NOTHING


def throughput_ratio(figures: Mapping[str, float | None]) -> float | None:
    """Output tokens over the time that requests were under way: by the client's clock, over that by vLLM's.

    The tokens are the same, as a run is void where the two count differently.
    """
    ratio = figures.get("reconcile.e2el_mean_ratio")
    return 1 / ratio if ratio else None


def first_token(figures: Mapping[str, float | None]) -> tuple[float | None, float | None, float | None]:
    """How much later than vLLM the client has first tokens, in ms: all, and before its clock starts and after it stops.

    An answer's end has only the time before.
    """
    ttft, e2el = (difference(figures, name) for name in ("ttft", "e2el"))
    if ttft is None or e2el is None:
        return (None if ttft is None else ttft.excess_ms, None, None)
    return ttft.excess_ms, e2el.excess_ms, ttft.excess_ms - e2el.excess_ms
