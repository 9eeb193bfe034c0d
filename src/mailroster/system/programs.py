"""Starts programs and child processes: an argv, a timeout, no shell, and secrets only through a
descriptor. `processes` looks at processes that run."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence

from mailroster.base.findings import ServerError

#: Open files of a server: the `client_limit` of Dovecot's auth, and some more.
OPEN_FILES = 8192
TIMEOUT_S = 60.0
#: Folders of Debian that the PATH of a user may lack.
_SEARCH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: The age that a new main.cf gets: Postfix's programs wait up to 2 s if it is younger.
HOT_MAIN_CF_S = 10


def program(name: str) -> str | None:
    """The path of a program; None if it is not installed."""
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
    """Runs a program; its exit code, stdout and stderr. Raises ServerError if it can't run or does
    not end in time."""
    path = _installed(argv[0])
    import subprocess

    try:
        result = subprocess.run(
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
    stdout = result.stdout.decode("utf-8", "surrogateescape")
    stderr = result.stderr.decode("utf-8", "surrogateescape")
    return result.returncode, stdout, stderr


def start(argv: Sequence[str]) -> tuple[int, str]:
    """Runs a program that starts a daemon; its exit code and output.

    The output goes to a file: the daemon may keep it open, so that a pipe would never end.
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
                # With its children; a daemon already has a session of its own.
                os.killpg(starter.pid, signal.SIGKILL)
                starter.wait()
                raise
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerError(f"{argv[0]}: {error}") from None
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def _allow_open_files() -> None:
    """Raises the soft limit of open files, for programs that this process starts, up to the hard
    limit. It is often 1024, and each connection to Dovecot is an open file."""
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


def is_single_threaded() -> bool:
    """Whether this process has only one thread. With more threads, a forked child could wait for
    ever for a lock of a thread that the child does not have."""
    threading = sys.modules.get("threading")
    return threading is None or threading.active_count() == 1


def in_child(act: Callable[[], str]) -> tuple[str, bool]:
    """The result of work in a forked child, and whether the child ended normally. For work that may
    crash, or drop the locks of this process, which must be single-threaded."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writer, act().encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        output = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return output, status == 0


def run_module(module: str, *arguments: str) -> tuple[str, bool]:
    """The output of a module of ours, run as a program without the locks and open files of this
    process, and whether it ended normally."""
    import subprocess

    argv = [sys.executable, "-P", "-m", module, *arguments]
    result = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return result.stdout.decode("utf-8", "replace"), result.returncode == 0


def in_memory(name: str, text: str) -> int:
    """A descriptor of a file without a path, from which a program can read a text."""
    fd = os.memfd_create(name, 0)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    return fd


def number(text: str) -> int | None:
    """The number that a program printed; None if it is no number."""
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number else None
