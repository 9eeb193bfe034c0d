"""Explains why a server does not start: ports that another process uses (proc(5), /proc/net/tcp),
and errors in Postfix's log."""

import os
import re
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import is_everywhere, words
from mailroster.base.settings import Settings
from mailroster.servers.config.endpoints import endpoints
from mailroster.system.files import identity_of, opened, read

#: The services of Postfix; all others are Dovecot's.
_POSTFIX = ("SMTP", "submission")
_LISTENS = "0A"
#: A line of Postfix's log with the reason for its end, and how much of the log is searched.
_FATAL = re.compile(r"postfix/[^:]*: ((?:fatal|panic|error): .*)")
_LOG_BYTES = 1 << 16


class Listener(NamedTuple):
    """A listening socket, with the inode that identifies its process."""

    address: str
    port: int
    inode: str


def causes(server: str, settings: Settings, layout: Layout) -> list[str]:
    """Why `postfix` or `dovecot` does not start: what the server itself may not report."""
    messages = ports_in_use(server, settings)
    if server == "postfix":
        # Postfix's master does not report a port in use, nor an invalid maillog_file.
        log_file = _maillog_file(f"{layout.postfix}/main.cf")
        if log_file.startswith("/dev/"):
            hint = "remove it from postfix-main.cf, and set logs_to_stdout"
            messages.append(f"maillog_file = {log_file}: Postfix starts only with a file; {hint}")
        messages += _logged_errors(log_file)
    return messages


def _maillog_file(main_cf: str) -> str:
    """The last value of maillog_file in a main.cf."""
    lines = read(main_cf).decode("utf-8", "replace").splitlines()
    values = [line.partition("=")[2].strip() for line in lines if line.startswith("maillog_file")]
    return values[-1] if values else ""


def _logged_errors(log_file: str) -> list[str]:
    """The errors that Postfix has logged since its last start."""
    try:
        with opened(log_file) as file:
            file.seek(max(0, identity_of(file.fileno()).size - _LOG_BYTES))
            lines = file.readall().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    starts = [n for n, line in enumerate(lines) if "starting the Postfix mail system" in line]
    last = lines[max(starts, default=0) :]
    errors = dict.fromkeys(match[1] for line in last if (match := _FATAL.search(line)))
    return [error for error in errors if "mail system startup failed" not in error]


def ports_in_use(server: str, settings: Settings) -> list[str]:
    """A message for each port of `postfix` or `dovecot` on which another process listens."""
    addresses = words(settings.listen)
    listening = [listener for listener in _listeners() if _overlaps(listener, addresses)]
    messages = []
    for endpoint in endpoints(settings):
        if (endpoint.service in _POSTFIX) != (server == "postfix"):
            continue
        name, port = endpoint.name, endpoint.port
        other = next((listener for listener in listening if listener.port == port), None)
        if other is not None:
            place = f"port {port} on {other.address}"
            hint = f"stop it, or set {name}_port"
            messages.append(f"{place} is in use by {_process(other.inode)}: {hint}")
    return messages


def srs_ports_in_use(settings: Settings) -> list[str]:
    """A message for each port of postsrsd on which another process listens."""
    messages = []
    for name in ("srs_forward_port", "srs_reverse_port"):
        port = getattr(settings, name)
        for listener in _listeners():
            if listener.port == port and _overlaps(listener, ["127.0.0.1"]):
                process = _process(listener.inode)
                hint = "stop it (for Debian's own postsrsd: systemctl disable --now postsrsd)"
                messages.append(f"port {port} is in use by {process}: {hint}, or set {name}")
                break
    return messages


def _overlaps(listener: Listener, addresses: list[str]) -> bool:
    return listener.address == "*" or any(
        is_everywhere(address) or address == listener.address for address in addresses
    )


def _listeners() -> list[Listener]:
    listeners = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as file:
                rows = [line.split() for line in file.read().splitlines()[1:]]
        except OSError:
            continue  # without IPv6
        for row in rows:
            if row[3] == _LISTENS:
                address, _, port = row[1].partition(":")
                listeners.append(Listener(_address(address), int(port, 16), row[9]))
    return listeners


def _address(text: str) -> str:
    """An address of /proc/net/tcp: hexadecimal words in the machine's order; `*` for all."""
    import socket
    import sys

    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if not any(raw):
        return "*"
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _process(inode: str) -> str:
    """`NAME (pid N)` of the process that has a socket open."""
    target = f"socket:[{inode}]"
    for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == target:
                    with open(f"/proc/{pid}/comm") as file:
                        return f"{file.read().strip()} (pid {pid})"
        except OSError:
            continue  # it has ended, or is another user's
    return "another process"
