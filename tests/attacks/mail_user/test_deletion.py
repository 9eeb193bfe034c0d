"""What the owner of a mailbox, or who sends to it, does to keep `setup email del -y` from deleting
all of it."""

import os
import smtplib
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from mailroster.base.address import Address
from mailroster.servers.mail_deletion import DELETED, DELETING
from mailroster.servers.mailboxes import MailFolder
from tests.support.attacks.parties import MAIL_UID, PYTHON, python_as, run_as
from tests.support.faulty import in_child
from tests.support.instance import HASH, PASSWORD, Instance, save, until
from tests.support.mailboxes import give_to_mail_user, mail_folder

#: How often an account is deleted while mail arrives. 1 of 25 left mail before.
DELETIONS = int(os.environ.get("DELETIONS", "8"))
#: The command is killed at every so many of its effects; 1 for all of them.
KILLED_EACH = int(os.environ.get("KILLED_EACH", "7"))
A = "a@x.test"

NESTED = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("deep"); os.chdir("deep")
    os.close(os.open("message", os.O_CREAT | os.O_WRONLY))
"""
MANY = """
import os, sys
os.chdir(sys.argv[1])
for number in range(int(sys.argv[2])):
    os.close(os.open(f"{number}", os.O_CREAT | os.O_WRONLY))
"""
WIDE = """
import os, sys
os.chdir(sys.argv[1])
for number in range(int(sys.argv[2])):
    os.makedirs(f"d{number}/inner/inner"); os.chmod(f"d{number}/inner", 0)
    os.chmod(f"d{number}", 0o500)
"""
STRANGE = """
import os, socket, sys
os.chdir(sys.argv[1])
names = ["-rf", "a\\nb", "\\xff\\xfe", " ", "*", "x" * 255, ".deleted:b:0", ".deleting:b", "..."]
for name in (name.encode("latin-1") for name in names):
    os.mkdir(name); os.close(os.open(b"f" + name[:254], os.O_CREAT))
os.mkfifo("fifo"); os.symlink("/", "root"); os.symlink("loop", "loop"); os.symlink("..", "up")
socket.socket(socket.AF_UNIX).bind("socket"); os.link("fifo", "fifo2")
"""


@pytest.fixture
def mailbox(server: Instance) -> Path:
    """The mailbox of an account, with a message."""
    added(server)
    path = server.mail / "x.test/a"
    as_mail("mkdir", "-p", f"{path}/cur")
    return path


def added(server: Instance) -> None:
    server.setup("email", "add", A, "--if-not-exists", "--hash", HASH)


def as_mail(*argv: str) -> None:
    done = run_as(MAIL_UID, *argv, timeout_s=120)
    assert done.returncode == 0, done


def left(server: Instance) -> list[str]:
    return sorted(os.listdir(server.mail / "x.test"))


@pytest.mark.parametrize(
    ("program", "number"),
    [(NESTED, 5000), (MANY, 25_000), (WIDE, 3000), (STRANGE, 1)],
    ids=["5,000 deep", "25,000 files", "closed folders", "strange names"],
)
def test_any_mailbox_is_deleted_whole(
    server: Instance, mailbox: Path, program: str, number: int
) -> None:
    as_mail(PYTHON, "-c", program, str(mailbox / "cur"), str(number))
    assert server.setup("email", "del", "-y", A) == ""
    assert left(server) == []


# -- while mail arrives


def sending(server: Instance, stop: threading.Event, accepted: list[str]) -> None:
    """Sends one message after the other, until the address is refused or the test ends."""
    while not stop.is_set():
        try:
            with server.smtp() as session:
                while not stop.is_set():
                    session.sendmail("s@elsewhere.test", [A], b"Subject: more\r\n\r\nmail\r\n")
                    accepted.append("")
        except (OSError, smtplib.SMTPException):
            time.sleep(0.01)


def test_no_mail_that_arrives_meanwhile_is_left(server: Instance) -> None:
    queue = [server.state / "spool" / name for name in ("active", "incoming")]
    for _ in range(DELETIONS):
        added(server)
        stop, accepted = threading.Event(), list[str]()
        arguments = (server, stop, accepted)
        senders = [threading.Thread(target=sending, args=arguments) for _ in range(3)]
        try:
            for sender in senders:
                sender.start()
            until(lambda accepted=accepted: len(accepted) > 5)  # type: ignore[misc]
            done = server.run("email", "del", "-y", A)
            assert (done.returncode, done.stderr) == (0, "")
            assert left(server) == []
        finally:
            stop.set()
            for sender in senders:
                sender.join()
        until(lambda: not any(map(os.listdir, queue)))
        assert left(server) == [], "and none comes later"
        assert server.rcpt(A)[0] in (550, 554)


def test_nor_what_an_open_session_writes(server: Instance, mailbox: Path) -> None:
    with server.imap(A) as session:
        session.select("INBOX")
        assert session.append("INBOX", "", "", b"Subject: x\r\n\r\nx\r\n")[0] == "OK"
        server.setup("email", "del", "-y", A)
        with pytest.raises((session.abort, session.error, OSError)):
            for _ in range(20):
                session.append("INBOX", "", "", b"Subject: x\r\n\r\nx\r\n")
                session.create("more")
    assert left(server) == []


def test_who_fills_a_mailbox_while_it_is_deleted_keeps_nothing_in_it(
    server: Instance, mailbox: Path
) -> None:
    """uid 5000 makes the mailbox anew all the time: the command ends, and says what is left."""
    program = """
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    for name in ("a", "a/cur", "a/cur/x"):
        try: os.mkdir(name)
        except OSError: pass
