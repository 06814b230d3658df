"""Why an engine did not start, or died: one table of exit state and log signature."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dyno.hardware.spec import GpuProcess
from dyno.units import format_bytes


class Cause(StrEnum):
    """Typed causes of a failed launch."""

    OOM_LOAD = "out of memory while loading weights"
    OOM_PROFILE = "out of memory while profiling"
    OOM_GRAPHS = "out of memory while capturing graphs"
    MEMORY_TAKEN = "the card's memory is taken by others"
    KV_TOO_SMALL = "KV cache too small"
    BAD_ARGUMENT = "unsupported argument value"
    MODEL_FILES = "model files missing or corrupt"
    PORT_IN_USE = "port in use"
    TIMEOUT = "not ready in time"
    KILLED = "killed"
    DIED = "engine died"
    NO_ANSWERS = "requests are not answered"


@dataclass(frozen=True, slots=True)
class Failure:
    """A launch's failure: the cause, the line that shows it, what to do, and the end of the log."""

    cause: Cause
    detail: str
    remedy: str
    log_tail: str


@dataclass(frozen=True, slots=True)
class _Signature:
    """One way an engine says why. The line that matches is the detail; `frame` must be somewhere in the log too.

    A remedy may name the groups of the pattern.
    """

    cause: Cause
    line: str
    remedy: str
    frame: str = ""


_OOM = r"OutOfMemoryError|CUDA (?:error: )?out of memory|can't allocate memory|std::bad_alloc|^MemoryError"
_MORE_KV = "give the KV cache more memory (--gpu-memory-utilization; VLLM_CPU_KVCACHE_SPACE on a CPU), or use fp8"
_DAMAGED = "The model's files are damaged or incomplete: download them again."
_SILENT = "A process of the engine ended without a word. Mostly the kernel kills for lack of memory: see dmesg."
_REFUSES = "The server is up and takes no prompt: see whether the tokenizer fits the model, and that it generates text."

# First match wins: the special before the general, what explains before what follows from it.
_SIGNATURES = (
    _Signature(Cause.MEMORY_TAKEN, r"Free memory on device .* is less than",
               "End what else uses the card, or lower --gpu-memory-utilization to what is free."),
    _Signature(Cause.MEMORY_TAKEN, r"Available memory on node \d+ .* on startup is less than",
               "End what else uses the memory, or give the KV cache so many GiB, before the flags: "
               "VLLM_CPU_KVCACHE_SPACE=2 vllm serve ..."),
    _Signature(Cause.MEMORY_TAKEN, r"Error in memory profiling",
               "Others took or freed memory of the card during the start: end them, or start again."),
    _Signature(Cause.MEMORY_TAKEN, _OOM, "End what else uses the card: no memory was left to begin with.",
               frame=r"in init_device"),
    _Signature(Cause.KV_TOO_SMALL, r"To serve at least one request .*estimated maximum model length is (?P<length>\d+)",
               f"Set --max-model-len to {{length}} or less, or {_MORE_KV}."),
    _Signature(Cause.KV_TOO_SMALL, r"To serve at least one request|No available memory for the cache blocks",
               f"Lower --max-model-len, or {_MORE_KV}."),
    _Signature(Cause.OOM_PROFILE, r"Available memory on node \d+ \((?P<free>[\d.]+)/.* is less than requested memory",
               "Set VLLM_CPU_KVCACHE_SPACE or --kv-cache-memory-bytes below the {free} GiB that are free."),
    _Signature(Cause.OOM_PROFILE, r"out of memory occurred when warming up", "Lower --max-num-seqs."),
    _Signature(Cause.OOM_GRAPHS, _OOM, "Lower --gpu-memory-utilization or --max-num-seqs, or use --enforce-eager.",
               frame=r"in (?:capture_model|_capture_cudagraphs|profile_cudagraph_memory)"),
    _Signature(Cause.OOM_PROFILE, _OOM, "Lower --max-num-batched-tokens or --max-num-seqs.",
               frame=r"in (?:determine_available_memory|profile_run|determine_num_available_blocks)"),
    _Signature(Cause.OOM_LOAD, _OOM, "Use smaller weights (--quantization fp8, a smaller model) or more cards.",
               frame=r"in load_model|not enough GPU memory"),
    _Signature(Cause.OOM_PROFILE, _OOM, "Lower --gpu-memory-utilization or --max-num-seqs."),
    _Signature(Cause.PORT_IN_USE, r"[Aa]ddress already in use", "Stop what listens on the port, or choose another."),
    _Signature(Cause.MODEL_FILES, r"^.*(?:Invalid repository ID or local directory|Repo id must be in the form"
               r"|is not a local folder and is not a valid|RepositoryNotFoundError: |Cannot find any model weights"
               r"|LocalEntryNotFoundError: )",
               "Check the model's name, or that its folder holds config.json and weights."),
    _Signature(Cause.MODEL_FILES, r"GatedRepoError: |401 Client Error|403 Client Error",
               "Accept the model's licence on Hugging Face and log in (hf auth login)."),
    _Signature(Cause.MODEL_FILES, r"is not a valid JSON file|`model_type` key in its config|SafetensorError"
               r"|Can't load tokenizer|Couldn't instantiate the backend tokenizer|JSONDecodeError"
               r"|There is no module or parameter named", _DAMAGED),
    _Signature(Cause.MODEL_FILES, r"^(?:[\w.]+Error|struct\.error)\b", _DAMAGED,
               frame=r"in (?:parse_safetensors_file_metadata|safetensors_weights_iterator)"),
    _Signature(Cause.MODEL_FILES, r"Model architectures .* are not supported|does not recognize this architecture",
               "This vLLM release does not know the architecture: use a newer one."),
    _Signature(Cause.BAD_ARGUMENT, r"unrecognized arguments:.*|error: argument .*",
               "Correct the flag: this vLLM release does not take it."),
    _Signature(Cause.BAD_ARGUMENT, r"RuntimeError: _C::\w+\(\) expected at most|Minimum capability: \d+",
               "This build of vLLM has no kernel for that on this machine: leave the quantization or data type out."),
    _Signature(Cause.BAD_ARGUMENT, r"(?:is|are) not valid for this configuration|[Uu]nknown attention backend"
               r"|[Ii]nvalid attention backend|World size \(\d+\) is larger|decrease DP/TP/PP",
               "Leave the flag out, or give it a value that this machine can run."),
    _Signature(Cause.BAD_ARGUMENT, r"^\s*Value error, .*|^\w+\n\s+Input should be .*",
               "Correct the value, or leave the flag out."),
    _Signature(Cause.BAD_ARGUMENT, r"^NotImplementedError: .*|^\w*ValidationError: .*",
               "Leave out what this build of vLLM cannot do."),
    _Signature(Cause.KILLED, r"died unexpectedly \(exit code: -9\)|Failed core proc\(s\): .*: -9\b", _SILENT),
    _Signature(Cause.KILLED, r"WorkerProc initialization failed", _SILENT,
               frame=r"\A(?![\s\S]*WorkerProc failed to start)"),
    _Signature(Cause.DIED, r"engine core exited unexpectedly|Engine core proc \S+ died unexpectedly", _SILENT,
               frame=r"\A(?![\s\S]*EngineCore encountered a fatal error)"),
)  # fmt: skip

