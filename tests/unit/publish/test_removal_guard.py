"""Every rule of what goes live at once and what is held back."""

from itertools import product
from typing import Any, NamedTuple

import pytest

from mailroster.base.findings import WARNING, Finding
from mailroster.publish.removal_guard import (
    Decision,
    ScannedFolder,
    hold_back,
    keep_expandable,
    lost_by_edit,
    new_faults,
)
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.routing import memory
from mailroster.routing.router import Router

H = "{S}h"


def accounts(*names: str) -> str:
    return "".join(f"{name}@x|{H}\n" for name in names)


def roster(**texts: str) -> Roster:
    documents: dict[str, Any] = {
        field: Document(empty.format, texts.get(field, "")) for field, empty in Roster().documents()
    }
    return Roster(**documents)


class Case(NamedTuple):
    """One file as it is live and as it is in the folder, and the next live one."""

    field: str
    live: str
    folder: str
    next: str
    codes: str = ""  # of the findings, with blanks between them
    settled: bool = False
    missing: bool = False
    unreadable: bool = False
    intents: str = ""  # keys, with blanks between them
    accept: bool = False
    waits: bool = False


AB = accounts("a", "b")
ABC = accounts("a", "b", "c")
MANY = accounts(*"abcdefghijkl")
RULES = "/^a/ a@x\n/^b/ b@x\n"

