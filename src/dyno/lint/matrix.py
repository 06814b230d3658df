"""Which optimisations go together on a release and a card: rules asked about every pair, nothing measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dyno.lint.check import Judge, Text
from dyno.lint.known import Known
from dyno.lint.read import read

# What people turn on to be faster, as words of a command.
_NGRAM = """--speculative-config '{"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}'"""
OPTIMISATIONS: Mapping[str, str] = {
    "prefix caching": "--enable-prefix-caching",
    "chunked prefill": "--enable-chunked-prefill",
    "async scheduling": "--async-scheduling",
    "multi-step scheduling": "--num-scheduler-steps 10",
    "FP8 weights": "--quantization fp8",
    "FP8 KV cache": "--kv-cache-dtype fp8",
    "FP8 KV cache, e5m2": "--kv-cache-dtype fp8_e5m2",
    "KV offloading": "--kv-offloading-size 8",
    "CPU swap": "--swap-space 8",
    "weight offloading": "--cpu-offload-gb 4",
    "FlashInfer attention": "--attention-backend FLASHINFER",
    "FlashAttention": "--attention-backend FLASH_ATTN",
    "n-gram speculation": _NGRAM,
    "sleep mode": "--enable-sleep-mode",
    "expandable segments": "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
    "V1 engine": "VLLM_USE_V1=1",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One optimisation, or two together: `yes`, `default`, `no effect`, `no`; with the reason where there is one."""

    state: str
    reason: str = ""


def matrix(judge: Judge, known: Known) -> dict[tuple[str, str], Cell]:
    """Each optimisation by itself (name, name), and each pair of those that this release has."""
    plain = replace(judge, known_for=lambda _: known)
    alone = {name: _cell(plain, known, [words]) for name, words in OPTIMISATIONS.items()}
    cells = {(name, name): cell for name, cell in alone.items()}
    able = [name for name, cell in alone.items() if cell.state in ("yes", "default")]
    for number, one in enumerate(able):
        for other in able[number + 1 :]:
            cells[one, other] = _cell(plain, known, [OPTIMISATIONS[one], OPTIMISATIONS[other]])
    return cells


def _cell(judge: Judge, known: Known, words: list[str]) -> Cell:
    variables = [word for word in words if not word.startswith("-")]
    line = " ".join([*variables, "vllm serve ./model", *(word for word in words if word.startswith("-"))])
    findings = judge.findings(Text("<matrix>", line, read("<matrix>", line, known.names, "command")))
    keys = [word.split()[0].partition("=")[0] for word in words]
    own = [each for each in findings if each.item in keys]
    if wrong := [each for each in own if each.severity == "error"]:
        return Cell("no", wrong[0].message)
    if idle := [each for each in own if each.code in ("DYN201", "DYN202", "DYN203", "DYN301")]:
        return Cell("no effect", idle[0].message)
    backends = [word for word in words if word.startswith("--attention-backend") or word.startswith("--kv-cache-dtype")]
    if len({word.split()[0] for word in backends}) < len(backends):
        return Cell("no", "one excludes the other: it is one flag")
    same = [each for each in own if each.code == "DYN302"]
    return Cell("default") if len(words) == 1 and same else Cell("yes")
