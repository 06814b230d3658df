"""The flags of the fake engine: the ones people use most, with vLLM 0.32's names, types and choices."""

import argparse
from collections.abc import Sequence

_SWITCHES = (
    "enforce-eager", "enable-prefix-caching", "enable-chunked-prefill", "async-scheduling", "trust-remote-code",
    "enable-auto-tool-choice", "enable-lora", "enable-expert-parallel", "enable-log-requests",
    "disable-uvicorn-access-log", "language-model-only",
)  # fmt: skip
_LISTS = ("served-model-name", "lora-modules", "api-key")
_TEXTS: dict[str, str | None] = {
    "host": None, "config": None, "tokenizer": None, "tokenizer-mode": "auto", "revision": None, "download-dir": None,
    "quantization": None, "load-format": "auto", "attention-backend": None, "tool-call-parser": None,
    "reasoning-parser": "", "chat-template": None, "compilation-config": None, "speculative-config": None,
    "hf-overrides": None, "generation-config": "auto", "optimization-level": None,
}  # fmt: skip
_INTEGERS: dict[str, int | None] = {
    "port": 8000, "seed": 0, "max-num-seqs": None, "block-size": None, "stream-interval": 1, "max-logprobs": 20,
    "tensor-parallel-size": 1, "pipeline-parallel-size": 1, "data-parallel-size": 1, "max-loras": 1,
    "num-gpu-blocks-override": None, "max-cudagraph-capture-size": None,
}  # fmt: skip
_FLOATS: dict[str, float | None] = {"gpu-memory-utilization": 0.92, "cpu-offload-gb": 0, "kv-offloading-size": None}
_CHOICES: dict[str, tuple[str, Sequence[str]]] = {
    "dtype": ("auto", ("auto", "bfloat16", "float", "float16", "float32", "half")),
    "kv-cache-dtype": ("auto", ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "nvfp4")),
    "performance-mode": ("balanced", ("balanced", "interactivity", "throughput")),
    "scheduling-policy": ("fcfs", ("fcfs", "priority")),
    "uvicorn-log-level": ("info", ("critical", "debug", "error", "info", "trace", "warning")),
}
_SHORT = {"quantization": "-q", "tensor-parallel-size": "-tp", "pipeline-parallel-size": "-pp",
          "data-parallel-size": "-dp", "compilation-config": "-cc", "speculative-config": "-sc"}  # fmt: skip
_SCALES = {"k": 1000, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


class FlexibleArgumentParser(argparse.ArgumentParser):
    """The class that vLLM makes its parser of."""


def hyphens(word: str) -> str:
    """`--max_num_seqs=8` as `--max-num-seqs=8`, which vLLM's parser takes for the same."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def human_readable_int(text: str) -> int:
    """`4096`, `4k` (4,000) or `4K` (4,096)."""
    scale = _SCALES.get(text[-1:], 1)
    return int(float(text[:-1]) * scale) if scale > 1 else int(text)


def human_readable_int_or_auto(text: str) -> int:
    """As human_readable_int; `auto` and `-1` are -1."""
    return -1 if text == "auto" else human_readable_int(text)


def make_arg_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds the flags of `vllm serve`, like `vllm.entrypoints.launchers.cli_args.make_arg_parser`."""
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model", default="Qwen/Qwen3-0.6B")
    parser.add_argument("--max-model-len", type=human_readable_int_or_auto)
    parser.add_argument("--max-num-batched-tokens", type=human_readable_int)
    parser.add_argument("--kv-cache-memory-bytes", type=human_readable_int)
    parser.add_argument("--cudagraph-capture-sizes", type=int, nargs="+")
    parser.add_argument("--disable-log-stats", action="store_true")
    for name in _SWITCHES:
        default = None if name in ("enable-prefix-caching", "enable-chunked-prefill", "async-scheduling") else False
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=default)
    for name in _LISTS:
        parser.add_argument(f"--{name}", nargs="+")
    for name, (choice, choices) in _CHOICES.items():
        parser.add_argument(f"--{name}", choices=choices, default=choice)
    for values, kind in ((_TEXTS, str), (_INTEGERS, int), (_FLOATS, float)):
        for name, value in values.items():
            spellings = (f"--{name}", _SHORT[name]) if name in _SHORT else (f"--{name}",)
            parser.add_argument(*spellings, type=kind, default=value)
    return parser
