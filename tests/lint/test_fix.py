"""Repairs, form by form: what is right keeps its place, its layout and its comments."""

from pathlib import Path

import pytest
from handmade import KNOWN, codes, judge, text

from dyno.errors import InputError
from dyno.lint.fix import corrected, fix, write
from dyno.lint.knowledge import known_release as release


def repaired(content: str) -> str:
    """For vLLM 0.32, as its data tells it."""
    known = release("0.32.0")
    return fix(text(content, known=known), judge(known)).after.text


def fixed(content: str, name: str = "<argument>") -> str:
    return fix(text(content, name), judge()).after.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("vllm serve m --swap-space 8", "vllm serve m"),
        ("vllm serve m --swap-space 8 --port 80", "vllm serve m --port 80"),
        ("vllm serve m \\\n  --swap-space 8 \\\n  --port 80\n", "vllm serve m \\\n  --port 80\n"),
        ("vllm serve m \\\n  --port 80 \\\n  --swap-space 8\nls\n", "vllm serve m \\\n  --port 80\nls\n"),
        ("vllm serve m --port 80 \\\n  --swap-space 8  # old\n", "vllm serve m --port 80\n"),
        ("vllm serve m --swap-space \\\n 8 --port 80", "vllm serve m --port 80"),
        ("vllm serve m \\\n  --swap-space 8 --swap-space=9 \\\n  --port 80", "vllm serve m \\\n  --port 80"),
        ("vllm serve m --quantized-kv-cache --port 80", "vllm serve m --kv-cache-dtype fp8 --port 80"),
        ("vllm serve m --max-num-s=3", "vllm serve m --max-num-seqs=3"),
        ("vllm serve m --max_num_s 3", "vllm serve m --max_num_seqs 3"),
        ("vllm serve m --max-num-s $N", "vllm serve m --max-num-seqs $N"),
        (
            "vllm serve m -q fp8 --kv-cache-dtype 'fp8_e5m2'  # why\n",
            "vllm serve m -q fp8 --kv-cache-dtype fp8  # why\n",
        ),
        ("vllm serve m --disable-log-requests --task embed", "vllm serve m --runner pooling --convert embed"),
        (
            "vllm serve m --guided-decoding-backend x --guided-decoding-disable-fallback",
            "vllm serve m --structured-outputs-config.backend x --structured-outputs-config.disable_fallback true",
        ),
        ("vllm serve m --cuda-graph-sizes 512 --port 80", "vllm serve m --max-cudagraph-capture-size 512 --port 80"),
        ("vllm serve m --cuda-graph-sizes 1 2 4", "vllm serve m --cudagraph-capture-sizes 1 2 4"),
        (
            "vllm serve m --speculative-model d --num-speculative-tokens 5 --port 80",
            'vllm serve m --speculative-config \'{"model": "d", "num_speculative_tokens": 5}\' --port 80',
        ),
        ("vllm serve m --unheard-of 3", "vllm serve m --unheard-of 3"),
        ("ExecStart=/v/bin/vllm serve m --swap-space 8\n", "ExecStart=/v/bin/vllm serve m\n"),
        ("Environment=VLLM_MAX_NUM_SEQS=3\nExecStart=-vllm serve m\n", "ExecStart=-vllm serve m --max-num-seqs 3\n"),
        (
            "vllm serve m --enforce-eager=false --async-scheduling true",
            "vllm serve m --no-enforce-eager --async-scheduling",
        ),
        ("VLLM_MAX_NUM_SEQS=3 vllm serve m \\\n  --port 80", "vllm serve m \\\n  --port 80 \\\n  --max-num-seqs 3"),
    ],
)
def test_commands(before, after):
    assert fixed(before) == after


def test_compose_lists_and_environment():
    before = """services:
  a:
    image: vllm/vllm-openai:v1  # pinned
    environment:
      - VLLM_MAX_NUM_SEQS=${SEQS:-8}
      - HF_TOKEN=x
    command:
      - --model
      - m
      - --swap-space   # old
      - "8"
      - --port=80
  b:
    image: vllm/vllm-openai:v1
    environment:
      VLLM_ENFORCE_EAGER: "1"
    command: ["--model", "m", "--quantized-kv-cache", "--swap-space", "8"]
"""
    after = """services:
  a:
    image: vllm/vllm-openai:v1  # pinned
    environment:
      - HF_TOKEN=x
    command:
      - --model
      - m
      - --port=80
      - --max-num-seqs
      - ${SEQS:-8}
  b:
    image: vllm/vllm-openai:v1
    environment:
    command: ["--model", "m", "--kv-cache-dtype", "fp8", "--enforce-eager"]
"""
    assert fixed(before, "compose.yaml") == after


