"""The facts of a machine, and the policy of MTA-STS: which web servers are asked for it."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailroster.app.dns import StsPolicies, _is_on_internet, domain_facts
from mailroster.app.home import Home
from mailroster.base.dns import ANSWERED, Answer, WebFile
from mailroster.base.settings import Sources, load
from mailroster.servers import host_postfix
from mailroster.servers.host_postfix import HostPostfix
from mailroster.system import https, routes


class Web:
    """Replaces the web server; `fetched` has the addresses of each request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetched: list[Sequence[str]] = []
        self.error: OSError | None = None
        monkeypatch.setattr(https, "fetch", self._fetch)
        monkeypatch.setattr(routes, "has_route", lambda target: ":" not in target)

    def _fetch(self, host: str, addresses: Sequence[str], path: str) -> str:
        assert (host, path) == ("mta-sts.example.com", "/.well-known/mta-sts.txt")
        self.fetched.append(addresses)
        if self.error:
            raise self.error
        return "text"


def read(*addresses: str) -> WebFile | None:
    """The policy, with the addresses that the DNS answers for the web server."""

    def ask(name: str, kind: str) -> Answer:
        chosen = (address for address in addresses if (":" in address) == (kind == "AAAA"))
        return Answer(ANSWERED, tuple((address,) for address in chosen))

    policies = StsPolicies(ask)
    assert policies.read("example.com") == policies.read("example.com")
    return policies.read("example.com")


def test_the_policy_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(monkeypatch)
    assert read("8.8.8.8", "2001:4860:4860::8888") == WebFile("text")
    assert web.fetched == [["8.8.8.8"]]  # there is no route to the other


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "224.0.0.1",
        "::127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "fec0::1",
        "2002:7f00:1::1", "ff0e::1",
    ],
)  # fmt: skip
def test_an_answer_does_not_lead_into_the_local_network(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    web = Web(monkeypatch)
    assert read(address) is None
    assert web.fetched == []


def test_an_address_of_nat64_leads_to_the_internet() -> None:
    assert _is_on_internet("64:ff9b::808:808")


def test_without_an_address_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(monkeypatch)
    assert (read(), web.fetched) == (None, [])


def test_why_it_can_not_be_read_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(monkeypatch)
    web.error = OSError("the certificate is not valid")
    assert read("8.8.8.8") == WebFile("", "the certificate is not valid")
    web.error = ConnectionRefusedError(111, "Connection refused")
    assert read("8.8.8.8") == WebFile("", "Connection refused")


def home_of(tmp_path: Path, layout: str) -> Home:
    options = {"home": str(tmp_path), "layout": layout, "hostname": "example.com"}
    (tmp_path / "config").mkdir()
    settings = load(Sources(options, {}, lambda path: b"", os.path.isdir))
    return Home(settings, lambda text: None)


@pytest.mark.parametrize(
    ("layout", "hostname", "host"),
    [
        ("host", "", "mx.example.com"),  # `hostname` is Postfix's $myorigin there
        ("host", "other.example", "other.example"),
        ("private", "", "example.com"),
    ],
)
def test_on_a_host_the_name_is_that_of_its_postfix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str, hostname: str, host: str
) -> None:
    monkeypatch.setattr(host_postfix, "host_postfix", lambda layout: HostPostfix("mx.example.com"))
    facts = domain_facts(home_of(tmp_path, layout), "example.com", ["203.0.113.1"], hostname)
    assert (facts.host, facts.machine.addresses) == (host, ("203.0.113.1",))


def test_addresses_in_listen_are_those_of_the_server(tmp_path: Path) -> None:
    home = home_of(tmp_path, "private")
    listening = home.settings._replace(listen="127.0.0.1, 203.0.113.7, 2001:db8::7")
    facts = domain_facts(home.derive(listening), "example.com")
    assert facts.machine.addresses == ("203.0.113.7", "2001:db8::7")
