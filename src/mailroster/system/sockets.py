"""Connections to the Unix sockets of an instance, with paths of any length.

The kernel's limit is 107 octets (unix(7)). `up` checks that the servers' own paths are shorter, but
a command may use a longer path to the same folder, for example through a link.
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
