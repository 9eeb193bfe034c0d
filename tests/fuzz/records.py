"""What must hold of DNS records that other people write, whatever they contain."""

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from unittest.mock import patch

from mailroster.analysis.dns import dkim_record, spf
from mailroster.analysis.dns.findings import findings
from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, Answer, Delegation, Dns, WebFile
from mailroster.base.findings import ERROR, INFO, WARNING
from mailroster.system import dns_queries, name_servers
from mailroster.system.dns_queries import NoAnswer
from tests.support.perfect_zone import ADDRESS, ADDRESS_6, DOMAIN, FACTS, HOST

if TYPE_CHECKING:
    from dns.message import Message

_DELEGATION = Delegation(DOMAIN, ("ns.example.com",))
#: The names with a text of their own, in this order; every other name has one of the rest.
_NAMES = (
    DOMAIN, f"_dmarc.{DOMAIN}", f"mail._domainkey.{DOMAIN}", f"_mta-sts.{DOMAIN}",
    f"_smtp._tls.{DOMAIN}",
)  # fmt: skip


def _text(raw: bytes) -> str:
    """The text of a TXT record, as system.dns_messages reads it."""
    return raw.decode("utf-8", "backslashreplace")


def _answers(texts: list[str]) -> Callable[[str, str], Answer]:
    """A DNS in which the texts are TXT records. A text with a line end is more than one record."""

    def ask(name: str, kind: str) -> Answer:
        if kind == "TXT":
            own = _NAMES.index(name) if name in _NAMES else -1
            others = texts[len(_NAMES) + 1 :] or [""]
            text = others[zlib.crc32(name.encode()) % len(others)]
            if 0 <= own < len(texts):
                text = texts[own]
            if text[:1] == "\x01":
                return Answer((NO_NAME, FAILED)[len(text) % 2], reason=text[:300])
            return Answer(ANSWERED, tuple((part,) for part in text.split("\n")) if text else ())
        values = {
            "A": (ADDRESS,), "AAAA": (ADDRESS_6,), "MX": ("10", HOST), "PTR": (HOST,),
        }  # fmt: skip
        records = (values[kind],) if kind in values and len(name) < 90 else ()
        return Answer(ANSWERED, records)

    return ask


def dns_texts(raw: bytes) -> None:
    """TXT records with NULs between: SPF, DMARC, DKIM, MTA-STS, TLS-RPT, the policy of MTA-STS,
    and those of other names. Every finding can be shown."""
    texts = [_text(part) for part in raw.split(b"\0")]
    policy = WebFile(texts[len(_NAMES)]) if len(texts) > len(_NAMES) else None
    ask = _answers(texts)
    for finding in findings(FACTS, Dns(ask, sts_policy=lambda domain: policy), _DELEGATION):
        assert finding.severity in (ERROR, WARNING, INFO)
        assert f"{finding.message}{finding.hint}".isprintable()
        assert len(f"{finding.message}{finding.hint}") < 900
    for text in texts:
        public = dkim_record.public_key(text)
        assert public == "".join(public.split())
        assert public in "".join(text.split())


def spf_records(raw: bytes) -> None:
    """SPF records with NULs between: that of the domain, and those of other names."""
    first, *others = [_text(part) for part in raw.split(b"\0")]
    texts = [f"v=spf1 {first}", *[""] * len(_NAMES), *(f"v=spf1 {text}" for text in others)]
    answers, asked = _answers(texts), list[str]()

    def ask(name: str, kind: str) -> Answer:
        asked.append(name)
        return answers(name, kind)

    results = [spf.evaluate(DOMAIN, address, ask) for address in (None, ADDRESS, ADDRESS_6)]
    for result in results:
        assert bool(result.error) != bool(result.result)
        assert bool(result.error) == bool(result.message)
        assert result.lookups <= spf.LOOKUPS_MAX + (result.error == spf.LOOKUPS)
    assert len(asked) < 3 * spf.LOOKUPS_MAX * (spf.NAMES_MAX + 3)
    if not results[0].error and b"%" not in raw:  # the worst case, if no name has the address
        assert all(result.error != spf.LOOKUPS for result in results)
        assert all(result.lookups <= results[0].lookups for result in results)


def dns_replies(raw: bytes) -> None:
    """Replies of name servers in their wire format, with an octet of their length before each."""
    replies = list[bytes]()
    while raw and len(replies) < 20:
        size = raw[0] * 2
        replies.append(raw[1 : 1 + size])
        raw = raw[1 + size :]
    count = 0

    def exchange_once(self: object, query: "Message", server: object) -> "Message":
        nonlocal count
        import dns.exception
        import dns.message

        count += 1
        if not replies or count > 2000:
            raise NoAnswer("no answer")
        try:
            return dns.message.from_wire(replies[count % len(replies)], ignore_trailing=True)
        except (dns.exception.DNSException, EOFError, ValueError):
            raise NoAnswer("the reply is not valid") from None

    with (
        patch.object(dns_queries.Queries, "_exchange_once", exchange_once),
        patch.object(name_servers, "has_route", lambda address: True),
    ):
        servers = name_servers.NameServers(DOMAIN, [("127.0.0.1", 53)])
        dns = Dns(servers.ask, servers.is_secure)
        for finding in findings(FACTS, dns, servers.delegation()):
            assert f"{finding.message}{finding.hint}".isprintable()
            assert len(f"{finding.message}{finding.hint}") < 1500
        servers.ask_each_own_server()
        for kind in ("A", "AAAA"):
            for address in servers.ask(HOST, kind).first_fields():
                assert (":" in address) == (kind == "AAAA")
    assert count < 2000
