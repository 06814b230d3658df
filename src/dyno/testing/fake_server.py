"""The HTTP side of the fake engine: vLLM's endpoints and metrics, and a prefix cache."""

import asyncio
import json
import os
import signal
import socket
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dyno.testing import fake_lines
from dyno.testing.fake_lines import say
from dyno.testing.fake_script import Script, Shape

Body = dict[str, Any]
_BLOCK = 16
_COUNTERS = ("prompt_tokens", "generation_tokens", "prefix_cache_queries", "prefix_cache_hits", "num_preemptions")
_GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
_BUCKETS = {
    "time_to_first_token": (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0),
    "inter_token_latency": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0),
    "e2e_request_latency": (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0),
    "request_queue_time": (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0),
    "request_prefill_time": (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0),
}


class Series:
    """vLLM's series, by their names without `vllm:` and unit."""

    def __init__(self, model: str, info: dict[str, str]) -> None:
        self.registry = CollectorRegistry()
        labels = {"model_name": model, "engine": "0"}
        names, registry = list(labels), self.registry
        self.counters = {c: Counter(f"vllm:{c}", c, names, registry=registry).labels(**labels) for c in _COUNTERS}
        self.gauges = {g: Gauge(f"vllm:{g}", g, names, registry=registry).labels(**labels) for g in _GAUGES}
        self.times = {h: Histogram(f"vllm:{h}_seconds", h, names, buckets=buckets, registry=registry).labels(**labels)
                      for h, buckets in _BUCKETS.items()}  # fmt: skip
        ended = Counter("vllm:request_success", "ended", [*names, "finished_reason"], registry=registry)
        self.ended = {reason: ended.labels(**labels, finished_reason=reason) for reason in ("stop", "length", "abort")}
        info = {"engine": "0", **info}
        Gauge("vllm:cache_config_info", "cache config", list(info), registry=registry).labels(**info).set(1)


@dataclass(frozen=True, slots=True)
class Request:
    """One completion as asked for."""

    tokens: tuple[int, ...]
    max_tokens: int
    ignore_eos: bool

    @property
    def length(self) -> int:
        """Tokens to come: all that were asked for, or up to an end-of-sequence that the prompt decides."""
        return self.max_tokens if self.ignore_eos else min(self.max_tokens, 1 + sum(self.tokens) % 64)

    @property
    def finish_reason(self) -> str:
        return "length" if self.length == self.max_tokens else "stop"

    @property
    def usage(self) -> dict[str, int]:
        return {"prompt_tokens": len(self.tokens), "total_tokens": len(self.tokens) + self.length,
                "completion_tokens": self.length}  # fmt: skip


