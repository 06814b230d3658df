"""One load against a server that plays a script: what is asked, and what voids it."""

from collections.abc import Callable

import pytest
from tests.bench.scripted import DONE, Request, chunked, completion, prompt_tokens, refusal, token, usage

from dyno.bench.cost import ClientCost
from dyno.bench.load import Measurement, measure
from dyno.bench.raw import load_raw
from dyno.bench.record import Load, Target
from dyno.bench.stats import figures
from dyno.errors import DynoError, InputError

LOAD = Load(concurrency=2, num_requests=6, input_len=40, output_len=5, seed=1)


def refusing(*fields: str) -> Callable[[Request], list]:
    """A server that does not know these fields."""

    def script(request: Request) -> list:
        unknown = [field for field in fields if field in request.body]
        return refusal(400, f"unknown {unknown[0]}") if unknown else completion(request)

    return script


def metrics(tokens: float, hits: float = 0, queries: float = 240) -> list[bytes]:
    counters = {"generation_tokens": tokens, "prefix_cache_hits": hits, "prefix_cache_queries": queries}
    page = "".join(f'vllm:{name}_total{{engine="0"}} {value}\n' for name, value in counters.items())
    page += 'vllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    return [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page.encode()),
        "close",
    ]


class Counting:
    """A server with vLLM's counters; `extra` tokens and prefix `hits` are counted once the load has begun."""

    def __init__(self, extra: int = 0, hits: int = 0) -> None:
        self.extra, self.hits, self.tokens, self.queries = extra, hits, 0, 0

    def __call__(self, request: Request) -> list:
        if request.method == "GET":
            measuring = self.tokens > 5
            return metrics(self.tokens + measuring * self.extra, measuring * self.hits, self.queries)
        self.tokens += request.body["max_tokens"]
        self.queries += prompt_tokens(request)
        return completion(request)


