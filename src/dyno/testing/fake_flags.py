"""The flags of the fake engine: the ones people use most, with vLLM 0.32's names, types, choices and defaults."""

import argparse
import json
from collections.abc import Callable, Mapping

_SCALES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


def human_readable_int(text: str) -> int:
    """`4096`, `4k` (4,000) or `4K` (4,096)."""
    scale = _SCALES.get(text[-1:], 0)
    return int(float(text[:-1]) * scale) if scale else int(text)


def human_readable_int_or_auto(text: str) -> int:
    """As human_readable_int; `auto` is -1."""
    return -1 if text == "auto" else human_readable_int(text)


# "name=default"; without a default None, which for a switch means that vLLM decides.
_SWITCHES = """enforce-eager=0 enable-prefix-caching enable-chunked-prefill async-scheduling trust-remote-code=0
    enable-auto-tool-choice=0 enable-lora enable-expert-parallel=0 enable-log-requests=0 language-model-only=0"""
_LISTS = "served-model-name lora-modules api-key cudagraph-capture-sizes"
_VALUES: Mapping[Callable[[str], object], str] = {
    str: """host config tokenizer tokenizer-mode=auto revision download-dir quantization/-q load-format=auto
        attention-backend tool-call-parser reasoning-parser chat-template generation-config=auto optimization-level""",
    json.loads: "compilation-config/-cc speculative-config/-sc hf-overrides",
    int: """port=8000 seed=0 max-num-seqs block-size stream-interval=1 max-logprobs=20 tensor-parallel-size/-tp=1
        pipeline-parallel-size/-pp=1 data-parallel-size/-dp=1 max-loras=1 num-gpu-blocks-override""",
    human_readable_int: "max-num-batched-tokens kv-cache-memory-bytes",
    human_readable_int_or_auto: "max-model-len",
    float: "gpu-memory-utilization=0.92 cpu-offload-gb=0 kv-offloading-size",
}
_CHOICES = {
    "dtype": "auto bfloat16 float float16 float32 half",
    "kv-cache-dtype": "auto bfloat16 float16 fp8 fp8_e4m3 fp8_e5m2 nvfp4",
    "performance-mode": "balanced interactivity throughput",
    "scheduling-policy": "fcfs priority",
}


class FlexibleArgumentParser(argparse.ArgumentParser):
    """The class that vLLM makes its parser of."""


def hyphens(word: str) -> str:
    """`--max_num_seqs=8` as `--max-num-seqs=8`, which vLLM's parser takes for the same."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def make_arg_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds the flags of `vllm serve`, as `vllm.entrypoints.launchers.cli_args.make_arg_parser` does."""
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model", default="Qwen/Qwen3-0.6B")
    parser.add_argument("--disable-log-stats", action="store_true")
    for name, equals, _ in (word.partition("=") for word in _SWITCHES.split()):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=False if equals else None)
    for name in _LISTS.split():
        parser.add_argument(f"--{name}", nargs="+")
    for name, choices in _CHOICES.items():
        parser.add_argument(f"--{name}", choices=choices.split(), default=choices.split()[0])
    for kind, words in _VALUES.items():
        for spellings, equals, default in (word.partition("=") for word in words.split()):
            parser.add_argument(*f"--{spellings}".split("/"), type=kind, default=default if equals else None)
    return parser