"""
    with python_as(MAIL_UID, program, str(mailbox.parent)):
        done = server.run("email", "del", "-y", A)
        assert done.returncode in (0, 75), done
        assert done.returncode == 0 or "mail still arrives" in done.stderr
        assert server.rcpt(A)[0] in (550, 554)
    added(server)
    if done.returncode:
        assert left(server) == [], "who gets the address next finds nothing of it"
    server.setup("email", "del", "-y", A)
    assert left(server) == []


def test_mail_without_end_is_reported_and_the_next_account_finds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mailroster.cli import main

    (tmp_path / "config").mkdir()
    (tmp_path / "config/postfix-accounts.cf").write_text(f"{A}|{HASH}\n")
    mailbox = tmp_path / "mail-data/x.test/a/cur"
    mailbox.mkdir(parents=True)
    set_aside = MailFolder.set_aside

    def again(folder: MailFolder, addresses: Collection[Address]) -> int:
        count = set_aside(folder, addresses)
        mailbox.mkdir(parents=True)
        give_to_mail_user(tmp_path / "mail-data")
        return count

    give_to_mail_user(tmp_path / "mail-data")
    with monkeypatch.context() as patch:
        patch.setattr(MailFolder, "set_aside", again)
        assert main(["--home", str(tmp_path), "email", "del", "-y", A]) == 75
    assert "mail still arrives" in capsys.readouterr().err
    assert mailbox.is_dir()
    assert main(["--home", str(tmp_path), "email", "add", A, "--hash", HASH]) == 0
    assert os.listdir(tmp_path / "mail-data/x.test") == []


# -- cut short


STEPS: dict[str, Callable[[Instance], None]] = {
    "announced": lambda server: mail_folder(server.mail).announce_deletion([_address()]),
    "the account is gone": lambda server: _gone(server),
    "set aside": lambda server: _set_aside(server),
    "half deleted": lambda server: _half(server),
}


def _address() -> Address:
    return Address(A)


def _gone(server: Instance) -> None:
    """As a command does that is killed once its edit counts, and that a hand edit completes."""
    STEPS["announced"](server)
    accounts = server.file("postfix-accounts.cf")
    save(accounts, accounts.read_text().replace(f"{A}|{HASH}\n", ""))
    server.setup("apply", "--removals")


def _set_aside(server: Instance) -> None:
    _gone(server)
    assert mail_folder(server.mail).set_aside([_address()]) == 1


def _half(server: Instance) -> None:
    _set_aside(server)
    aside = next(server.mail.glob(f"x.test/{DELETED}*"))
    (aside / "cur/message").unlink()


@pytest.mark.parametrize("finishes", ["email add", "email del", "up"])
@pytest.mark.parametrize("step", STEPS)
def test_a_deletion_that_was_cut_short_is_finished_and_nobody_finds_the_old_mail(
    server: Instance, mailbox: Path, step: str, finishes: str
) -> None:
    server.setup("email", "add", "b@x.test", "--if-not-exists", "--hash", HASH)
    as_mail("sh", "-c", f"echo old > {mailbox}/cur/message")
    STEPS[step](server)
    if finishes == "email add":
        if step != "announced":
            server.setup("email", "add", A, "--hash", HASH)
            assert not mailbox.exists()
            assert f"{DELETING}a" not in left(server)
    elif finishes == "email del":
        server.setup("email", "del", "-y", "b@x.test")
    else:
        server.kill()
        server.start()
    if finishes != "email add":
        assert left(server) == (["a"] if step == "announced" else [])
    server.run("email", "del", "-y", A)
    server.run("email", "add", A, "--hash", HASH)
    server.run("email", "del", "-y", A)
    assert left(server) == []


def test_an_account_that_is_added_while_its_mail_is_deleted_keeps_its_new_mail(
    server: Instance, mailbox: Path
) -> None:
    """Between the two steps of a deletion somebody adds the account, and mail arrives."""
    _gone(server)
    server.setup("email", "add", A, PASSWORD)
    server.send(A, subject="new")
    server.arrives(A, "new")
    folder = mail_folder(server.mail)
    assert folder.set_aside([_address()]) == 0  # what the slow command does next
    folder.purge(["x.test"])
    assert server.subjects(A) == ["new"]
    server.setup("email", "del", "-y", A)


def test_mail_that_is_to_be_kept_is_kept_whatever_an_earlier_deletion_has_left(
    server: Instance, mailbox: Path
) -> None:
    server.setup("email", "add", "b@x.test", "--if-not-exists", "--hash", HASH)
    as_mail("sh", "-c", f"echo kept > {mailbox}/cur/message")
    mail_folder(server.mail).announce_deletion([_address()])  # of the same address, long ago
    server.setup("email", "del", "-n", A)
    server.setup("email", "del", "-y", "b@x.test")
    assert (mailbox / "cur/message").read_text() == "kept\n"
    added(server)
    server.setup("email", "del", "-y", A)


def test_mail_that_arrives_before_an_account_without_any_is_gone_goes_too(
    server: Instance,
) -> None:
    server.setup("email", "add", "new@fresh.test", "--hash", HASH)
    address, domain = Address("new@fresh.test"), server.mail / "fresh.test"
    folder = mail_folder(server.mail)
    folder.announce_deletion([address], served=True)
    server.send(address)  # as a delivery that is under way
    until(lambda: (domain / "new").is_dir())
    server.setup("email", "del", "-y", address)
    assert os.listdir(domain) == []


def test_killed_at_any_moment_the_mail_is_there_with_the_account_or_gets_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without servers, so that it is quick: kill -9 of the command and its process."""
    from mailroster.cli import main

    seen = set()
    for number in range(1, 400, KILLED_EACH):
        home = tmp_path / str(number)
        (home / "config").mkdir(parents=True)
        accounts = home / "config/postfix-accounts.cf"
        accounts.write_text(f"{A}|{HASH}\nb@x.test|{HASH}\n")
        (home / "mail-data/x.test/a/cur").mkdir(parents=True)
        (home / "mail-data/x.test/a/cur/1").write_text("old")
        give_to_mail_user(home / "mail-data")
        end = in_child(lambda number=number, home=home: _dying(number, home))  # type: ignore[misc]
        mailbox, there = home / "mail-data/x.test/a", A in accounts.read_text()
        assert mailbox.exists() or not there, number
        code = main(["--home", str(home), "email", "del", "-y", "b@x.test"])
        assert code == 0, (number, capsys.readouterr().err)
        there = A in accounts.read_text()  # its edit was recovered
        names = os.listdir(home / "mail-data/x.test")
        assert names == (["a"] if there else []), (number, names)
        seen.add(there)
        if end == "done":
            break
    assert end == "done"
    assert seen == {True, False}


def _dying(at: int, home: Path) -> None:
    """The deletion, in a process that dies at an effect with a number."""
    from mailroster.cli import main
    from tests.crashes.test_rename import dying

    with dying(at):
        assert main(["--home", str(home), "email", "del", "-y", A]) == 0


def test_the_program_that_works_for_a_server_with_threads_does_the_same(
    server: Instance, mailbox: Path
) -> None:
    folder = mail_folder(server.mail)
    done = threading.Event()

    def work() -> None:
        folder.announce_deletion([_address()])
        folder.set_aside([_address()])
        folder.purge(["x.test"])
        folder.withdraw([_address()])
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert done.is_set()
    assert left(server) == []
    ours = ["pgrep", "-P", str(os.getpid()), "-f", "mailroster.servers.mail_user"]
    assert subprocess.run(ours, check=False).returncode == 1
