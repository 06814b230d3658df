"""What a study found, in plain sentences."""

from dyno.hardware.spec import Gpu, Hardware
from dyno.report.matrix import number, stays
from dyno.study.outcome import Outcome, Row
from dyno.study.spent import spent
from dyno.study.trial import Step
from dyno.units import format_bytes, format_seconds
from dyno.verdict.compare import Comparison
from dyno.workload import latency_limits


def verdict_sentence(outcome: Outcome) -> str:
    """The answer with its evidence: ratio, interval, number of pairs."""
    verdict = outcome.verdict
    if len(outcome.rows) == 1:
        return "One configuration was measured; it was compared with nothing."
    if verdict is None:
        return "No verdict: no candidate was confirmed against the baseline."
    told = answered(outcome)
    several = {each.candidate for each in told if len({each.candidate for each in told}) > 1}
    altering = {row.candidate.name for row in outcome.rows if row.candidate.alters_output} & several
    return " ".join(_sentence(each) + " Its accuracy was not tested." * (each.candidate in altering) for each in told)


def answered(outcome: Outcome) -> tuple[Comparison, ...]:
    """The verdicts of the headline."""
    means = tuple(each for each in outcome.confirmed if each.metric == outcome.objective.name)
    return (means if len(means) > 1 else outcome.verdicts) or tuple(filter(None, (outcome.verdict,)))


def _sentence(verdict: Comparison) -> str:
    baseline = "the baseline" if verdict.baseline == "baseline" else verdict.baseline
    answer = _ANSWERS[verdict.answer].format(
        ours=verdict.candidate, theirs=baseline, margin=f"{verdict.margin * 100:g}%"
    )
    sentence = f"{answer}: {_evidence(verdict)}."
    if verdict.note:
        sentence += f" {verdict.note[0].upper()}{verdict.note[1:]}."
    if verdict.more_pairs:
        sentence += f" About {verdict.more_pairs} more pair{_s(verdict.more_pairs)} would likely settle it."
    return sentence


def change_sentence(verdict: Comparison) -> str:
    """What became of a candidate's ratio to its baseline since the study that `verdict.baseline` names."""
    if verdict.ratio is None:
        return f"{verdict.candidate}, {verdict.metric}: inconclusive, {verdict.note}."
    word = "than" if verdict.answer in ("better", "worse") else "to" if verdict.answer == "equivalent" else "against"
    answer = f"{verdict.answer} {word} that of {verdict.baseline}"
    return f"{verdict.candidate}: its ratio to its own baseline is {answer}: {_evidence(verdict)}."


_ANSWERS = {
    "better": "{ours} is better than {theirs}",
    "worse": "{ours} is worse than {theirs}",
    "equivalent": "{ours} and {theirs} are equivalent within {margin}",
    "inconclusive": "{ours} against {theirs} is inconclusive",
}


def _evidence(verdict: Comparison) -> str:
    if verdict.ratio is None:
        return "no pair of launches finished"
    interval = "" if verdict.low is None or verdict.high is None else f" [{verdict.low:.2f}, {verdict.high:.2f}]"
    return f"{verdict.metric} x{verdict.ratio:.2f}{interval}, {verdict.pairs} pair{_s(verdict.pairs)} of launches"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def recommendation(outcome: Outcome) -> str:
    """Which configuration to run and why, or that there is none."""
    if outcome.recommended is None:
        missed = any(check.met is False for row in outcome.rows for check in row.checks)
        return "No configuration is recommended" + (": nothing that was measured keeps the limits." if missed else ".")
    if len(outcome.rows) == 1:
        return "This is what was measured:"
    candidate, why = outcome.recommended.candidate, outcome.recommended.why
    row = next(row for row in outcome.rows if row.candidate == candidate)
    told = f" It gives {capacity}." if (capacity := capacity_text(outcome, row)) else ""
    if stays(outcome):
        return f"Nothing is recommended: no candidate was confirmed against {candidate.name}, so it stays.{told}"
    return f"Recommended: {candidate.name}. {why}{told}" + " Its accuracy was not tested." * candidate.alters_output


def within_text(outcome: Outcome) -> str:
    """The latency limits at which throughputs are taken: `ttft_p95 <= 2 s`; "" where they are not."""
    limits = latency_limits([check.limit for check in outcome.rows[0].checks]) if outcome.at_limits else ()
    return ", ".join(f"{limit.name} <= {format_seconds(limit.bound / 1000)}" for limit in limits)


