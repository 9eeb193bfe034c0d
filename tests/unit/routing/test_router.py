"""Where an address goes. Every answer here is one that Postfix gave (tests/integration)."""

import re

import pytest

from mailroster.base.address import split_extension
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import Match, quoted
from mailroster.routing.router import Router
from mailroster.routing.senders import ends_of_route

ORIGIN = "mail.example.test"


def router(virtual: str = "", rules: dict[str, str] | None = None) -> Router:
    """Two mailboxes, some aliases, and rules: a pattern of Python's, and what it gives."""

    def captured(address: str) -> str | None:
        for pattern, result in (rules or {}).items():
            if found := re.search(pattern, address, re.I):
                return found.expand(result)
        return None

    accounts = Document(ACCOUNTS, "box@a.test|{PLAIN}x\njohn@a.test|{PLAIN}x\n")
    roster = Roster(accounts, virtual=Document(VIRTUAL, virtual), regexp=Document(REGEXP))
    return Router(roster, ORIGIN, captured)


@pytest.mark.parametrize(
    ("virtual", "address", "recipients"),
    [
        pytest.param("", "nobody@a.test", ["nobody@a.test"], id="what nothing matches stands"),
        pytest.param("", "Box@A.test", ["box@a.test"], id="a mailbox answers in lower case"),
        pytest.param("", "Box+Tag@A.test", ["box+Tag@a.test"], id="its extension keeps its case"),
        pytest.param("@a.test x@far.test", "box@a.test", ["box@a.test"], id="mailbox, catch-all"),
        pytest.param("@a.test x@far.test", "box+t@a.test", ["box+t@a.test"], id="plus, catch-all"),
        pytest.param("@a.test x@far.test", "u+t@a.test", ["x@far.test"], id="catch-all drops plus"),
        pytest.param("@a.test @b.test", "u+t@a.test", ["u+t@b.test"], id="a moved domain keeps it"),
        pytest.param("u@a.test @b.test", "u+t@a.test", ["u+t@b.test"], id="a moved user, once"),
        pytest.param("u@a.test X@far.test", "U+T@a.test", ["X+T@far.test"], id="carried over"),
        pytest.param("u@a.test x@far.test", "u+@a.test", ["x+@far.test"], id="an empty extension"),
        pytest.param(
            "u@a.test x@far.test\nu+s@a.test y@far.test",
            "U+S@a.test",
            ["y@far.test"],
            id="a key with the extension comes first",
        ),
        pytest.param(
            "u@a.test x@far.test\nu+s@a.test y@far.test",
            "u+s+t@a.test",
            ["x+s+t@far.test"],
            id="an extension is all behind the first plus",
        ),
        pytest.param("u x@far.test", f"u@{ORIGIN}", ["x@far.test"], id="a bare key at the origin"),
        pytest.param("u x@far.test", "U", ["x@far.test"], id="a bare name is at the origin"),
        pytest.param("u x@far.test", "u@a.test", ["u@a.test"], id="a bare key nowhere else"),
        pytest.param("u x@far.test", f"u+t@{ORIGIN}", ["x+t@far.test"], id="bare key, extension"),
        pytest.param("u+t y+1", f"U+t@{ORIGIN}", [f"y+1@{ORIGIN}"], id="a bare key with one"),
        pytest.param(
            f"u x@far.test\n@{ORIGIN} y@far.test", f"u@{ORIGIN}", ["x@far.test"],
            id="a bare key beats the catch-all",
        ),
        pytest.param("u@a.test v", "u@a.test", [f"v@{ORIGIN}"], id="a bare recipient"),
        pytest.param("u@a.test h!v", "u@a.test", ["u@a.test"], id="host!user is refused"),
        pytest.param("", "v%h", [f"v%h@{ORIGIN}"], id="user%host is a name"),
        pytest.param("u@a.test v!w@b.test", "u@a.test", ["v!w@b.test"], id="a bang with a domain"),
        pytest.param("u@a.test Box@a.test.", "u@a.test", ["box@a.test"], id="a dot at the end"),
        pytest.param("u@a.test x@far.test", "u@a.test.", ["x@far.test"], id="one of the address"),
        pytest.param(
            "box@a.test box@a.test, x@far.test", "box@a.test", ["box@a.test", "x@far.test"],
            id="a self-map keeps a copy",
        ),
        pytest.param(
            "box@a.test x@far.test, box@a.test", "box@a.test", ["x@far.test", "box@a.test"],
            id="a self-map in second place too",
        ),
        pytest.param("box@a.test x@far.test", "box@a.test", ["x@far.test"], id="replaces the box"),
        pytest.param(
            "u@a.test v@a.test, w@a.test\nv@a.test X@far.test\nw@a.test x@far.TEST",
            "u@a.test", ["X@far.test"], id="duplicates go in any case",
        ),
        pytest.param(
            "u@a.test v@a.test, y@far.test\nv@a.test w@a.test, x@far.test\nw@a.test z@far.test",
            "u@a.test", ["z@far.test", "y@far.test", "x@far.test"], id="breadth after the first",
        ),
        pytest.param("u@a.test x@far.test", "u+q r@a.test", ["x+q r@far.test"], id="with a blank"),
    ],
)  # fmt: skip
def test_aliases_and_mailboxes(virtual: str, address: str, recipients: list[str]) -> None:
    assert router(virtual).expand(address) == recipients


