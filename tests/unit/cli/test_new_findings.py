"""What an edit says about the entry that it makes: what `check` would say, and no more."""

from collections.abc import Sequence

import pytest

from mailroster.app import new_findings
from mailroster.base.findings import ServerError
from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, H, folder

__all__ = ["folder"]

PEOPLE = "".join(f"{user}@example.com|{H}\n" for user in ("john", "jane", "ann"))
#: An edit, and the code of what is said of it; "" for nothing.
EDITS = [
    pytest.param(["alias", "add", "s@example.com", "ghost@example.com"], "dangling-alias",
                 id="an alias that leads to nobody"),
    pytest.param(["email", "add", "jan@exampel.com", "pw"], "misspelt-domain",
                 id="an account in a domain that is a slip"),
    pytest.param(["alias", "add", "x@exmaple.com", "john@example.com"], "misspelt-domain",
                 id="an alias in such a domain"),
    pytest.param(["alias", "add", "x@example.com", "john@exampel.com"], "misspelt-recipient",
                 id="a recipient in such a domain"),
    pytest.param(["email", "forward", "john@example.com", "x@else.example"],
                 "alias-shadows-mailbox", id="a forward that leaves the mailbox out"),
    pytest.param(["alias", "add", "john@example.com", "x@else.example"],
                 "alias-shadows-mailbox", id="an alias that does"),
    pytest.param(["email", "restrict", "add", "send", "jon@example.com"],
                 "restriction-without-account", id="a restriction of nobody"),
    pytest.param(["regexp", "add", "/./", "john@example.com"],
                 "regexp-captures-mailbox regexp-every-domain", id="a pattern that takes all mail"),
    pytest.param(["regexp", "add", r"/^x.*@example\.com/", "john@example.com"], "regexp-open-end",
                 id="a pattern that takes longer domains"),
    pytest.param(["email", "rename", "ann@example.com", "ann@exampel.com", "--no-alias"],
                 "misspelt-domain", id="a new name in a domain that is a slip"),
    pytest.param(["email", "add", "new@example.com", "pw"], "", id="a good account"),
    pytest.param(["email", "forward", "john@example.com", "x@else.example", "--keep-copy"], "",
                 id="a forward that keeps a copy"),
    pytest.param(["alias", "add", "new@example.com", "john@example.com"], "", id="a good alias"),
    pytest.param(["alias", "add", "@example.com", "john@example.com"], "", id="a catch-all"),
    pytest.param(["quota", "set", "john@example.com", "5G"], "", id="a good quota"),
    pytest.param(["alias", "add", "list@other.example", "friend@else.example"], "",
                 id="a domain that is like no other"),
]  # fmt: skip


def said_of(folder: Folder, argv: Sequence[str]) -> list[str]:
    ran = folder.setup(*argv)
    assert (ran.code, ran.out) == (0, "")
    return ran.err.splitlines()


@pytest.mark.parametrize(("argv", "code"), EDITS)
@pytest.mark.parametrize("limit", [4000, 0], ids=["a small folder", "a large folder"])
def test_an_edit_says_what_check_would(
    folder: Folder, argv: list[str], code: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_findings, "_ENTRIES_MAX", limit)
    folder.write(ACCOUNTS, PEOPLE)
    folder.write(VIRTUAL, "old@solo.example gone@solo.example\n")
    lines = said_of(folder, argv)
    assert [line.rpartition("[")[2] for line in lines] == [f"{each}]" for each in code.split()]
    assert all(line.startswith(("setup: warning: ", "setup: note: ")) for line in lines)
    checked = folder.setup("check", "--info").out
    assert not any("gone@" in line for line in lines), "it was there before"
    for line in lines:
        what = line.removeprefix("setup: ").partition(": ")[2]
        assert what in checked


def test_a_dry_run_says_the_same(folder: Folder) -> None:
    folder.write(ACCOUNTS, PEOPLE)
    argv = ["alias", "add", "s@example.com", "ghost@example.com"]
    rehearsed = folder.setup(*argv, "--dry-run")
    assert rehearsed.err.splitlines() == said_of(folder, argv)
    assert len(rehearsed.err.splitlines()) == 1


def test_a_size_for_no_account_is_refused_and_a_second_edit_repeats_nothing(
    folder: Folder,
) -> None:
    folder.write(ACCOUNTS, PEOPLE)
    assert said_of(folder, ["alias", "add", "s@example.com", "ghost@example.com"])
    assert said_of(folder, ["alias", "add", "s@example.com", "john@example.com"]) == []
    assert folder.read(QUOTAS) == ""


def test_what_can_not_be_checked_does_not_undo_the_edit(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ServerError("postmap does not answer")

    monkeypatch.setattr(new_findings, "_findings", fail)
    lines = said_of(folder, ["alias", "add", "a@x.com", "b@x.com"])
    assert lines == ["setup: note: the new entry could not be checked: postmap does not answer"]
    assert folder.read(VIRTUAL) == "a@x.com b@x.com\n"


def test_of_very_many_findings_the_first_are_shown(folder: Folder) -> None:
    folder.write(ACCOUNTS, PEOPLE)
    folder.write(VIRTUAL, "".join(f"a{n}@example.com next{n}@new.example\n" for n in range(30)))
    lines = said_of(folder, ["email", "add", "x@new.example", "pw"])
    assert len(lines) == 11
    assert lines[-1] == "setup: 20 more: setup check"