CASES = {
    "nothing changed": Case("accounts", AB, AB, AB),
    "an addition is live at once": Case("accounts", AB, ABC, ABC),
    "an addition in front too": Case("accounts", AB, accounts("z", "a", "b"), "z@x|{S}h\n" + AB),
    "a change is live at once": Case(
        "accounts", AB, "a@x|{S}n\nb@x|{S}h\n", "a@x|{S}n\nb@x|{S}h\n"
    ),
    "another password for each account is live at once": Case(
        "accounts", MANY, MANY.replace(H, "{S}n"), MANY.replace(H, "{S}n")
    ),
    "a removal beside an unfinished last line that is as it was": Case(
        "accounts",
        ABC,
        AB.rstrip("\n"),
        ABC,
        "held-back",
        waits=True,
    ),
    "a removal waits": Case("accounts", ABC, AB, ABC, "held-back", waits=True),
    "a removal that has settled is live": Case("accounts", ABC, AB, AB, settled=True),
    "a removal that a command intended is live": Case("accounts", ABC, AB, AB, intents="c@x"),
    "another removal next to it waits": Case(
        "accounts", ABC, accounts("a"), accounts("a", "b"), "held-back", intents="c@x", waits=True
    ),
    "an addition is live while a removal waits": Case(
        "accounts", AB, accounts("a", "z"), accounts("a", "z", "b"), "held-back", waits=True
    ),
    "a line that can't be read any more stays as it was": Case(
        "accounts", AB, "a@x|{S}h\nb@x|bad\n", "a@x|{S}h\nb@x|bad\nb@x|{S}h\n", "held-back",
        waits=True,
    ),
    "and does so for as long as the file has errors": Case(
        "accounts", AB, "a@x|{S}h\nb@x|bad\n", "a@x|{S}h\nb@x|bad\nb@x|{S}h\n", "held-back",
        settled=True,
    ),
    "an error in another line holds back a removal": Case(
        "accounts", AB, "bad\nb@x|{S}h\n", "bad\nb@x|{S}h\na@x|{S}h\n", "held-back", settled=True
    ),
    "a warning holds nothing": Case(
        "accounts", AB, "b@x|{S}h\nb@x|{S}i\n", "b@x|{S}h\nb@x|{S}i\n", settled=True
    ),
    "a line without its end is not taken yet": Case(
        "accounts", AB, AB + "c@x|{S}", AB, "held-back", waits=True
    ),
    "a line that lost its end stays as it was": Case(
        "accounts", AB, "a@x|{S}h\nb@x|{S}", AB, "held-back", waits=True
    ),
    "half of another's name is not taken": Case(
        "accounts", "a@x|{S}h\nb@x.com|{S}h\n", "a@x|{S}h\nb@x", "a@x|{S}h\nb@x.com|{S}h\n",
        "held-back", waits=True,
    ),
    "a line without its end counts when it has settled": Case(
        "accounts", AB, AB + "c@x|{S}h", AB + "c@x|{S}h", settled=True
    ),
    "a line without its end counts when a command wrote it": Case(
        "accounts", AB, AB + "c@x|{S}h", AB + "c@x|{S}h", intents="c@x"
    ),
    "an unchanged last line without its end is fine": Case(
        "accounts", "a@x|{S}h\nb@x|{S}h", "c@x|{S}h\na@x|{S}h\nb@x|{S}h",
        "c@x|{S}h\na@x|{S}h\nb@x|{S}h",
    ),
    "the accounts file is lost": Case(
        "accounts", AB, "", AB, "removals-held held-back", settled=True, missing=True
    ),
    "the accounts file is removed on purpose": Case(
        "accounts", AB, "", "", settled=True, missing=True, accept=True
    ),
    "the accounts file can't be read": Case(
        "accounts", AB, "", AB, "removals-held held-back", settled=True, unreadable=True
    ),
    "the accounts file is empty": Case(
        "accounts", AB, "", AB, "removals-held held-back held-back", settled=True
    ),
    "the accounts file is empty on purpose": Case("accounts", AB, "", "", accept=True),
    "the last account is deleted by a command": Case(
        "accounts", accounts("a"), "", "", intents="a@x"
    ),
    "all but a comment is lost": Case(
        "accounts", AB, "# accounts\n", "# accounts\n" + AB, "removals-held held-back held-back",
        settled=True,
    ),
    "all are lost and others are new": Case(
        "accounts", AB, accounts("y", "z"), accounts("y", "z"), settled=True
    ),
    "half of many are lost": Case(
        "accounts", MANY, accounts(*"abcdef"), accounts(*"abcdef"), settled=True
    ),
    "more than half of many are lost": Case(
        "accounts", MANY, accounts(*"abcde"), accounts(*"abcdefghijkl"),
        "removals-held" + " held-back" * 7, settled=True,
    ),
    "more than half of many are deleted by a command": Case(
        "accounts", MANY, accounts(*"abcde"), accounts(*"abcde"),
        intents=" ".join(f"{name}@x" for name in "fghijkl"),
    ),
    "more than half of a few are lost": Case(
        "accounts", ABC, accounts("a"), accounts("a"), settled=True
    ),
    "no accounts are served yet, and the file has none": Case(
        "accounts", "", "# accounts\n", "# accounts\n", settled=True
    ),
    "another file is lost": Case(
        "virtual", "a@x b@x\n", "", "a@x b@x\n", "held-back", missing=True, waits=True
    ),
    "another file is lost and has settled": Case(
        "virtual", "a@x b@x\n", "", "", missing=True, settled=True
    ),
    "another file can't be read": Case(
        "virtual", "a@x b@x\n", "", "a@x b@x\n", "held-back", unreadable=True, settled=True
    ),
    "another file is empty and that has settled": Case(
        "virtual", "a@x b@x\n", "", "", settled=True
    ),
    "an alias waits with its continuation lines": Case(
        "virtual", "a@x b@x,\n c@x\n", "z@x a@x\n", "z@x a@x\na@x b@x,\n c@x\n", "held-back",
        waits=True,
    ),
    "a recipient that goes is a change": Case("virtual", "a@x b@x,c@x\n", "a@x b@x\n", "a@x b@x\n"),
    "a quota that goes waits": Case(
        "quotas", "a@x:1G\n", "# none\n", "# none\na@x:1G\n", "held-back", waits=True
    ),
    "a carriage return stays single": Case(
        "quotas", "a@x:1G\r\nb@x:1G\r\n", "b@x:1G\r\n", "b@x:1G\r\na@x:1G\r\n", "held-back",
        waits=True,
    ),
    "a rule more is live at once": Case(
        "regexp", RULES, "/^z/ z@x\n" + RULES, "/^z/ z@x\n" + RULES
    ),
    "a rule that a command removed is live": Case(
        "regexp", RULES, "/^b/ b@x\n", "/^b/ b@x\n", intents="the-file"
    ),
    "the intent of a command waits in a file with an error": Case(
        "regexp", RULES, "if /b/\n", RULES, "held-back", intents="the-file", waits=True
    ),
    "a rule less waits": Case("regexp", RULES, "/^b/ b@x\n", RULES, "held-back", waits=True),
    "a rule that changes waits": Case(
        "regexp", RULES, "/^a/ z@x\n/^b/ b@x\n", RULES, "held-back", waits=True
    ),
    "rules in another order wait": Case(
        "regexp", RULES, "/^b/ b@x\n/^a/ a@x\n", RULES, "held-back", waits=True
    ),
    "a rule without its end waits": Case(
        "regexp", RULES, RULES + "/^c/ c@x", RULES, "held-back", waits=True
    ),
    "rules that have settled are live": Case(
        "regexp", RULES, "/^b/ b@x\n", "/^b/ b@x\n", settled=True
    ),
    "rules with an error wait": Case(
        "regexp", RULES, RULES + "if /a/\n", RULES, "held-back", settled=True
    ),
    "the rules are lost": Case("regexp", RULES, "", RULES, "held-back", missing=True, waits=True),
}  # fmt: skip