def test_compose_command_as_text():
    before = """services:
  a:
    image: vllm/vllm-openai:v1
    command: >
      --model m
      --swap-space 8
      --kv-cache-dtype ${DTYPE:-auto}
"""
    assert fixed(before, "compose.yml") == before.replace("      --swap-space 8\n", "")


def test_vllm_yaml_and_env_files():
    assert fixed("port: 80\nswap-space: 8  # old\nmax_num_seqs: 3\n", "c.yaml") == "port: 80\nmax_num_seqs: 3\n"
    assert fixed("max-num-seqs: 3\nenforce-eager: false\n", "c.yaml") == "max-num-seqs: 3\nno-enforce-eager: true\n"
    kept = "# mine\nMODEL=m\nVLLM_MAX_NUM_SEQS=3\n"
    assert fixed(kept, ".env") == kept, "a flag cannot stand in such a file: it is left for a person"


def test_python_is_shown_corrected():
    before = (
        "llm = LLM(\n    'm',\n    swap_space=8,  # old\n    max_num_seqs=3,\n    kv_cache_dtype='fp8',  # new\n)\n"
    )
    done = fix(text(before, "a.py"), judge())
    assert corrected(done) == ["llm = LLM(\n    'm',\n    max_num_seqs=3,\n    kv_cache_dtype='fp8',  # new\n)"]
    assert fixed("x = LLM('m', max_num_seqs=3, swap_space=8)\n", "a.py") == "x = LLM('m', max_num_seqs=3)\n"


def test_dockerfile_lists_stay_json():
    before = 'FROM vllm/vllm-openai:v1\nCMD ["--model", "m", \\\n     "--port", "80", \\\n     "--swap-space", "8"]\n'
    after = 'FROM vllm/vllm-openai:v1\nCMD ["--model", "m", \\\n     "--port", "80"]\n'
    assert fixed(before, "Dockerfile") == after


def test_what_is_repaired_and_what_is_left_is_told():
    done = fix(text("vllm serve m --swap-space 8 --foo 1"), judge())
    assert [each.item for each in done.repaired] == ["--swap-space"]
    assert [(each.code, each.item) for each in done.left] == [("DYN101", "--foo")]


@pytest.mark.parametrize(
    "content",
    [
        "if true; then\n  export VLLM_USE_V1=1\nfi\nvllm serve m\n",
        "serve() {\n  export VLLM_USE_V1=1\n}\nvllm serve m\n",
        '[ -n "$X" ] && export VLLM_USE_V1=0\nvllm serve m\n',
        "export VLLM_USE_V1=1; vllm serve m\n",
        "export VLLM_ATTENTION_BACKEND=FLASHINFER\nvllm serve a &\nvllm serve b &\n",
        'if [ -n "$FI" ]; then\n  export VLLM_ATTENTION_BACKEND=FLASHINFER\nfi\nvllm serve m\n',
    ],
)
def test_a_statement_that_others_hang_on_is_left_for_a_person(content):
    assert repaired(content) == content


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("docker run --gpus all -e VLLM_USE_V1=1 -p 8000:8000 vllm/vllm-openai --model m",
         "docker run --gpus all -p 8000:8000 vllm/vllm-openai --model m"),
        ("docker run \\\n  -e VLLM_USE_V1=1 \\\n  -p 8000:8000 vllm/vllm-openai --model m",
         "docker run \\\n  -p 8000:8000 vllm/vllm-openai --model m"),
        ("docker run --env VLLM_ATTENTION_BACKEND=FLASHINFER --env A=b vllm/vllm-openai --model m",
         "docker run --env A=b vllm/vllm-openai --model m --attention-backend FLASHINFER"),
        ("docker run -e VLLM_USE_V1=1 -e VLLM_ATTENTION_BACKEND=FLASHINFER vllm/vllm-openai --model m",
         "docker run vllm/vllm-openai --model m --attention-backend FLASHINFER"),
    ],
)  # fmt: skip
def test_a_container_loses_the_option_with_its_variable(before, after):
    assert repaired(before) == after


def test_repairing_twice_changes_nothing_more():
    once = fixed("VLLM_MAX_NUM_SEQS=3 vllm serve m --swap-space 8 --quantized-kv-cache --max-num-b 8k")
    assert fixed(once) == once
    assert codes(once) == []


def test_a_repair_that_would_touch_more_is_refused(monkeypatch):
    monkeypatch.setattr("dyno.lint.fix.edits", lambda *_: [])
    with pytest.raises(InputError, match="correct it by hand"):
        fixed("vllm serve m --swap-space 8")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    file = tmp_path / "a.sh"
    file.write_text("old")
    file.chmod(0o750)
    write(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o750)
    assert list(tmp_path.iterdir()) == [file]


def test_the_release_is_the_one_it_is_judged_for():
    assert {each.release for each in judge().findings(text("vllm serve m --foo"))} == {KNOWN.version}
