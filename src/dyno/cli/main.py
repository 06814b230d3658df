"""The command line: its verbs, and the one place where errors become messages and exit codes."""

import json
import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType

import typer

from dyno import __version__
from dyno.cli.bench import bench
from dyno.cli.compare import compare
from dyno.cli.doctor import doctor
from dyno.cli.env import app as env
from dyno.cli.lint import lint
from dyno.cli.model import app as model
from dyno.cli.plan import plan
from dyno.cli.prove import prove
from dyno.cli.report import report
from dyno.cli.serve import serve
from dyno.cli.tune import tune
from dyno.errors import DynoError, InputError, Stopped

TAKES_FLAGS = ("tune", "prove", "bench")

app = typer.Typer(
    name="dyno", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Finds, proves and runs the fastest vLLM configuration for your GPU, model and workload.",
)  # fmt: skip
app.command()(doctor)
app.add_typer(env, name="env", help="Install, verify, switch and remove engines: vLLM in environments of their own.")
app.add_typer(model, name="model", help="Make small or real-shaped model folders for measuring without weights.")
app.command()(lint)
app.command()(plan)
app.command()(tune)
app.command()(prove)
app.command()(compare)
app.command()(bench)
app.command()(report)
app.command()(serve)


@app.callback(invoke_without_command=True)
def options(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; anywhere before `--`."),
) -> None:
    """Options of every verb. `--debug` is taken out in `run`, wherever it stands."""
    del debug
    if version:
        print(f"dyno {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for asks_to_stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asks_to_stop, like_ctrl_c)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: letters of others must not end a study
    code = run(sys.argv[1:])
    for too_late in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(too_late, signal.SIG_IGN)  # an impatient second Ctrl-C would change the exit code
    sys.exit(code)


def like_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Does what Ctrl-C would do at this moment.

    While a load runs, that is to cancel it: uvloop swallows a KeyboardInterrupt raised in one of its callbacks, where a
    busy client spends its time. asyncio's own handler, which cancels, takes the place of Python's alone: that is why an
    ignored SIGINT is blocked instead.
    """
    if callable(handler := signal.getsignal(signal.SIGINT)):
        handler(number, frame)


def run(words: list[str]) -> int:
    """The exit code of one command line. What follows `--` are vLLM's flags, for the verbs that take them."""
    before = words[: words.index("--")] if "--" in words else words
    pinned = words[len(before) + 1 :]
    ours = [word for word in before if word != "--debug"]
    wants_json = "--json" in ours
    if ours != before:
        os.environ["DYNO_DEBUG"] = "1"
    try:
        _check(ours, pinned)
        code = int(app(ours, prog_name="dyno", standalone_mode=False, obj=pinned) or 0)
        if code == Stopped.exit_code:  # typer's word for Ctrl-C
            raise Stopped("stopped; what was finished is kept")
        print(end="", flush=True)
    except typer.TyperException as error:
        return _complain(InputError(error.format_message() + _hint(error)), wants_json)
    except DynoError as error:
        return _complain(error, wants_json)
    except BrokenPipeError:
        _mute()
        return 1
    except OSError as error:  # a full disk, a folder that went away: no fault of ours
        where = f"{error.filename}: " if error.filename else ""
        fault = DynoError(f"{where}{error.strerror or error}; run again with --debug to see in what")
        return _complain(fault, wants_json, error)
    except Exception as error:  # noqa: BLE001  (the edge: a fault of ours still ends in one message)
        fault = DynoError(f"internal error: {type(error).__name__}: {error}; run again with --debug to see where")
        return _complain(fault, wants_json, error)
    return code


def _check(ours: list[str], pinned: list[str]) -> None:
    if pinned and (not ours or ours[0] not in TAKES_FLAGS):
        raise InputError(f"flags after `--` are vLLM's and go with {' or '.join(TAKES_FLAGS)}, not here")
    if strange := [word for word in (*ours, *pinned) if any("\ud800" <= letter <= "\udfff" for letter in word)]:
        raise InputError(*(f"{word!a}: is not text in UTF-8; rename what it names" for word in strange))


def _hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""


def _complain(error: DynoError, wants_json: bool, origin: BaseException | None = None) -> int:
    problems = error.problems if isinstance(error, InputError) else (str(error),)
    if os.environ.get("DYNO_DEBUG"):
        import traceback

        traceback.print_exception(origin or error)
    try:
        for problem in problems:
            print(f"dyno: {problem}", file=sys.stderr)
        if wants_json:
            print(json.dumps({"error": {"exit_code": error.exit_code, "problems": list(problems)}}))
        print(end="", flush=True)
    except OSError:
        _mute()
    return error.exit_code


def _mute() -> None:
    """Nobody takes the output any more: what is still to be written at the exit goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        os.dup2(nowhere, stream.fileno())
