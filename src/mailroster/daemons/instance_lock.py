"""The lock that lets only one `up` or `watch` of an instance run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.servers import running
from mailroster.system import pid_file
from mailroster.system.files import make_folder


@contextmanager
def single_instance(layout: Layout) -> Iterator[None]:
    """Holds the lock of the instance; its file has the pid of this process. Raises Refused if
    another process holds it."""
    make_folder(layout.state)
    if (pid := running.up_pid(layout)) is not None:
        raise Refused(_runs_already(layout, pid))
    try:
        fd = pid_file.claim(layout.up_pid)
    except BlockingIOError:
        raise Refused(_runs_already(layout, running.up_pid(layout))) from None
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    try:
        pid_file.write(fd)
        with suppress(FileNotFoundError):
            os.unlink(layout.old_up_pid)
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _runs_already(layout: Layout, pid: int | None) -> str:
    name = "watch" if layout.kind == "host" else "up"
    if pid is None:
        return f"another process keeps {layout.up_pid} locked; end it, then start again"
    return f"'mailroster {name}' runs already, as process {pid}"
