"""Reports the state of a daemon to the service manager: sd_notify(3)."""

import os
import socket
from collections.abc import Mapping

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Sends a state to the socket in NOTIFY_SOCKET, if there is one."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path[0] == "@" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.sendto(state.encode(), address)
        except OSError:
            pass  # the socket no longer exists
