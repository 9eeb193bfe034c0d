"""The Unix sockets of an instance, however long their paths are.

The kernel takes 107 octets (unix(7)). The servers' own path is short enough, `up` sees to that; but
a command may come by a longer one, through a link or a deep folder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


@contextmanager
def connected(path: str, timeout_s: float) -> "Iterator[socket.socket]":
    """A connection to a socket. Raises OSError."""
    import socket

    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as session:
            session.settimeout(timeout_s)
            session.connect(f"/proc/self/fd/{fd}/{name}")
            yield session
    finally:
        os.close(fd)
