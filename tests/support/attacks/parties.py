"""Processes of other users, which the attacks run in."""

import pwd
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: The uid and gid of the mail (the setting `vmail_uid`).
MAIL_UID = 5000
#: Debian's own: other users may have no way to the interpreter that runs the tests.
PYTHON = "/usr/bin/python3"


def argv_as(user: str | int, argv: Sequence[str]) -> list[str]:
    """A command as another user, with only the groups of that user's primary gid."""
    if isinstance(user, str):
        entry = pwd.getpwnam(user)
        uid, gid = entry.pw_uid, entry.pw_gid
    else:
        uid = gid = user
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--", *argv]


def run_as(user: str | int, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command as another user and returns its result, whatever the exit code."""
    return subprocess.run(
        argv_as(user, argv), capture_output=True, text=True, timeout=timeout_s, cwd="/"
    )


@contextmanager
def python_as(user: str | int, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a Python program as another user beside the test, and kills it at the end.

    The block begins when the program has printed its first line, such as `ready`.
    """
    argv = argv_as(user, [PYTHON, "-c", program, *arguments])
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the attacker did not start"
        yield process
    finally:
        process.kill()
        process.communicate()
