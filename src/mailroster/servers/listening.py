"""Determines the ports on which the servers listen with overrides, from the configuration that
Postfix's and Dovecot's own programs print."""

import re
from collections.abc import Iterable, Iterator

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import PORTS
from mailroster.base.settings import Settings
from mailroster.servers.config import postfix
from mailroster.servers.config.endpoints import Endpoint, endpoints
from mailroster.servers.config.overrides import Overrides
from mailroster.system.programs import run

_LOGIN = {"imap": "imap", "imaps": "imap", "pop3": "pop3", "pop3s": "pop3", "sieve": "managesieve"}
_OFF, _PROXY = "master_service_disable", "smtpd_upstream_proxy_protocol"
_WRAPPER = "smtpd_tls_wrappermode"


def listening(settings: Settings, layout: Layout, overrides: Overrides) -> tuple[Endpoint, ...]:
    """The ports that are on. Runs the servers' programs only if there are overrides; raises
    ServerError if one fails."""
    result = list(endpoints(settings))
    if overrides.main or overrides.master:
        result = list(_with_postfix(result, settings, layout))
    if overrides.dovecot:
        result = list(_with_dovecot(result, layout))
    return tuple(sorted(result, key=lambda endpoint: PORTS.index(endpoint.name)))


def _with_postfix(
    usual: Iterable[Endpoint], settings: Settings, layout: Layout
) -> Iterator[Endpoint]:
    """All endpoints, those of Postfix as main.cf and master.cf configure them (postconf(5))."""
    names = [_OFF, _PROXY, _WRAPPER, "inet_interfaces", "inet_protocols"]
    _, out, _ = run(["postconf", "-c", layout.postfix, "-xh", *names])
    main = dict(zip(names, out.split("\n"), strict=False))
    _, options, _ = run(["postconf", "-c", layout.postfix, "-P"])
    own = dict(re.findall(r"^(\S+/inet/\w+)\s*=\s*(.*)$", options, re.M))
    entries = {name: entry for entry, name in postfix.listeners(settings).items()}
    for endpoint in usual:
        if endpoint.name not in entries:
            yield endpoint
            continue
        entry = entries[endpoint.name]

        def option(name: str, entry: str = entry) -> str:
            return str(own.get(f"{entry}/inet/{name}", main.get(name, "")))

        if {"inet", f"{entry}/inet", f"{entry}.inet"} & set(main[_OFF].replace(",", " ").split()):
            continue
        addresses = _addresses(endpoint.addresses, entry, main)
        if addresses:
            yield endpoint._replace(
                proxy=bool(option(_PROXY)), tls=option(_WRAPPER) == "yes", addresses=addresses
            )


def _addresses(addresses: tuple[str, ...], entry: str, main: dict[str, str]) -> tuple[str, ...]:
    """The addresses of a service of master.cf; those of inet_interfaces if it names no host."""
    interfaces = main["inet_interfaces"].replace(",", " ").split()
    if ":" not in entry and interfaces != ["all"]:
        loopback = interfaces == ["loopback-only"]
        addresses = ("127.0.0.1",) if loopback else tuple(interfaces)
    protocols = set(main["inet_protocols"].replace(",", " ").split())
    if "all" in protocols or {"ipv4", "ipv6"} <= protocols:
        return addresses
    # A host name may have addresses of either kind.
    other = ":" if "ipv4" in protocols else "."
    matching = tuple(each for each in addresses if other not in each or each[0].isalpha())
    if not matching and interfaces == ["all"] and "ipv6" in protocols:
        return ("::1",)
    return matching


def _with_dovecot(usual: Iterable[Endpoint], layout: Layout) -> Iterator[Endpoint]:
    """All endpoints, those of Dovecot as its configuration has them."""
    _, out, _ = run(["doveconf", "-c", layout.dovecot_conf, "protocols"])
    protocols = out.partition("=")[2].replace(",", " ").split()
    blocks: dict[str, dict[str, dict[str, str]]] = {}
    for endpoint in usual:
        if endpoint.name not in _LOGIN:
            yield endpoint
            continue
        login = _LOGIN[endpoint.name]
        protocol = "sieve" if login == "managesieve" else login
        if protocol not in protocols:
            continue
        if login not in blocks:
            argv = ["doveconf", "-c", layout.dovecot_conf, f"service/{login}-login"]
            blocks[login] = inet_listeners(run(argv)[1])
        block = blocks[login].get(endpoint.name, {})
        port = block.get("port", str(endpoint.port))
        if port.isdecimal() and int(port):
            address = (block.get("address") or block.get("listen") or "").replace(",", " ").split()
            yield endpoint._replace(
                port=int(port),
                tls=block.get("ssl", "no") == "yes",
                proxy=block.get("haproxy", "no") == "yes",
                addresses=tuple(map(_near, address)) or endpoint.addresses,
            )


def _near(address: str) -> str:
    """The address at which this machine reaches an address of `listen`."""
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def inet_listeners(text: str) -> dict[str, dict[str, str]]:
    """The blocks `inet_listener NAME` in the output of doveconf(1), with their settings."""
    blocks: dict[str, dict[str, str]] = {}
    for block in re.finditer(r"inet_listener (\S+) \{\n(.*?)\n?\s*\}", text, re.S):
        settings = re.findall(r"^\s*(\w+) = ?(.*)$", block[2], re.M)
        blocks[block[1].strip('"')] = {name: value.strip() for name, value in settings}
    return blocks