def decide(case: Case, **others: str) -> Decision:
    """The decision; the other files are live as `others`, and empty in the folder."""
    folder = ScannedFolder(
        roster(**{case.field: case.folder}),
        frozenset({case.field} if case.missing else ()),
        {case.field: "Input/output error"} if case.unreadable else {},
        lambda field: case.settled,
    )
    served = roster(**{case.field: case.live}, **others)
    intents = {case.field: frozenset(case.intents.split())}
    return hold_back(served, folder, intents, accept=case.accept)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_served_next(case: Case) -> None:
    result = decide(case)
    assert getattr(result.roster, case.field).text == case.next
    assert [finding.code for finding in result.findings] == case.codes.split()
    assert result.waits is case.waits
    file = getattr(Roster(), case.field).format.file
    assert {finding.where.file for finding in result.findings} <= {file}


WAITING = {
    name: case for name, case in CASES.items() if not (case.settled or case.accept or case.intents)
}


@pytest.mark.parametrize("case", WAITING.values(), ids=WAITING.keys())
def test_nobody_who_is_served_goes_before_it_has_settled(case: Case) -> None:
    before = getattr(roster(**{case.field: case.live}), case.field)
    after = getattr(decide(case).roster, case.field)
    assert {key for key, _ in before.items()} <= {key for key, _ in after.items()}


#: For each of three files a removal that time releases, and one that time does not release, since
#: the file has errors. The regexp file counts as a whole.
TWO_ALIASES = "l@x a@x\nm@x a@x\n"
STATES = {
    "quotas": ("a@x:1G\nb@x:2G\n", "a@x:1G\n", "a@x:1G\nbroken\n"),
    "virtual": (TWO_ALIASES, "l@x a@x\n", "l@x a@x\nbroken\n"),
    "regexp": (RULES, "/^a/ a@x\n", "/^a/ a@x\nbroken\n"),
}


