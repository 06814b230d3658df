"""The load generators that are compared: how each is asked for the same load, and how what it recorded is read."""

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
OUTPUT_LEN, INPUT_LEN = 128, 32
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "dyno-benchmarks"
PEERS = {"aiperf": "0.13.0", "guidellm": "0.8.1"}
QUIET = {"DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1", "NO_COLOR": "1"}
OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Truth:
    """What the mock wrote down about one request, times in ns of the monotonic clock."""

    read_ns: int
    first_ns: int
    last_ns: int
    tokens: int

    @property
    def ttft_ms(self) -> float:
        return (self.first_ns - self.read_ns) / 1e6

    @property
    def tpot_ms(self) -> float:
        return (self.last_ns - self.first_ns) / (self.tokens - 1) / 1e6


Truths = Mapping[int, Truth]  # by serial number, which the mock's usage gives as prompt tokens


@dataclass(frozen=True)
class Job:
    """What is asked of a client: so many requests over so many streams, in a folder of its own."""

    url: str
    folder: Path
    streams: int
    requests: int

    @property
    def tokenizer(self) -> str:
        return str(self.folder / "tokenizer")


@dataclass(frozen=True)
class Seen:
    """What a client made of the run: medians, at how many different moments a token it stamped something, and why it
    rejected the run itself, where it did."""

    tpot_ms: float | None = None
    bias_ms: float | None = None
    reads_per_token: float | None = None
    void: tuple[str, ...] = ()


@dataclass(frozen=True)
class Client:
    """`words(program, job)` asks for the load. `seen` reads the result; its last argument is how far the clock of dates
    is ahead of the monotonic one, in ns."""

    program: Callable[[Path], str]  # from the folder of the peers' environments
    words: Callable[[str, Job], list[str]]
    seen: Callable[[Job, Truths, int], Seen]
    codes: tuple[int, ...] = (0,)  # with which it ends when there is a result
    environ: Mapping[str, str] = field(default_factory=lambda: QUIET | OFFLINE)


