"""Brings the loopback interface of a new network namespace up, as `ip link set lo up` does, where
there is no iproute2: `python -m tests.support.loopback`.
"""

import fcntl
import socket
import struct

#: netdevice(7)
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def bring_up() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


if __name__ == "__main__":
    bring_up()
