"""What one launch of the fake engine is to do and to hold, from its flags and variables."""

import json
import random
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TOKENS_PER_GIB = 262_144  # of the demo's model: 4 layers, 4 KV heads of 64, bfloat16


@dataclass(frozen=True, slots=True)
class Shape:
    """What the start-up lines tell of an engine."""

    model: str
    version: str
    platform: str
    eager: bool
    max_model_len: int
    kv_tokens: int
    kv_gib: float

    @property
    def concurrency(self) -> float:
        return self.kv_tokens / self.max_model_len


@dataclass(frozen=True, slots=True)
class Script:
    """How one launch behaves."""

    ready_s: float
    ttft_s: float
    tpot_s: float
    fail: str
    fail_after: int
    spins: bool


def read_script(env: Mapping[str, str], args: Namespace) -> Script:
    """The script that variables and flags write."""
    factor = max(0.05, random.Random(env.get("FAKE_SEED")).gauss(1.0, float(env.get("FAKE_JITTER", "0"))))
    slower = (1.2 if args.enforce_eager else 1.0) / (1.5 if env.get("FAKE_FAST") == "1" else 1.0)
    return Script(
        ready_s=float(env.get("FAKE_READY_S", "0")),
        ttft_s=float(env.get("FAKE_TTFT_MS", "2")) / 1000 * factor,
        tpot_s=float(env.get("FAKE_TPOT_MS", "1")) / 1000 * factor * slower,
        fail="" if _failed_before(env.get("FAKE_FAIL_ONCE", "")) else env.get("FAKE_FAIL", ""),
        fail_after=int(env.get("FAKE_FAIL_AFTER", "0")),
        spins=env.get("FAKE_SPINS") == "1",
    )


def _failed_before(mark: str) -> bool:
    """Whether the file that tells of an earlier failure was there; it is from now on."""
    if not mark or Path(mark).exists():
        return bool(mark)
    Path(mark).touch()
    return False


def read_shape(env: Mapping[str, str], args: Namespace, version: str, platform: str) -> Shape:
    """What this engine would hold. Errors, as vLLM's, for model files that are missing or corrupt."""
    config = {"max_position_embeddings": 40960}
    if Path(args.model).is_absolute():
        path = Path(args.model) / "config.json"
        if not path.is_file():
            raise ValueError(f"Invalid repository ID or local directory specified: '{args.model}'.")
        try:
            config = json.loads(path.read_text())
        except ValueError:
            raise OSError(f"It looks like the config file at '{path}' is not a valid JSON file.") from None
    kv_gib = float(env.get("VLLM_CPU_KVCACHE_SPACE", "0")) or (args.kv_cache_memory_bytes or 0) / 2**30 or 1.0
    tokens = int(kv_gib * _TOKENS_PER_GIB) * (2 if "fp8" in args.kv_cache_dtype else 1)
    max_model_len = max(args.max_model_len or 0, 0) or config["max_position_embeddings"]
    return Shape(args.model, version, platform, args.enforce_eager, max_model_len, tokens // 16 * 16, kv_gib)
