"""The log of the fake engine: vLLM 0.32's own lines, for a good start and for each way to fail."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict

from dyno.testing.fake_script import Shape

BANNER = """\
api_utils.py:347   version {version}
api_utils.py:286 non-default args: {{'model_tag': '{model}', 'max_model_len': {max_model_len}}}
model.py:733 Resolved architecture: Qwen3ForCausalLM
model.py:2152 Using max model len {max_model_len}"""
SERVING = "entry.py:136 Supported tasks: ['generate']\nentry.py:140 Starting vLLM server on http://127.0.0.1:{port}"
STAGES = ("loading", "profiling", "warming")

_FIRST = "core.py:133 Initializing a V1 LLM engine (v{version}) with config: model='{model}', dtype=torch.bfloat16\n"
_KV_SIZE = ("KV cache size: {kv_tokens:,} tokens, Maximum concurrency for {max_model_len:,} tokens per request: "
            "{concurrency:.2f}x")  # fmt: skip
_INIT = "core.py:402 init engine (profile, create kv cache, warmup model) took "

# Lines that begin with "~" are those of a compiled engine.
_START: Mapping[str, Mapping[str, str]] = {
    "cpu": {
        "loading": _FIRST + "cpu_model_runner.py:68 Starting to load model {model}...\n"
                            "base_loader.py:82 Initializing model took 0.178652 seconds",
        "profiling": "~cpu_model_runner.py:87 Warming up model for the compilation...\n"
                     "~cpu_model_runner.py:91 Warming up done.\n"
                     "cpu_worker.py:260 Explicitly set ({kv_gib:.1f}/8.34) GiB for KV cache on node 0.\n"
                     "kv_cache_utils.py:2327 CPU " + _KV_SIZE,
        "warming": _INIT + "2.72 s",
    },
    "cuda": {
        "loading": _FIRST + "gpu_model_runner.py:5081 Starting to load model {model}...\n"
                            "cuda.py:507 Using FLASH_ATTN attention backend out of potential backends: [FLASH_ATTN].\n"
                            "default_loader.py:430 Loading weights took 1.23 seconds\n"
                            "gpu_model_runner.py:5149 Model loading took 7.56 GiB memory and 3.210000 seconds",
        "profiling": "~monitor.py:53 torch.compile took 24.31 s in total\n"
                     "gpu_worker.py:759 Available KV cache memory: {kv_gib:.2f} GiB\n"
                     "kv_cache_utils.py:2327 GPU " + _KV_SIZE,
        "warming": "~gpu_model_runner.py:6581 Graph capturing finished in 5 secs, took 0.61 GiB\n" + _INIT + "41.23 s",
    },
}  # fmt: skip

CORE_FAILED = ("Engine core initialization failed. See root cause above. "
               "Failed core proc(s): {'EngineCore': 1}")  # fmt: skip
CORE_DIED = ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
             "See stack trace (above) for the root cause.")  # fmt: skip
_OOM = ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 64.00 MiB. GPU 0 has a total capacity of "
        "11.94 GiB of which 18.25 MiB is free.")  # fmt: skip

# Failures of the engine core: the stage, the function that the traceback names, the error.
CORE_FAILURES: Mapping[str, tuple[str, str, str]] = {
    "oom_load": ("loading", "load_model", _OOM),
    "oom_profile": ("profiling", "determine_available_memory", _OOM),
    "oom_graphs": ("warming", "capture_model", _OOM),
    "memory_taken": ("loading", "init_device",
        "ValueError: Free memory on device cuda:0 (3.20/11.94 GiB) on startup is less than desired GPU memory "
        "utilization (0.92, 10.98 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."),
    "kv_too_small": ("profiling", "_check_enough_kv_cache_memory",
        "ValueError: To serve at least one request with the model's max seq len ({max_model_len}), (5.62 GiB KV cache "
        "is needed, which is larger than the available KV cache memory ({kv_gib:.2f} GiB). Based on the available "
        "memory, the estimated maximum model length is {kv_tokens}. Try increasing `gpu_memory_utilization`."),
    "quantization": ("loading", "process_weights_after_loading",
        "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 argument(s). "
        "Declaration: _C::static_scaled_fp8_quant() -> ()"),
    "kv_space": ("profiling", "determine_available_memory",
        "ValueError: Available memory on node 0 (6.83/8.34 GiB) on kv cache allocation is less than requested memory "
        "for kv ({kv_gib:.1f} GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory "
        "used by other processes."),
}  # fmt: skip


def started(stage: str, shape: Shape) -> str:
    """The engine core's lines for a stage that went well."""
    lines = _START[shape.platform][stage].splitlines()
    return fill("\n".join(line.lstrip("~") for line in lines if not (shape.eager and line[0] == "~")), shape)


def failed(name: str, shape: Shape) -> str:
    """The engine core's lines for one failure."""
    _, function, error = CORE_FAILURES[name]
    trace = f'Traceback (most recent call last):\n  File "vllm/v1/worker/gpu_worker.py", line 594, in {function}\n'
    text = f"EngineCore failed to start.\n{trace}{fill(error, shape)}"
    return "\n".join(f"core.py:1510 {line}" for line in text.splitlines())


def fill(text: str, shape: Shape) -> str:
    """The text with the shape's numbers in it."""
    return text.format(**asdict(shape), concurrency=shape.concurrency)


def say(process: str, text: str, level: str = "INFO") -> None:
    """Prints lines `PLACE TEXT` as vLLM does: `(EngineCore pid=7) INFO 11-21 01:16:24 [core.py:402] ...`."""
    for line in text.splitlines():
        place, _, words = line.partition(" ")
        stamp = time.strftime("%m-%d %H:%M:%S")
        print(f"({process} pid={os.getpid()}) {level} {stamp} [{place}] {words}", flush=True)
