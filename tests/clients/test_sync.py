"""isync (mbsync) and offlineimap: both ways, and cut short in the middle by a lock or a rename."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client_mail import (
    account,
    mailbox_name,
    on_server,
    put,
    state,
    subjects_of,
    text,
)
from tests.support.client_programs import Mbsync, Offlineimap, said_by
from tests.support.instance import Instance, until

FOLDERS = ("Größe/日本語", "a & b", "two words")
#: More than all buffers between a client and Dovecot hold.
MANY, LINES = 150, 4000


def make_folders(server: Instance, user: str) -> None:
    with server.imap(user) as session:
        for folder in FOLDERS:
            name = mailbox_name(folder)
            assert session.create(name)[0] == "OK"
            assert session.append(name, "", "", text(f"in {folder[0]}").encode())[0] == "OK"


def flag(server: Instance, user: str, subject: str, flags: str) -> None:
    with server.imap(user) as session:
        session.select("INBOX")
        _, found = session.search(None, "HEADER", "SUBJECT", f'"{subject}"')
        assert session.store(found[0].split()[0].decode(), "+FLAGS", flags)[0] == "OK"
        session.expunge()


def test_mbsync_keeps_both_sides_alike(server: Instance, tmp_path: Path) -> None:
    user = account(server, "mbsync@x.test", 10)
    make_folders(server, user)
    client = Mbsync(server, tmp_path, user)
    client.sync()
    assert len(client.messages()) == 10
    for folder in FOLDERS:
        where = folder if (client.mail / folder).is_dir() else mailbox_name(folder).strip('"')
        assert len(client.messages(where)) == 1, "a folder with blanks, signs or other letters"
    # From the client to the server: a flag, a deletion, a message in a new folder.
    for subject, flags in (("message 1", "S"), ("message 2", "ST"), ("message 3", "FS")):
        path = client.named(subject)
        path.rename(path.with_name(re.sub(":2,.*", f":2,{flags}", path.name)))
    put(client.mail / "Neue Mappe", ["written offline"])
    client.sync()
    there = state(server, user)
    assert there["message 1"] == {"\\Seen"}
    assert "message 2" not in there
    assert there["message 3"] == {"\\Seen", "\\Flagged"}
    assert state(server, user, "Neue Mappe") == {"written offline": {"\\Seen"}}
    # From the server to the client.
    flag(server, user, "message 4", "\\Answered")
    flag(server, user, "message 5", "\\Deleted")
    server.send(user, subject="new")
    server.arrives(user, "new")
    client.sync()
    assert client.named("message 4").name.endswith(":2,R")
    assert subjects_of(client.messages())["message 5"] == 0
    assert client.named("new")
    before = sorted(path.name for path in client.messages())
    client.sync()
    assert sorted(path.name for path in client.messages()) == before, "nothing is left to do"


def test_offlineimap_keeps_both_sides_alike(server: Instance, tmp_path: Path) -> None:
    user = account(server, "offlineimap@x.test", 5)
    make_folders(server, user)
    client = Offlineimap(server, tmp_path, user)
    client.sync()
    inbox = client.mail / "INBOX"
    assert len(list(inbox.glob("*/*"))) == 5
    folders = {path.name for path in client.mail.iterdir()}
    assert {"a & b", "two words"} <= folders or {"a &- b", "two words"} <= folders, folders
    assert any("Gr" in name and "/" not in name for name in folders), folders
    path = next(p for p in inbox.glob("*/*") if "Subject: message 1\n" in p.read_text())
    path.rename(inbox / "cur" / f"{path.name.partition(':')[0]}:2,FS")
    put(inbox, ["written offline"])
    flag(server, user, "message 2", "\\Answered")
    client.sync()
    there = state(server, user)
    assert there["message 1"] == {"\\Seen", "\\Flagged"}
    assert there["written offline"] == {"\\Seen"}
    answered = next(p for p in inbox.glob("*/*") if "Subject: message 2\n" in p.read_text())
    assert "R" in answered.name.partition(":2,")[2]


def test_a_full_mailbox_is_told_to_the_client_and_what_fits_is_kept(
    server: Instance, tmp_path: Path
) -> None:
    user = account(server, "full@x.test", quota="100k")
    client = Mbsync(server, tmp_path, user)
    client.sync()
    put(client.mail / "INBOX", ["small"])
    client.sync()
    put(client.mail / "INBOX", ["large", "small too"], lines=1000)
    done = client.run(*client.argv())
    said = done.stdout + done.stderr
    assert "OVERQUOTA" in said or "refuses to store message" in said, done  # isync 1.4, 1.5
    there = on_server(server, user)
    assert there["small"] == 1
    assert there["large"] + there["small too"] <= 1
    assert server.rcpt(user)[0] in (250, 552)


@contextmanager
def cut_short(client: Mbsync, has_begun: Callable[[], bool]) -> Iterator[None]:
    """Runs a sync, and a block in the middle of it, while the client waits. It must fail."""
    with client.beside(*client.argv()) as process:
        until(lambda: has_begun() or process.poll() is not None, 60)
        assert process.poll() is None, said_by(process)
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)
        said = said_by(process)
        assert process.returncode != 0, said  # by SIGPIPE, if it was writing


@pytest.mark.parametrize("command", ["lock", "rename"])
def test_a_sync_that_is_cut_short_is_completed_by_the_next(
    server: Instance, tmp_path: Path, command: str
) -> None:
    user, new = f"{command}@x.test", f"new-{command}@x.test"
    account(server, user, MANY, lines=LINES)
    client = Mbsync(server, tmp_path, user)
    expected = {f"message {number}": 1 for number in range(MANY)}
    with cut_short(client, lambda: len(client.messages()) > 5):
        server.setup("email", command, user, *([new] if command == "rename" else []))
    assert len(client.messages()) < MANY, "the session ended in the middle"
    assert client.run(*client.argv()).returncode != 0, "the account can't log in"
    if command == "lock":
        server.setup("email", "unlock", user)
    else:
        client.user = new
    client.sync()
    assert subjects_of(client.messages()) == expected
    assert on_server(server, client.user) == expected


def test_an_upload_that_is_cut_short_is_completed_without_doubles(
    server: Instance, tmp_path: Path
) -> None:
    user = account(server, "upload@x.test", 1)
    client = Mbsync(server, tmp_path, user)
    client.sync()
    subjects = [f"offline {number}" for number in range(MANY)]
    put(client.mail / "INBOX", subjects, lines=LINES)
    inbox = server.mail / "x.test/upload/cur"
    with cut_short(client, lambda: len(list(inbox.iterdir())) > 5):
        server.setup("email", "lock", user)
    assert len(list(inbox.iterdir())) < MANY, "the session ended in the middle"
    server.setup("email", "unlock", user)
    client.sync()
    expected = dict.fromkeys(["message 0", *subjects], 1)
    assert on_server(server, user) == expected
    assert subjects_of(client.messages()) == expected
