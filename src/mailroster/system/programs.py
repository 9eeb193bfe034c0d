"""Postfix's and Dovecot's own programs, as processes: an argv, a timeout, no shell, and no secret
but through a descriptor."""

import os
from collections.abc import Iterable, Sequence

from mailroster.base.findings import ServerError

#: Open files of a server: `client_limit` of Dovecot's auth, and some.
OPEN_FILES = 8192
TIMEOUT_S = 60.0
#: Where Debian keeps what an ordinary user's PATH may lack.
_SEARCH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: Postfix's programs wait up to 2 s while main.cf is younger than that; so it is made older.
HOT_MAIN_CF_S = 10


def program(name: str) -> str | None:
    """The path of a server's program, or None if it isn't installed."""
    for folder in (*os.environ.get("PATH", "").split(":"), *_SEARCH):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return None


def run(
    argv: Sequence[str],
    stdin: str = "",
    pass_fds: Iterable[int] = (),
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program. Raises ServerError if it can't run or hangs."""
    path = _installed(argv[0])
    import subprocess

    try:
        done = subprocess.run(
            [path, *argv[1:]],
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=timeout_s,
            pass_fds=tuple(pass_fds),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{argv[0]} did not end within {timeout_s:g} seconds") from None
    except OSError as error:
        raise ServerError(f"{argv[0]}: {error}") from None
    out, err = (raw.decode("utf-8", "surrogateescape") for raw in (done.stdout, done.stderr))
    return done.returncode, out, err


def start(argv: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a program that leaves a daemon behind.

    The daemon may keep the output open, so it goes to a file: a pipe would never end.
    """
    import signal
    import subprocess
    import tempfile

    path = _installed(argv[0])
    _allow_open_files()
    with tempfile.TemporaryFile() as output:
        try:
            starter = subprocess.Popen(
                [path, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = starter.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                # With all that it has started; a daemon leads a session of its own by then.
                os.killpg(starter.pid, signal.SIGKILL)
                starter.wait()
                raise
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerError(f"{argv[0]}: {error}") from None
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def _allow_open_files() -> None:
    """Raises the soft limit for what this process starts, up to the hard limit: often it is 1024,
    and each connection is an open file of a Dovecot that serves many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _installed(name: str) -> str:
    path = program(name)
    if path is None:
        raise ServerError(f"{name} is not installed")
    return path


def in_memory(name: str, text: str) -> int:
    """A descriptor from which a program can read a text that no path leads to."""
    fd = os.memfd_create(name, 0)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    return fd


def number(text: str) -> int | None:
    """The number that a program printed; None for anything else."""
    is_one = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_one else None
