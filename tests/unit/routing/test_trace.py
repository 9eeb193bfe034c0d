"""The way of an address: its steps, what was tried, what is answered, what is left out."""

import re
from collections.abc import Callable

import pytest

from mailroster.analysis.explain import explain, login
from mailroster.base.findings import Location
from mailroster.base.settings import Settings, Sources, load
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import RECEIVE_ACCESS
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.routing.trace import (
    LEADS_NOWHERE,
    Trace,
    code_of,
    follow,
    follow_served,
    restriction,
)

ORIGIN = "mail.x"
VIRTUAL_FILE, REGEXP_FILE, ACCOUNTS_FILE = VIRTUAL.file, REGEXP.file, ACCOUNTS.file


def router(
    virtual: str = "", accounts: str = "box@a john@a", access: str = "", regexp: str = ""
) -> Router:
    """`accounts` are addresses; of the rules only `/^t/` is known to match, those who begin so."""
    lines = "".join(f"{address}|{{S}}h\n" for address in accounts.split())
    roster = Roster(
        accounts=Document(ACCOUNTS, lines if "|" not in accounts else accounts),
        virtual=Document(VIRTUAL, virtual),
        regexp=Document(REGEXP, regexp),
        receive_access=Document(RECEIVE_ACCESS, access),
    )
    captured: Callable[[str], str | None] = lambda address: (  # noqa: E731
        "box+t@a" if regexp and re.match("t", address, re.I) else None
    )
    return Router(roster, ORIGIN, captured)


def way(of: Router, address: str) -> Trace:
    return follow(of, address, lambda asked: dict.fromkeys(asked, 2))


def test_each_step_names_its_line_and_what_was_tried_before() -> None:
    found = way(router("# c\n@a john@a\nInfo@A box, far@off\nbox Box+y@a\n"), "info+x@a")
    assert [(hop.address, str(hop.where), hop.form, hop.key) for hop in found.hops] == [
        ("info+x@a", f"{VIRTUAL_FILE}:3", "without extension", "info@a"),
        ("box+x@mail.x", f"{VIRTUAL_FILE}:4", "name", "box"),
        ("Box+y+x@a", f"{ACCOUNTS_FILE}:1", "without extension", "box@a"),
        ("far+x@off", "None", "", ""),
    ]
    assert found.hops[0].results == ("box+x@mail.x", "far+x@off")
    assert [(t.file, t.form, t.key) for t in found.hops[0].tried] == [
        (VIRTUAL_FILE, "address", "info+x@a"),
        (REGEXP_FILE, "address", "info+x@a"),
        (ACCOUNTS_FILE, "address", "info+x@a"),
    ]
    assert [(end.kind, end.mailbox) for end in found.recipients] == [
        ("mailbox", "box@a"),
        ("elsewhere", ""),
    ]


def test_a_step_by_a_rule_names_its_line_and_pattern() -> None:
    found = way(router("", regexp="# c\n/^t/ box+t@a\n"), "test@a")
    assert (found.hops[0].where, found.hops[0].key) == (Location(REGEXP_FILE, 2), "/^t/")
    assert [end.mailbox for end in found.recipients] == ["box@a"]