@pytest.mark.parametrize("waiting", list(product((True, False), repeat=len(STATES))))
def test_of_several_files_that_are_held_back_each_that_waits_counts(
    waiting: tuple[bool, ...],
) -> None:
    waits = dict(zip(STATES, waiting, strict=True))
    served = {field: before for field, (before, _, _) in STATES.items()}
    folder = {
        field: short if waits[field] else faulty for field, (_, short, faulty) in STATES.items()
    }
    state = ScannedFolder(
        roster(**folder), frozenset(), {}, lambda field: not waits.get(field, False)
    )
    result = hold_back(roster(**served), state, {})
    files = [getattr(Roster(), field).format.file for field in STATES]
    assert [finding.where.file for finding in result.findings] == files
    assert result.waits is any(waiting)
    for field in STATES:
        kept = getattr(result.roster, field)
        removed = set(getattr(roster(**served), field).index) - set(kept.index)
        assert removed == set()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_held_back_once_is_held_back_again_and_comes_to_rest(case: Case) -> None:
    first = decide(case)
    again = hold_back(
        first.roster,
        ScannedFolder(
            roster(**{case.field: case.folder}),
            frozenset({case.field} if case.missing else ()),
            {case.field: "Input/output error"} if case.unreadable else {},
            lambda field: case.settled,
        ),
        {},
        accept=case.accept,
    )
    assert getattr(again.roster, case.field).text == case.next


def test_while_the_accounts_seem_to_vanish_nothing_else_goes() -> None:
    case = CASES["the accounts file is empty"]
    aliases, quotas = "l@x a@x\n", "a@x:1G\n"
    result = decide(case, virtual=aliases, quotas=quotas)
    assert result.roster.virtual.text == aliases
    assert result.roster.quotas.text == quotas
    assert not result.waits
    meant = decide(case._replace(accept=True), virtual=aliases, quotas=quotas)
    assert meant.roster.virtual.text == ""
    assert meant.findings == ()


def test_a_finding_says_how_to_let_the_removals_pass() -> None:
    alarm = decide(CASES["the accounts file is lost"]).findings[0]
    assert str(alarm).startswith("postfix-accounts.cf: error: the file is missing")
    assert "setup apply --removals" in alarm.hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a removal waits", "the file has just been changed"),
        ("an error in another line holds back a removal", "the file has errors"),
        ("the accounts file is empty", "accounts are lost"),
        ("another file can't be read", "Input/output error"),
        ("another file is lost", "the file is missing"),
        ("a rule less waits", "the file has just been changed"),
    ],
)
def test_a_finding_says_why_something_is_held_back(name: str, reason: str) -> None:
    finding = decide(CASES[name]).findings[-1]
    assert finding.message.endswith(f": {reason}")
    assert finding.hint


def test_the_faults_of_new_lines_are_told_with_their_numbers() -> None:
    old, new = roster(accounts="bad\n" + AB), roster(accounts="bad\n" + AB + "\nworse\n#\nc@x|\n")
    faults = new_faults(old.accounts, new.accounts)
    assert [(fault.where.line, fault.code) for fault in faults] == [
        (5, "missing-password"),
        (7, "missing-password"),
    ]
    assert new_faults(old.accounts, old.accounts) == []


def test_a_note_that_cannot_be_read_is_told_with_its_number() -> None:
    bad = "# mailroster: until soon\n"
    old, new = roster(virtual="a@x b@x\n"), roster(virtual="a@x b@x\n" + bad + "c@x b@x\n")
    (fault,) = new_faults(old.virtual, new.virtual)
    assert (fault.where.line, fault.code) == (2, "malformed-until")
    assert new_faults(new.virtual, new.virtual) == []


