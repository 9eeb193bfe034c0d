"""The command line: `setup`, also called `mailroster`.

Exit status: 0 done, 1 refused, 2 not understood, 75 try again later (EX_TEMPFAIL, sysexits.h).
Results go to stdout, everything else to stderr.
"""

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import parse
from mailroster.finding import Busy, Conflict, Fault, NotUnderstood, Refused, ServiceFailed

DONE, REFUSED, NOT_UNDERSTOOD, TRY_LATER = 0, 1, 2, 75
FOLDER_OPTIONS = ("home", "config", "overlay", "mail", "state", "logs")
_INTERRUPTED = 130


def run() -> NoReturn:
    """The console script. It just leaves: taking the interpreter down would cost 2 ms more."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    gc.disable()  # a tenth of a command's time, and it ends before anything could pile up
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale that lacks a letter
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(argv)
        _flush()
        return status
    except NotUnderstood as error:
        return _tell(error, NOT_UNDERSTOOD)
    except (Refused, Fault, ServiceFailed) as error:
        return _tell(error, REFUSED)
    except (Busy, Conflict) as error:
        return _tell(error, TRY_LATER)
    except BrokenPipeError:  # `setup email list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except OSError as error:
        words = f"{error.filename}: {error.strerror}" if error.filename else error
        status = REFUSED if isinstance(error, PermissionError) else TRY_LATER
        return _tell(words, status)
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        gc.enable()


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


def _flush() -> None:
    if sys.stdout is not None:  # `setup … >&-`
        sys.stdout.flush()


def _tell(error: object, status: int) -> int:
    _flush()
    print(f"setup: {error}", file=sys.stderr)
    return status