@pytest.mark.parametrize(
    ("address", "access", "codes"),
    [
        pytest.param("box@a", "", (250, 250), id="a mailbox"),
        pytest.param("box+x@a", "", (250, 250), id="a mailbox with an extension"),
        pytest.param("nobody@a", "", (550, 550), id="nobody"),
        pytest.param("nobody@b", "", (554, 554), id="a domain that isn't ours"),
        pytest.param("gone@a", "", (550, 550), id="an alias of nobody"),
        pytest.param("gone@a", "gone@a DUNNO\n", (550, 550), id="and an entry that lets pass"),
        pytest.param("gone@a", "gone@a OK\n", (250, 250), id="and one that ends the questions"),
        pytest.param("gone@a", "gone@a DISCARD\n", (0, 0), id="and one that only Postfix knows"),
        pytest.param("loop@a", "", (250, 451), id="a loop"),
        pytest.param("box@a", "box@a REJECT\n", (554, 554), id="a restriction"),
        pytest.param("box+x@a", "box@a 450 later\n", (450, 450), id="one of the bare address"),
        pytest.param("box@a", "box@a DUNNO\na REJECT\n", (250, 250), id="one that lets pass"),
        pytest.param("box@a", "box@a DISCARD\n", (0, 0), id="one that only Postfix knows"),
        pytest.param("nobody@a", "a REJECT\n", (550, 550), id="nobody, and a restriction"),
    ],
)
def test_what_is_answered(address: str, access: str, codes: tuple[int, int]) -> None:
    found = way(router("loop@a lap@a\nlap@a loop@a\ngone@a no@a\n", access=access), address)
    assert found.answer[:2] == codes
    assert bool(found.answer.why) == (codes != (250, 250))
    assert bool(found.recipients) == (codes[1] in (0, 250) or found.answer.why == LEADS_NOWHERE)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("u+e@s.x.y", "u+e@s.x.y"), ("u+f@s.x.y", "u@s.x.y"), ("v@s.x.y", "s.x.y"),
        ("v@t.x.y", "x.y"), ("w+g@z", "w+g@"), ("w+h@z", "w@"), ("v@z", None), ("v@xx.y", None),
    ],
)  # fmt: skip
def test_a_restriction_is_looked_for_as_access_5_says(address: str, key: str | None) -> None:
    keys = "w@ w+g@ x.y s.x.y u@s.x.y u+e@s.x.y"
    document = Document(RECEIVE_ACCESS, "".join(f"{key} REJECT\n" for key in keys.split()))
    found = restriction(document, address)
    assert (found.key if found else None) == key


@pytest.mark.parametrize(
    ("action", "code"),
    [("REJECT", 554), ("reject no", 554), ("450 4.7.1 x", 450), ("521 5.7.1 no", 521),
     ("521", 250), ("OK", 250), ("dunno", 250), ("HOLD", 0), ("DEFER", 450), ("²", 0)],
)  # fmt: skip
def test_the_code_of_an_action(action: str, code: int) -> None:
    assert code_of(action) == code


def test_an_alias_that_nobody_can_follow_is_left_out() -> None:
    of = router("@a john@a\nloop@a lap@a\nlap@a loop@a\nteam@a loop@a, box@a\n")
    found = follow_served(of, "team@a", lambda asked: {})
    assert [(f.where.line, f.code) for f in found.left_out] == [
        (line, "unreasonable-alias") for line in (4, 2, 3)
    ]
    assert [end.address for end in found.trace.recipients] == ["john@a"]
    assert found.trace.fault is None


def test_an_alias_without_a_row_takes_nothing_by_its_extension_either() -> None:
    """Mail to the bare address is endless, so there is no row; mail with an extension would end."""
    found = follow_served(router("x@a y+q@a\ny+q@a x@a\n"), "x+t@a", lambda asked: {})
    assert [f.where.line for f in found.left_out] == [1]
    assert found.trace.answer.rcpt == 550


def test_a_domain_is_served_whose_only_alias_is_left_out() -> None:
    found = follow_served(router("x@b x+a@b\nx+a@b x@b\n"), "x@b", lambda asked: {})
    assert (len(found.left_out), found.trace.answer.rcpt) == (2, 550)


def test_a_local_alias_behind_one_that_is_left_out_may_be_left_out_too() -> None:
    of = router(f"x@{ORIGIN} y@a\ny@a x@{ORIGIN}\n")
    names = Document(LOCAL_ALIASES, "x: box@a\nz: box@a\n")
    of = of._replace(roster=of.roster._replace(local_aliases=names))
    found = follow_served(of, f"x@{ORIGIN}", lambda asked: {})
    assert [str(f.where) for f in found.left_out] == [
        "postfix-virtual.cf:1", "postfix-virtual.cf:2", "postfix-aliases.cf:1",
    ]  # fmt: skip
    assert found.trace.answer.rcpt == 550
    assert follow_served(of, f"z@{ORIGIN}", lambda asked: {}).trace.answer.rcpt == 250