_PREFIX = re.compile(
    r"^(?:\([^()]*pid=\d+[^()]*\) ?)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\] ?)?"
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*")
_POINTS_ELSEWHERE = re.compile(r"root cause|stack trace")
_SOURCE = "    "  # a traceback's echo of source holds messages that were never said
_TAIL_LINES = 30
_DETAIL_LENGTH = 400


def diagnose(
    log: str, exit_code: int | None, timed_out: bool, neighbours: Sequence[GpuProcess] = (), refusal: str | None = None
) -> Failure:
    """Why a launch failed: what its server said against a request (`refusal`), what the log says, or how it ended.

    `neighbours` are others on the card.
    """
    spoken = (_PREFIX.sub("", line) for line in _COLOUR.sub("", log).splitlines())
    lines = [line for line in spoken if line.strip() and not line.startswith(_SOURCE)]
    tail = "\n".join(log.splitlines()[-_TAIL_LINES:])
    refused = (Cause.NO_ANSWERS, f"one token was asked for: {refusal}", _REFUSES) if refusal else None
    cause, detail, remedy = refused or _said(lines) or _ended(lines, exit_code, timed_out)
    if neighbours and cause in (Cause.MEMORY_TAKEN, Cause.OOM_LOAD, Cause.OOM_PROFILE, Cause.OOM_GRAPHS):
        remedy += f" On the card now: {', '.join(_named(neighbours))}."
    if len(detail) > _DETAIL_LENGTH:
        detail = detail[: _DETAIL_LENGTH - 3] + "..."
    return Failure(cause, detail, remedy, tail)


def _said(lines: Sequence[str]) -> tuple[Cause, str, str] | None:
    text = "\n".join(lines)
    for signature in _SIGNATURES:
        match = re.search(signature.line, text, re.MULTILINE)
        if match and re.search(signature.frame, text):
            start, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
            detail = text[start : end if end >= 0 else None].split(" [type=")[0]
            return signature.cause, " ".join(detail.split()), signature.remedy.format_map(match.groupdict())
    return None


def _ended(lines: Sequence[str], exit_code: int | None, timed_out: bool) -> tuple[Cause, str, str]:
    spoken = [line.strip() for line in lines] or ["the log is empty"]
    if timed_out:
        return Cause.TIMEOUT, spoken[-1], "Allow more time, or see in the log what it was waiting for."
    if exit_code in (-9, 137):
        return Cause.KILLED, f"ended by SIGKILL after: {spoken[-1]}", _SILENT
    errors = [line for line in spoken if _ERROR.match(line)]
    roots = [line for line in errors if not _POINTS_ELSEWHERE.search(line)]
    ending = "" if exit_code is None else f" (exit code {exit_code})"
    return Cause.DIED, (roots or errors or spoken)[-1] + ending, "See the end of the log."


def _named(neighbours: Sequence[GpuProcess]) -> Iterator[str]:
    for process in neighbours:
        size = "" if process.memory_bytes is None else f" ({format_bytes(process.memory_bytes)})"
        yield f"pid {process.pid} {process.name}{size}"