def capacity_text(outcome: Outcome, row: Row) -> str:
    """`734 tokens/s at 22 clients within ttft_p95 <= 2 s`; "" where throughputs are not taken at the limits."""
    figures = row.metrics.get("throughput", {})
    rate, clients = figures.get("capacity_output_throughput"), figures.get("capacity_concurrency")
    if not outcome.at_limits or rate is None or clients is None:
        return ""
    where = f"at {number(clients)} client{'' if clients == 1 else 's'}" if clients else "with no client"
    more = " (more were of no use, or not tried)" if figures.get("bound_concurrency") else ""
    return f"{number(rate)} tokens/s {where} within {within_text(outcome)}{more}"


def also_fast(outcome: Outcome) -> str | None:
    """The best configuration on the other side of "may the output change?", when there is one to name."""
    other = outcome.also_fast
    return f"Also fast: {other.candidate.name}. {other.why}" if other else None


def spent_sentence(outcome: Outcome) -> str | None:
    """Minutes that went into starting engines, against those in which something was measured."""
    made = spent(outcome.steps)
    if made.measuring_share is None:
        return None
    warming = f"{format_seconds(made.warming_s)} warming, " if made.warming_s else ""
    return (f"Time: {warming}{format_seconds(made.starting_s)} starting engines, {format_seconds(made.measuring_s)} "
            f"measuring: {made.measuring_share:.0%} of it measured.")  # fmt: skip


def setting(outcome: Outcome) -> str:
    """What was measured, on what, in one line."""
    load = outcome.workload
    within = within_text(outcome)
    clients = f"as many at a time as keep {within}" if within else f"{load.concurrency} at a time"
    told = f"{load.name}: {load.input_len} tokens in, {load.output_len} out, {clients}"
    if len(outcome.loads) > 1:
        told = f"workloads {', '.join(each.name for each in outcome.loads.values())}"
    return (f"{outcome.model} on {outcome.engine}, {outcome.machine.kind}; {told}; "
            f"objective {outcome.objective.name}")  # fmt: skip


def failures(outcome: Outcome) -> tuple[Step, ...]:
    """The steps that failed, in order; of equal failures of one candidate the first."""
    seen: dict[tuple[str, str, str], Step] = {}
    for step in outcome.steps:
        if step.failure:
            seen.setdefault((step.candidate, step.scenario, failure_text(step)), step)
    return tuple(seen.values())


def failure_text(step: Step) -> str:
    """Why a step failed."""
    return f"{step.failure.cause.value}: {step.failure.detail}" if step.failure else step.state


def failure_line(step: Step) -> str:
    """That a step failed, why, and what to do, in one line."""
    remedy = f" Remedy: {step.failure.remedy}" if step.failure and step.failure.remedy else ""
    return f"{step.candidate} failed ({step.scenario}): {_in_brief(failure_text(step))}{remedy}"


def _in_brief(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def machine_facts(machine: Hardware) -> tuple[tuple[str, str], ...]:
    """The machine as labels and values; what it would not say is left out."""
    facts = [("Card", _card(gpu)) for gpu in machine.gpus]
    facts += [("Processor", f"{machine.cpu.name}, {machine.cpu.cores} cores ({' '.join(machine.cpu.isa)})"),
              ("Memory", f"{format_bytes(machine.ram_total_bytes)}, {format_bytes(machine.ram_available_bytes)} free"),
              ("Driver", machine.driver or ""), ("CUDA of the driver", machine.cuda_driver or ""),
              ("Compiler", machine.compiler or ""), ("Python", machine.python),
              ("Surroundings", "WSL2" if machine.wsl2 else ""),
              ("Power", "on battery" if machine.on_battery else "")]  # fmt: skip
    return tuple((label, value) for label, value in facts if value)


def _card(gpu: Gpu) -> str:
    parts = [gpu.name]
    if gpu.memory_total_bytes is not None:
        parts.append(format_bytes(gpu.memory_total_bytes))
    if gpu.capability is not None:
        parts.append("compute capability {}.{}".format(*gpu.capability))
    if gpu.power_limit_w is not None:
        parts.append(f"limit {gpu.power_limit_w:.0f} W")
    if gpu.display_attached:
        parts.append("drives a display")
    return ", ".join(parts)
