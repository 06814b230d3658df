"""What `dyno lint` was given: files, a command in quotes, or stdin."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from dyno.errors import InputError
from dyno.lint.check import Text
from dyno.lint.read import read

_MOST_BYTES = 2**20  # no configuration is that long; a wrong file named by mistake may be
STDIN, ARGUMENT = "<stdin>", "<argument>"


def read_inputs(inputs: Sequence[str], stdin: Callable[[], bytes], names: Collection[str]) -> list[Text]:
    """Each input read. `names` are those of all flags of all releases. InputError holds every input's problem."""
    texts, problems = [], []
    for given in inputs:
        try:
            name, text = _load(given, stdin)
            texts.append(Text(name, text, read(name, text, names)))
        except InputError as error:
            problems += [
                problem if problem.startswith(given) else f"{given[:80]}: {problem}" for problem in error.problems
            ]
    if problems:
        raise InputError(*problems)
    return texts


def _load(given: str, stdin: Callable[[], bytes]) -> tuple[str, str]:
    if given == "-":
        return STDIN, _text(stdin())
    if any(letter.isspace() for letter in given) and not _is_file(given):
        return ARGUMENT, given
    try:
        if Path(given).stat().st_size > _MOST_BYTES:
            raise InputError(f"is longer than {_MOST_BYTES // 2**20} MiB; name the file that holds the configuration")
        return given, _text(Path(given).read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{reason}; name a file, a whole command in quotes, or - for stdin") from error


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):
        return False


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8 (byte {error.start}); convert it first") from error
