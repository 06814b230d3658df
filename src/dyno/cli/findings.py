"""How `dyno lint` prints findings and repairs."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dyno.lint.case import Rule
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.fix import WRITTEN, corrected, fix, write


def listed(findings: Sequence[Finding]) -> str:
    """One paragraph a finding, and their number."""
    lines = [f"{each.file}:{each.line}:{each.column}: {each.severity} {each.code} {each.message}\n    {each.remedy}"
             for each in findings]  # fmt: skip
    return "\n".join([*lines, _summary(findings)])


def explained(rule: Rule) -> str:
    """What a code means."""
    return f"{rule.code} {rule.severity}: {rule.title}\n\n{rule.why}\n\nSource: {rule.source}"


def repair(texts: Sequence[Text], judge: Judge) -> list[Finding]:
    """Rewrites files, or prints the corrected parts of what is not written back. What is left comes back."""
    left: list[Finding] = []
    for done in [fix(text, judge) for text in texts]:  # all are thought through before the first is written
        name = done.before.name
        if done.repaired and done.before.read.kind in WRITTEN and Path(name).is_file():
            write(Path(name), done.after.text)
        elif done.repaired:
            whole = done.before.read.kind in WRITTEN
            print(done.after.text if whole else "\n\n".join(corrected(done)))
        for each in done.repaired:
            deleted = "deleted" if each.change and not each.change.new else "rewritten"
            print(f"{name}:{each.line}: {deleted} {each.item} ({each.code}): {each.message}", file=sys.stderr)
        left += done.left
    return left


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing found"
    count = Counter(each.severity for each in findings)
    parts = [
        f"{count[level]} {level}{'s' if count[level] > 1 else ''}"
        for level in ("error", "warning", "note")
        if count[level]
    ]
    return f"{', '.join(parts)}; judged for vLLM {', '.join(sorted({each.release for each in findings}))}"
