"""A process that looks like `vllm serve` from outside: its flags, log, child process, endpoints and metrics.

It infers nothing; it sleeps. `FAKE_*` variables say how long and how it fails (see `Script`).
"""

import json
import os
import random
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dyno.testing import fake_lines
from dyno.testing.fake_flags import FlexibleArgumentParser, hyphens, make_arg_parser
from dyno.testing.fake_lines import Shape, say
from dyno.testing.fake_site import write_site as write_site

_ORPHAN_S = 36.0  # an EngineCore that lost its API server lived this long (measured, vLLM 0.32)
_BLOCK = 16
_TOKENS_PER_GIB = 262_144  # of the demo's model: 4 layers, 4 KV heads of 64, bfloat16


@dataclass(frozen=True, slots=True)
class Script:
    """How the engine behaves, from variables of its environment. Times are for one stream."""

    ready_s: float  # FAKE_READY_S: added to the start
    ttft_s: float  # FAKE_TTFT_MS: for 512 tokens that are not in the prefix cache, in proportion for others
    tpot_s: float  # FAKE_TPOT_MS, with FAKE_FAST and --enforce-eager applied
    fail: str  # FAKE_FAIL: one of the names in `fake_lines.FAILURES`, or as in `README` of the tests
    fail_after: int  # FAKE_FAIL_AFTER: completions that are answered well before a serving failure sets in


def read_script(env: Mapping[str, str], args: Namespace) -> Script:
    """The script of one launch; FAKE_JITTER is the relative standard deviation between launches."""
    chance = random.Random(env.get("FAKE_SEED"))
    factor = max(0.05, chance.gauss(1.0, float(env.get("FAKE_JITTER", "0"))))
    eager = 1.2 if args.enforce_eager else 1.0
    fast = 1.5 if env.get("FAKE_FAST") == "1" else 1.0
    return Script(
        ready_s=float(env.get("FAKE_READY_S", "0")),
        ttft_s=float(env.get("FAKE_TTFT_MS", "2")) / 1000 * factor,
        tpot_s=float(env.get("FAKE_TPOT_MS", "1")) / 1000 * factor * eager / fast,
        fail=env.get("FAKE_FAIL", ""),
        fail_after=int(env.get("FAKE_FAIL_AFTER", "0")),
    )


def read_shape(env: Mapping[str, str], args: Namespace, version: str, platform: str) -> Shape:
    """What this engine would hold. OSError or ValueError for model files that are missing or corrupt."""
    config = {"max_position_embeddings": 40960}
    if os.sep in args.model:
        config = json.loads((Path(args.model) / "config.json").read_text())
    kv_bytes = args.kv_cache_memory_bytes or int(float(env.get("VLLM_CPU_KVCACHE_SPACE", "1")) * 2**30)
    per_gib = _TOKENS_PER_GIB * (2 if "fp8" in args.kv_cache_dtype else 1)
    max_model_len = args.max_model_len or config["max_position_embeddings"]
    return Shape(args.model, version, platform, args.enforce_eager, max_model_len,
                 kv_tokens=kv_bytes * per_gib // 2**30 // _BLOCK * _BLOCK, kv_bytes=kv_bytes)  # fmt: skip


def start_failure(script: Script, shape: Shape, args: Namespace) -> str:
    """The failure this start ends in: the script's, else the one these flags would cause in vLLM; or nothing."""
    if script.fail in fake_lines.FAILURES:
        return script.fail
    if shape.platform == "cpu" and args.quantization == "fp8_per_tensor":
        return "quantization"
    if shape.platform == "cpu" and shape.kv_bytes >= 40 * 2**30:
        return "kv_space"
    return "kv_too_small" if shape.max_model_len > shape.kv_tokens else ""


def main(version: str, platform: str) -> None:
    """`vllm serve MODEL [flags]`: one start, served until TERM."""
    parser = FlexibleArgumentParser(prog="main.py serve", usage="vllm serve [model_tag] [options]")
    args = make_arg_parser(parser).parse_args([hyphens(word) for word in sys.argv[2:]])
    args.model = args.model_tag or args.model
    script = read_script(os.environ, args)
    shape = _checked_shape(script, args, version, platform)
    sock = _bind(args, script)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if script.fail == "ignores_term" else _exit_on_term)
    reader, writer = os.pipe()
    api_server = os.getpid()
    if not (core := os.fork()):
        os.close(reader)
        sock.close()
        os._exit(_core(script, shape, start_failure(script, shape, args), api_server, writer))
    os.close(writer)
    try:
        from dyno.testing.fake_server import serve  # imported while the core starts

        if not os.read(reader, 1):
            _core_failed()
        if script.fail == "never_ready":
            signal.pause()
        say("APIServer", fake_lines.serving(args.port))
        serve(args, script, shape, sock, core)
    finally:
        _stop(core)


