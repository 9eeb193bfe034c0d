"""One DNS record, and its text in a zone file (RFC 1035, section 5)."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from mailroster.base.dns import dotted, is_within

#: What the mail of the domain needs; what it should have; what is useful.
NEEDED, ADVISED, OPTIONAL = "needed", "recommended", "useful"
TTL_S = 3600
#: The longest string of a TXT record in octets.
STRING_MAX_OCTETS = 255
#: The position of the host name in the fields of a record.
_HOSTS = {"MX": 1, "SRV": 3, "CNAME": 0, "PTR": 0, "NS": 0}
#: The position of a quoted text.
_TEXTS = {"TXT": 0, "CAA": 2}


class Record(NamedTuple):
    """A record that a domain should have.

    `reason` is a sentence for people. `condition` is what must be true before the record is added,
    "" for nothing. `fields` are as in `base.dns`; none if a value is not known.
    """

    name: str
    kind: str
    fields: tuple[str, ...]
    level: str
    reason: str
    condition: str = ""

    def value(self) -> str:
        """The value as the forms of DNS providers take it: texts without quotes, in one string."""
        return " ".join(self.fields)

    def brief(self) -> str:
        """The record on one line, for messages."""
        return f"{self.name} {self.kind} {self.value()}"

    def line(self) -> str:
        """The record as a line of a zone file."""
        fields = list(self.fields)
        if self.kind in _HOSTS:
            fields[_HOSTS[self.kind]] = dotted(fields[_HOSTS[self.kind]])
        if self.kind in _TEXTS:
            position = _TEXTS[self.kind]
            fields[position] = quoted(fields[position])
        return f"{dotted(self.name)} {TTL_S} IN {self.kind} {' '.join(fields)}"


def quoted(text: str) -> str:
    """A text as strings of a zone file, each of at most 255 octets: `"v=spf1 mx -all"`."""
    octets = text.encode("utf-8")
    size = STRING_MAX_OCTETS
    parts = [octets[start : start + size] for start in range(0, len(octets), size)] or [b""]
    return " ".join(f'"{"".join(map(_escaped, part))}"' for part in parts)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{chr(octet)}"
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03}"


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records in groups: those in a row that have the same reason."""
    same = attrgetter("level", "reason", "condition")
    return [list(group) for _, group in groupby(records, same)]


def zone_text(domain: str, records: Iterable[Record]) -> str:
    """A zone file with the records of a domain. A record with a condition, and one of another zone,
    is a comment."""
    lines = [f"; The records that {domain} needs for its mail."]
    for group in groups(records):
        level, reason, condition = group[0].level, group[0].reason, group[0].condition
        lines += ["", f"; {level}: {reason}"]
        lines += [f"; Only if {condition}:"] if condition else []
        lines += [_zone_line(domain, record) for record in group]
    return "\n".join(lines) + "\n"


def _zone_line(domain: str, record: Record) -> str:
    if not record.fields:
        return f"; {dotted(record.name)} {TTL_S} IN {record.kind} …"
    if not is_within(record.name, domain):
        return f"; in another zone: {record.line()}"
    return f"; {record.line()}" if record.condition else record.line()
