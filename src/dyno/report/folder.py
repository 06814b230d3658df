"""The report in the study's own folder: what it reads there, and what it writes."""

from pathlib import Path

from dyno.errors import DynoError
from dyno.report.evidence import read_evidence
from dyno.report.html import render_html
from dyno.report.markdown import render_markdown
from dyno.report.wording import failures
from dyno.study.outcome import Outcome

LOG_TAIL_LINES = 40


def write_report(folder: Path, outcome: Outcome) -> Path:
    """`report.html` and `report.md` beside the journal; the page's path. DynoError when they cannot be written."""
    page = folder / "report.html"
    try:
        page.write_text(page_of(folder, outcome), encoding="utf-8")
        page.with_suffix(".md").write_text(render_markdown(outcome), encoding="utf-8")
    except OSError as error:
        raise DynoError(f"{page}: cannot be written ({error.strerror}); the study is kept: make room, then run "
                        f"dyno report --study {folder} --format html") from error  # fmt: skip
    return page


def page_of(folder: Path, outcome: Outcome) -> str:
    """The page of a study, with what its folder still holds beside the journal."""
    return render_html(outcome, log_tails(outcome, folder), read_evidence(folder, outcome))


def log_tails(outcome: Outcome, folder: Path) -> dict[str, str]:
    """The last lines of the engine's log of every step that failed; a log that is gone is left out."""
    logs = {step.log for step in failures(outcome) if step.log and (folder / step.log).is_file()}
    return {log: "\n".join((folder / log).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])
            for log in logs}  # fmt: skip
