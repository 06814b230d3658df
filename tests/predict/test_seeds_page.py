import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_seeds_memory_says_what_the_formulas_say_now():
    page = runpy.run_path(str(ROOT / "tools" / "seeds_memory.py"))["page"]()
    assert (ROOT / "docs" / "seeds-memory.md").read_text(encoding="utf-8") == page, "run python tools/seeds_memory.py"
