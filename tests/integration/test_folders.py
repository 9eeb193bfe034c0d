"""Folders as clients and Sieve use them: dots in names, the special ones, room in Trash, quota
roots; and what a Maildir from before keeps."""

import base64
import imaplib
import os
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, message, trusting, until

A, B, OLD, ZERO = "a@example.test", "b@example.test", "old@example.test", "zero@example.test"
#: It has a field for which there is no column, so it is in the passwd-file.
EXTRA = "extra@example.test"
VMAIL = 5000
#: Names that clients give to folders, as IMAP spells them: with dots in every place.
DOTTED = (
    "Archive.2023", "v1.2 notes", "example.com", "example.com/sub.folder", ".", "..", ".x", "x..y",
    "~home.txt", "a\\b.c", 'a"b.c', "a%b.c", "Gr&APYA3w-e.2", "&ZeVnLIqe-.&ZeVnLIqe-",
)  # fmt: skip
#: Names of folders that were made before dots were possible, as IMAP spells them, and as
#: Maildir++ has them on the disk.
BEFORE = {
    "Sent": ".Sent", "Lists/Sub": ".Lists.Sub", "Sp ace": ".Sp ace", "a\\b": ".a\\b",
    "Tilde~2e": ".Tilde~2e", "x-2ey": ".x-2ey", "back\\2eslash": ".back\\2eslash",
    "p%2eq": ".p%2eq", "^2e": ".^2e", "Gr&APYA3w-e": ".Gr&APYA3w-e", "a:b": ".a:b",
    "Q&-A": ".Q&-A", "INBOX/x": ".INBOX.x", "Lists/~x": ".Lists.~x", "a/~b~/~": ".a.~b~.~",
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    server = Instance()
    try:
        for address in (A, B, OLD, ZERO):
            server.setup("email", "add", address, PASSWORD)
        server.setup("quota", "set", A, "100k")
        accounts = server.file("postfix-accounts.cf").read_text()
        line = f"{EXTRA}|{HASH}|userdb_quota_max_mail_size=5M\n"
        server.file("postfix-accounts.cf").write_text(accounts + line)
        for address in (ZERO, EXTRA):
            server.setup("quota", "set", address, "0")
        _maildir_from_before(server)
        server.start()
        yield server
    finally:
        server.close()


def _maildir_from_before(server: Instance) -> None:
    """A Maildir as a Dovecot without our escapes has left it."""
    top = server.mail / "example.test/old"
    for place, folder in enumerate(BEFORE.values(), 1):
        for part in ("cur", "new", "tmp"):
            (top / folder / part).mkdir(parents=True)
        (top / folder / "cur" / f"{place}.M1P1.host,S=30:2,S").write_text("Subject: kept\n\nhi\n")
        uids = f"3 V{place + 1000} N78 G{place:032x}\n77 :{place}.M1P1.host,S=30\n"
        (top / folder / "dovecot-uidlist").write_text(uids)
        (top / folder / "maildirfolder").touch()
    lines = [folder[1:].replace(".", "\t") for folder in BEFORE.values()]
    (top / "subscriptions").write_text("V\t2\n\n" + "\n".join(lines) + "\n")
    for path in (top.parent, top, *top.rglob("*")):
        os.chown(path, VMAIL, VMAIL)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _done(answer: tuple[str, Any]) -> Any:
    assert answer[0] == "OK", answer
    return answer[1]


def _listed(answer: tuple[str, Any]) -> set[str]:
    """The names in an answer to LIST or LSUB, as IMAP spells them."""
    names = set()
    for line in filter(None, _done(answer)):
        text = b" ".join(line) if isinstance(line, tuple) else line
        assert isinstance(text, bytes), line
        name = text.decode().partition('"/" ')[2]
        if name[:1] == '"':
            name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        names.add(name)
    return names


def _command(session: imaplib.IMAP4, *words: str) -> tuple[str, list[bytes]]:
    """A command that imaplib does not have, and the untagged lines of its answer."""
    tag = f"x{time.monotonic_ns()}".encode()
    session.send(tag + b" " + " ".join(words).encode() + b"\r\n")
    lines: list[bytes] = []
    while not (line := session.readline()).startswith(tag):
        assert line, lines
        lines.append(line.strip())
    return line.split()[1].decode(), lines


def test_a_client_works_with_folders_that_have_dots(server: Instance) -> None:
    with server.imap(B) as session:
        for name in map(_quoted, DOTTED):
            _done(session.create(name))
            _done(session.subscribe(name))
            _done(session.append(name, "", "", message("hello", B).as_bytes()))
    server.doveadm("index", "-u", B, "*")  # another process, with its own look at the names
    with server.imap(B) as session:
        assert _listed(session.list()) >= {*DOTTED}
        assert _listed(session.lsub()) >= {*DOTTED}
        for name in map(_quoted, DOTTED):
            assert b"MESSAGES 1" in _done(session.status(name, "(MESSAGES)"))[0], name
        assert _done(session.select(_quoted("example.com/sub.folder"))) == [b"1"]
        _done(session.copy("1", _quoted("Archive.2023")))
        _done(session.rename(_quoted("example.com"), _quoted("moved.to/example.org")))
        assert _listed(session.list('""', "moved.to/*")) == {
            "moved.to/example.org", "moved.to/example.org/sub.folder",
        }  # fmt: skip
        for name in ("v1.2 notes", "moved.to/example.org/sub.folder"):
            _done(session.delete(_quoted(name)))
        assert not _listed(session.list('""', _quoted("v1.2 notes")))


def test_sieve_files_into_a_folder_with_a_dot(server: Instance) -> None:
    script = 'require ["fileinto", "mailbox"];\nfileinto :create "lists.example.com/dev.v2";\n'
    (server.config / f"{B}.dovecot.sieve").write_text(script)

    def filed() -> bool:
        server.send(B, subject="filed")
        with server.imap(B) as session:
            return session.select(_quoted("lists.example.com/dev.v2"))[0] == "OK"

    until(filed)
    with server.imap(B) as session:
        assert "lists.example.com/dev.v2" in _listed(session.lsub())
    (server.config / f"{B}.dovecot.sieve").unlink()


def test_a_maildir_from_before_keeps_its_folders(server: Instance) -> None:
    with server.imap(OLD) as session:
        assert _listed(session.list()) >= {*BEFORE}
        assert _listed(session.lsub()) >= {*BEFORE}
        for place, name in enumerate(BEFORE, 1):
            status = _done(session.status(_quoted(name), "(MESSAGES UIDNEXT UIDVALIDITY)"))[0]
            assert isinstance(status, bytes), name
            wanted = f"(MESSAGES 1 UIDNEXT 78 UIDVALIDITY {place + 1000})".encode()
            assert status.endswith(wanted), (name, status)
            _done(session.select(_quoted(name)))
            assert b"UID 77" in _done(session.fetch("1", "(UID)"))[0], name
        _done(session.create(_quoted("Lists/Sub/new.one")))
    top = server.mail / "example.test/old"
    kept = {name for name in BEFORE.values() if ".~" not in name}
    assert kept <= {path.name for path in top.iterdir()}


def test_a_full_mailbox_is_emptied_by_copies_to_trash(server: Instance) -> None:
    large = message("large", A, size=30_000).as_bytes()
    with server.imap(A) as session:
        while session.append("INBOX", "", "", large)[0] == "OK":
            pass
        _, count = session.select("INBOX")
        assert int(count[0] or 0) == 3
        _done(session.copy("1:*", "Trash"))
        assert session.append("INBOX", "", "", large)[0] == "NO", "Trash gives its room to others"
        shown = server.setup("quota", "list").splitlines()[0]
        used, _, limit = shown.removeprefix(A).partition("/")
        # With up to two warnings, which may have arrived by now.
        assert 176 <= int(used.strip(" K")) < 184 and limit.startswith(" 100K"), shown
        _done(session.store("1:*", "+FLAGS", "\\Deleted"))
        _done(session.expunge())
        _done(session.select("Trash"))
        _done(session.store("1:*", "+FLAGS", "\\Deleted"))
        _done(session.expunge())
        _done(session.append("INBOX", "", "", large))


def test_quota_roots_and_special_folders_are_as_the_rfcs_say(server: Instance) -> None:
    for address in (A, B, ZERO, EXTRA):
        with server.imap(address) as session:
            done, lines = _command(session, "GETQUOTAROOT", "INBOX")
            roots = [line for line in lines if line.startswith(b"* QUOTAROOT INBOX ")]
            assert done == "OK" and len(roots) == 1, lines
            quota = next(line for line in lines if line.startswith(b"* QUOTA "))
            assert (b"STORAGE" in quota) == (address == A), quota
            special = [line for line in _done(session.list()) if isinstance(line, bytes)]
            for use in ("Archive", "Drafts", "Junk", "Sent", "Trash"):
                assert any(f"\\{use})" in line.decode() for line in special), (use, special)
    listed = server.setup("quota", "list")
    for address in (B, ZERO):
        line = next(line for line in listed.splitlines() if address in line)
        assert "/ ~" in line, line


def test_a_session_is_compressed(server: Instance) -> None:
    with server.imap(A) as session:
        assert "COMPRESS=DEFLATE" in _done(session.capability())[0].decode()
        assert _command(session, "COMPRESS", "DEFLATE")[0] == "OK"
        deflate, inflate = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
        sent = deflate.compress(b'z1 LIST "" *\r\n') + deflate.flush(zlib.Z_SYNC_FLUSH)
        session.send(sent)
        answer = b""
        while b"z1 OK" not in answer:
            answer += inflate.decompress(session.sock.recv(65536))
        assert b"INBOX" in answer


def _talk(port: int, *commands: str) -> list[bytes]:
    """The greeting of a port without TLS, and what it answers to each command."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as session:
        file = session.makefile("rwb")
        while not (line := file.readline()).startswith((b"* OK", b"+OK", b"OK ")):
            answers.append(line)
        for command in commands:
            file.write(command.encode() + b"\r\n")
            file.flush()
            answers.append(file.readline())
    return answers


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_no_password_counts_without_tls_even_from_the_same_address(
    server: Instance, password: str
) -> None:
    plain = base64.b64encode(f"\0{A}\0{password}".encode()).decode()
    imap, pop3, sieve = (server.ports[name] for name in ("imap", "pop3", "sieve"))
    refused = {
        "LOGIN": _talk(imap, f"b LOGIN {A} {password}")[-1],
        "AUTHENTICATE": _talk(imap, f"b AUTHENTICATE PLAIN {plain}")[-1],
        "PASS": _talk(pop3, f"USER {A}", f"PASS {password}")[-1],
        "AUTH": _talk(pop3, f"AUTH PLAIN {plain}")[-1],
        "sieve": _talk(sieve, f'AUTHENTICATE "PLAIN" "{plain}"')[-1],
    }
    for command, answer in refused.items():
        assert answer.startswith((b"b NO", b"-ERR", b"NO")), (command, answer)
        assert b"over TLS only" in answer, (command, answer)


def test_every_way_of_tls_logs_in(server: Instance) -> None:
    with server.imap(A) as session:
        _done(session.noop())
    session = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    session.starttls(trusting())
    _done(session.login(A, PASSWORD))
    session.logout()
    mailbox = server.pop3()
    mailbox.user(A)
    assert mailbox.pass_(PASSWORD).startswith(b"+OK")
    mailbox.quit()
    for kind in ("submission", "submissions"):
        with server.smtp(kind) as smtp:
            assert smtp.login(A, PASSWORD)[0] == 235


def test_a_session_that_is_ended_hears_the_only_words_that_dovecot_has(server: Instance) -> None:
    """The words are a constant of Dovecot's, for a kick as for a stop; none can be passed."""
    with server.imap(ZERO) as session:
        server.setup("email", "lock", ZERO)
        assert session.readline() == b"* BYE Server shutting down.\r\n"
    server.setup("email", "unlock", ZERO)


def test_the_conf_has_no_warning(server: Instance) -> None:
    log = Path(server.home / "mail-logs/dovecot.log").read_text()
    doubtful = [line for line in log.splitlines() if "config: Warning" in line]
    assert not doubtful
