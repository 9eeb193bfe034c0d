"""A network of a test's own: its loopback has 127.0.0.0/8 and 10.66.0.0/16, and leads nowhere.

Every address of it can be a client's, as with as many hosts: a server sees only the addresses.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import loopback

SERVER = "10.66.0.1"
#: unshare(2), netdevice(7)
_CLONE_NEWNET = 0x40000000
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_libc = ctypes.CDLL(None, use_errno=True)


def client(number: int) -> str:
    """The address of a client, by its number from 0 on."""
    host, step = divmod(number, 200)
    return f"10.66.{host + 1}.{step + 1}"


@contextmanager
def own_network() -> Iterator[None]:
    """Puts this thread, and the processes and threads that it starts, into a network of its own."""
    with open("/proc/thread-self/ns/net", "rb") as before:
        _must(_libc.unshare(_CLONE_NEWNET))
        try:
            loopback.bring_up()
            _add_address()
            yield
        finally:
            _must(_libc.setns(before.fileno(), _CLONE_NEWNET))


def _add_address() -> None:
    with socket.socket() as any_socket:
        for request, address in ((_SIOCSIFADDR, SERVER), (_SIOCSIFNETMASK, "255.255.0.0")):
            place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, request, struct.pack("16s16s8x", b"lo:1", place))


def _must(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
