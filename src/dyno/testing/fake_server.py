"""The HTTP side of the fake engine: vLLM's endpoints, a simulated prefix cache and vLLM's metrics."""

import asyncio
import json
import os
import signal
import socket
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dyno.testing import fake_lines
from dyno.testing.fake_engine import Script
from dyno.testing.fake_lines import Shape, say

_BLOCK = 16
_TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)
_ITL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0)
_E2E_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)


class Series:
    """vLLM's series, by their names without the `vllm:` in front."""

    def __init__(self, model: str, info: dict[str, str]) -> None:
        self.registry = CollectorRegistry()
        labels = {"model_name": model, "engine": "0"}
        self.counters = {name: Counter(f"vllm:{name}", name, list(labels), registry=self.registry).labels(**labels)
                         for name in ("prompt_tokens", "generation_tokens", "prefix_cache_queries",
                                      "prefix_cache_hits", "num_preemptions")}  # fmt: skip
        self.success = Counter("vllm:request_success", "finished", [*labels, "finished_reason"], registry=self.registry)
        self.gauges = {name: Gauge(f"vllm:{name}", name, list(labels), registry=self.registry).labels(**labels)
                       for name in ("num_requests_running", "num_requests_waiting",
                                    "kv_cache_usage_perc")}  # fmt: skip
        self.histograms = {name: Histogram(f"vllm:{name}_seconds", name, list(labels), buckets=buckets,
                                           registry=self.registry).labels(**labels)
                           for name, buckets in (("time_to_first_token", _TTFT_BUCKETS),
                                                 ("inter_token_latency", _ITL_BUCKETS),
                                                 ("e2e_request_latency", _E2E_BUCKETS))}  # fmt: skip
        info = {"engine": "0", **info}
        Gauge("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", list(info),
              registry=self.registry).labels(**info).set(1)  # fmt: skip
        self._labels = labels

    def finished(self, reason: str) -> None:
        """Counts one request that came to its end."""
        self.success.labels(**self._labels, finished_reason=reason).inc()


@dataclass(frozen=True, slots=True)
class Request:
    """One completion as asked for."""

    tokens: tuple[int, ...]
    max_tokens: int
    ignore_eos: bool

    @property
    def length(self) -> int:
        """Tokens to come: all that were asked for, or up to an end-of-sequence that depends on the prompt."""
        return self.max_tokens if self.ignore_eos else min(self.max_tokens, 1 + sum(self.tokens) % 64)

    @property
    def finish_reason(self) -> str:
        return "length" if self.length == self.max_tokens else "stop"


