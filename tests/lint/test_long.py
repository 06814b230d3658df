"""Long inputs, each the worst for some reader, rule or repair: time grows with the length, not with its square.

Nothing here looks at a clock: what takes the square of 100,000 steps is minutes where the others are a second.
"""

import json
from contextlib import suppress

import pytest
from handmade import KNOWN, judge

from dyno.errors import InputError
from dyno.lint.check import Text
from dyno.lint.fix import fix
from dyno.lint.read import read

SIZE = 100_000


def repeated(text: str) -> str:
    return text * (SIZE // len(text))


LONG = {
    "words": ("a.sh", "vllm serve m " + repeated("word ")),
    "a line of another program": ("a.sh", "docker run " + repeated("/word ")),
    "an image's name": ("a.sh", "docker run a/" + repeated("vllm") + "!"),
    "unknown flags": ("a.sh", "vllm serve m " + " ".join(f"--unheard-{number}" for number in range(SIZE // 16))),
    "the same flag": ("a.sh", "vllm serve m " + repeated("--swap-space 8 ")),
    "removed flags, a line each": ("a.sh", "vllm serve m \\\n" + repeated("  --swap-space 8 \\\n") + "  --port 80\n"),
    "many commands": ("a.sh", repeated("vllm serve m --swap-space 8\n")),
    "backslashes and blanks": ("a.sh", "vllm serve m " + repeated("\\ ")),
    "open expansions": ("a.sh", "vllm serve m " + repeated("${A:-")),
    "open parentheses": ("a.sh", "vllm serve m " + repeated("$(")),
    "redirects": ("a.sh", "vllm serve m " + repeated("a>b ")),
    "empty lines": ("stdin", repeated("\n")),
    "empty lines before a command": ("stdin", repeated(" \n") + "vllm serve m --swap-space 8"),
    "variables": ("a.env", "".join(f"VLLM_UNHEARD_{number}=1\n" for number in range(SIZE // 24))),
    "keywords on one line": ("a.py", "x = LLM('m', swap_space=1, " + repeated("max_num_seqs=3, ") + ")"),
    "letters of several bytes": ("a.py", "x = LLM('é', " + "".join(f"a{n}=3, " for n in range(SIZE // 10)) + ")"),
    "an element each": ("a.py", f"run({json.dumps(['vllm', 'serve', 'm', *['--swap-space', '8'] * (SIZE // 20)])})"),
    "mentions": ("a.md", repeated("`--swap-space 8` ")),
    "open fences": ("a.md", repeated("```a\n")),
    "backticks": ("a.md", repeated("`") + "x"),
    "one RUN": ("Dockerfile", "FROM vllm/vllm-openai:v1\nRUN " + repeated("echo a \\\n") + "echo b\n"),
    "elements of a CMD": (
        "Dockerfile",
        'FROM vllm/vllm-openai:v1\nCMD ["m"' + repeated(', "--swap-space", "8"') + "]\n",
    ),
}


@pytest.mark.parametrize("what", LONG)
def test_a_long_input_is_read_judged_and_repaired(what):
    name, content = LONG[what]
    with suppress(InputError):
        text = Text(name, content, read(name, content, KNOWN.names))
        assert fix(text, judge()).before == text
