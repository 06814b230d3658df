"""Writes docs/lint-codes.md from the rules themselves: `python tools/lint_codes.py`."""

from pathlib import Path

from dyno.lint.case import Rule
from dyno.lint.rules import RULES

PAGE = Path(__file__).parent.parent / "docs" / "lint-codes.md"
HEAD = """# Codes of `dyno lint`

Made from the rules by `python tools/lint_codes.py`. **error**: this release refuses it (its parser, its checks of the
configuration, the construction of the engine), or the shell loses it. **warning**: accepted but ignored, deprecated,
read by nobody, or unsafe. **note**: already the default, or a hint. `--ignore CODE` or a comment `# dyno: ignore=CODE`
silences one.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *map(_paragraph, RULES.values())])


def _paragraph(rule: Rule) -> str:
    return f"## {rule.code}: {rule.title}\n\n*{rule.severity}.* {rule.why}\n\nSource: {rule.source}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
