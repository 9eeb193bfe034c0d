"""What leads to an address, told with the way there."""

import pytest

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.incoming import leads_to
from mailroster.routing.router import Router

ORIGIN = "mail.example.test"
BOB = "bob@x.com"


def told(
    virtual: str = "", regexp: str = "", address: str = BOB, captured: dict[str, str] | None = None
) -> list[str]:
    """`kind key:line <- through` of each."""
    roster = Roster(
        accounts=Document(
            ACCOUNTS, f"{BOB}|{{PLAIN}}x\ncarol@x.com|{{PLAIN}}x\njo@{ORIGIN}|{{PLAIN}}x"
        ),
        virtual=Document(VIRTUAL, virtual),
        regexp=Document(REGEXP, regexp),
    )
    router = Router(roster, ORIGIN, (captured or {}).get)
    return [
        f"{lead.kind} {lead.key}:{lead.where.line}" + "".join(f" > {at}" for at in lead.through)
        for lead in leads_to(router, address)
    ]


@pytest.mark.parametrize(
    ("virtual", "expected"),
    [
        ("", []),
        ("info@x.com Bob@X.com, carol@x.com\n", ["alias info@x.com:1"]),
        ("\ni@x.com bob+tag@x.com\n", ["alias i@x.com:2"]),
        ("a@x.com b@x.com\nb@x.com\n  c@x.com\nc@x.com bob@x.com\n",
         ["alias c@x.com:4", "alias b@x.com:2 > c@x.com", "alias a@x.com:1 > b@x.com > c@x.com"]),
        ("@y.com bob@x.com\n", ["catch-all @y.com:1"]),
        ("@y.com @x.com\n", ["catch-all @y.com:1"]),
        ("@x.com info@x.com\ninfo@x.com bob@x.com\n",
         ["alias info@x.com:2", "catch-all @x.com:1 > info@x.com"]),
        ("bob@x.com carol@x.com\nteam@x.com bob@x.com\n", []),
        ("bob@x.com bob@x.com, carol@x.com\nteam@x.com bob@x.com\n", ["alias team@x.com:2"]),
        ("a@x.com b@x.com,bob@x.com\nb@x.com a@x.com\n", []),
        ("gold@x.com carol@x.com\nbob@x.com.au carol@x.com\n", []),
        ("i@x.com bob@x.com\ni@x.com carol@x.com\n", ["alias i@x.com:1"]),
    ],
    ids=["nothing", "any spelling", "an extension", "a chain", "a catch-all", "a whole domain",
         "a catch-all through an alias", "not what is forwarded elsewhere", "but what keeps a copy",
         "not what Postfix could not follow", "not its neighbours", "the line that counts"],
)  # fmt: skip
def test_aliases(virtual: str, expected: list[str]) -> None:
    assert told(virtual) == expected


def test_a_bare_name_leads_to_the_servers_own_domain() -> None:
    assert told("info jo\n", address=f"jo@{ORIGIN}") == ["alias info:1"]


def test_who_only_forwards_elsewhere_is_found_by_the_address_there() -> None:
    assert told("i@x.com far@away.org\n", address="far@away.org") == ["alias i@x.com:1"]


def test_patterns_are_told_if_their_result_may_be_the_address() -> None:
    regexp = (
        "# x\n/^a/ bob@x.com\n/^b/ carol@x.com\n/^(.*)@y/ $1@x.com\nif /x/\n/^c/ i@x.com\nendif\n"
    )
    assert told("i@x.com bob@x.com\n", regexp) == [
        "pattern /^a/ bob@x.com:2",
        "pattern /^(.*)@y/ $1@x.com:4",
        "alias i@x.com:1",
        "pattern /^c/ i@x.com:6 > i@x.com",
    ]


def test_an_alias_whose_recipient_a_pattern_takes_away_does_not_lead_there() -> None:
    captured = {BOB: "carol@x.com"}
    assert told("i@x.com bob@x.com\n", "/^bob/ carol@x.com\n", captured=captured) == []
