"""A rename that is killed at any effect: the next command makes it whole, or takes it back."""

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import TryAgain
from mailroster.base.layout import MOVES
from mailroster.cli import main
from mailroster.servers import move_journal
from mailroster.servers.mailboxes import MailFolder
from mailroster.system import beneath
from tests.support.faulty import HASH, debris, die, in_child
from tests.support.mailboxes import give_to_mail_user

ACCOUNTS, QUOTAS, VIRTUAL = "postfix-accounts.cf", "dovecot-quotas.cf", "postfix-virtual.cf"
OLD, NEW = "old@a.com", "new@b.com"
EFFECTS = ("symlink", "link", "unlink", "rename", "mkdir", "fsync", "write", "open", "fork")
MOST = 300
DEAD = 1 << 32


def home(folder: Path) -> Path:
    """A home with an account that has mail, a quota, aliases and a Sieve script."""
    config = folder / "config"
    config.mkdir(parents=True)
    (config / ACCOUNTS).write_text(f"x@a.com|{HASH}\n{OLD}|{HASH}|nologin\n")
    (config / QUOTAS).write_text(f"{OLD}:5G\n")
    (config / VIRTUAL).write_text(f"info@a.com x@a.com,{OLD}\n")
    (config / f"{OLD}.dovecot.sieve").write_text("keep;\n")
    mail = folder / "mail-data/a.com/old/new"
    mail.mkdir(parents=True)
    (mail / "1").write_text("Subject: kept\n\n")
    give_to_mail_user(folder / "mail-data")
    return folder


@contextmanager
def dying(at: int, *, no_exchange: bool = False) -> Iterator[None]:
    """Everything that changes a file or a name counts, in the command and in the process that works
    as the mail's user; at the one with a number both die, before it. In a child process only:
    nothing is put back."""
    count = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                count[0] = DEAD  # the other process, which this one may not kill, is next
                die()
            if count[0] > DEAD:
                die()
            return act(*arguments, **named)

        return counting

    def refusing(one: str, one_in: int, other: str, other_in: int) -> None:
        raise OSError(errno.EINVAL, "no exchange", one)

    for name in EFFECTS:
        setattr(os, name, counted(getattr(os, name)))
    beneath.exchange = counted(refusing if no_exchange else beneath.exchange)
    yield


def setup(folder: Path, *words: str) -> int:
    return main(["--home", str(folder), *words])


def found(folder: Path) -> tuple[str, ...]:
    """The addresses that the account has in every place; one, if all is whole."""
    config, mail = folder / "config", folder / "mail-data"
    places = {
        "accounts": [line.split("|")[0] for line in (config / ACCOUNTS).read_text().splitlines()],
        "quota": (config / QUOTAS).read_text().replace(":5G", "").split(),
        "alias": (config / VIRTUAL).read_text().splitlines()[0].split(",")[1:],
        "sieve": [path.name[: -len(".dovecot.sieve")] for path in config.glob("*.dovecot.sieve")],
        "mail": [f"{p.parent.parent.name}@{p.parent.parent.parent.name}"
                 for p in mail.glob("*/*/new/1")],
    }  # fmt: skip
    assert "nologin" in (config / ACCOUNTS).read_text()
    return tuple(sorted({address for some in places.values() for address in some} - {"x@a.com"}))


def links(folder: Path) -> list[Path]:
    return [path for path in (folder / "mail-data").glob("*/*") if path.is_symlink()]


@pytest.mark.parametrize("no_exchange", [False, True], ids=["exchanged", "in steps"])
def test_killed_at_any_effect_the_next_command_makes_it_whole(
    tmp_path: Path, no_exchange: bool
) -> None:
    ends = set()
    for at in range(1, MOST):
        folder = home(tmp_path / str(at))

        def act(folder: Path = folder, at: int = at) -> None:
            with dying(at, no_exchange=no_exchange):
                assert setup(folder, "email", "rename", OLD, NEW) == 0

        end = in_child(act)
        assert end in ("done", "killed"), end
        assert setup(folder, "quota", "set", "x@a.com", "1G") == 0
        (folder / "config" / QUOTAS).write_text(
            (folder / "config" / QUOTAS).read_text().replace("x@a.com:1G\n", "")
        )
        left = found(folder)
        assert left in ((OLD,), (NEW,)), (at, left)
        assert links(folder) == [], at
        assert debris(folder / "config") == [], at
        ends.add(left)
        if left == (OLD,):
            assert not (folder / "mail-data/b.com/new").exists(), at
            assert setup(folder, "email", "rename", OLD, NEW) == 0, at
            assert found(folder) == (NEW,), at
        if end == "done":
            break
    assert end == "done"
    assert ends == {(OLD,), (NEW,)}


