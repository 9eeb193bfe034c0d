"""The open ports of the servers of an instance, with the protocol of each. Pure values.

They follow from the settings; overrides can change them (mailroster.servers.listening).
"""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.setting_rules import PORTS
from mailroster.base.settings import Settings

#: The line of the PROXY protocol, version 1, for a client on this machine.
PROXY = b"PROXY TCP4 127.0.0.1 127.0.0.1 1024 25\r\n"
#: Ports with implicit TLS.
_TLS = frozenset(("submissions", "imaps", "pop3s"))
#: The services by their names in the log, with their ports.
_SERVICES = {
    "SMTP": ("smtp",),
    "submission": ("submission", "submissions"),
    "IMAP": ("imap", "imaps"),
    "POP3": ("pop3", "pop3s"),
    "ManageSieve": ("sieve",),
}


class Endpoint(NamedTuple):
    """An open port. `name` is one of setting_rules.PORTS; `proxy`: whether it expects the PROXY
    protocol; `addresses`: where this machine can connect to it."""

    name: str
    port: int
    tls: bool
    proxy: bool
    addresses: tuple[str, ...]

    @property
    def service(self) -> str:
        return next(service for service, names in _SERVICES.items() if self.name in names)


def endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """The open ports by the settings, in the order of PORTS."""
    proxied = settings.proxied()
    return tuple(
        Endpoint(name, port, name in _TLS, name in proxied, settings.near())
        for name in PORTS
        if (port := getattr(settings, f"{name}_port"))
    )


def listed(listening: Iterable[Endpoint]) -> str:
    """The services with their ports, as `SMTP 25, submission 587 and 465`."""
    ports: dict[str, list[str]] = {}
    for endpoint in listening:
        port = f"{endpoint.port} (PROXY)" if endpoint.proxy else str(endpoint.port)
        ports.setdefault(endpoint.service, []).append(port)
    return ", ".join(f"{service} {' and '.join(each)}" for service, each in ports.items())
