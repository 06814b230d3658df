"""The log lines of the fake engine: vLLM 0.32's own, for a good start and for each way to fail."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """What the start-up lines say about an engine."""

    model: str
    version: str
    platform: str
    eager: bool
    max_model_len: int
    kv_tokens: int
    kv_bytes: int


Line = tuple[str, str, str]  # level, place, text


def say(process: str, lines: Sequence[Line]) -> None:
    """Prints lines as vLLM's logger does: `(EngineCore pid=7) INFO 11-21 01:16:24 [core.py:402] ...`."""
    for level, place, text in lines:
        stamp = time.strftime("%m-%d %H:%M:%S")
        for part in text.splitlines():
            print(f"({process} pid={os.getpid()}) {level} {stamp} [{place}] {part}", flush=True)


def banner(shape: Shape, non_default: str) -> list[Line]:
    """What the API server says before it starts the engine core."""
    return [
        ("INFO", "api_utils.py:347", f"  version {shape.version}"),
        ("INFO", "api_utils.py:286", f"non-default args: {non_default}"),
        ("INFO", "model.py:733", "Resolved architecture: Qwen3ForCausalLM"),
        ("INFO", "model.py:2152", f"Using max model len {shape.max_model_len}"),
    ]


def loading(shape: Shape) -> list[Line]:
    """From the engine core's first line to the weights in memory."""
    start = f"Initializing a V1 LLM engine (v{shape.version.split('+')[0]}) with config: model='{shape.model}'"
    lines = [("INFO", "core.py:133", start)]
    if shape.platform == "cpu":
        return [*lines, ("INFO", "cpu_model_runner.py:68", f"Starting to load model {shape.model}..."),
                ("INFO", "base_loader.py:82", "Initializing model took 0.178652 seconds")]  # fmt: skip
    backends = "Using FLASH_ATTN attention backend out of potential backends: [FLASH_ATTN, FLASHINFER, TRITON_ATTN]."
    return [*lines, ("INFO", "gpu_model_runner.py:5100", f"Starting to load model {shape.model}..."),
            ("INFO", "cuda.py:507", backends),
            ("INFO", "default_loader.py:430", "Loading weights took 1.23 seconds"),
            ("INFO", "gpu_worker.py:594", "Model loading took 7.56 GiB memory and 3.210000 seconds")]  # fmt: skip


def profiling(shape: Shape) -> list[Line]:
    """The memory profile and the size of the KV cache."""
    kv_gib = f"{shape.kv_bytes / 2**30:.2f}"
    size = (f"KV cache size: {shape.kv_tokens:,} tokens, Maximum concurrency for {shape.max_model_len:,} tokens "
            f"per request: {shape.kv_tokens / shape.max_model_len:.2f}x")  # fmt: skip
    if shape.platform == "cpu":
        warm = [] if shape.eager else [("INFO", "cpu_model_runner.py:87", "Warming up model for the compilation..."),
                                       ("INFO", "cpu_model_runner.py:91", "Warming up done.")]  # fmt: skip
        return [*warm, ("INFO", "cpu_worker.py:260", f"Explicitly set ({kv_gib}/8.34) GiB for KV cache on node 0."),
                ("INFO", "kv_cache_utils.py:2327", f"CPU {size}")]  # fmt: skip
    compiled = [] if shape.eager else [("INFO", "monitor.py:53", "torch.compile took 24.31 s in total")]
    return [*compiled, ("INFO", "gpu_worker.py:759", f"Available KV cache memory: {kv_gib} GiB"),
            ("INFO", "kv_cache_utils.py:2327", f"GPU {size}")]  # fmt: skip


def warmed(shape: Shape) -> list[Line]:
    """The last lines of the engine core before it serves."""
    took = "init engine (profile, create kv cache, warmup model) took"
    if shape.platform == "cpu" or shape.eager:
        return [("INFO", "core.py:402", f"{took} {2.72 if shape.eager else 7.64:.2f} s")]
    return [("INFO", "gpu_model_runner.py:6582", "Graph capturing finished in 5 secs, took 0.61 GiB"),
            ("INFO", "core.py:402", f"{took} 41.23 s (compilation: 24.31 s)")]  # fmt: skip


def serving(port: int) -> list[Line]:
    """What the API server says when it begins to listen."""
    return [("INFO", "entry.py:136", "Supported tasks: ['generate']"),
            ("INFO", "entry.py:140", f"Starting vLLM server on http://127.0.0.1:{port}")]  # fmt: skip


CORE_FAILED = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
CORE_DIED = ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
             "See stack trace (above) for the root cause.")  # fmt: skip

_OOM = ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {need}. GPU 0 has a total capacity of 11.94 GiB "
        "of which 18.25 MiB is free.")  # fmt: skip

# FAKE_FAIL -> the stage that fails, the worker's frame in the traceback, the error's own line.
FAILURES: dict[str, tuple[str, str, str]] = {
    "oom_load": ("loading", "in load_model", _OOM.format(need="24.00 MiB")),
    "oom_profile": ("profiling", "in determine_available_memory\n    self.model_runner.profile_run()",
                    _OOM.format(need="1.16 GiB")),
    "oom_graphs": ("warming", "in capture_model", _OOM.format(need="64.00 MiB")),
    "memory_taken": ("loading", "in init_device",
                     "ValueError: Free memory on device cuda:0 (3.20/11.94 GiB) on startup is less than desired GPU "
                     "memory utilization (0.92, 10.98 GiB). Decrease GPU memory utilization or reduce GPU memory used "
                     "by other processes."),
    "kv_too_small": ("profiling", "in _check_enough_kv_cache_memory",
                     "ValueError: To serve at least one request with the model's max seq len ({max_model_len}), "
                     "(5.62 GiB KV cache is needed, which is larger than the available KV cache memory (3.36 GiB). "
                     "Based on the available memory, the estimated maximum model length is {kv_tokens}. Try increasing "
                     "`gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing "
                     "`max_model_len` when initializing the engine."),
    "quantization": ("loading", "in process_weights_after_loading",
                     "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 "
                     "argument(s). Declaration: _C::static_scaled_fp8_quant() -> ()"),
    "kv_space": ("profiling", "in determine_available_memory",
                 "ValueError: Available memory on node 0 (7.81/8.34 GiB) on kv cache allocation is less than requested "
                 "memory for kv (40.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU "
                 "memory used by other processes."),
}  # fmt: skip


def failing(name: str, shape: Shape) -> list[Line]:
    """The engine core's lines for one failure."""
    _, frame, error = FAILURES[name]
    error = error.replace("{max_model_len}", str(shape.max_model_len)).replace("{kv_tokens}", str(shape.kv_tokens))
    where = f'  File "vllm/v1/worker/gpu_worker.py", line 1, {frame}'
    text = f"EngineCore failed to start.\nTraceback (most recent call last):\n{where}\n{error}"
    return [("ERROR", "core.py:1510", text)]
