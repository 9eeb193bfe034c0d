"""The ports on which the servers of an instance listen, and how a client speaks there. Pure values.

Settings say them; overrides of the folder may change them (mailroster.servers.listening).
"""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.setting_rules import PORTS
from mailroster.base.settings import Settings

#: The line of the PROXY protocol, version 1, for a client on this machine.
PROXY = b"PROXY TCP4 127.0.0.1 127.0.0.1 1024 25\r\n"
#: Ports on which TLS begins at once.
_TLS = frozenset(("submissions", "imaps", "pop3s"))
#: The services as the log names them, with their ports.
_SERVICES = {
    "SMTP": ("smtp",),
    "submission": ("submission", "submissions"),
    "IMAP": ("imap", "imaps"),
    "POP3": ("pop3", "pop3s"),
    "ManageSieve": ("sieve",),
}


class Endpoint(NamedTuple):
    """One port that is on: `name` is one of setting_rules.PORTS, `addresses` are those on which it
    is reached from this machine, `proxy` says that it expects the PROXY protocol."""

    name: str
    port: int
    tls: bool
    proxy: bool
    addresses: tuple[str, ...]

    @property
    def service(self) -> str:
        return next(service for service, names in _SERVICES.items() if self.name in names)


def endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Those of the settings, in the order of PORTS."""
    proxied = settings.proxied()
    return tuple(
        Endpoint(name, port, name in _TLS, name in proxied, settings.near())
        for name in PORTS
        if (port := getattr(settings, f"{name}_port"))
    )


def listed(found: Iterable[Endpoint]) -> str:
    """The services with their ports, as `SMTP 25, submission 587 and 465`."""
    ports: dict[str, list[str]] = {}
    for endpoint in found:
        port = f"{endpoint.port} (PROXY)" if endpoint.proxy else str(endpoint.port)
        ports.setdefault(endpoint.service, []).append(port)
    return ", ".join(f"{service} {' and '.join(each)}" for service, each in ports.items())
