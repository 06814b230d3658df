"""One load from its warm-up to its result."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from dyno._version import __version__
from dyno.bench import stats
from dyno.bench.answer import Transcript, read_answer
from dyno.bench.arrivals import offsets_ns, request_lengths
from dyno.bench.audit import Evidence, void_reasons
from dyno.bench.counters import Counters, Gauges, read_counters, read_gauges, settled_counters
from dyno.bench.fleet import Pooled, Share, drive_shares, shares
from dyno.bench.http import Endpoint, ResponseReader, encode_get, parse_url, post_head, post_rest
from dyno.bench.loadgen import Pace, Progress, Take, drive
from dyno.bench.prompts import GUESSED_TOKENS_PER_WORD, Prompt, by_ids, length, measured_prompts, warm_up_prompt
from dyno.bench.raw import save_raw
from dyno.bench.reconcile import reconcile
from dyno.bench.record import Load, Target
from dyno.bench.reduce import Reducer, records_of
from dyno.bench.spool import Spool, spooled
from dyno.bench.stats import Records
from dyno.errors import DynoError, InputError

_WARM_UP_OUTPUT = 16
_REFUSED, _FORBIDDEN = ("HTTP 400", "HTTP 422"), ("HTTP 401", "HTTP 403")

Extras = dict[str, object]


# vLLM's and OpenAI's extras, from all of them to none: the first that a server takes are asked for.
_LENGTH: Extras = {"ignore_eos": True}
_USAGE: Extras = {"stream_options": {"include_usage": True}}
_DIALECTS = (_LENGTH | _USAGE, _USAGE, _LENGTH, Extras())


@dataclass(frozen=True, slots=True)
class Measurement:
    """A load measured: its requests, what the server counted meanwhile, and what they are worth."""

    records: Records
    counted: Counters
    gauges: Gauges
    void: tuple[str, ...]
    reconciled: dict[str, float | None] = field(default_factory=dict)  # figures of `reconcile`

    @property
    def kv_usage_peak(self) -> float | None:
        return self.gauges.kv_usage_peak


class Watch(Protocol):
    """Looks at a load while it runs, in one process, and may end it: nothing more is sent, what was sent is waited for.

    `see` is on the clock, once a request; `enough` is asked once a second.
    """

    def see(self, transcript: Transcript) -> None: ...

    def enough(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Server:
    target: Target
    endpoint: Endpoint
    key: str | None

    @property
    def head(self) -> bytes:
        path = "/v1/chat/completions" if self.target.chat else "/v1/completions"
        return post_head(self.endpoint, path, self.key)

    def rests(self, extras: Extras, prompts: Iterable[Prompt], output_lens: Sequence[int]) -> Iterator[bytes]:
        common = {"model": self.target.model, "temperature": 0, "stream": True, **extras}
        for prompt, output_len in zip(prompts, output_lens, strict=True):
            asked = {"messages": [{"role": "user", "content": prompt}]} if self.target.chat else {"prompt": prompt}
            yield post_rest({**asked, "max_tokens": output_len, **common})


def measure(target: Target, load: Load, raw_path: Path | None, on_progress: Progress | None = None,
            processes: int = 1, told: Mapping[str, object] | None = None,
            watch: Watch | None = None) -> Measurement:  # fmt: skip
    """Measures one load after one warm-up that is not counted. `told` goes into the raw file's header.

    Blocks until the last answer. DynoError when the server cannot be reached or refuses the warm-up.
    """
    server = connect(target)
    url = server.endpoint.url
    extras, tokens_per_word, before = _warm_up(server, load)
    output_lens = request_lengths(load)[1].tolist()
    rests = server.rests(extras, measured_prompts(target, load, tokens_per_word), output_lens)
    requests, spools = spooled(server.head, rests), [Spool() for _ in range(processes)]
    offsets = offsets_ns(load)
    pace = Pace(min(load.concurrency, len(requests)), None if offsets is None else offsets.tolist(), target.silence_s)
    probe = encode_get(server.endpoint, "/metrics") if before.generation_tokens is not None else None
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    sent = _send(shares(server.endpoint, requests, pace, spools, probe), on_progress, watch)
    records = records_of(list(zip(sent.done, spools, strict=True)))
    counted = settled_counters(url, before, stats.total(records.output_tokens)).since(before)
    reconciled = reconcile(records, counted)
    failed = {index: detail for part in sent.done for index, (_, detail) in part.failed.items()}
    details = [_without(server.key, failed[index]) for index in sorted(failed)]
    void = void_reasons(Evidence(records, counted, load, details, sent.cost, reconciled,
                                 target.shared_host))  # fmt: skip
    gauges = read_gauges((page.sent_ns, body) for page in sent.pages if (body := _body(page)) is not None)
    if raw_path is not None:
        save_raw(raw_path, records, {
            "dyno": __version__, "started_at": started_at, "target": asdict(target), "load": _header(load),
            "extras": extras, "counted": asdict(counted), "reconciled": reconciled, "void": void,
            "client": sent.cost.told(), **(told or {})}, gauges)  # fmt: skip
    return Measurement(records, counted, gauges, void, reconciled)


def _send(dealt: Sequence[Share], on_progress: Progress | None, watch: Watch | None) -> Pooled:
    if len(dealt) > 1:
        return drive_shares(dealt, on_progress)
    (share,) = dealt
    with Reducer(share.stamps) as reducer:
        take: Take = reducer.take if watch is None else _seen_too(watch, reducer.take)
        pace = share.pace if watch is None else replace(share.pace, enough=watch.enough)
        traffic = drive(share.endpoint, share.requests, pace, share.probe, on_progress, take)
        return Pooled([reducer.finish()], list(traffic.pages), traffic.cost)


def _seen_too(watch: Watch, take: Take) -> Take:
    def both(transcript: Transcript) -> None:
        watch.see(transcript)
        take(transcript)

    return both


def connect(target: Target) -> _Server:
    """Reads the URL and the key. InputError when either cannot be used."""
    key = None
    if target.api_key_env is not None and not (key := os.environ.get(target.api_key_env, "").strip()):
        raise InputError(f"--api-key-env: the variable {target.api_key_env} is not set")
    return _Server(target, parse_url(target.url), key)


def get(target: Target, path: str, *, insist: bool = False) -> bytes | None:
    """The body of a 200 answer to one GET, None for any other.

    DynoError when the server cannot be reached or, for who insists, when it wants another key.
    """
    server = connect(target)
    request = encode_get(server.endpoint, path, server.key)
    (transcript,) = drive(server.endpoint, [request], Pace(1, silence_s=10)).transcripts
    if insist and (outcome := read_answer(transcript).outcome) in _FORBIDDEN:
        raise DynoError(f"{server.endpoint.url}: {outcome} for {path}{_key_advice(outcome)}")
    return _body(transcript)


def _key_advice(outcome: str) -> str:
    named = "; name the variable that holds the API key with --api-key-env"
    return named if outcome in _FORBIDDEN else ""


def _warm_up(server: _Server, load: Load) -> tuple[Extras, float, Counters]:
    """One request that is not counted, said anew as long as the server does not take its form."""
    prompt = warm_up_prompt(server.target, load)
    before = read_counters(server.endpoint.url)
    for extras in _DIALECTS:
        requests = [
            server.head + rest for rest in server.rests(extras, [prompt], [min(load.output_len, _WARM_UP_OUTPUT)])
        ]
        answer = read_answer(
            drive(server.endpoint, requests, Pace(1, silence_s=server.target.silence_s)).transcripts[0]
        )
        if answer.outcome not in _REFUSED:
            break
    if answer.outcome:
        said = f": {_without(server.key, answer.detail)}" if answer.detail else ""
        raise DynoError(f"{server.endpoint.url}: the warm-up request failed, {answer.outcome}{said}"
                        f"{_key_advice(answer.outcome)}")  # fmt: skip
    per_word = answer.prompt_tokens / length(prompt) if answer.prompt_tokens else GUESSED_TOKENS_PER_WORD
    after = settled_counters(server.endpoint.url, before, answer.output_tokens)
    return extras, 1.0 if by_ids(server.target) else per_word, after


def _header(load: Load) -> dict[str, object]:
    """A load as the raw file's header tells it; a trace's times and lengths are in the records themselves."""
    return {**asdict(replace(load, trace=())), "trace": len(load.trace)}


def _body(transcript: Transcript) -> bytes | None:
    if transcript.failure:
        return None
    reader = ResponseReader()
    reader.feed(bytes(transcript.raw))
    return bytes(reader.body) if reader.status == 200 else None


def _without(key: str | None, text: str) -> str:
    return text.replace(key, "***") if key else text
