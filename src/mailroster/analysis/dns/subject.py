"""What the checks of a domain look at, and the parts that their findings share."""

from collections.abc import Iterator
from typing import NamedTuple

from mailroster.analysis.dns.facts import Facts
from mailroster.analysis.dns.record import Record
from mailroster.base.dns import FAILED, SHOWN_MAX, Answer, Delegation, Dns
from mailroster.base.findings import ERROR, Finding, Location, printable


class Subject(NamedTuple):
    """A domain, the records that it should have, and the DNS."""

    facts: Facts
    records: tuple[Record, ...]
    dns: Dns
    delegation: Delegation

    def advice(self, name: str, kind: str) -> str:
        """The hint with the record that a name should have."""
        for record in self.records:
            if (record.name, record.kind) == (name, kind) and record.fields:
                return f"add the record {record.brief()}"
        return f"run 'setup dns {self.facts.domain}' for the record"

    def replacement(self, name: str, kind: str) -> str:
        """The same hint, if there is a wrong record."""
        return self.advice(name, kind).replace("add the record", "replace it by", 1)


def place(name: str, kind: str) -> Location:
    """The place of a finding: the name and the type of a record."""
    return Location(f"{name} {kind}")


def shown(text: str) -> str:
    """A part of an answer, safe and short enough to show: other people write it."""
    cut = text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
    return printable(cut)


def failures(name: str, kind: str, answer: Answer) -> Iterator[Finding]:
    """The finding about a lookup without an answer; none if there is one."""
    if answer.status == FAILED:
        message = f"the lookup failed: {shown(answer.reason)}"
        hint = "correct the name servers of the zone, or ask again"
        yield Finding(place(name, kind), ERROR, "dns-lookup-failed", message, hint)
