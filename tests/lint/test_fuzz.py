"""Whatever bytes come in: findings or one clear problem; a file stays as it was unless it was repaired whole."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from handmade import KNOWN, judge

from dyno.cli.findings import repair
from dyno.errors import InputError
from dyno.lint.check import Text
from dyno.lint.fix import WRITTEN, Fixed, fix
from dyno.lint.inputs import read_inputs

CASES = 10_000
REAL = {
    "a.sh": "export VLLM_A=1\nVLLM_B='2' vllm serve ${M:-m} \\\n  --swap-space 8 \\\n  --kv-cache-dtype \"fp16\" # x\n"
    "docker run -e A=1 vllm/vllm-openai:v0.20.0 --model m -q fp8\npip install vllm[cuda]>=0.1\n"
    "python -c \"from vllm import LLM; LLM('m', swap_space=1)\"\n",
    "Dockerfile": "FROM vllm/vllm-openai:latest\nENV VLLM_A=1 \\\n  CUDA_TENSOR_CORES=1\n# c\n"
    'ENTRYPOINT ["vllm", "serve"]\n'
    'CMD ["m", \\\n  "--swap-space", "8", \\\n  "--quantized-kv-cache"]\nRUN pip install vllm\n',
    "compose.yaml": "services:\n  v:\n    image: vllm/vllm-openai:latest\n"
    "    environment:\n      - VLLM_MAX_NUM_SEQS=${A:-3}\n"
    "    command: >\n      --model m\n      --swap-space 8  \n      ${EXTRA:-}\n    shm_size: 16gb\n    ipc: host\n"
    '  w:\n    image: vllm/vllm-openai:v1\n    command: ["--model", \'m\', "--swap-space", "8"]\n',
    "c.yaml": "model: m\nmax-num-seqs: 3  # c\nswap-space: 8\nenforce-eager: false\n"
    "compilation-config:\n  mode: 3\nport:\n",
    ".env": "# c\nexport VLLM_A='1'\nVLLM_MAX_NUM_SEQS=3 # x\nCUDA_TENSOR_CORES=1\nB=${C:-d}\n",
    "a.py": "import os\nfrom vllm import LLM\nos.environ['VLLM_A'] = '1'\n"
    "llm = LLM('m', swap_space=8,\n  max_num_seqs=3, **x)  # c\n"
    "D = {'max_num_seqs': 1, \"swap_space\": 2}\nprint(llm.get_memory_usage())\nrun(['vllm', 'serve', 'm', '--foo'])\n",
}
REAL["a.md"] = "Text `--swap-space 8` and vllm[cuda].\n\n" + "\n".join(
    f"```{lang}\n{REAL[name]}```\n"
    for lang, name in (("bash", "a.sh"), ("dockerfile", "Dockerfile"), ("", "compose.yaml"), ("python", "a.py"))
)
REAL["stdin"] = REAL["a.sh"]
NOISE = [
    "'",
    '"',
    "\\",
    "\n",
    "\\\n",
    "$",
    "${",
    "}",
    "$(",
    "`",
    "#",
    "|",
    ">",
    "<<E\n",
    "[",
    "]",
    "{",
    ":",
    ": ",
    "- ",
    "\t",
    ",",
    "=",
    "--",
    "--swap-space 8",
    "é",
    "\x00",
    "\x85",
    "\u2028",
    "\r\n",
    "&a",
    "*a",
    "!!x",
    "```\n",
    "%",
    "9" * 5000,
]


def mutated(random: random.Random, text: str) -> bytes:
    """A real file with a few things done to it that editors, merges and copying do."""
    for _ in range(random.randint(1, 6)):
        one, two = sorted(random.randrange(len(text) + 1) for _ in range(2))
        kind = random.randrange(5)
        if kind == 0:
            text = text[:one] + text[min(two, one + 40) :]
        elif kind == 1:
            text = text[:one] + random.choice(NOISE) + text[one:]
        elif kind == 2:
            text = text[:two] + text[one : min(two, one + 60)] + text[two:]
        elif kind == 3:
            lines = text.split("\n")
            random.shuffle(lines)
            text = "\n".join(lines)
        else:
            text = text[:one]
    return text.encode()


def raw(random: random.Random) -> bytes:
    return random.randbytes(random.randint(0, 120))


def written(path: Path, number: int, texts: list[Text], expected: Fixed) -> None:
    """One in twenty is written, too: exactly what was thought through stands there then."""
    if number % 20 == 0 and expected.repaired and expected.before.read.kind in WRITTEN:
        repair(texts, judge())
        assert path.read_bytes() == expected.after.text.encode()


@pytest.mark.parametrize("name", sorted(REAL))
def test_no_input_ends_in_a_traceback(name, tmp_path: Path):
    chance = random.Random(name)
    path = tmp_path / name
    for number in range(CASES // len(REAL)):
        content = raw(chance) if number % 10 == 0 else mutated(chance, REAL[name])
        path.write_bytes(content)
        with suppress(InputError):
            texts = read_inputs([str(path)], lambda: b"", KNOWN.names)
            expected = fix(texts[0], judge())
            written(path, number, texts, expected)


def test_a_file_that_cannot_be_repaired_whole_stays(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.sh"
    path.write_text("vllm serve m --swap-space 8\n")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="it was left as it is"):
        repair(read_inputs([str(path)], lambda: b"", KNOWN.names), judge())
    assert path.read_text() == "vllm serve m --swap-space 8\n"
    assert list(tmp_path.iterdir()) == [path]