def _checked_shape(script: Script, args: Namespace, version: str, platform: str) -> Shape:
    """The API server's own checks, before anything is started."""
    if script.fail == "model_files":
        raise OSError(f"It looks like the config file at '{args.model}/config.json' is not a valid JSON file.")
    if script.fail == "bad_argument":
        raise ValueError("Invalid attention backend: 'NONSENSE'. Valid backends are: FLASH_ATTN, FLASHINFER, CPU_ATTN")
    try:
        shape = read_shape(os.environ, args, version, platform)
    except ValueError as error:
        raise OSError(
            f"It looks like the config file at '{args.model}/config.json' is not a valid JSON file."
        ) from error
    except OSError as error:
        raise ValueError(f"Invalid repository ID or local directory specified: '{args.model}'.") from error
    say("APIServer", fake_lines.banner(shape, str({name: value for name, value in vars(args).items() if value})))
    return shape


def _bind(args: Namespace, script: Script) -> socket.socket:
    if script.fail == "port_in_use":
        raise OSError(98, "Address already in use")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((args.host or "127.0.0.1", args.port))
    return sock


def _exit_on_term(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _core_failed() -> NoReturn:
    raise RuntimeError(fake_lines.CORE_FAILED)


def _stop(core: int) -> None:
    """Ends the engine core, as the API server of vLLM does."""
    try:
        os.kill(core, signal.SIGTERM)
        os.waitpid(core, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _core(script: Script, shape: Shape, failure: str, api_server: int, ready: int) -> int:
    """The engine core: holds a shared-memory segment until TERM, or until it has been an orphan for a while."""
    segment = SharedMemory(create=True, size=1 << 20)  # named psm_..., as vLLM's message queues are
    try:
        _start_core(script, shape, failure)
        os.write(ready, b"1")
        orphan_since = None
        while orphan_since is None or time.monotonic() - orphan_since < _ORPHAN_S:
            time.sleep(0.2)
            if orphan_since is None and os.getppid() != api_server:
                orphan_since = time.monotonic()
        return 0
    except SystemExit:
        return 0
    except RuntimeError:
        return 1
    finally:
        segment.close()
        segment.unlink()


def _start_core(script: Script, shape: Shape, failure: str) -> None:
    """One stage after the other, each with its lines. RuntimeError where the start fails."""
    if script.fail == "outliving_child":
        _outlive()
    for stage, lines in (("loading", fake_lines.loading), ("profiling", fake_lines.profiling),
                         ("warming", fake_lines.warmed)):  # fmt: skip
        time.sleep(script.ready_s / 3)
        if failure and fake_lines.FAILURES[failure][0] == stage:
            say("EngineCore", fake_lines.failing(failure, shape))
            raise RuntimeError(failure)
        say("EngineCore", lines(shape))
        if script.fail == "killed":
            os.kill(os.getppid(), signal.SIGKILL)


def _outlive() -> None:
    """A process in a session of its own that ignores TERM and lives on for a minute."""
    if os.fork():
        return
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
    os._exit(0)
