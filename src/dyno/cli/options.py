"""What verbs share: command-line words as the keys of a spec."""

from typing import Any

from dyno.errors import InputError
from dyno.units import parse_seconds
from dyno.workload import LATENCIES, THROUGHPUTS, Limit, parse_limits

Words = list[str] | None
SILENCE = "Time without a byte after which a request has failed (5m)."
SHARED_HOST = "Others always work on this host: note what they take, and void nothing for it."


def named(words: Words, option: str, separator: str) -> dict[str, str] | None:
    """`NAME<separator>TEXT` words as a mapping. InputError has every word without that form and every name twice."""
    if not words:
        return None
    result: dict[str, str] = {}
    problems = []
    for word in words:
        name, found, text = (part.strip() for part in word.partition(separator))
        if not found or not name:
            problems.append(f"{option}: {word!r} is not NAME{separator}...")
        elif result.setdefault(name, text) != text:
            problems.append(f"{option}: {name!r} is given twice, as {result[name]!r} and as {text!r}")
    if problems:
        raise InputError(*problems)
    return result


def given(**keys: Any) -> dict[str, Any]:  # noqa: ANN401  (values of a spec, checked where specs are)
    """The keys that were given on the command line."""
    return {key: value for key, value in keys.items() if value is not None}


def workload_of(
    preset: str | None, input_len: int | None, output_len: int | None, concurrency: int | None, requests: int | None
) -> str | dict[str, Any] | None:
    """The workload that options describe, None when none was given."""
    numbers = given(input_len=input_len, output_len=output_len, concurrency=concurrency, num_requests=requests)
    return {**given(preset=preset), **numbers} if numbers else preset


def limits_of(words: Words) -> dict[str, str] | None:
    """Limits from words such as `ttft_p95=2s` or `ttft_p95=2s,tpot_p50=50ms`, None when none was given."""
    return named([part for word in words or [] for part in word.split(",")], "--limits", "=")


def server_limits(limits: dict[str, str]) -> tuple[Limit, ...]:
    """Limits that a running server can be held to. InputError for those that only a launch can tell."""
    parsed = parse_limits(limits)
    if wrong := [limit.name for limit in parsed if limit.name.partition("_")[0] not in (*LATENCIES, *_RATES)]:
        raise InputError(*(f"--limits {name}: can be told of a launch only; with --url name latencies and throughputs"
                           for name in wrong))  # fmt: skip
    return parsed


_RATES = {name.partition("_")[0] for name in THROUGHPUTS}


def seconds(option: str, text: str | None) -> float | None:
    """The seconds of `60 s` or `8 h`. InputError for what is none."""
    try:
        value = None if text is None else parse_seconds(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error
    if value is not None and value <= 0:
        raise InputError(f"{option}: {text!r} must be more than 0 s")
    return value


def check_kind(folder: str | None, url: str, of_url: dict[str, object], of_model: dict[str, object]) -> None:
    """InputError unless it is clear whether to measure a server or to launch a model, and all options fit that."""
    if bool(url) == bool(folder):
        raise InputError("say what to measure: a server (--url http://127.0.0.1:8000) or a model to launch (./m)")
    alien, fitting = (of_url, "--url") if folder else (of_model, "a model to launch")
    if given := [name for name, value in alien.items() if value]:
        raise InputError(*(f"{name}: goes with {fitting} only" for name in given))
