"""A home as a use case has it: values in, values out, and no word on the standard streams."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mailroster.app import configure, history, undo
from mailroster.app.home import EditResult, Home
from mailroster.app.new_findings import new_findings
from mailroster.app.pattern_matcher import PrefetchingMatcher
from mailroster.app.preview import predict_effects
from mailroster.base.address import Address
from mailroster.base.findings import Refused, TryAgain
from mailroster.edits import accounts
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster, document_of
from mailroster.servers import patterns
from mailroster.servers.patterns import PatternMatcher

H = "{SHA512-CRYPT}$6$abcdefghijklmnop$" + "x" * 86


class Mail:
    """A home in a new folder, and what it has warned of."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config"
        self.config.mkdir()
        self.warnings: list[str] = []
        options = {"home": str(folder)}
        settings = configure.with_folders(options, {}, self.warnings.append)
        self.home = Home(settings, self.warnings.append, ["email", "add", "a@x.test"])

    def add(self, address: str, **options: Any) -> EditResult:
        account = Account(Address(address), H)
        return self.home.edit(lambda roster: accounts.add_account(roster, account), **options)


@pytest.fixture
def mail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterable[Mail]:
    mail = Mail(tmp_path)
    yield mail
    assert capsys.readouterr() == ("", "")


def test_an_edit_gives_what_it_has_changed(mail: Mail) -> None:
    result = mail.add("a@x.test")
    assert list(result.after.accounts.keys()) == ["a@x.test"]
    assert not list(result.before.accounts.keys())
    assert [edit.file for edit in result.plan.edits] == ["postfix-accounts.cf"]
    assert (mail.config / "postfix-accounts.cf").read_text() == f"a@x.test|{H}\n"
    assert mail.home.roster().accounts.get("a@x.test") == Account(Address("a@x.test"), H)


def test_a_dry_run_gives_the_same_and_changes_nothing(mail: Mail) -> None:
    result = mail.add("a@x.test", dry_run=True)
    assert not list(mail.config.iterdir())
    effects = predict_effects(mail.home, result.before, result.after)
    assert "a@x.test" in [effect.subject for effect in effects]
    assert mail.add("a@x.test").plan.keys == result.plan.keys


def test_what_is_written_is_reported_even_if_it_can_not_be_put_in_force(mail: Mail) -> None:
    Path(mail.home.layout.tables).mkdir(parents=True)  # and no database for Dovecot
    seen: list[EditResult] = []
    with pytest.raises(TryAgain, match="the files are changed, but the change is not live yet"):
        mail.add("a@x.test", written=seen.append)
    assert [list(result.after.accounts.keys()) for result in seen] == [["a@x.test"]]


def test_new_findings_are_values(mail: Mail) -> None:
    mail.add("a@example.com")
    mail.add("b@example.com")
    result = mail.add("c@exampel.com")
    new = new_findings(result.plan, result.before, result.after, "host.test")
    assert [finding.code for finding in new.findings] == ["misspelt-domain"]
    assert (new.more, new.unchecked) == (0, "")


def test_a_folder_that_was_not_meant_is_warned_of_once(mail: Mail) -> None:
    (mail.config / "other.txt").write_text("")
    for home in (mail.home, mail.home.derive(words=["email", "list"])):
        home.roster()
    assert len(mail.warnings) == 1
    assert "has none of mailroster's files" in mail.warnings[0]


def test_the_history_names_the_words_of_the_command_and_its_changes_can_be_undone(
    mail: Mail,
) -> None:
    mail.add("a@x.test")
    (change,) = history.changes(mail.home)
    assert (change.command, change.files[0].added) == ("setup email add a@x.test", 1)
    found = undo.find(mail.home, None)
    options: dict[str, Any] = {"dry_run": False, "wait": True, "removals": False}
    undo.perform(
        mail.home, found, undo.edit_of(mail.home, found), written=lambda result: None, **options
    )
    assert not list(mail.home.roster().accounts.keys())
    assert next(history.changes(mail.home)).command == f"setup undo {change.id}"
    with pytest.raises(Refused, match="there is no change 77"):
        undo.find(mail.home, 77)


# -- patterns


ALIASES = """\
one@x.test two@x.test
two@x.test three@x.test,four@x.test
three@x.test five@x.test
@old.test @x.test
loop@x.test loop2@x.test
loop2@x.test loop@x.test
"""
PATTERNS = "/^five@x\\.test$/ six@x.test\n/^odd.*@x\\.test$/ $0 seven@x.test\n"


@pytest.fixture
def roster() -> Roster:
    return Roster()._replace(
        virtual=document_of("virtual", ALIASES.encode(), ()),
        regexp=document_of("regexp", PATTERNS.encode(), ()),
    )


@pytest.mark.parametrize(
    ("address", "processes"),
    [("one@x.test", 2), ("one@old.test", 2), ("loop@x.test", 1), ("nobody@x.test", 1)],
)
def test_the_route_of_an_address_takes_a_process_for_each_pattern_on_it(
    roster: Roster, monkeypatch: pytest.MonkeyPatch, address: str, processes: int
) -> None:
    asked: list[list[str]] = []

    def ask(text: str, addresses: Iterable[str]) -> patterns.Answers:
        asked.append(list(addresses))
        return patterns.Answers({"five@x.test": "six@x.test"}, [])

    monkeypatch.setattr(patterns, "ask_regexp", ask)
    matcher = PrefetchingMatcher(roster, "host.test")
    waiting, seen = [address], set()
    while waiting:
        each = waiting.pop()
        seen.add(each)
        result = matcher(each)
        match = roster.virtual.get(each)
        local, _, domain = each.partition("@")
        more = list(match.recipients) if match else [f"{local}@x.test"] * (domain == "old.test")
        waiting += {*more, *([result] if result else [])} - seen
    assert len(asked) == processes


def test_a_pattern_matcher_answers_as_one_by_one(roster: Roster) -> None:
    matcher, plain = PrefetchingMatcher(roster, "host.test"), PatternMatcher(roster.regexp)
    for address in ("one@x.test", "five@x.test", "odd1@x.test", '"a b"@x.test', "FIVE@x.test"):
        assert matcher(address) == plain(address)
    assert matcher("five@x.test") == "six@x.test"
