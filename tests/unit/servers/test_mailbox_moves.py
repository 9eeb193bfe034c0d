"""Moves of mail folders: that follow each other before the first one is over, and that end."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailroster.base.address import Address
from mailroster.base.layout import Layout
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.servers import deliveries, mail_user
from mailroster.servers.mailbox_moves import Mover, complete_moves
from mailroster.servers.move_journal import BEGUN, COMMITTED, Move, MoveJournal
from mailroster.system import processes
from tests.support.mailboxes import give_to_mail_user, mail_folder

A, B, C = Address("a@x.com"), Address("b@x.com"), Address("c@y.org")


def of(address: str) -> Roster:
    return Roster(accounts=Document(ACCOUNTS, f"{address}|{{PLAIN}}x\n"))


@pytest.mark.parametrize("word", [BEGUN, COMMITTED], ids=["killed at the edit", "killed behind it"])
@pytest.mark.parametrize("live", [False, True], ids=["not live", "live"])
def test_a_rename_of_what_was_renamed_ends_both(tmp_path: Path, word: str, live: bool) -> None:
    config, mail = tmp_path / "config", tmp_path / "mail"
    config.mkdir()
    (mail / "x.com/a/cur").mkdir(parents=True)
    mover = Mover(
        str(config), mail_folder(give_to_mail_user(mail)), Layout(str(tmp_path / "state"))
    )
    with MoveJournal(str(config)) as record:
        mover.begin(record, Move(A, B))
        if word == COMMITTED:
            record.append(COMMITTED, Move(A, B))
        # The command was killed: the next one begins before the tables say what the files say.
        assert complete_moves(record, mover, lambda: of(B), lambda: of(B if live else A)) == live
        mover.begin(record, Move(B, C))
        record.append(COMMITTED, Move(B, C))
        assert not complete_moves(record, mover, lambda: of(C), lambda: of(B if live else A))
        assert complete_moves(record, mover, lambda: of(C), lambda: of(C))
        assert record.moves() == {}
    assert sorted(os.listdir(mail / "x.com")) == []
    assert (mail / "y.org/c/cur").is_dir()
    assert os.listdir(config) == []


@contextmanager
def delivering(source: str) -> Iterator[subprocess.Popen[str]]:
    """A process that looks like one of the LMTP service, once it has said a word."""
    argv = ["dovecot/lmtp", "-c", f"import signal, sys, time\n{source}"]
    with subprocess.Popen(
        argv, executable="/usr/bin/python3", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("source", "ended"),
    [
        ("signal.signal(signal.SIGINT, lambda *_: sys.exit())", True),
        ("signal.signal(signal.SIGINT, signal.SIG_DFL)", False),
    ],
    ids=["idle", "still starting"],
)
def test_only_a_delivery_that_takes_the_signal_is_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, ended: bool
) -> None:
    """One that has no handler yet dies of it, and Dovecot would throttle the service."""
    monkeypatch.setattr(deliveries, "dovecot_pid", lambda _: os.getpid())
    asked: list[tuple[int, int]] = []

    def send(pid: int, number: int, is_it: Callable[[int], bool]) -> bool:
        asked.append((pid, number))
        return processes.send(pid, number, is_it)

    monkeypatch.setattr(
        deliveries, "processes", SimpleNamespace(**{**vars(processes), "send": send})
    )
    mail = give_to_mail_user(tmp_path)
    mover = Mover(str(tmp_path), mail_folder(mail), Layout(str(tmp_path)))
    with delivering(f"{source}\nprint('ready', flush=True)\ntime.sleep(100)") as process:
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert not mover.finish(Move(A, B), of(B), now_s, 0), "it may use the old name"
        if ended:
            assert set(asked) == {(process.pid, signal.SIGINT)}
            assert process.wait(10) == 0
        else:
            assert asked == []
            assert process.poll() is None
            process.kill()
            process.wait()
        assert mover.finish(Move(A, B), of(B), now_s, 0)


@pytest.mark.parametrize("first", ["cur", ""], ids=["with its folders", "just begun"])
def test_a_mailbox_that_dovecot_makes_at_that_moment_is_the_one_that_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    layout, mail = Layout(str(tmp_path / "state")), tmp_path / "mail"
    Path(layout.tables).mkdir(parents=True)
    (mail / "x.com").mkdir(parents=True)
    make = os.mkdir

    def delivered(name: str, mode: int, *, dir_fd: int) -> None:
        if name == "a":
            assert mode == 0o700
            make(name, mode, dir_fd=dir_fd)
            if first:
                make(f"{name}/{first}", mode, dir_fd=dir_fd)
        make(name, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", delivered)
    # A copy of this process, also beside a thread that another test has left.
    monkeypatch.setattr(mail_user, "is_single_threaded", lambda: True)
    mover = Mover(str(tmp_path), mail_folder(give_to_mail_user(mail)), layout)
    with MoveJournal(str(tmp_path)) as record:
        mover.begin(record, Move(A, B))
    assert (mail / "x.com/a").readlink() == Path("../x.com/b")
    assert (mail / "x.com/b" / first).is_dir()
    assert sorted(os.listdir(mail / "x.com")) == ["a", "b"]
