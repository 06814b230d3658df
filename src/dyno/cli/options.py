"""What verbs share: command-line words as the keys of a spec."""

from typing import Any

from dyno.errors import InputError
from dyno.units import parse_seconds

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


def seconds(option: str, text: str | float) -> float:
    """A time that is more than nothing, such as `30s`. InputError otherwise."""
    try:
        value = parse_seconds(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error
    if value <= 0:
        raise InputError(f"{option}: {text!r} must be more than 0 s")
    return value


def workload_of(
    preset: str | None, input_len: int | None, output_len: int | None, concurrency: int | None, requests: int | None
) -> str | dict[str, Any] | None:
    """The workload that options describe, None when none was given."""
    numbers = given(input_len=input_len, output_len=output_len, concurrency=concurrency, num_requests=requests)
    return {**given(preset=preset), **numbers} if numbers else preset