@pytest.mark.parametrize(
    ("rule", "virtual", "address", "recipients"),
    [
        pytest.param(
            (r"^box@", "x@far.test"), "", "box@a.test", ["x@far.test"], id="beats a mailbox"
        ),
        pytest.param(
            (r"^u@", "x@far.test"), "u@a.test y@far.test", "u@a.test", ["y@far.test"],
            id="an alias beats it",
        ),
        pytest.param(
            (r"^u@", "x@far.test"), "@a.test y@far.test", "u@a.test", ["x@far.test"],
            id="beats a catch-all",
        ),
        pytest.param(
            (r"^box@", "x@far.test"), "", "box+t@a.test", ["box+t@a.test"],
            id="sees the whole address only",
        ),
        pytest.param(
            (r"^box\+t@", "x@far.test"), "", "box+t@a.test", ["x@far.test"], id="extension and all"
        ),
        pytest.param(
            (r"^(.*)@a", r"\1@Far.Test"), "", "U+T@a.test", ["U+T@Far.Test"], id="case is kept"
        ),
        pytest.param((r"^u@a", "@b.test"), "", "u@a.test", ["u@b.test"], id="a moved domain"),
        pytest.param(
            (r"^u@a", "x@far.test,, y z@far.test , "), "", "u@a.test",
            ["x@far.test", f"y@{ORIGIN}", "z@far.test"], id="commas and blanks",
        ),
        pytest.param((r"^u@a", "u@a.test"), "", "u@a.test", ["u@a.test"], id="to itself"),
        pytest.param(
            (r'^"(u\.\.v)"@', r'"\1"@far.test'), "", "u..v@a.test", ["u..v@far.test"],
            id="it sees quotes where they are needed, and may give them",
        ),
        pytest.param(
            (r"^(.*)@a", r"\1+seen@far.test"), "", "u..v@a.test",
            [f"u..v@{ORIGIN}", "+seen@far.test"], id="quotes set a recipient off",
        ),
    ],
)  # fmt: skip
def test_a_rule(rule: tuple[str, str], virtual: str, address: str, recipients: list[str]) -> None:
    assert router(virtual, dict([rule])).expand(address) == recipients


def chain(links: int, end: str) -> str:
    steps = [f"s{n}@a.test" for n in range(links)]
    return "".join(f"{a} {b}\n" for a, b in zip(steps, [*steps[1:], end], strict=True))


