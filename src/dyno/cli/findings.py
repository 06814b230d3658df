"""What `dyno lint` does with findings: print, repair, lay out over releases and pairs."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dyno.hardware.gpus import find_card
from dyno.lint.case import Rule
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.fix import WRITTEN, corrected, fix, write
from dyno.lint.inputs import read_inputs
from dyno.lint.knowledge import judged_for, known_names, known_release, versions
from dyno.lint.modelfacts import facts_nearby, read_facts
from dyno.lint.rules import RULES, find_rules
from dyno.lint.source import Configuration


def judge(vllm: str | None, gpu: str | None, model: str | None, ignore: Sequence[str] | None) -> Judge:
    """A judge as the options ask for it. InputError for what they name and there is not."""
    return Judge(judged_for(vllm), RULES, find_card(gpu) if gpu else None, read_facts(model) if model else None,
                 ignore=frozenset(rule.code for rule in find_rules(ignore or ())), facts_for=facts_nearby)  # fmt: skip


def one_release(inputs: Sequence[str], judge: Judge, repairs: bool, as_json: bool) -> int:
    """Print the findings, repaired or not; 1 when an error is among them or left."""
    texts = _read(inputs)
    findings = repair(texts, judge) if repairs else [each for text in texts for each in judge.findings(text)]
    print(_json(findings) if as_json else _listed(findings) or "nothing found")
    return int(any(each.severity == "error" for each in findings))


def _read(inputs: Sequence[str]) -> list[Text]:
    """The inputs; one that has nothing to judge is named, so that no silence is taken for praise."""
    texts = read_inputs(inputs, sys.stdin.buffer.read, known_names())
    for each in texts:
        if not each.read.configurations:
            print(f"{each.name}: nothing in it starts or configures vLLM", file=sys.stderr)
    return texts


def repair(texts: Sequence[Text], judge: Judge) -> list[Finding]:
    """Rewrites files, or prints the corrected parts of what is not written back. What is left comes back."""
    left: list[Finding] = []
    for done in [fix(text, judge) for text in texts]:  # all are thought through before the first is written
        name = done.before.name
        if done.repaired and done.before.read.kind in WRITTEN and Path(name).is_file():
            write(Path(name), done.after.text)
        elif done.repaired:
            print(done.after.text if done.before.read.kind in WRITTEN else "\n\n".join(corrected(done)))
        for each in done.repaired:
            what = "deleted" if each.change and not each.change.new else "rewritten"
            print(f"{name}:{each.line}: {what} {each.item} ({each.code}): {each.message}", file=sys.stderr)
        left += done.left
    return left


def over_releases(inputs: Sequence[str], judge: Judge, as_json: bool) -> int:
    """Print on which releases the inputs work and what ends them elsewhere; 1 when they work on none."""
    from dyno.lint.releases import over_all, ranges

    texts = _read(inputs)
    found = over_all(texts, judge, versions(), known_release)
    if as_json:
        print(_json([each for over in found for each in over.errors]))
    else:
        rows = [(one if one == other else f"{one} to {other}", messages) for one, other, messages in ranges(found)]
        works = [releases for releases, messages in rows if not messages]
        print(f"works on vLLM {', '.join(works)}" if works else "works on no vLLM release")
        print("\n".join(f"{releases}: {'; '.join(messages)}" for releases, messages in rows if messages))
    return int(not any(not over.errors for over in found))


def matrix(judge: Judge, as_json: bool) -> str:
    """Which optimisations go together, and why some do not."""
    from dyno.lint.matrix import OPTIMISATIONS
    from dyno.lint.matrix import matrix as cells_of

    known = judge.known_for(Configuration("serve", "shell", 0, 0))
    cells = cells_of(judge, known)
    if as_json:
        return json.dumps([{"one": one, "other": other, "state": cell.state, "reason": cell.reason}
                           for (one, other), cell in cells.items()], indent=1)  # fmt: skip
    lines = [f"vLLM {known.version}" + (f" on {judge.card.name}" if judge.card else "")]
    for name in OPTIMISATIONS:
        alone = cells[name, name]
        lines.append(f"{name}: {alone.state}" + (f" ({alone.reason})" if alone.reason else ""))
        lines += [f"  not with {other if one == name else one}: {cell.reason}" for (one, other), cell in cells.items()
                  if one != other and name == one and cell.state == "no"]  # fmt: skip
    return "\n".join(lines)


def changed(old: str, new: str) -> str:
    """What changed between two releases."""
    from dyno.lint.diff import changes

    return "\n".join(changes(known_release(old), known_release(new))) or f"nothing changed from {old} to {new}"


def explained(rule: Rule) -> str:
    """What a code means."""
    return f"{rule.code} {rule.severity}: {rule.title}\n\n{rule.why}\n\nSource: {rule.source}"


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([each.shown() for each in findings], indent=1)


def _listed(findings: Sequence[Finding]) -> str:
    lines = [f"{each.file}:{each.line}:{each.column}: {each.severity} {each.code} {each.message}\n    {each.remedy}"
             for each in findings]  # fmt: skip
    count = Counter(each.severity for each in findings)
    parts = [
        f"{count[level]} {level}{'s' * (count[level] > 1)}" for level in ("error", "warning", "note") if count[level]
    ]
    where = ", ".join(sorted({each.release for each in findings}))
    return "\n".join([*lines, f"{', '.join(parts)}; judged for vLLM {where}"] if findings else [])
