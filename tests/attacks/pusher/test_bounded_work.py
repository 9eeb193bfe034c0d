"""Who can push to the folder can't make `check` and `explain` run without end.

The folders are smaller than an attacker's would be, and their work is counted where it can be: what
grows with the square of their size does not pass.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.analysis.checks.suppressions import AllowComment, _Allowances
from mailroster.base.findings import ERROR, Finding, Location, ParseError
from mailroster.cli.completion import candidates
from mailroster.publish.removal_guard import keep_expandable
from mailroster.publish.tables.postfix import ALIASES, SENDERS
from mailroster.publish.tables.table import full
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import words
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import NOT_FOLLOWED, RECURSION_LIMIT, WALK_MAX, NotFollowed, Router

ACCOUNT = "a@x.com|{SHA512-CRYPT}$6$abc$def\n"
#: For a loaded machine; without the limits of the work it would be hours.
PATIENCE_S = 240


def setup(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mailroster", "--config", str(folder)]
    argv += ["--state", str(folder / "none"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)


def write(folder: Path, **texts: str) -> Path:
    for name, text in {"accounts": ACCOUNT, **texts}.items():
        path = folder / f"postfix-{name}.cf"
        path.write_text(text)
        os.chmod(path, 0o600)
    return folder


def router(virtual: str, lookups_max: int | None = None) -> Router:
    roster = Roster(virtual=Document(VIRTUAL, virtual))
    return Router(roster, "mail.x.com", lambda _: None).remembering(lookups_max)


def follow_all(asked: Router) -> list[ParseError]:
    """The faults of all aliases, in the order of the file."""
    faults = []
    for key in asked.roster.virtual.counted():
        try:
            asked.follow(key)
        except ParseError as fault:
            faults.append(fault)
    return faults


def lookups(asked: Router) -> int:
    assert asked.memory is not None
    return asked.memory.lookups


@pytest.mark.parametrize("size", [2000, 20_000])
def test_a_chain_of_aliases_is_followed_once(size: int) -> None:
    asked = router("".join(f"c{n}@x.com c{n + 1}@x.com\n" for n in range(size)))
    assert len(follow_all(asked)) == size - RECURSION_LIMIT + 1
    assert lookups(asked) < 4 * size


@pytest.mark.parametrize("size", [1500, 20_000])
def test_a_circle_of_aliases_is_followed_once(size: int) -> None:
    asked = router("".join(f"c{n}@x.com c{(n + 1) % size}@x.com\n" for n in range(size)))
    assert len(follow_all(asked)) == size
    assert lookups(asked) < 4 * size


def test_aliases_that_lead_to_one_another_are_followed_up_to_a_limit() -> None:
    each = " ".join(f"m{n}@x.com" for n in range(800))
    asked = router("".join(f"k{n}@x.com {each}\n" for n in range(2000)), 100_000)
    faults = follow_all(asked)
    assert faults[-1].code == NOT_FOLLOWED
    assert lookups(asked) < 110_000


@pytest.mark.parametrize("hops", [1, 500, 998, 999, 1000, 1001, 1500])
@pytest.mark.parametrize(
    "end",
    ["a@x.com\n", "z@x.com\n", "t1@x.com, t2@x.com\n", "t1@x.com\nt1@x.com t2@x.com, t3@x.com\n",
     "+x@x.com\n", "e@x.com\ne@x.com e@x.com, a@x.com\n", "n\n", "c0@x.com\n", "@y.com\n",
     "t1@x.com, t2@x.com\nt1@x.com u1@x.com\nu1@x.com u2@x.com, u3@x.com\n"],
)  # fmt: skip
def test_a_chain_that_is_remembered_ends_as_postfix_has_it(hops: int, end: str) -> None:
    """What is worked out once for all links is what each of them gives by itself."""
    chain = "".join(f"c{n}@x.com C{n + 1}@x.com\n" for n in range(hops - 1))
    asked = router(f"{chain}c{hops - 1}@x.com {end}")
    plain = asked._replace(memory=None)
    for key in ("c0@x.com", f"c{hops // 2}@x.com", f"c{hops - 1}@x.com"):
        answers = []
        for one in (asked, plain):
            try:
                answers.append((one.expand(key), ""))
            except ParseError as fault:
                answers.append(([], fault.message))
        assert answers[0] == answers[1], key


def test_an_alias_that_takes_too_many_lookups_is_a_fault_of_its_own() -> None:
    """The others are judged and served as ever."""
    chain = "".join(f"c{n}@x.com c{n + 1}@x.com\n" for n in range(900))
    each = ", ".join(f"c0+{n}@x.com" for n in range(900))
    asked = router(f"{chain}evil@x.com {each}\nsane@x.com a@x.com, b@y.com\n")
    with pytest.raises(ParseError) as raised:
        asked.follow("evil@x.com")
    assert raised.value.code == "unreasonable-alias"
    assert "'evil@x.com'" in raised.value.message
    assert not isinstance(raised.value, NotFollowed)
    assert lookups(asked) <= 2 * WALK_MAX
    assert asked.follow("sane@x.com") == ["a@x.com", "b@y.com"]
    with pytest.raises(ParseError, match="lookups"):
        asked._replace(memory=None).follow("evil@x.com")


def test_a_walk_stops_once_there_are_too_many_recipients() -> None:
    """A chain whose links have a thousand recipients each is not a million results."""
    more = " ".join(f"m{n}@y.com" for n in range(600))
    asked = router("".join(f"c{n}@x.com c{n + 1}@x.com {more}\n" for n in range(900)))
    with pytest.raises(ParseError, match="more than 1000 recipients"):
        asked.follow("c0@x.com")
    assert lookups(asked) < 500


def test_an_alias_with_many_recipients_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ", ".join(f"m{n}@y.com" for n in range(20_000))
    links = "".join(f"k{n}@x.com a@x.com, all@x.com\n" for n in range(300))
    asked = router(f"all@x.com {wide}\n{links}")
    asked.roster.virtual.counted()
    read: list[str] = []
    reader = asked.roster.virtual._reader
    parse = reader._parse

    def counted(line: str) -> Alias:
        read.append(line)
        return parse(line)

    monkeypatch.setattr(reader, "_parse", counted)
    assert len(follow_all(asked)) == 301
    assert sum(len(line) for line in read) < 2 * len(links) + len(wide)


def test_what_is_not_followed_is_served_and_may_send_as_its_own_recipients() -> None:
    """All aliases together take too many lookups: no sane alias loses its row for that."""
    each = " ".join(f"m{n}@x.com" for n in range(800))
    evil = "".join(f"k{n}@x.com {each}\n" for n in range(2000))
    roster = Roster(
        accounts=Document(ACCOUNTS, ACCOUNT),
        virtual=Document(VIRTUAL, f"{evil}team@x.com a@x.com, b@y.com\nboss@x.com a@x.com\n"),
    )
    asked = Router(roster, "mail.x.com", lambda _: None).remembering(100_000)
    rows = full(ALIASES, asked)
    assert rows["team@x.com"] == "a@x.com, b@y.com"
    assert rows["boss@x.com"] == "a@x.com"
    assert lookups(asked) < 130_000
    with pytest.raises(NotFollowed):
        asked.follow("team@x.com")
    assert SENDERS.row(asked, "team@x.com") == "a@x.com"
    assert SENDERS.row(asked, "boss@x.com") == "a@x.com"


def test_what_a_push_makes_endless_stays_as_it_is_served_and_has_a_finding() -> None:
    chain = "".join(f"c{n}@x.com c{n + 1}@x.com\n" for n in range(900))
    each = ", ".join(f"c0+{n}@x.com" for n in range(900))
    before = router(f"{chain}list@x.com a@x.com\n")._replace(memory=None)
    after = router(f"{chain}list@x.com {each}\nnew@x.com a@x.com\n")._replace(memory=None)
    kept, findings = keep_expandable(before, after)
    assert [(found.code, "'list@x.com'" in found.message) for found in findings] == [
        ("unreasonable-alias", True)
    ]
    alias = kept.virtual.get("list@x.com")
    assert alias is not None
    assert alias.recipients == ("a@x.com",)
    assert "new@x.com" in kept.virtual


@pytest.mark.parametrize("size", [2000, 20_000])
def test_notes_one_below_the_other_are_read_once(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def counted(line: str) -> tuple[str, str] | None:
        nonlocal read
        read += 1
        return words(line)

    monkeypatch.setattr(notes, "words", counted)
    document = Document(VIRTUAL, "# mailroster: comment x\n" * size + "b@x.com a@x.com\n")
    assert list(notes.noted(document)) == [size]
    assert read < 10 * size


def test_a_finding_is_compared_with_no_more_than_one_comment_that_allows() -> None:
    size = 20_000
    allows = [
        AllowComment(Location("f", 2 * n + 1), ("c",), range(2 * n + 2, 2 * n + 3))
        for n in range(size)
    ]
    allowances = _Allowances(allows)
    findings = [Finding(Location("f", line), ERROR, "c", "", "") for line in range(2 * size + 5)]
    assert sum(len(allowances.covers_of(finding)) for finding in findings) == size


def loops(folder: Path, count: int) -> Path:
    text = "l@x.com m@x.com\nm@x.com l@x.com\n"
    text += "".join(f"k{n}@x.com l@x.com\n" for n in range(count - 2))
    return write(folder, virtual=text)


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_check_shows_a_thousand_findings_of_a_kind_and_counts_all(
    tmp_path: Path, form: str
) -> None:
    done = setup(loops(tmp_path, 5000), "check", "--format", form)
    assert done.returncode == 1
    assert done.stdout.count("4,000 more findings of this kind are not shown") == 1
    assert done.stdout.count("leads to a loop") == 1000
    if form == "text":
        assert done.stderr == "setup: 5000 errors; 2 notes (setup check --info)\n"
        assert "4,000 more" in done.stdout.splitlines()[-1]
    if form == "json":
        assert {found["code"] for found in json.loads(done.stdout)} == {"unreasonable-alias"}


def test_what_is_not_shown_counts_for_the_exit_status(tmp_path: Path) -> None:
    folder = loops(tmp_path, 5000)
    assert setup(folder, "check", "--ignore", "unreasonable-alias").returncode == 0
    assert setup(folder, "check", "--rule", "unreasonable-alias").returncode == 1


def test_another_code_of_the_same_file_is_still_shown(tmp_path: Path) -> None:
    folder = loops(tmp_path, 3000)
    with (folder / "postfix-virtual.cf").open("a") as file:
        file.write("lost@x.com nowhere@x.com\n")
    assert "'lost@x.com' leads to" in setup(folder, "check").stdout


def test_diff_shows_a_thousand_findings_of_a_kind(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    there = loops(tmp_path / "there", 3000)
    done = setup(write(tmp_path / "here"), "diff", str(there))
    assert done.returncode == 1
    assert done.stdout.count("leads to a loop") == 1000
    assert "2,000 more findings" in done.stdout


def test_completion_proposes_a_thousand_names_that_begin_as_all_do() -> None:
    text = "".join(f"name{n:05}@x.com a@x.com\n" for n in range(20_000))
    roster = Roster(virtual=Document(VIRTUAL, text))
    proposed = candidates("setup alias del na", lambda _: roster)
    assert len(proposed) <= 1002
    assert "name00000@x.com" in proposed
    assert "name19999@x.com" in proposed  # so that they begin alike as all of them do


def test_check_says_what_it_left_out_of_aliases(tmp_path: Path) -> None:
    each = " ".join(f"m{n}@y.com" for n in range(900))
    text = "".join(f"k{n}@x.com {each}\n" for n in range(1500))
    done = setup(write(tmp_path, virtual=text), "check", "--rule", "not-followed")
    assert done.stdout.count("[not-followed]") == 1, done.stderr


def test_patterns_that_take_too_long_are_found_and_left_out(tmp_path: Path) -> None:
    rules = "".join(f"/^([a-z]+\\.?)+{n}@y\\.com$/ a@x.com\n" for n in range(200))
    people = "".join(f"{'a' * 30}{n}@x.com|{{SHA512-CRYPT}}$6$abc$def\n" for n in range(30))
    folder = write(tmp_path, regexp=rules, accounts=ACCOUNT + people)
    done = setup(folder, "check")
    assert done.stdout.count("[regexp-backtracking]") == 200
    done = setup(folder, "explain", f"{'a' * 40}!@y.com")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr


def test_an_alias_that_postfix_refuses_is_not_judged_further(tmp_path: Path) -> None:
    text = "all@x.com " + ", ".join(f"m{n % 50_000}@y.com" for n in range(100_000)) + "\n"
    done = setup(write(tmp_path, virtual=text), "check", "--info")
    assert "[duplicate-recipient]" not in done.stdout
    assert "[unreasonable-alias]" in done.stdout