class TestRequests:
    def test_are_greedy_streams_of_fixed_length(self, play) -> None:
        server = play(completion)
        measure(Target(server.url, "m", token_ids=(5, 90)), LOAD, None)
        body = server.posts[-1].body
        assert {name: body[name] for name in body if name != "prompt"} == {
            "model": "m", "max_tokens": 5, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }  # fmt: skip
        assert len(body["prompt"]) == 40

    def test_one_warm_up_goes_first_and_is_not_counted(self, play) -> None:
        server = play(completion)
        seen = measure(Target(server.url, "m"), LOAD, None)
        assert len(server.posts) == 7
        assert seen.records.output_tokens.tolist() == [5] * 6
        prompts = [request.body["prompt"] for request in server.posts]
        assert len(set(prompts)) == 7

    def test_the_warm_up_teaches_how_many_words_make_the_length(self, play) -> None:
        def thrice(request: Request) -> list[bytes]:
            return [chunked(token(" a"), usage(3 * prompt_tokens(request), 1), DONE)]

        server = play(lambda request: completion(request) if request.method == "GET" else thrice(request))
        seen = measure(Target(server.url, "m"), LOAD, None)
        assert seen.records.prompt_tokens.tolist() == [39] * 6

    def test_chat_goes_to_its_own_endpoint(self, play) -> None:
        server = play(completion)
        measure(Target(server.url + "/v1", "m", chat=True, token_ids=(5, 90)), LOAD, None)
        assert {request.path for request in server.posts} == {"/v1/chat/completions"}
        assert server.posts[0].body["messages"][0]["role"] == "user"

    @pytest.mark.parametrize("unknown", [["ignore_eos"], ["stream_options"], ["ignore_eos", "stream_options"]])
    def test_what_a_server_does_not_take_is_left_out(self, play, unknown) -> None:
        server = play(refusing(*unknown))
        seen = measure(Target(server.url, "m"), LOAD, None)
        assert (seen.void, seen.records.completed.sum()) == ((), 6)
        assert set(unknown).isdisjoint(server.posts[-1].body)
        assert (figures(seen.records)["output_tokens"] is None) == ("stream_options" in unknown)

    def test_the_key_comes_from_its_variable_and_stays_out_of_the_files(self, play, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("SOME_KEY", "sk-secret")
        server = play(
            lambda request: refusal(429, "sk-secret is slow") if len(server.posts) == 4 else completion(request)
        )
        seen = measure(Target(server.url, "m", api_key_env="SOME_KEY"), LOAD, tmp_path / "load.npz")
        assert {request.headers["authorization"] for request in server.posts} == {"Bearer sk-secret"}
        assert '"*** is slow"' in seen.void[0]
        assert not any(b"sk-secret" in file.read_bytes() for file in tmp_path.iterdir())

    def test_a_key_that_is_not_there_is_an_input_error(self) -> None:
        with pytest.raises(InputError, match="NO_SUCH_KEY"):
            measure(Target("http://127.0.0.1:9", "m", api_key_env="NO_SUCH_KEY"), LOAD, None)


def worth(seen: Measurement) -> list[str]:
    """Why a load is void, but for what a busy machine does to the client."""
    return [reason for reason in seen.void if "the client" not in reason and "other processes" not in reason]


class TestWorth:
    def test_failed_requests_void_the_load_and_are_counted_by_kind(self, play) -> None:
        server = play(lambda request: refusal(503, "busy") if 2 < len(server.posts) < 5 else completion(request))
        seen = measure(Target(server.url, "m"), LOAD, None)
        assert worth(seen) == ['2 of 6 requests failed: HTTP 503 (2); the server said: "busy"']
        assert (seen.records.errors, seen.records.completed.sum()) == ({"HTTP 503": 2}, 4)

    def test_tokens_that_equal_the_servers_counters_are_valid(self, play) -> None:
        server = play(Counting())
        assert worth(measure(Target(server.url, "m"), LOAD, None)) == []

    def test_tokens_that_differ_from_the_servers_counters_void_the_load(self, play) -> None:
        server = play(Counting(extra=1))
        (reason,) = worth(measure(Target(server.url, "m"), LOAD, None))
        assert reason.startswith("the server's usage says 30 output tokens, its counter 31")

    def test_prefix_hits_where_none_were_meant_void_the_load(self, play) -> None:
        (reason,) = worth(measure(Target(play(Counting(hits=16)).url, "m"), LOAD, None))
        assert reason.startswith("the prefix cache answered 16 of 240 prompt tokens")

    def test_meant_or_few_prefix_hits_do_not(self, play) -> None:
        assert worth(measure(Target(play(Counting(hits=8)).url, "m"), LOAD, None)) == []
        meant = Load(concurrency=1, num_requests=6, input_len=40, output_len=5, seed=1, prefix_len=32)
        assert worth(measure(Target(play(Counting(hits=160)).url, "m"), meant, None)) == []

    @pytest.mark.parametrize("page", [refusal(404, "no"), [b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{{{not\n"]])
    def test_a_server_without_usage_or_metrics_is_measured_all_the_same(self, play, page) -> None:
        def script(request: Request) -> list:
            return page if request.method == "GET" else [chunked(token(" a"), token(" b"), DONE)]

        seen = measure(Target(play(script).url, "m"), LOAD, None)
        assert worth(seen) == []
        assert figures(seen.records)["ttft_ms.p50"] > 0
        assert figures(seen.records)["output_throughput"] is None

    def test_a_warm_up_that_fails_is_an_error_with_the_servers_words(self, play) -> None:
        server = play(lambda _: refusal(404, "no model m"))
        with pytest.raises(DynoError, match=r"http://127.*the warm-up request failed, HTTP 404: no model m"):
            measure(Target(server.url, "m"), LOAD, None)
        assert len(server.posts) == 1

    def test_a_missing_key_is_hinted_at(self, play) -> None:
        with pytest.raises(DynoError, match="--api-key-env"):
            measure(Target(play(lambda _: refusal(401, "who are you")).url, "m"), LOAD, None)


def test_the_raw_file_holds_what_the_figures_are_made_of(play, tmp_path) -> None:
    path = tmp_path / "raw" / "load.npz"
    seen = measure(Target(play(completion).url, "m"), LOAD, path)
    records, header = load_raw(path)
    assert figures(records) == figures(seen.records)
    assert header["load"]["seed"] == 1
    assert header["client"].keys() == ClientCost().told().keys()
    assert header["extras"] == {"ignore_eos": True, "stream_options": {"include_usage": True}}
