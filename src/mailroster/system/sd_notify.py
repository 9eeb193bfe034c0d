"""Tells the service manager how we are: sd_notify(3), a word on a datagram socket."""

import os
import socket
from collections.abc import Mapping

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Says it to who has asked for it by NOTIFY_SOCKET; to nobody else."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path[0] == "@" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        try:
            asked.sendto(state.encode(), address)
        except OSError:
            pass  # it has gone meanwhile
