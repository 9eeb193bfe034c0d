"""Work that must not happen in this process: it may kill it, or drop its locks."""

import os
import sys
from collections.abc import Callable


def is_alone() -> bool:
    """Whether this process has one thread only. The child of another one may wait for ever, for a
    lock that a thread held that is not there any more."""
    threading = sys.modules.get("threading")
    return threading is None or threading.active_count() == 1


def in_child(act: Callable[[], str]) -> tuple[str, bool]:
    """What a child of this process says, and whether it came to its end. For a process that is
    alone."""
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
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return said, status == 0


def in_program(module: str, *arguments: str) -> tuple[str, bool]:
    """The same of a module of ours as a program, which has none of our locks and files."""
    import subprocess

    argv = [sys.executable, "-P", "-m", module, *arguments]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return done.stdout.decode("utf-8", "replace"), done.returncode == 0
