"""What a study found, in plain sentences."""

from dyno.hardware.spec import Gpu, Hardware
from dyno.study.outcome import Outcome
from dyno.study.trial import Step
from dyno.units import format_bytes
from dyno.verdict.compare import Comparison


def verdict_sentence(outcome: Outcome) -> str:
    """The answer with its evidence: ratio, interval, number of pairs."""
    verdict = outcome.verdict
    if len(outcome.rows) == 1:
        return "One configuration was measured; it was compared with nothing."
    if verdict is None:
        return "No verdict: no candidate was confirmed against the baseline."
    return " ".join(_sentence(each) for each in outcome.verdicts or (verdict,))


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
    candidate, why = outcome.recommended.candidate, outcome.recommended.why
    return f"Recommended: {candidate.name}. {why}" + " Its accuracy was not tested." * candidate.alters_output


def also_fast(outcome: Outcome) -> str | None:
    """The best configuration on the other side of "may the output change?", when there is one to name."""
    other = outcome.also_fast
    return f"Also fast: {other.candidate.name}. {other.why}" if other else None


def decision_lines(outcome: Outcome) -> tuple[str, ...]:
    """The weighted decision matrix, an option a line, and how close the runner-up is; nothing without weights."""
    made = outcome.decision
    if made is None:
        return ()
    criteria = ", ".join(f"{each.name} {each.weight:.0%}" + " (not measured, no score)" * (not each.measured)
                         for each in made.criteria)  # fmt: skip
    lines = [f"Decision matrix, from measurements alone: {criteria}."]
    for option in made.options:
        scores = ", ".join("-" if score is None else f"{score:.0f}" for score in option.scores)
        total = "no total, a score is missing" if option.total is None else f"{option.total:.1f} of 100"
        lines.append(f"{option.name}: {total} ({scores})")
    if made.lead is not None:
        lines.append(f"{made.options[0].name} leads {made.options[1].name} by {made.lead:.1f} points: a rank by single "
                     "launches, no verdict.")  # fmt: skip
    return tuple(lines)


def setting(outcome: Outcome) -> str:
    """What was measured, on what, in one line."""
    load = outcome.workload
    return (f"{outcome.model} on {outcome.engine}, {outcome.machine.kind}; {load.name}: {load.input_len} tokens in, "
            f"{load.output_len} out, {load.concurrency} at a time; objective {outcome.objective.name}")  # fmt: skip


def troubles(outcome: Outcome) -> tuple[Step, ...]:
    """The steps that failed or prove nothing, in order; of equal failures of one candidate the first.

    An attempt that was taken again is no trouble.
    """
    seen: dict[tuple[str, str, str], Step] = {}
    for step in outcome.steps:
        if step.state != "complete" and not step.again:
            seen.setdefault((step.candidate, step.scenario, trouble_text(step)), step)
    return tuple(seen.values())


def trouble_text(step: Step) -> str:
    """Why a step failed or is void."""
    if step.failure is None:
        return "; ".join(step.void) or step.state
    return f"{step.failure.cause.value}: {step.failure.detail}"


def trouble_line(step: Step) -> str:
    """What became of a step, why, and what to do, in one line."""
    remedy = f" Remedy: {step.failure.remedy}" if step.failure and step.failure.remedy else ""
    return f"{step.candidate} {step.state} ({step.scenario}): {_in_brief(trouble_text(step))}{remedy}"


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
