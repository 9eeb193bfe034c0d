"""The command line: `setup`, also called `mailroster`.

Exit status: 0 done, 1 refused, 2 not understood, 75 try again later (EX_TEMPFAIL, sysexits.h).
Results go to stdout, everything else to stderr.
"""

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from mailroster.base.findings import (
    Conflict,
    ParseError,
    Refused,
    ServerError,
    TryAgain,
    UsageError,
)
from mailroster.cli import streams
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import parse

DONE, REFUSED, NOT_UNDERSTOOD, TRY_LATER = 0, 1, 2, 75
FOLDER_OPTIONS = ("home", "config", "overlay", "mail", "state", "logs")
_INTERRUPTED = 130


def run() -> NoReturn:
    """The console script. It just leaves: taking the interpreter down would cost 2 ms more."""
    streams.protect()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    gc.disable()  # a tenth of a command's time, and it ends before anything could pile up
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale that lacks a letter
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status, message = _attempt(argv)
        if message:
            with suppress(OSError):
                streams.flush()  # what was shown before stands before the message
            print(f"setup: {message}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        gc.enable()


def _attempt(argv: Sequence[str]) -> tuple[int, str]:
    """The exit status of a command line, and why it failed."""
    try:
        status = _run(argv)
        streams.flush()
        return status, ""
    except UsageError as error:
        return NOT_UNDERSTOOD, str(error)
    except (Refused, ParseError, ServerError) as error:
        return REFUSED, str(error)
    except (TryAgain, Conflict) as error:
        return TRY_LATER, str(error)
    except OSError as error:
        if error.filename != streams.OUTPUT:
            return _failed(error)
        if error.errno == errno.EPIPE:  # `setup email list | head`
            return DONE, ""
        return TRY_LATER, f"{streams.OUTPUT}: {error.strerror}; not all results were written"


def _failed(error: OSError) -> tuple[int, str]:
    """What the system refused, on which path."""
    from mailroster.app.system_errors import words_of

    return REFUSED if isinstance(error, PermissionError) else TRY_LATER, words_of(error)


def _run(argv: Sequence[str]) -> int:
    found = parse(argv, COMMANDS, FOLDER_OPTIONS, _ask)
    if isinstance(found, str):
        from mailroster.cli.help import show

        return show(found)
    from importlib import import_module

    from mailroster.cli.call import Call

    module, _, name = found.command.run.partition(":")
    run = getattr(import_module(f"mailroster.cli.{module}"), name)
    status: int = run(Call.of(found))
    return status


def _ask(question: str) -> str:
    """The answer to a question on the terminal; "" without a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
