"""Names and values against a small release: each fault is named once, and what is right is left alone."""

import pytest
from handmade import codes, findings


@pytest.mark.parametrize(
    ("words", "code", "item"),
    [
        ("--max-num-seqz 3", "DYN101", "--max-num-seqz"),
        ("--swap-space 8", "DYN102", "--swap-space"),
        ("--spec-model m", "DYN103", "--spec-model"),
        ("--max-num 3", "DYN104", "--max-num"),
        ("--max-num-s 3", "DYN105", "--max-num-s"),
        ("--kv-cache-dtype fp16", "DYN111", "--kv-cache-dtype"),
        ("--max-num-seqs many", "DYN112", "--max-num-seqs"),
        ("--max-model-len 8.5K", "DYN112", "--max-model-len"),
        ("--compilation-config {", "DYN112", "--compilation-config"),
        ("--max-num-seqs --port 8000", "DYN113", "--max-num-seqs"),
        ("--enforce-eager=true", "DYN114", "--enforce-eager"),
    ],
)
def test_a_fault_is_named_by_its_code_at_its_item(words, code, item):
    assert codes(f"vllm serve m {words}") == [(code, item)]


@pytest.mark.parametrize(
    "words",
    [
        "--max_num_seqs 3",
        "--max-num-seqs=3",
        "--max-model-len 8k",
        "--max-model-len auto",
        "-q fp8",
        "-O3",
        "--compilation-config.mode 3",
        "--compilation-config '{\"mode\": 3}'",
        "--no-enforce-eager",
        "--served-model-name a b --port 8000",
        "--max-num-seqs $SEQS",
        "--kv-cache-dtype ${DTYPE}",
    ],
)
def test_what_the_parser_takes_is_left_alone(words):
    assert codes(f"vllm serve m {words}") == []


def test_a_finding_says_the_release_of_the_change_and_where_it_stands():
    (found,) = findings("# start\nexec vllm serve m \\\n  --swap-space 8\n")
    assert (found.line, found.column, found.release) == (3, 3, "0.20.0")
    assert "removed in vLLM 0.18.0" in found.message


def test_a_comment_silences_its_line_or_what_begins_below_it():
    assert codes("vllm serve m --swap-space 8  # dyno: ignore=DYN102") == []
    assert codes("# dyno: ignore=DYN102, DYN101\nvllm serve m \\\n  --swap-space 8 --foo") == []
    assert codes("# dyno: ignore=DYN101\nvllm serve m --swap-space 8") == [("DYN102", "--swap-space")]