def test_a_long_chain_is_left_out_at_its_beginning() -> None:
    chain = "".join(f"s{n}@a s{n + 1}@a\n" for n in range(1200))
    found = follow_served(router(chain), "s0@a", lambda asked: {})
    assert found.trace.answer.rcpt == 550
    assert found.left_out[0].where.line == 1


def settings(**options: str) -> Settings:
    return load(Sources({"home": "/srv", **options}, {}, lambda path: b"", lambda path: False))


@pytest.mark.parametrize(
    ("line", "address", "allowed", "words"),
    [
        ("a@a|{S}h", "A@a", True, "cf:1"),
        ("a@a|{S}!h", "a@a", False, "cf:1: it is locked"),
        ("a@a|$6$h", "a@a", True, "cf:1"),
        ("a@a|{S}h|nologin reason=leave", "a@a", False, "nologin: leave"),
        ("a@a|{S}h|nologin=", "a@a", False, "nologin"),
        ("a@a|{S}h", "a+x@a", False, "log in as a@a"),
        ("a@a|{S}h", "al@a", False, "postfix-virtual.cf:1 makes it an alias"),
        ("a@a|{S}h", "b@a", False, "no account"),
        ("a@a|", "a@a", False, "no account"),
    ],
)
def test_whether_it_can_log_in(line: str, address: str, allowed: bool, words: str) -> None:
    of = router("al@a x@y\n", f"{line}\n")
    found = login(of, way(of, address))
    assert found.allowed is allowed
    assert words in found.why


def test_networks_quotas_notes_and_unread_lines_are_told() -> None:
    of = router(
        "# mailroster: comment front desk\ninfo@a a@a\n",
        "# mailroster: until 2027-01-01\na@a|{S}h|allow_nets=10.0.0.0/8\na@a|bad\n",
    )
    roster = of.roster._replace(quotas=Document(QUOTAS, "a@a:5G\n"))
    of = of._replace(roster=roster)
    found = explain(of, settings(), "a@a", lambda asked: {})
    assert found.login.nets == "10.0.0.0/8"
    assert [(f.where.line, f.code) for f in found.findings] == [(3, "malformed-hash")]
    box = found.mailboxes[0]
    assert (box.limit, str(box.limit_where)) == ("5G", "dovecot-quotas.cf:1")
    assert box.place.endswith("/mail-data/a/a")
    notes = explain(of, settings(), "info@a", lambda asked: {}).notes
    assert [(str(w), n.comment or n.until) for w, n in notes] == [
        (f"{VIRTUAL_FILE}:2", "front desk"),
        (f"{ACCOUNTS_FILE}:2", "2027-01-01"),
    ]


@pytest.mark.parametrize(
    ("address", "senders"),
    [
        ("box@a", ("box@a",)), ("box+x@a", ("box@a",)), ("info@a", ("box@a", "john@a")),
        ("info+x@a", ("box@a", "john@a")), ("nobody@a", ()), ("test@a", ("box@a",)),
        ("team@mail.x", ("box@a",)),
    ],
)  # fmt: skip
def test_who_may_send_as_it(address: str, senders: tuple[str, ...]) -> None:
    of = router("info@a john@a, box@a\n@a john@a\nteam box@a\n", regexp="/^t/ box+t@a\n")
    if address.startswith("team"):
        of = of._replace(captured=lambda address: None)
    with_protection = settings(spoof_protection="1")
    assert explain(of, with_protection, address, lambda asked: {}).senders == senders
    assert explain(of, settings(), address, lambda asked: {}).senders is None


def test_the_postmaster_that_a_setting_names_is_told_as_such() -> None:
    found = explain(
        router(), settings(postmaster_address="box@a"), f"root@{ORIGIN}", lambda asked: {}
    )
    assert str(found.trace.hops[0].where) == "postmaster_address"
    assert [end.mailbox for end in found.trace.recipients] == ["box@a"]
