"""`postfix-aliases.cf`."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("root: a@x.com", ("root", ("a@x.com",))),
        ("Root : a@x.com,b@x.com  c\r", ("root", ("a@x.com", "b@x.com", "c"))),
        ("root:a@x.com", ("root", ("a@x.com",))),
        ("root:\n  a@x.com,\n# between\n\tb@x.com", ("root", ("a@x.com", "b@x.com"))),
        ("root: a@x.com, A@X.com", ("root", ("a@x.com",))),
        ("trash: /dev/null", ("trash", ("/dev/null",))),
        ('trash: "/dev/null", a@x.com', ("trash", ("/dev/null", "a@x.com"))),
    ],
)
def test_a_line_is_an_alias(line: str, entry: tuple[str, tuple[str, ...]]) -> None:
    assert LOCAL_ALIASES.parse(line) == entry
    assert LOCAL_ALIASES.key(line) == entry[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("root: |/bin/sh", "unsafe-recipient"),
        ('root: "|/bin/sh -c x"', "unsafe-recipient"),
        ("root: a@x.com, /var/mail/root", "unsafe-recipient"),
        ('root: "/etc/x"', "unsafe-recipient"),
        ("root: :include:/etc/passwd", "unsafe-recipient"),
        ("root: :INCLUDE:/etc/passwd", "unsafe-recipient"),
        ("root: /dev/nul", "unsafe-recipient"),
        ("root: /dev/null/x", "unsafe-recipient"),
        ("root: \\root", "malformed-address"),
        ("root: @x.com", "malformed-address"),
        ("root@x.com: a@x.com", "malformed-alias"),
        ("root a@x.com", "malformed-alias"),
        ("root:", "no-recipient"),
        ('"a b": a@x.com', "malformed-address"),
        (": a@x.com", "malformed-address"),
        (" root: a@x.com", "lost-continuation"),
    ],
)
def test_a_line_that_is_none_is_a_fault(line: str, code: str) -> None:
    with pytest.raises(ParseError) as fault:
        LOCAL_ALIASES.parse(line)
    assert fault.value.code == code


ORIGIN = "mail.test"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("root", ["a@x.com"], id="a bare name"),
        pytest.param(f"Root@{ORIGIN}", ["a@x.com"], id="with the server's own domain"),
        pytest.param(f"abuse+x@{ORIGIN}", ["a+x@x.com"], id="through another, with its extension"),
        pytest.param("info", ["b@x.com"], id="an alias of postfix-virtual.cf comes first"),
        pytest.param("root@x.com", ["root@x.com"], id="not in other domains"),
        pytest.param("all@x.com", ["a@x.com", "b@x.com"], id="from an alias with a domain"),
    ],
)
def test_where_mail_to_a_name_goes(address: str, expected: list[str]) -> None:
    roster = Roster(
        accounts=Document(ACCOUNTS, "a@x.com|{A}x\n"),
        virtual=Document(VIRTUAL, "info b@x.com\nall@x.com root, info\n"),
        local_aliases=Document(LOCAL_ALIASES, "root: a@x.com\nabuse: root\ninfo: a@x.com\n"),
    )
    assert Router(roster, ORIGIN, lambda address: None).expand(address) == expected
