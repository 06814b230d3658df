"""Writes what a study came to into its own folder."""

from pathlib import Path

from dyno.report.html import log_tails, render_html
from dyno.report.markdown import render_markdown
from dyno.study.outcome import Outcome


def write_report(folder: Path, outcome: Outcome) -> Path:
    """`report.html` and `report.md` beside the journal; the page's path."""
    page = folder / "report.html"
    page.write_text(render_html(outcome, log_tails(outcome, folder)), encoding="utf-8")
    (folder / "report.md").write_text(render_markdown(outcome), encoding="utf-8")
    return page