class Core:
    """Requests in, tokens out, at the script's pace."""

    def __init__(self, args: Namespace, script: Script, shape: Shape, series: Series, pid: int) -> None:
        self.script, self.shape, self.series, self.pid = script, shape, series, pid
        self._slots = asyncio.Semaphore(args.max_num_seqs or 256)
        self._blocks: dict[int, None] | None = None if args.enable_prefix_caching is False else {}
        self._held = 0  # tokens of KV cache in use
        self._served = 0

    def failing(self, name: str) -> bool:
        """Whether this failure of the script has set in."""
        return self.script.fail == name and self._served >= self.script.fail_after

    def _cached(self, tokens: Sequence[int]) -> int:
        """Tokens of the prompt's front that are in the prefix cache; its full blocks are there afterwards."""
        if self._blocks is None:
            return 0
        hashes, parent = [], 0
        for end in range(_BLOCK, len(tokens) + 1, _BLOCK):
            parent = hash((parent, *tokens[end - _BLOCK : end]))
            hashes.append(parent)
        hits = next((i for i, block in enumerate(hashes) if block not in self._blocks), len(hashes))
        for block in hashes:
            self._blocks.pop(block, None)
            self._blocks[block] = None
        while len(self._blocks) > self.shape.kv_tokens // _BLOCK:
            self._blocks.pop(next(iter(self._blocks)))
        cached = min(hits, (len(tokens) - 1) // _BLOCK) * _BLOCK  # the last token is always computed
        self.series.counters["prefix_cache_queries"].inc(len(tokens))
        self.series.counters["prefix_cache_hits"].inc(cached)
        return cached

    async def generate(self, request: Request) -> AsyncIterator[int]:
        """One token id after the other, each when it is due."""
        arrived = time.perf_counter()
        gauges, size = self.series.gauges, len(request.tokens) + request.length
        gauges["num_requests_waiting"].inc()
        async with self._slots:
            gauges["num_requests_waiting"].dec()
            gauges["num_requests_running"].inc()
            self._hold(size)
            try:
                async for token in self._paced(request, arrived):
                    yield token
            finally:
                self._hold(-size)
                gauges["num_requests_running"].dec()
        self._served += 1
        self.series.finished(request.finish_reason)
        self.series.histograms["e2e_request_latency"].observe(time.perf_counter() - arrived)

    def _hold(self, tokens: int) -> None:
        self._held += tokens
        self.series.gauges["kv_cache_usage_perc"].set(min(1.0, self._held / self.shape.kv_tokens))

    async def _paced(self, request: Request, arrived: float) -> AsyncIterator[int]:
        if self.failing("hangs"):
            await asyncio.Event().wait()
        counters, histograms = self.series.counters, self.series.histograms
        uncached = len(request.tokens) - self._cached(request.tokens)
        due, last = time.perf_counter() + self.script.ttft_s * uncached / 512, arrived
        extra = 1 if self.failing("wrong_tokens") else 0
        counters["prompt_tokens"].inc(len(request.tokens))
        for index in range(request.length):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if index == 2 and self.failing("dies_mid_stream"):
                os.kill(self.pid, signal.SIGKILL)
                await asyncio.Event().wait()
            due, now = due + self.script.tpot_s, time.perf_counter()
            histograms["inter_token_latency" if index else "time_to_first_token"].observe(now - last)
            last = now
            counters["generation_tokens"].inc(1 + extra)
            yield (sum(request.tokens) + index) % 4096


class Api:
    """The endpoints."""

    def __init__(self, args: Namespace, core: Core) -> None:
        self.args, self.core = args, core
        self.names = args.served_model_name or [args.model]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/version", self.version),
            web.get("/v1/models", self.models),
            web.get("/metrics", self.metrics),
            web.post("/v1/completions", self.completions),
            web.post("/v1/chat/completions", self.completions),
        ]

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self.core.shape.version})

    async def models(self, _: web.Request) -> web.Response:
        cards = [{"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm",
                  "root": self.args.model, "parent": None, "max_model_len": self.core.shape.max_model_len} for name in self.names]  # fmt: skip
        return web.json_response({"object": "list", "data": cards})

    async def metrics(self, _: web.Request) -> web.Response:
        if self.core.script.fail == "no_metrics":
            return web.Response(status=404)
        text = b"" if self.args.disable_log_stats else generate_latest(self.core.series.registry)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    async def completions(self, http: web.Request) -> web.StreamResponse:
        body, chat = await http.json(), http.path.endswith("/chat/completions")
        request, problem = self._request(body, chat)
        if body.get("model", self.names[0]) not in self.names:
            return _error(404, "NotFoundError", f"The model `{body['model']}` does not exist.")
        if request is None:
            return _error(400, "BadRequestError", problem)
        if self.core.failing("wrong_json"):
            return web.Response(text='data: {"id": "cmpl-1", "choices": [{"te\n\n', content_type="text/event-stream")
        answer = _Answer(body.get("model", self.names[0]), chat, request, self.core.script.fail != "no_usage")
        if body.get("stream"):
            return await self._stream(http, body, answer)
        words = [_word(token) async for token in self.core.generate(request)]
        return web.json_response(answer.whole("".join(words)))

    async def _stream(self, http: web.Request, body: dict[str, Any], answer: "_Answer") -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(http)
        words: list[str] = []
        interval, sent = self.args.stream_interval, 0
        if answer.chat:
            await response.write(answer.chunk("", first=True))
        async for token in self.core.generate(answer.request):
            words.append(_word(token))
            sent += 1
            last = sent == answer.request.length
            if sent == 1 or last or len(words) == interval:
                await response.write(answer.chunk("".join(words), last=last))
                words.clear()
        if answer.with_usage and (body.get("stream_options") or {}).get("include_usage"):
            await response.write(answer.usage_chunk())
        await response.write(b"data: [DONE]\n\n")
        return response

    def _request(self, body: dict[str, Any], chat: bool) -> tuple[Request | None, str]:
        text = " ".join(str(part["content"]) for part in body["messages"]) if chat else body["prompt"]
        tokens = tuple(text) if isinstance(text, list) else tuple(hash(word) % 4096 for word in text.split())
        limit = self.core.shape.max_model_len
        default = limit - len(tokens) if chat else 16
        wanted = body.get("max_completion_tokens") or body.get("max_tokens") or default
        if not tokens or len(tokens) + wanted > limit:
            return None, (f"This model's maximum context length is {limit} tokens. However, you requested {wanted} "
                          f"output tokens and your prompt contains {len(tokens)} input tokens.")  # fmt: skip
        return Request(tokens, wanted, bool(body.get("ignore_eos"))), ""