def installed(name: str, cache: Path) -> str:
    """A peer's program, from PyPI into an environment of its own; what is there already is used."""
    program = cache / name / "bin" / name
    if not program.exists():
        print(f"installing {name} {PEERS[name]} into {cache / name}", file=sys.stderr, flush=True)
        venv.create(cache / name, with_pip=True)
        pip = [str(cache / name / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{name}=={PEERS[name]}"]
        subprocess.run(pip, check=True)
    return str(program)


def this_python(_: Path) -> str:
    return sys.executable


def bare_words(python: str, job: Job) -> list[str]:
    port = job.url.rpartition(":")[2]
    return [python, str(HERE / "bare.py"), port, str(job.streams), str(job.requests), str(OUTPUT_LEN)]


def bare_seen(_: Job, __: Truths, ___: int) -> Seen:
    return Seen()


def dyno_words(python: str, job: Job) -> list[str]:
    return [python, "-m", "dyno", "bench", "--url", job.url, "--model", "mock", "--chat", "--raw", "raw",
            "--concurrency", str(job.streams), "--requests", str(job.requests), "--input-len", str(INPUT_LEN),
            "--output-len", str(OUTPUT_LEN), "--json"]  # fmt: skip


def dyno_seen(job: Job, truth: Truths, _: int) -> Seen:
    """Each request's first content as dyno stamped it against the moment the mock sent it."""
    from dyno.bench.raw import load_raw
    from dyno.bench.stats import first_content_ns

    records, _ = load_raw(job.folder / "raw" / "throughput.npz")
    told = json.loads((job.folder / "client.log").read_text())["result"]
    sent_ns = np.array([truth[serial].first_ns for serial in records.prompt_tokens.tolist()])
    bias_ms = float(np.median(first_content_ns(records) - sent_ns)) / 1e6
    reads = len(np.unique(records.content_ns)) / len(records.content_ns)
    return Seen(told["tpot_ms"]["p50"], bias_ms, reads, tuple(told["void"]))


def vllm_words(vllm: str, job: Job) -> list[str]:
    return [vllm, "bench", "serve", "--backend", "openai-chat", "--base-url", job.url, "--endpoint",
            "/v1/chat/completions", "--model", "mock", "--tokenizer", job.tokenizer, "--dataset-name", "random",
            "--random-input-len", str(INPUT_LEN), "--random-output-len", str(OUTPUT_LEN), "--num-prompts",
            str(job.requests), "--max-concurrency", str(job.streams), "--ignore-eos", "--save-result",
            "--result-filename", "vllm.json", "--percentile-metrics", "ttft,tpot", "--disable-tqdm"]  # fmt: skip


def vllm_seen(job: Job, truth: Truths, _: int) -> Seen:
    """Its records are not kept one by one, so the bias is that of its median."""
    told = json.loads((job.folder / "vllm.json").read_text())
    if told["completed"] != job.requests:
        raise ValueError(f"completed {told['completed']} of {job.requests} requests")
    true_ms = statistics.median(each.ttft_ms for each in truth.values())
    return Seen(told["median_tpot_ms"], told["median_ttft_ms"] - true_ms)


def aiperf_words(aiperf: str, job: Job) -> list[str]:
    """One worker, as it has one core; tokens by the server's usage, which costs it least."""
    return [aiperf, "profile", "--model", "mock", "--url", job.url, "--endpoint-type", "chat", "--streaming",
            "--concurrency", str(job.streams), "--request-count", str(job.requests),
            "--synthetic-input-tokens-mean", str(INPUT_LEN), "--synthetic-input-tokens-stddev", "0",
            "--output-tokens-mean", str(OUTPUT_LEN), "--output-tokens-stddev", "0", "--use-legacy-max-tokens",
            "--use-server-token-count", "--tokenizer", job.tokenizer, "--artifact-dir", "aiperf", "--ui", "none",
            "--workers-max", "1", "--no-gpu-telemetry", "--no-server-metrics", "--random-seed", "1"]  # fmt: skip


def aiperf_seen(job: Job, truth: Truths, ahead_ns: int) -> Seen:
    """Its records tell when a request began, by the clock of dates, and the serial number in its usage."""
    lines = (job.folder / "aiperf" / "profile_export.jsonl").read_text().splitlines()
    records = [each for each in map(json.loads, lines) if not each.get("error")]
    if len(records) != job.requests:
        raise ValueError(f"recorded {len(records)} of {job.requests} requests")
    told = [{name: metric["value"] for name, metric in each["metrics"].items()} for each in records]
    bias_ms = [
        (each["metadata"]["request_start_ns"] - ahead_ns - truth[metrics["usage_prompt_tokens"]].first_ns) / 1e6
        + metrics["time_to_first_token"] for each, metrics in zip(records, told, strict=True)
    ]  # fmt: skip
    reads = sum(1 + sum(gap > 0 for gap in metrics["inter_chunk_latency"]) for metrics in told)
    return Seen(statistics.median(metrics["inter_token_latency"] for metrics in told), statistics.median(bias_ms),
                reads / (OUTPUT_LEN * job.requests))  # fmt: skip


def guidellm_words(guidellm: str, job: Job) -> list[str]:
    return [guidellm, "run", "--backend", f"kind=openai_http,target={job.url},model=mock,"
            "request_format=/v1/chat/completions", "--profile", f"kind=concurrent,streams={job.streams}",
            "--constraint", f"kind=max_requests,count={job.requests}",
            "--tokenizer", f"kind=hf_auto,model={job.tokenizer}",
            "--data", f"kind=synthetic_text,prompt_tokens={INPUT_LEN},output_tokens={OUTPUT_LEN}",
            "--output", "kind=json,path=guidellm.json", "--disable-console-interactive"]  # fmt: skip


def guidellm_seen(job: Job, truth: Truths, ahead_ns: int) -> Seen:
    """Its report has every request with its times, by the clock of dates, and the serial number in its usage."""
    (told,) = json.loads((job.folder / "guidellm.json").read_text())["benchmarks"]
    records = told["requests"]["successful"]
    if len(records) != job.requests:
        raise ValueError(f"completed {len(records)} of {job.requests} requests")
    times = [each["info"]["timings"] for each in records]
    bias_ms = [(at["first_token_iteration"] * 1e9 - ahead_ns - truth[each["prompt_tokens"]].first_ns) / 1e6
               for each, at in zip(records, times, strict=True)]  # fmt: skip
    tpot_ms = [(at["last_token_iteration"] - at["first_token_iteration"]) / (OUTPUT_LEN - 1) * 1e3 for at in times]
    return Seen(statistics.median(tpot_ms), statistics.median(bias_ms))


def all_clients(vllm: str) -> dict[str, Client]:
    """By the name in the table; `vllm bench serve` only with the program of an engine environment."""
    return {
        "bare protocol": Client(this_python, bare_words, bare_seen),
        "dyno": Client(this_python, dyno_words, dyno_seen, (0, 1)),
        **({"vllm bench serve": Client(lambda _: vllm, vllm_words, vllm_seen)} if vllm else {}),
        # Told to stay offline it looks for a tokenizer in the hub's cache alone, even for one that is a folder.
        "aiperf": Client(lambda cache: installed("aiperf", cache), aiperf_words, aiperf_seen, environ=QUIET),
        "guidellm": Client(lambda cache: installed("guidellm", cache), guidellm_words, guidellm_seen),
    }
