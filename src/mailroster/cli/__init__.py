"""The command line: `setup`, also called `mailroster`.

Exit status: 0 done, 1 refused, 2 usage error, 75 try again later (EX_TEMPFAIL, sysexits.h).
Results go to stdout, messages to stderr.
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

DONE, REFUSED, USAGE_ERROR, TRY_LATER = 0, 1, 2, 75
FOLDER_OPTIONS = ("home", "config", "overlay", "mail", "state", "logs")
_INTERRUPTED = 130


def run() -> NoReturn:
    """The console script. It skips the shutdown of the interpreter, which takes 2 ms."""
    streams.protect()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    gc.disable()  # saves a tenth of the time; a command ends before garbage matters
    if isinstance(sys.stdout, io.TextIOWrapper):  # the locale may lack a letter
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status, message = _attempt(argv)
        if message:
            with suppress(OSError):
                streams.flush()  # the results come before the message
            streams.warn(message)
        return status
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        gc.enable()


def _attempt(argv: Sequence[str]) -> tuple[int, str]:
    """The exit status of a command line, and the message if it failed."""
    try:
        status = _run(argv)
        streams.flush()
        return status, ""
    except UsageError as error:
        return USAGE_ERROR, str(error)
    except (Refused, ParseError, ServerError) as error:
        return REFUSED, str(error)
    except (TryAgain, Conflict) as error:
        return TRY_LATER, str(error)
    except OSError as error:
        if error.filename != streams.OUTPUT:
            return _failed(error)
        if error.errno == errno.EPIPE:  # `setup email list | head`
            return DONE, ""
        return TRY_LATER, f"{streams.OUTPUT}: {error.strerror}; some results were not written"


def _failed(error: OSError) -> tuple[int, str]:
    """The exit status and the message of a failed system call."""
    from mailroster.app.system_errors import describe

    return REFUSED if isinstance(error, PermissionError) else TRY_LATER, describe(error)


def _run(argv: Sequence[str]) -> int:
    invocation = parse(argv, COMMANDS, FOLDER_OPTIONS, _ask)
    if isinstance(invocation, str):
        from mailroster.cli.help import show

        return show(invocation)
    from importlib import import_module

    from mailroster.cli.call import Call

    module, _, name = invocation.command.run.partition(":")
    run = getattr(import_module(f"mailroster.cli.{module}"), name)
    status: int = run(Call.of(invocation))
    return status


def _ask(question: str) -> str:
    """Asks a question on the terminal and returns the answer; "" without a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
