"""A process that looks like `vllm serve` from outside: flags, log, a child process, endpoints and metrics.

It infers nothing; it sleeps. Variables say how long, and how it fails:

    FAKE_READY_S      seconds added to the start
    FAKE_TTFT_MS      time to the first token for 512 prompt tokens that are not cached, in proportion for others (2)
    FAKE_TPOT_MS      time per output token (1); --enforce-eager makes it 1.2 times that, FAKE_FAST=1 two thirds
    FAKE_JITTER       relative standard deviation of both times between launches; FAKE_SEED makes it repeatable
    FAKE_FAIL         a name in `fake_lines.CORE_FAILURES`, or one of bad_argument, model_files, port_in_use, killed,
                      never_ready, refuses (every completion), outliving_child, ignores_term; while serving: hangs,
                      dies_mid_stream, wrong_json, wrong_tokens (counters that disagree with usage), no_usage,
                      no_metrics
    FAKE_FAIL_ONCE    a file that the first launch makes; where it is, FAKE_FAIL has no effect
    FAKE_FAIL_AFTER   completions that are answered well before a failure while serving sets in (0)
    FAKE_SPINS        1: the core never sleeps, as a CPU engine's threads do not
"""

import os
import signal
import socket
import sys
import time
from argparse import Namespace
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from types import FrameType
from typing import NoReturn

from dyno.testing import fake_lines
from dyno.testing.fake_flags import FlexibleArgumentParser, hyphens, make_arg_parser
from dyno.testing.fake_lines import say
from dyno.testing.fake_script import Script, Shape, read_script, read_shape
from dyno.testing.fake_site import write_site as write_site

_ORPHAN_S = 36.0  # an EngineCore that lost its API server lived this long (measured, vLLM 0.32)
_OUTLIVING_S = 60.0


def core_failure(script: Script, shape: Shape, args: Namespace) -> str:
    """How the core fails: as the script says, else as these flags would make vLLM fail; "" when it starts."""
    if script.fail in fake_lines.CORE_FAILURES:
        return script.fail
    if shape.platform == "cpu" and args.quantization == "fp8_per_tensor":
        return "quantization"
    if shape.platform == "cpu" and shape.kv_gib >= 40:
        return "kv_space"
    return "kv_too_small" if shape.max_model_len > shape.kv_tokens else ""


def main(version: str, platform: str) -> None:
    """`vllm serve MODEL [flags]`: one start, served until TERM."""
    parser = FlexibleArgumentParser(prog="main.py serve", usage="vllm serve [model_tag] [options]")
    args = make_arg_parser(parser).parse_args([hyphens(word) for word in sys.argv[2:]])
    args.model = args.model_tag or args.model
    script = read_script(os.environ, args)
    shape = read_shape(os.environ, args, version, platform)
    _refuse(script, shape)
    say("APIServer", fake_lines.fill(fake_lines.BANNER, shape))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((args.host or "127.0.0.1", args.port))  # as vLLM: bound from the beginning, listening only when ready
    signal.signal(signal.SIGTERM, signal.SIG_IGN if script.fail == "ignores_term" else _exit_on_term)
    reader, writer = os.pipe()
    api_server = os.getpid()
    if not (core := os.fork()):
        os.close(reader)
        sock.close()
        os._exit(_core(script, shape, core_failure(script, shape, args), api_server, writer))
    os.close(writer)
    try:
        from dyno.testing.fake_server import serve  # imported while the core starts

        if not os.read(reader, 1):
            raise RuntimeError(fake_lines.CORE_FAILED)
        if script.fail == "never_ready":
            signal.pause()
        say("APIServer", fake_lines.SERVING.format(port=args.port))
        serve(args, script, shape, sock, core)
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(core, signal.SIGTERM)
            os.waitpid(core, 0)


def _refuse(script: Script, shape: Shape) -> None:
    """Failures before anything is started."""
    if script.fail == "model_files":
        raise OSError(f"It looks like the config file at '{shape.model}/config.json' is not a valid JSON file.")
    if script.fail == "bad_argument":
        raise ValueError("Unknown attention backend: 'NONSENSE'. Valid options are: FLASH_ATTN, FLASHINFER, CPU_ATTN.")
    if script.fail == "port_in_use":
        raise OSError(98, "Address already in use")


def _exit_on_term(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _core(script: Script, shape: Shape, failure: str, api_server: int, ready: int) -> int:
    """The engine core: holds a shared-memory segment until TERM, or until it has been an orphan for a while."""
    if script.fail == "outliving_child":
        _outlive()
    segment = SharedMemory(create=True, size=1 << 20)  # named psm_..., as those of vLLM's message queues are
    try:
        for stage in fake_lines.STAGES:
            time.sleep(script.ready_s / len(fake_lines.STAGES))
            if failure and fake_lines.CORE_FAILURES[failure][0] == stage:
                say("EngineCore", fake_lines.failed(failure, shape), "ERROR")
                return 1
            say("EngineCore", fake_lines.started(stage, shape))
            if script.fail == "killed":
                os.kill(api_server, signal.SIGKILL)
        os.write(ready, b"1")
        while os.getppid() == api_server:
            time.sleep(0 if script.spins else 0.2)
        time.sleep(_ORPHAN_S)
        return 0
    except SystemExit:
        return 0
    finally:
        segment.close()
        segment.unlink()


def _outlive() -> None:
    """Leaves a process in a session of its own that ignores TERM."""
    if not os.fork():
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(_OUTLIVING_S)
        os._exit(0)