def test_the_folder_is_never_without_a_name(tmp_path: Path) -> None:
    """Whatever the moment: the mail is there under the address that the accounts have."""
    for at in range(1, MOST):
        folder = home(tmp_path / str(at))

        def act(folder: Path = folder, at: int = at) -> None:
            with dying(at):
                assert setup(folder, "email", "rename", OLD, NEW) == 0

        end = in_child(act)
        text = (folder / "config" / ACCOUNTS).read_text()
        name = "a.com/old" if f"\n{OLD}|" in text else "b.com/new"
        assert (folder / "mail-data" / name / "new/1").read_text().startswith("Subject"), at
        if end == "done":
            return
    raise AssertionError("it never ended")


def test_a_command_that_fails_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home(tmp_path)
    move = MailFolder.move

    def moved(mail: MailFolder, old: Address, new: Address, *, make: bool, may_step: bool) -> None:
        move(mail, old, new, make=make, may_step=may_step)
        accounts = folder / "config" / ACCOUNTS  # somebody saves at just this moment
        accounts.write_text(accounts.read_text() + f"{NEW}|{HASH}\n")

    monkeypatch.setattr(MailFolder, "move", moved)
    assert setup(folder, "email", "rename", OLD, NEW) == 1
    monkeypatch.setattr(MailFolder, "move", move)
    assert (folder / "mail-data/a.com/old/new/1").is_file()
    assert links(folder) == []
    assert not (folder / "mail-data/b.com/new").exists()
    assert (folder / "config" / f"{OLD}.dovecot.sieve").is_file()
    assert not (folder / "config" / f"{NEW}.dovecot.sieve").exists()


@pytest.mark.parametrize(
    "name",
    ["mail-data/b.com/new", f"config/{NEW}.dovecot.sieve"],
    ids=["a folder", "a script"],
)
def test_what_has_the_new_name_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = home(tmp_path)
    (folder / name).mkdir(parents=True)
    before = (folder / "config" / ACCOUNTS).read_text()
    assert setup(folder, "email", "rename", OLD, NEW) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "config" / ACCOUNTS).read_text() == before
    assert (folder / "mail-data/a.com/old/new/1").is_file()


@pytest.mark.parametrize("which", ["mailbox", "old domain", "new domain"])
def test_a_link_that_leads_out_of_the_mail_folder_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    folder, outside = home(tmp_path / "home"), tmp_path / "outside"
    mail = folder / "mail-data"
    if which == "mailbox":
        (mail / "a.com/old").rename(outside)
        (mail / "a.com/old").symlink_to(outside)
    elif which == "old domain":
        (mail / "a.com").rename(outside)
        (mail / "a.com").symlink_to(outside)
    else:
        outside.mkdir()
        (mail / "b.com").symlink_to(outside)
    there = sorted(outside.rglob("*"))
    assert setup(folder, "email", "rename", OLD, NEW) == 1
    assert "leads out of the mail folder" in capsys.readouterr().err
    assert sorted(outside.rglob("*")) == there
    assert f"\n{OLD}|" in (folder / "config" / ACCOUNTS).read_text()


def test_a_second_rename_while_one_is_at_work_waits_its_turn(tmp_path: Path) -> None:
    folder = home(tmp_path)
    with move_journal.MoveJournal(str(folder / "config")) as record:
        with pytest.raises(TryAgain):
            move_journal.MoveJournal(str(folder / "config"), 0).__enter__()
        assert record.moves() == {}
    assert not (folder / "config" / MOVES).exists()


@pytest.mark.parametrize(
    "text",
    ["begun old@a.com", "begun ../../x@a.com new@b.com 0\n", "begun a@b c@d x\n", "\xff\0\n",
     "nonsense a@b.com c@d.com 0\n", "begun old@a.com new@b.com 0\nover old@a.com new@b.com 0\n"],
)  # fmt: skip
def test_a_damaged_record_means_nothing_and_goes(tmp_path: Path, text: str) -> None:
    folder = home(tmp_path)
    (folder / "config" / MOVES).write_bytes(text.encode("latin-1"))
    assert setup(folder, "quota", "set", "x@a.com", "1G") == 0
    assert not (folder / "config" / MOVES).exists()
    assert (folder / "mail-data/a.com/old/new/1").is_file()
