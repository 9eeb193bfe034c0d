"""The processes and ports that an instance has, seen from outside by /proc."""

import os
import socket
import subprocess

from tests.support.instance import Instance


def of(instance: Instance) -> dict[int, str]:
    """Every process of an instance, pid -> what it is: whatever names its home, or is in the
    session of one that does, but for the session of the tests."""
    entries: dict[int, tuple[int, str]] = {}
    named = set()
    home = os.fsencode(str(instance.home))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                words = file.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/cmdline", "rb") as raw:
                command = raw.read()
            with open(f"/proc/{pid}/environ", "rb") as raw:
                environment = raw.read()
        except OSError:
            continue
        if words[0] in "ZX":
            continue
        entries[int(pid)] = int(words[3]), command.replace(b"\0", b" ").decode("utf-8", "replace")
        if home in command or b"MAIL_CONFIG=" + home in environment:
            named.add(int(pid))
    sessions = {entries[pid][0] for pid in named} - {os.getsid(0)}
    return {
        pid: command
        for pid, (session, command) in entries.items()
        if pid in named or session in sessions
    }


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [*map(int, done.stdout.split())]


def open_ports(instance: Instance) -> list[str]:
    """The names of the ports on which somebody listens."""
    found = []
    for name, port in instance.ports.items():
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                found.append(name)
    return found


def nothing_is_left(instance: Instance) -> None:
    """Asserts that no process and no port of an instance is there any more."""
    assert of(instance) == {}
    assert open_ports(instance) == []