@pytest.mark.parametrize(
    ("virtual", "address"),
    [
        pytest.param(chain(2, "s0@a.test"), "s0@a.test", id="a cycle"),
        pytest.param(chain(1000, "x@far.test"), "s0@a.test", id="a chain of 1,000"),
        pytest.param(chain(1000, "box@a.test"), "s0@a.test", id="a chain of 1,000 to a mailbox"),
        pytest.param("u@a.test u+t@a.test", "u@a.test", id="growth"),
        pytest.param("@a.test @b.test\n@b.test @a.test", "u@a.test", id="two catch-alls"),
        pytest.param(
            "u@a.test " + ",".join(f"x{n}@far.test" for n in range(1001)), "u@a.test",
            id="1,001 recipients",
        ),
    ],
)  # fmt: skip
def test_what_postfix_cannot_follow_is_a_fault(virtual: str, address: str) -> None:
    with pytest.raises(ParseError) as fault:
        router(virtual).expand(address)
    assert fault.value.code == "unreasonable-alias"


@pytest.mark.parametrize(
    ("virtual", "address", "count"),
    [
        pytest.param(chain(999, "x@far.test"), "s0@a.test", 1, id="a chain of 999"),
        pytest.param(chain(999, "box@a.test"), "s0@a.test", 1, id="a chain of 999 to a mailbox"),
        pytest.param("@a.test @b.test\n@b.test @a.test", "box@b.test", 1, id="catch-alls to a box"),
        pytest.param(
            "u@a.test " + ",".join(f"x{n}@far.test" for n in range(1000)), "u@a.test", 1000,
            id="1,000 recipients",
        ),
    ],
)  # fmt: skip
def test_what_postfix_just_follows_passes(virtual: str, address: str, count: int) -> None:
    assert len(router(virtual).expand(address)) == count


@pytest.mark.parametrize("result", ["", ",", " , "])
def test_a_rule_without_a_recipient_is_a_fault(result: str) -> None:
    with pytest.raises(ParseError, match="names no recipient"):
        router("", {"^u@": result}).expand("u@a.test")


def test_a_lookup_names_its_file_and_key() -> None:
    aliases = router("u@a.test x@far.test\n@a.test y@far.test", {"^v@": "z@far.test"})
    assert aliases.lookup("U+t@A.test") == Match("postfix-virtual.cf", "u@a.test", ["x+t@far.test"])
    assert aliases.lookup("w@a.test") == Match("postfix-virtual.cf", "@a.test", ["y@far.test"])
    assert aliases.lookup("v@a.test") == Match("postfix-regexp.cf", "v@a.test", ["z@far.test"])
    assert aliases.lookup("Box+t@a.test") == Match(
        "postfix-accounts.cf", "box@a.test", ["box+t@a.test"]
    )
    assert aliases.lookup("w@b.test") is None


@pytest.mark.parametrize(
    ("recipient", "mailbox"),
    [
        ("Box@A.test", "box@a.test"),
        ("box+tag+tag@a.test", "box@a.test"),
        ("box@b.test", None),
        ("boxer@a.test", None),
        ("+tag@a.test", None),
    ],
)
def test_the_mailbox_of_a_final_recipient(recipient: str, mailbox: str | None) -> None:
    assert router().mailbox(recipient) == mailbox


@pytest.mark.parametrize(
    ("local", "parts"),
    [
        ("u", ("u", "")),
        ("u+t", ("u", "+t")),
        ("u+t+s", ("u", "+t+s")),
        ("u+", ("u", "+")),
        ("+t", ("+t", "")),
        ("postmaster+t", ("postmaster", "+t")),
        ("owner-list+t", ("owner-list", "+t")),
    ],
)
def test_an_extension_begins_at_the_first_plus(local: str, parts: tuple[str, str]) -> None:
    assert split_extension(local) == parts


@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        ("u.v+w@a.test", "u.v+w@a.test"),
        ("o'neil!%=x@a.test", "o'neil!%=x@a.test"),
        ("u..v@a.test", '"u..v"@a.test'),
        ("u.@a.test", '"u."@a.test'),
        ("u v@a.test", '"u v"@a.test'),
        ('u"\\v@a.test', '"u\\"\\\\v"@a.test'),
        ("u@b@a.test", '"u@b"@a.test'),
        ("u", "u"),
    ],
)
def test_quotes_stand_where_smtp_wants_them(address: str, spelling: str) -> None:
    assert quoted(address) == spelling


