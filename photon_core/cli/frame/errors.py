"""The frame around every command: whatever happens inside becomes one message and one exit code.

| what | stderr, or stdout with `--output json` | exit code |
|---|---|---|
| PhotonError | what, where, expected, found, remedy | its own |
| an option or argument that click refuses | click's message | 2 |
| OSError that nobody foresaw | its text and file | 1 |
| anything else | one line, and how to see the traceback | 70 |
| Ctrl-C | nothing | 130 |
| the reader of stdout left | nothing | 141 |

With `--output json` a failure prints `{"error": {…}}` on stdout. `PHOTON_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import click

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.frame.output import Output, printable, show_json
from photon_core.cli.frame.session import OUTPUT

DEBUG = "PHOTON_DEBUG"


class ReaderGone(Exception):
    """Standard output is a pipe that nobody reads any more."""


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--output json` is among the arguments: asked before they are parsed, since parsing may be what fails."""
    before_dashes = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    values = [b for a, b in pairwise(before_dashes) if a == "--output"]
    values += [a.removeprefix("--output=") for a in before_dashes if a.startswith("--output=")]
    return (values[-1] if values else os.environ.get(OUTPUT)) == Output.JSON


def guard(call: Callable[[], object], *, as_json: bool) -> int:
    """Run the command; report what it raises; return the exit code."""
    try:
        result = call()
        sys.stdout.flush()
    except BaseException as raised:  # noqa: BLE001  # the outermost frame: everything ends here
        error = leading(raised)
        if isinstance(error, BrokenPipeError):
            error = of_broken_pipe(error)
        return _report(error, as_json=as_json)
    return result if isinstance(result, int) else ExitCode.OK  # click answers ctx.exit(code) with the code


def leading(raised: BaseException) -> BaseException:
    """Of the errors in an exception group, the one to tell: Ctrl-C, else a bug, else the first that was foreseen."""

    def rank(error: BaseException) -> int:
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return 0
        return 2 if isinstance(error, PhotonError | click.ClickException | OSError) else 1

    return min(_leaves(raised), key=rank)


def _leaves(raised: BaseException) -> Iterator[BaseException]:
    if isinstance(raised, BaseExceptionGroup):
        for inner in raised.exceptions:
            yield from _leaves(inner)
    else:
        yield raised


def _report(error: BaseException, *, as_json: bool) -> int:
    match error:
        case ReaderGone():
            _discard_stdout()
            return ExitCode.READER_GONE
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.INTERRUPTED
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case PhotonError():
            told = error
        case click.ClickException():
            if not as_json:
                error.show()
                return error.exit_code
            told = PhotonError(code="usage", what=error.format_message(), exit_code=error.exit_code)
        case OSError():
            what = error.strerror or str(error) or type(error).__name__
            told = PhotonError(code="os", where=str(error.filename or ""), what=what)
        case _:
            told = _bug(error)
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if as_json:
        show_json({"error": told.as_json()})
    else:
        click.echo(f"Error: {printable(str(told), keep=chr(10))}", err=True)
    return told.exit_code


def _bug(error: BaseException) -> PhotonError:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return PhotonError(
        code="internal",
        where=place,
        what=f"internal error: {type(error).__name__}: {error}",
        remedy=f"This is a bug in Photon or in a plugin; {DEBUG}=1 photon … shows the traceback.",
        exit_code=ExitCode.BUG,
    )


def of_broken_pipe(error: BrokenPipeError) -> Exception:
    """Which pipe it was: standard output, whose end a poll can see, or a connection of the command."""
    poll = select.poll()
    with suppress(OSError, ValueError):  # there may be no file behind it
        poll.register(sys.stdout.fileno(), 0)  # POLLERR is told unasked: nobody reads
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        return ReaderGone()
    return ConnectionError(f"the other end closed the connection: {error}")


def _discard_stdout() -> None:
    """Let the interpreter's own last flush go nowhere instead of failing loudly."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
