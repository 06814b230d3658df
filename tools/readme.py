"""Puts what the newest study printed into the README, between its two marks: `make demo` ends with it."""

import io
import sys
from pathlib import Path

from rich.console import Console

from dyno.report.terminal import render_terminal
from dyno.study.store import load_outcome, newest_study

BEGIN, END = "<!-- demo -->", "<!-- /demo -->"
WIDTH = 112


def with_demo(readme: str, printed: str) -> str:
    """The README with its demo block replaced. ValueError when a mark is missing."""
    before, after = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return f"{readme[:before]}\n```text\n{printed.rstrip()}\n```\n{readme[after:]}"


def main() -> None:
    screen = io.StringIO()
    outcome = load_outcome(newest_study())
    render_terminal(outcome, Console(file=screen, width=WIDTH, color_system=None, force_terminal=False))
    lines = "\n".join(line.rstrip() for line in screen.getvalue().splitlines())
    root = Path(__file__).absolute().parents[1]
    readme = root / "README.md"
    printed = lines.replace(f"{root}/", "")  # where the clone stands says nothing to a reader
    readme.write_text(with_demo(readme.read_text(), f"$ make demo\n...\n{printed}"))
    print(f"{readme.name}: demo block written", file=sys.stderr)


if __name__ == "__main__":
    main()