MOVED = """\
@old.test @a.test
@older.test @old.test
@all.test box@a.test
@all-old.test @all.test
@c1.test @c2.test
@c2.test @c1.test
info@a.test john@a.test, far@else.where
kept@old.test box@a.test
"""


@pytest.mark.parametrize(
    ("address", "catch_all", "ends"),
    [
        pytest.param("john@old.test", False, ["john@a.test"], id="a moved domain"),
        pytest.param("john+x@old.test", False, ["john@a.test"], id="with an extension"),
        pytest.param("john@older.test", False, ["john@a.test"], id="moved twice"),
        pytest.param("info@old.test", False, ["john@a.test"], id="an alias of the new domain"),
        pytest.param("nobody@old.test", False, [], id="an unknown user"),
        pytest.param("who@all-old.test", False, [], id="to a catch-all, which does not count"),
        pytest.param("who@all-old.test", True, ["box@a.test"], id="and where it counts"),
        pytest.param("who@c1.test", False, [], id="domains in a loop"),
        pytest.param("t-1@old.test", False, ["box@a.test"], id="a pattern of the new domain"),
        pytest.param("t-1@a.test", False, ["box@a.test"], id="a pattern"),
        pytest.param("t-1@far.test", False, [], id="a pattern in a domain that is not served"),
        pytest.param("postmaster@a.test", False, ["john@a.test"], id="the postmaster"),
        pytest.param("abuse@old.test", False, ["john@a.test"], id="of a moved domain"),
        pytest.param(f"root@{ORIGIN}", False, ["john@a.test"], id="of the server"),
        pytest.param("postmaster@all.test", False, None, id="a catch-all comes first"),
        pytest.param("kept@old.test", False, None, id="an alias of the old domain itself"),
        pytest.param("john@a.test", False, None, id="an account"),
        pytest.param("info@a.test", False, None, id="an alias"),
        pytest.param("who@all.test", True, None, id="a catch-all"),
        pytest.param("x@else.where", True, None, id="elsewhere"),
    ],
)
def test_who_may_send_where_no_table_can_tell(
    address: str, catch_all: bool, ends: list[str] | None
) -> None:
    one = router(MOVED, {"^t-[0-9]@(a|far).test": "box@a.test"})._replace(postmaster="John@a.test")
    assert ends_of_route(one, address, catch_all=catch_all) == ends
    assert ends_of_route(one.remembering(), address, catch_all=catch_all) == ends


def test_roles_lead_to_the_postmaster_unless_the_roster_has_them() -> None:
    plain = router(MOVED + "abuse@a.test box@a.test\n")
    assert plain.expand("postmaster@a.test") == ["postmaster@a.test"]
    one = plain._replace(postmaster="John@a.test")
    ends = {
        "postmaster@a.test": "john@a.test",
        "POSTMASTER+x@A.test": "john+x@a.test",
        "abuse@a.test": "box@a.test",
        "abuse@older.test": "box@a.test",
        "postmaster@old.test": "john@a.test",
        "postmaster@all.test": "box@a.test",
        "webmaster@a.test": "webmaster@a.test",
        "postmaster@far.test": "postmaster@far.test",
        "root": "john@a.test",
        "mailer-daemon": "john@a.test",
        "hostmaster": f"hostmaster@{ORIGIN}",
        "rooted": f"rooted@{ORIGIN}",
    }
    assert {address: one.expand(address) for address in ends} == {
        address: [end] for address, end in ends.items()
    }
    itself = plain._replace(postmaster="postmaster@a.test")
    assert itself.expand("postmaster@a.test") == ["postmaster@a.test"]


def test_an_alias_to_itself_is_no_circle_for_a_router_that_remembers() -> None:
    one = router("me@a.test ME@a.test\n").remembering()
    assert one.expand("me@a.test") == ["ME@a.test"]
