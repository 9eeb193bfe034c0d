"""Runs many commands quickly: a process that has imported `mailroster` once forks for each of them.

What a command does is the same as in a process of its own; only the start of Python is saved. The
process has no threads, so that a fork of it is safe.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

#: Imported before the first fork, since nearly every command needs them.
_MODULES = ("call", "check", "email", "explain", "import_export", "history", "diff")


class Started(NamedTuple):
    """A command, and its environment."""

    words: Sequence[str]
    environment: dict[str, str]


class Forker:
    """The process that forks. Starts with the first commands, ends with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, commands: Sequence[Started], stdin: str, limit_s: int) -> list[tuple[int, str]]:
        """Runs commands at the same time, in /; the exit code and the output of each.

        stdout and stderr are one. A command that takes longer than `limit_s` is killed: its code is
        -SIGALRM.
        """
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([commands, stdin, limit_s]) + "\n")
        process.stdin.flush()
        return [(code, text) for code, text in json.loads(process.stdout.readline())]

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            atexit.register(self._process.kill)
        return self._process


def _serve() -> None:
    from importlib import import_module

    for name in _MODULES:
        import_module(f"mailroster.cli.{name}")
    os.chdir("/")
    for line in sys.stdin:
        commands, stdin, limit_s = json.loads(line)
        running = [_fork(Started(*command), stdin, limit_s) for command in commands]
        answers = []
        for pid, output in running:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            answers.append((code, os.pread(output, 1 << 30, 0).decode("utf-8", "replace")))
            os.close(output)
        print(json.dumps(answers), flush=True)


def _fork(command: Started, stdin: str, limit_s: int) -> tuple[int, int]:
    """A child that runs a command; its pid, and a file with what it prints."""
    output = os.memfd_create("output")
    pid = os.fork()
    if pid == 0:
        _run(command, stdin, limit_s, output)
    return pid, output


def _run(command: Started, stdin: str, limit_s: int, output: int) -> NoReturn:
    signal.alarm(limit_s)
    os.environ.clear()
    os.environ.update(command.environment)
    with tempfile.TemporaryFile() as file:
        file.write(stdin.encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, 1 << 30)
    sys.argv[1:] = command.words
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", closefd=False) for fd in (1, 2))
    try:
        from mailroster.cli import run

        run()
    except BaseException:  # noqa: BLE001 - as Python reports it
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(70)


if __name__ == "__main__":
    _serve()
