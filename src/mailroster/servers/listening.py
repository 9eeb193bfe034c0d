"""On which ports the servers listen once the overrides of the folder are in force: as Postfix's and
Dovecot's own programs print their configuration."""

import re
from collections.abc import Iterator

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
    """The ports that are on. Raises ServerError where a program can't be asked; it is only where
    there are overrides."""
    found = {endpoint.name: endpoint for endpoint in endpoints(settings)}
    if overrides.main or overrides.master:
        found = {endpoint.name: endpoint for endpoint in _of_postfix(found, settings, layout)}
    if overrides.dovecot:
        found = {endpoint.name: endpoint for endpoint in _of_dovecot(found, layout)}
    return tuple(found[name] for name in PORTS if name in found)


def _of_postfix(
    found: dict[str, Endpoint], settings: Settings, layout: Layout
) -> Iterator[Endpoint]:
    """All of them, those of Postfix as main.cf and master.cf have them (postconf(5))."""
    names = [_OFF, _PROXY, _WRAPPER, "inet_interfaces", "inet_protocols"]
    _, out, _ = run(["postconf", "-c", layout.postfix, "-xh", *names])
    main = dict(zip(names, out.split("\n"), strict=False))
    _, options, _ = run(["postconf", "-c", layout.postfix, "-P"])
    own = dict(re.findall(r"^(\S+/inet/\w+)\s*=\s*(.*)$", options, re.M))
    entries = {name: at for at, name in postfix.listeners(settings).items()}
    for endpoint in found.values():
        if endpoint.name not in entries:
            yield endpoint
            continue
        at = entries[endpoint.name]

        def option(name: str, at: str = at) -> str:
            return str(own.get(f"{at}/inet/{name}", main.get(name, "")))

        if {"inet", f"{at}/inet", f"{at}.inet"} & set(main[_OFF].replace(",", " ").split()):
            continue
        addresses = _addresses(endpoint.addresses, at, main)
        if addresses:
            yield endpoint._replace(
                proxy=bool(option(_PROXY)), tls=option(_WRAPPER) == "yes", addresses=addresses
            )


def _addresses(addresses: tuple[str, ...], at: str, main: dict[str, str]) -> tuple[str, ...]:
    """Where a service of master.cf is reached: by inet_interfaces if it names no host."""
    interfaces = main["inet_interfaces"].replace(",", " ").split()
    if ":" not in at and interfaces != ["all"]:
        loopback = interfaces == ["loopback-only"]
        addresses = ("127.0.0.1",) if loopback else tuple(interfaces)
    protocols = set(main["inet_protocols"].replace(",", " ").split())
    if "all" in protocols or {"ipv4", "ipv6"} <= protocols:
        return addresses
    # A host by name may have an address of either kind.
    other = ":" if "ipv4" in protocols else "."
    kept = tuple(each for each in addresses if other not in each or each[0].isalpha())
    if not kept and interfaces == ["all"] and "ipv6" in protocols:
        return ("::1",)
    return kept


def _of_dovecot(found: dict[str, Endpoint], layout: Layout) -> Iterator[Endpoint]:
    """All of them, those of Dovecot as its configuration has them."""
    _, out, _ = run(["doveconf", "-c", layout.dovecot_conf, "protocols"])
    protocols = out.partition("=")[2].replace(",", " ").split()
    blocks: dict[str, dict[str, dict[str, str]]] = {}
    for endpoint in found.values():
        if endpoint.name not in _LOGIN:
            yield endpoint
            continue
        login = _LOGIN[endpoint.name]
        if "sieve" not in protocols if login == "managesieve" else login not in protocols:
            continue
        if login not in blocks:
            asked = ["doveconf", "-c", layout.dovecot_conf, f"service/{login}-login"]
            blocks[login] = inet_listeners(run(asked)[1])
        said = blocks[login].get(endpoint.name, {})
        port = said.get("port", str(endpoint.port))
        if port.isdecimal() and int(port):
            address = (said.get("address") or said.get("listen") or "").replace(",", " ").split()
            yield endpoint._replace(
                port=int(port),
                tls=said.get("ssl", "no") == "yes",
                proxy=said.get("haproxy", "no") == "yes",
                addresses=tuple(map(_near, address)) or endpoint.addresses,
            )


def _near(address: str) -> str:
    """An address of `listen` as this machine reaches it."""
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def inet_listeners(text: str) -> dict[str, dict[str, str]]:
    """The blocks `inet_listener NAME` of a service that doveconf(1) prints, with their settings."""
    found: dict[str, dict[str, str]] = {}
    for block in re.finditer(r"inet_listener (\S+) \{\n(.*?)\n?\s*\}", text, re.S):
        settings = re.findall(r"^\s*(\w+) = ?(.*)$", block[2], re.M)
        found[block[1].strip('"')] = {name: value.strip() for name, value in settings}
    return found