class _Answer:
    """The JSON of one completion, as vLLM writes it."""

    def __init__(self, model: str, chat: bool, request: Request, with_usage: bool) -> None:
        self.chat, self.request, self.with_usage = chat, request, with_usage
        name, kind = ("chatcmpl", "chat.completion") if chat else ("cmpl", "text_completion")
        self._whole = {
            "id": f"{name}-{os.urandom(8).hex()}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }
        self._part = {**self._whole, "object": "chat.completion.chunk" if chat else kind}

    @property
    def usage(self) -> dict[str, int] | None:
        prompt, completion = len(self.request.tokens), self.request.length
        counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
        return counts if self.with_usage else None

    def _choice(self, part: dict[str, Any], last: bool) -> dict[str, Any]:
        return {"index": 0, **part, "logprobs": None, "stop_reason": None,
                "finish_reason": self.request.finish_reason if last else None}  # fmt: skip

    def whole(self, text: str) -> dict[str, Any]:
        part = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {**self._whole, "choices": [self._choice(part, True)], "usage": self.usage}

    def chunk(self, text: str, first: bool = False, last: bool = False) -> bytes:
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        part: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        return _event({**self._part, "choices": [self._choice(part, last)]})

    def usage_chunk(self) -> bytes:
        return _event({**self._part, "choices": [], "usage": self.usage})


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _word(token: int) -> str:
    return f" w{token}"


def _error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}, status=status
    )


def serve(args: Namespace, script: Script, shape: Shape, sock: socket.socket, core_pid: int) -> None:
    """Serves on the socket until TERM; ends the process with 1 when the engine core dies."""
    info = {"num_gpu_blocks": str(shape.kv_tokens // _BLOCK), "block_size": str(args.block_size or _BLOCK),
            "kv_cache_size_tokens": str(shape.kv_tokens), "cache_dtype": args.kv_cache_dtype,
            "kv_cache_max_concurrency": str(shape.kv_tokens / shape.max_model_len)}  # fmt: skip
    series = Series((args.served_model_name or [args.model])[0], info)

    async def application() -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.add_routes(Api(args, Core(args, script, shape, series, core_pid)).routes())
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _end_if_dead, core_pid)
        return app

    def announce(*_: object) -> None:
        print("INFO:     Application startup complete.", flush=True)

    web.run_app(application(), sock=sock, print=announce, shutdown_timeout=0, access_log=None,
                handle_signals=script.fail != "ignores_term")  # fmt: skip


def _end_if_dead(core_pid: int) -> None:
    if os.waitpid(core_pid, os.WNOHANG) != (0, 0):
        say("APIServer", [("ERROR", "async_llm.py:906", fake_lines.CORE_DIED)])
        os._exit(1)