class Core:
    """Requests in, tokens out, at the script's pace."""

    def __init__(self, args: Namespace, script: Script, shape: Shape, series: Series, pid: int) -> None:
        self.script, self.shape, self.series, self.pid = script, shape, series, pid
        self._slots = asyncio.Semaphore(args.max_num_seqs or 256)
        self._blocks: dict[int, None] | None = None if args.enable_prefix_caching is False else {}
        self._answered = 0

    def fails(self, name: str) -> bool:
        """Whether this failure of the script has set in."""
        return self.script.fail == name and self._answered >= self.script.fail_after

    def _cached(self, tokens: tuple[int, ...]) -> int:
        """Tokens at the prompt's front whose blocks are cached; all its full blocks are from now on."""
        if self._blocks is None:
            return 0
        hits, unbroken, parent = 0, True, 0
        for end in range(_BLOCK, len(tokens) + 1, _BLOCK):
            parent = hash((parent, *tokens[end - _BLOCK : end]))
            unbroken = unbroken and parent in self._blocks
            hits += unbroken
            self._blocks.pop(parent, None)
            self._blocks[parent] = None
        while len(self._blocks) > self.shape.kv_tokens // _BLOCK:
            self._blocks.pop(next(iter(self._blocks)))
        cached = min(hits, (len(tokens) - 1) // _BLOCK) * _BLOCK  # the last token is always computed
        self.series.counters["prefix_cache_queries"].inc(len(tokens))
        self.series.counters["prefix_cache_hits"].inc(cached)
        return cached

    async def generate(self, request: Request) -> AsyncIterator[str]:
        """One piece of text per token, each when it is due."""
        arrived, series = time.perf_counter(), self.series
        share = request.usage["total_tokens"] / self.shape.kv_tokens
        with series.gauges["num_requests_waiting"].track_inprogress():
            await self._slots.acquire()
        series.times["request_queue_time"].observe(time.perf_counter() - arrived)
        series.gauges["kv_cache_usage_perc"].inc(share)
        ended = "abort"
        try:
            with series.gauges["num_requests_running"].track_inprogress():
                async for token in self._paced(request, arrived):
                    yield f" w{token}"
            ended = request.finish_reason
        finally:
            self._slots.release()
            series.gauges["kv_cache_usage_perc"].dec(share)
            series.ended[ended].inc()
        self._answered += 1
        series.times["e2e_request_latency"].observe(time.perf_counter() - arrived)

    async def _paced(self, request: Request, arrived: float) -> AsyncIterator[int]:
        if self.fails("hangs"):
            await asyncio.Event().wait()
        uncached = len(request.tokens) - self._cached(request.tokens)
        prefill_s = self.script.ttft_s * uncached / 512
        due, last = time.perf_counter() + prefill_s, arrived
        self.series.times["request_prefill_time"].observe(prefill_s)
        counted = 2 if self.fails("wrong_tokens") else 1
        self.series.counters["prompt_tokens"].inc(len(request.tokens))
        for index in range(request.length):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if index == 2 and self.fails("dies_mid_stream"):
                os.kill(self.pid, signal.SIGKILL)
                await asyncio.Event().wait()
            now = time.perf_counter()
            self.series.times["inter_token_latency" if index else "time_to_first_token"].observe(now - last)
            self.series.counters["generation_tokens"].inc(counted)
            due, last = due + self.script.tpot_s, now
            yield (sum(request.tokens) + index) % 4096


class Api:
    """The endpoints."""

    def __init__(self, args: Namespace, core: Core) -> None:
        self.args, self.core = args, core
        self.names: list[str] = args.served_model_name or [args.model]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/version", self.version),
            web.get("/v1/models", self.models),
            web.get("/metrics", self.metrics),
            web.post("/v1/completions", partial(self.complete, chat=False)),
            web.post("/v1/chat/completions", partial(self.complete, chat=True)),
        ]

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self.core.shape.version.partition("+")[0]})

    async def models(self, _: web.Request) -> web.Response:
        card = {"object": "model", "owned_by": "vllm", "root": self.args.model, "parent": None,
                "max_model_len": self.core.shape.max_model_len}  # fmt: skip
        return web.json_response({"object": "list", "data": [{"id": name, **card} for name in self.names]})

    async def metrics(self, _: web.Request) -> web.Response:
        if self.core.script.fail == "no_metrics":
            raise web.HTTPNotFound
        text = b"" if self.args.disable_log_stats else generate_latest(self.core.series.registry)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    async def complete(self, http: web.Request, chat: bool) -> web.StreamResponse:
        body = await http.json()
        if self.core.script.fail == "refuses":
            return _refusal(400, "Please provide a prompt of at least one token.")
        if body.get("model", self.names[0]) not in self.names:
            return _refusal(404, f"The model `{body['model']}` does not exist.")
        request = self._request(body, chat)
        limit = self.core.shape.max_model_len
        if not 0 < len(request.tokens) <= limit - request.max_tokens:
            return _refusal(400, f"This model's maximum context length is {limit} tokens.")
        if self.core.fails("wrong_json"):
            return web.Response(text='data: {"id": "cmpl-1", "choices": [{"te\n\n', content_type="text/event-stream")
        if body.get("stream"):
            return await self._stream(http, body, request, chat)
        text = "".join([piece async for piece in self.core.generate(request)])
        part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        usage = None if self.core.script.fail == "no_usage" else request.usage
        kind = "chat.completion" if chat else "text_completion"
        return web.json_response(self._answer(kind, [_choice(part, request.finish_reason)], usage=usage))

    def _request(self, body: Body, chat: bool) -> Request:
        text = " ".join(str(turn["content"]) for turn in body["messages"]) if chat else body["prompt"]
        words = text.split() if isinstance(text, str) else text
        tokens = tuple(word if isinstance(word, int) else crc32(word.encode()) % 4096 for word in words)
        default = self.core.shape.max_model_len - len(tokens) if chat else 16
        wanted = body.get("max_completion_tokens") or body.get("max_tokens") or default
        return Request(tokens, wanted, bool(body.get("ignore_eos")))

    async def _stream(self, http: web.Request, body: Body, request: Request, chat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(http)
        answer = self._answer("chat.completion.chunk" if chat else "text_completion", [])

        async def send(**changes: object) -> None:
            event = json.dumps({**answer, **changes}, separators=(",", ":"))
            await response.write(f"data: {event}\n\n".encode())

        if chat:
            await send(choices=[_choice({"delta": {"role": "assistant", "content": ""}})])
        count, text = 0, ""
        async for piece in self.core.generate(request):
            count, text = count + 1, text + piece
            last = count == request.length
            if last or (count - 1) % self.args.stream_interval == 0:
                part = {"delta": {"content": text}} if chat else {"text": text}
                await send(choices=[_choice(part, request.finish_reason if last else None)])
                text = ""
        if (body.get("stream_options") or {}).get("include_usage") and self.core.script.fail != "no_usage":
            await send(usage=request.usage)
        await response.write(b"data: [DONE]\n\n")
        return response

    def _answer(self, kind: str, choices: list[dict[str, Any]], **more: object) -> dict[str, object]:
        return {"id": f"cmpl-{os.urandom(8).hex()}", "object": kind, "created": int(time.time()),
                "model": self.names[0], "choices": choices, **more}  # fmt: skip


def _choice(part: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, **part, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "param": None, "code": status}}, status=status)


def serve(args: Namespace, script: Script, shape: Shape, sock: socket.socket, core_pid: int) -> None:
    """Serves on the socket until TERM; the process ends with 1 when the engine core dies."""
    info = {"num_gpu_blocks": str(shape.kv_tokens // _BLOCK), "block_size": str(_BLOCK),
            "kv_cache_size_tokens": str(shape.kv_tokens), "kv_cache_max_concurrency": str(shape.concurrency),
            "cache_dtype": args.kv_cache_dtype, "kv_cache_memory_bytes": str(args.kv_cache_memory_bytes)}  # fmt: skip
    series = Series((args.served_model_name or [args.model])[0], info)

    async def application() -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.add_routes(Api(args, Core(args, script, shape, series, core_pid)).routes())
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _end_if_dead, core_pid)
        return app

    web.run_app(application(), sock=sock, print=None, shutdown_timeout=0, access_log=None,
                handle_signals=script.fail != "ignores_term")  # fmt: skip


def _end_if_dead(core_pid: int) -> None:
    if os.waitpid(core_pid, os.WNOHANG) != (0, 0):
        say("APIServer", f"async_llm.py:906 {fake_lines.CORE_DIED}", "ERROR")
        os._exit(1)