@pytest.mark.parametrize(
    ("before", "after", "intents", "lost"),
    [
        pytest.param("", "c", "", "ab", id="a file without entries gets a new one"),
        pytest.param("", "ac", "", "b", id="that brings back some"),
        pytest.param("", "abc", "", "", id="that brings back all"),
        pytest.param("", "", "", "", id="that stays without entries"),
        pytest.param("c", "cd", "", "", id="a file with an entry is one that somebody wrote"),
        pytest.param("", "c", "a", "b", id="what a command took away is no accident"),
        pytest.param("", "c", "ab", "", id="all of it"),
    ],
)
def test_accounts_that_an_edit_would_take_away_unseen(
    before: str, after: str, intents: str, lost: str
) -> None:
    def roster(names: str) -> Roster:
        text = "".join(f"{name}@x.com|{{PLAIN}}x\n" for name in names)
        return Roster(accounts=Document(ACCOUNTS, f"# head\n{text}"))

    def keys(names: str) -> frozenset[str]:
        return frozenset(f"{name}@x.com" for name in names)

    assert lost_by_edit(roster("ab"), roster(before), roster(after), keys(intents)) == keys(lost)


def test_an_account_that_comes_back_with_another_password_has_not_vanished() -> None:
    served, empty = roster(accounts=AB), roster()
    after = roster(accounts="a@x|{S}another\n")
    assert lost_by_edit(served, empty, after, frozenset()) == {"b@x"}


# -- aliases that Postfix could not expand


def expandable(before: str, after: str, field: str = "virtual") -> tuple[str, list[Finding]]:
    """The text of the aliases that are served next, and the findings."""
    routers = [
        Router(roster(**{field: text}), "mail.x.com", lambda _: None) for text in (before, after)
    ]
    kept, findings = keep_expandable(*routers)
    return getattr(kept, field).text, findings


LOOP = [
    pytest.param("virtual", "{} {}\n", id="aliases"),
    pytest.param("local_aliases", "{}: {}\n", id="local aliases"),
]


@pytest.mark.parametrize(("field", "line"), LOOP)
def test_a_change_that_makes_a_loop_is_not_served_and_the_rest_is(field: str, line: str) -> None:
    first, second, third = "first", "second", "third"
    stays = line.format(first, second)
    before = stays + line.format(second, "a@y.org")
    loop = stays + line.format(second, first) + line.format(third, "b@y.org")
    text, findings = expandable(before, loop, field)
    assert sorted(text.splitlines()) == sorted(
        (before + line.format(third, "b@y.org")).splitlines()
    )
    file = getattr(Roster(), field).format.file
    assert [(f.where.file, f.where.line, f.code) for f in findings] == [
        (file, 2, "unreasonable-alias")
    ]


@pytest.mark.parametrize(("field", "line"), LOOP)
def test_a_new_loop_is_served_as_it_stands(field: str, line: str) -> None:
    """It has no row, and so takes nothing away."""
    loop = line.format("one", "two") + line.format("two", "one")
    text, findings = expandable("", loop, field)
    assert text == loop
    assert [f.where.line for f in findings] == [1, 2]


def test_loops_of_both_kinds_of_aliases_are_reported() -> None:
    texts = ("one a@y.org\n", "two: a@y.org\n"), ("one one@mail.x.com,one+x\n", "two: two+x\n")
    before, after = (
        Router(roster(virtual=one, local_aliases=two), "mail.x.com", lambda _: None)
        for one, two in texts
    )
    kept, findings = keep_expandable(before, after)
    assert {f.where.file for f in findings} == {"postfix-virtual.cf", "postfix-aliases.cf"}
    assert (kept.virtual.text, kept.local_aliases.text) == texts[0]


def test_where_all_aliases_take_too_many_lookups_the_rest_is_served_and_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_ALL_MAX", 0)
    monkeypatch.setattr(memory, "_EACH_MAX", 0)
    text = "".join(f"l{n}@x {','.join(f'r{n}-{m}@y.org' for m in range(9))}\n" for n in range(5))
    kept, findings = expandable("l0@x a@y.org\n", text)
    assert kept == text
    assert [(f.code, f.severity) for f in findings] == [("not-followed", WARNING)]


def test_what_can_be_expanded_is_served_as_it_is() -> None:
    after = "l@x b@y.org\nm@x l@x\n"
    assert expandable("l@x a@y.org\n", after) == (after, [])
