"""A study in markdown, for READMEs and issues."""

import re
from collections.abc import Sequence

from dyno.report.findings import audit_sentence, note_lines, void_lines
from dyno.report.matrix import WORDS, matrix_table
from dyno.report.tables import Cells, decision_table
from dyno.report.wording import (
    also_fast,
    failure_line,
    failures,
    recommendation,
    setting,
    spent_sentence,
    verdict_sentence,
)
from dyno.report.workloads import all_tables
from dyno.study.outcome import Outcome


def render_markdown(outcome: Outcome) -> str:
    """Verdict, recommended command, tables, what the audit found and notes."""
    parts = [f"**{_plain(verdict_sentence(outcome))}**", _plain(recommendation(outcome))]
    if outcome.recommended:
        parts.append(_code(outcome.recommended.candidate.args.command()))
    if (other := also_fast(outcome)) and outcome.also_fast:
        parts += [_plain(other), _code(outcome.also_fast.candidate.args.command())]
    parts.append(markdown_table(*matrix_table(outcome)))
    decision = [decision_table(outcome.decision)] if outcome.decision else []
    for table in (*decision, *all_tables(outcome).values()):
        parts += [f"**{table.title}.** {_plain(table.caption)}", markdown_table(table.headers, table.rows, table.words)]
    failed = [failure_line(step) for step in failures(outcome)]
    remarks = [
        audit_sentence(outcome),
        *filter(None, [spent_sentence(outcome)]),
        *(f"void: {line}" for line in void_lines(outcome)),
        *failed,
        *note_lines(outcome),
    ]
    parts.append("\n".join(f"- {_plain(remark)}" for remark in remarks))
    parts.append(f"Study {_plain(outcome.study)}: {_plain(setting(outcome))}; Dyno {outcome.dyno_version}.")
    return "\n\n".join(parts) + "\n"


def markdown_table(headers: Cells, rows: Sequence[Cells], words: Cells = WORDS) -> str:
    """A table whose columns of words stand to the left, figures to the right."""
    rule = ["---" if header in words else "---:" for header in headers]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in (headers, rule, *rows))


def _code(command: str) -> str:
    return f"```sh\n{command}\n```"


# Backslash what markdown would take for markup; a lone bracket and an underscore inside a word are none.
_MARKUP = re.compile(r"[\\`*|]|(?<!\w)_|_(?!\w)|(?<=])[(\[:]")


def _plain(text: str) -> str:
    """Text that markdown shows as it stands, in one line."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", line)
