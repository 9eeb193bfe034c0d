"""Reads replies of name servers: the records, and the CNAME records on the way to them."""

from typing import TYPE_CHECKING, Any

from mailroster.base.dns import ANSWERED, NO_NAME, ROOT, Answer

if TYPE_CHECKING:
    from dns.message import Message
    from dns.rdata import Rdata
    from dns.rrset import RRset

#: The most CNAME records that are followed, and records of one answer that are read.
ALIASES_MAX, _RECORDS_MAX = 8, 200


def type_number(kind: str) -> int:
    """The number of a type of records."""
    import dns.rdatatype

    return int(dns.rdatatype.from_text(kind))


def is_referral(reply: "Message") -> bool:
    """Whether a server only names the servers of a zone below its own."""
    import dns.flags

    names_servers = any(rrset.rdtype == type_number("NS") for rrset in reply.authority)
    return not reply.answer and names_servers and not reply.flags & dns.flags.AA


def read_records(reply: "Message", name: str, kind: str) -> tuple[Answer, list[str]]:
    """The records in a reply, and the CNAME records on the way to them. Records of another class
    than that of the internet have other fields, so they don't count."""
    import dns.rcode
    import dns.rdataclass

    by_name: dict[tuple[str, int], RRset] = {}
    for rrset in reply.answer:
        if rrset.rdclass == dns.rdataclass.IN:
            by_name.setdefault((name_text(rrset.name), int(rrset.rdtype)), rrset)
    aliases: list[str] = []
    target = name
    while (target, type_number(kind)) not in by_name and len(aliases) < ALIASES_MAX:
        alias = by_name.get((target, type_number("CNAME")))
        if alias is None:
            break
        target = name_text(alias[0].target)
        aliases.append(target)
    asked = by_name.get((target, type_number(kind)))
    if asked is None:
        # NXDOMAIN is about the last name of the chain (RFC 6604).
        status = NO_NAME if reply.rcode() == dns.rcode.NXDOMAIN else ANSWERED
        return Answer(status), aliases
    records = tuple(sorted(_fields(rdata) for rdata in list(asked)[:_RECORDS_MAX]))
    return Answer(ANSWERED, records), aliases


def name_text(name: Any) -> str:
    """A name as `base.dns` has it."""
    text = str(name.to_text(omit_final_dot=True)).lower()
    return text or ROOT


def _fields(rdata: "Rdata") -> tuple[str, ...]:
    """The fields of a record, as text."""
    import dns.rdatatype

    record: Any = rdata
    kind = dns.rdatatype.to_text(record.rdtype)
    if kind == "TXT":
        return (b"".join(record.strings).decode("utf-8", "backslashreplace"),)
    if kind == "MX":
        return str(record.preference), name_text(record.exchange)
    if kind == "SRV":
        numbers = record.priority, record.weight, record.port
        return (*map(str, numbers), name_text(record.target))
    if kind == "CAA":
        tag, value = (
            part.decode("utf-8", "backslashreplace") for part in (record.tag, record.value)
        )
        return str(record.flags), tag, value
    if kind == "TLSA":
        numbers = record.usage, record.selector, record.mtype
        return (*map(str, numbers), record.cert.hex())
    if kind in ("CNAME", "NS", "PTR"):
        return (name_text(record.target),)
    return (record.to_text(),)
