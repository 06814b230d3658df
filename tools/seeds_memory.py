"""Writes docs/seeds-memory.md: figures of five documents that plan memory by hand, beside Dyno's.

python tools/seeds_memory.py
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dyno.engine.args import EngineArgs
from dyno.hardware.gpus import find_card
from dyno.model.config import parse_config
from dyno.model.synthetic import SHAPES
from dyno.plan.planning import Question, make_plan
from dyno.predict.kv_cache import longest
from dyno.predict.memory import Host, Memory, predict_memory
from dyno.predict.offload import size_offload
from dyno.predict.setup import Setup, resolve
from dyno.workload import parse_limits

PAGE = Path(__file__).parent.parent / "docs" / "seeds-memory.md"
TEXT = Path(__file__).with_suffix(".md")
GIB = 2**30
RELEASE = (0, 33)
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
QWEN3_4B = {**SHAPES["qwen3-4b"].fields, "architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 262144}
QWEN3_8B = {**SHAPES["qwen3-8b"].fields, "architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 131072}
QWEN25_7B_AWQ = {
    "architectures": ["Qwen2ForCausalLM"], "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}  # fmt: skip
RAM, USED, LARGE_SHM = 94 * 10**9, 6 * 10**9, 90 * 10**9


@dataclass(frozen=True)
class Figures:
    """One configuration on one card, as the page shows it; GiB to two or three figures."""

    setup: Setup
    memory: Memory

    def __getattr__(self, name: str) -> str:
        memory, card = self.memory, self.setup.card
        assert card is not None
        sizes = {"weights": memory.weights_bytes, "activations": memory.activation_bytes, "kv": memory.kv_cache_bytes,
                 "used": memory.device_used_bytes, "asked": memory.requested_bytes, "card": card.cuda_bytes,
                 "left": card.cuda_bytes - memory.requested_bytes}  # fmt: skip
        if name in sizes:
            return f"{sizes[name] / GIB:.3g}"
        decimal = {"used_gb": memory.device_used_bytes, "off_gb": memory.device_spread_bytes}
        if name in decimal:
            return f"{decimal[name] / 10**9:.3g}"
        counts = {"tokens": memory.kv_cache_tokens, "longest": longest(self.setup, memory.kv_cache_bytes)}
        return f"{counts[name]:,}" if name in counts else f"{memory.max_concurrency:.1f}"


def page() -> str:
    """The whole page."""
    laptop = {"gpu_memory_utilization": 0.85, "max_model_len": 8192}
    small, long = QWEN3_4B | FP8, laptop | {"max_model_len": 131072, "max_num_batched_tokens": 8192}
    rtx5090 = {"gpu_memory_utilization": 0.85, "max_model_len": 32768, "quantization": "fp8_per_tensor"}
    filled = rtx5090 | {"max_num_seqs": 512, "max_num_batched_tokens": 65536}
    q4, bf16 = figures(small, "RTX 4090 Laptop", laptop), figures(QWEN3_4B, "RTX 4090 Laptop", laptop)
    r1, plain = figures(QWEN3_8B, "RTX 5090", filled), figures(QWEN3_8B, "RTX 5090", rtx5090)
    offloading = {"max_model_len": 32768, "kv_offloading_size": 64.0}
    awq = figures(QWEN25_7B_AWQ, "RTX 5070", offloading | {"gpu_memory_utilization": 0.9})
    share = largest_share(awq.setup, offloading, "11 GB")
    return TEXT.read_text(encoding="utf-8").format(
        q4=q4,
        bf16=bf16,
        long=figures(small, "RTX 4090 Laptop", long),
        long8=figures(small, "RTX 4090 Laptop", long | {"kv_cache_dtype": "fp8"}),
        most=figures(small, "RTX 4090 Laptop", {"gpu_memory_utilization": 0.9, "max_model_len": 32768}),
        reduction=f"{bf16.memory.weights_bytes / q4.memory.weights_bytes:.1f}",
        r1=r1,
        plain=plain,
        more=f"{plain.memory.kv_cache_bytes / r1.memory.kv_cache_bytes:.1f}",
        all=figures(QWEN3_8B, "RTX 5090", filled | {"gpu_memory_utilization": 0.99}),
        awq=awq,
        share=f"{share:g}",
        under=figures(QWEN25_7B_AWQ, "RTX 5070", offloading | {"gpu_memory_utilization": share}),
        half=offload(awq.setup, RAM // 2),
        wide=offload(awq.setup, LARGE_SHM),
    )


def figures(config: dict[str, Any], card: str, flags: dict[str, Any]) -> Figures:
    """What Dyno says of it, before any start of that machine was seen."""
    model = parse_config(config, "a model", where="config.json", path=None, has_weights=False)
    setup = resolve(model, EngineArgs("model", tuple(flags.items())), RELEASE, find_card(card))
    return Figures(setup, predict_memory(setup))


def largest_share(setup: Setup, flags: dict[str, Any], vram: str) -> float:
    """The largest share of the card with which `dyno plan` keeps a limit on what is in use."""
    limits = parse_limits({"vram": vram})
    question = Question(setup.model, EngineArgs("model", tuple(flags.items())), RELEASE, setup.card, limits=limits)
    return make_plan(question).largest.gpu_memory_utilization


@dataclass(frozen=True)
class Offloaded:
    """What the host's memory takes of evicted blocks."""

    safe: str
    tokens: str
    step: str


def offload(setup: Setup, shm_bytes: int) -> Offloaded:
    """The largest safe size where /dev/shm is so large, and what it holds."""
    found = size_offload(setup, Host(0, RAM, RAM - USED, shm_bytes))
    assert found is not None
    return Offloaded(f"{found.safe_bytes / GIB:.0f}", f"{found.safe_tokens:,}", f"{found.step_tokens:,}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
