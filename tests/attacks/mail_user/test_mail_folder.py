"""The owner of the mail, uid 5000, puts links where root makes, renames and deletes mailboxes, and
exchanges folders with links at that moment. No file of root's becomes another."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.servers.mail_deletion import DELETED, DELETING
from mailroster.servers.mail_work import UIDLIST_LOCK
from tests.support.attacks.parties import MAIL_UID, PYTHON, python_as, run_as
from tests.support.attacks.victims import EXCHANGING, look, victim
from tests.support.instance import HASH, Instance
from tests.support.mailboxes import mail_folder

#: How often a race is tried. The attack of 12 tries won 2 before.
RACES = int(os.environ.get("RACES", "12"))


@pytest.fixture
def aim() -> Iterator[Path]:
    """What is aimed at; the names in it are those of mailboxes."""
    names = [f"{word}{number}" for number in range(RACES) for word in ("lib", "old", "new")]
    with victim("a", "b", *names) as path:
        yield path


def as_mail(*argv: str) -> None:
    done = run_as(MAIL_UID, *argv)
    assert done.returncode == 0, done


def reset(server: Instance, *mailboxes: str) -> None:
    """Accounts a and b, and some mailboxes, as Dovecot makes them; nothing else."""
    accounts = server.file("postfix-accounts.cf")
    accounts.write_text("".join(f"{user}@x.test|{HASH}\n" for user in "ab"))
    server.file("postfix-virtual.cf").write_text("")
    server.file(".mailroster-moves").unlink(missing_ok=True)
    server.setup("apply", "--removals")
    as_mail("sh", "-c", f"cd {server.mail} && rm -rf ..?* .[!.]* *")
    for mailbox in mailboxes:
        as_mail("mkdir", "-p", f"{server.mail}/{mailbox}/cur")
        as_mail("cp", "/etc/hostname", f"{server.mail}/{mailbox}/cur/1")


def link(to: Path, place: Path) -> None:
    """As uid 5000, in the place of whatever is there."""
    as_mail("mkdir", "-p", str(place.parent))
    as_mail("rm", "-rf", str(place))
    as_mail("ln", "-s", str(to), str(place))


COMMANDS = (
    ("email", "rename", "a@x.test", "c@x.test"),
    ("email", "rename", "a@x.test", "a@y.test"),
    ("email", "del", "-y", "a@x.test"),
    ("email", "add", "c@x.test", "--hash", HASH),
    ("email", "add", "a@y.test", "--hash", HASH),
    ("email", "list"),
)
#: Names that one of our programs makes or looks for, but for those of domains and mailboxes.
BESIDE = (
    "x.test/.a.new", "x.test/.c.new", "y.test/.a.new", ".x.test.new", ".y.test.new",
    f"x.test/{DELETING}a", f"x.test/{DELETING}c", f"y.test/{DELETING}a", f"x.test/{DELETED}a:0",
    f"y.test/{DELETED}a:0", f"x.test/{UIDLIST_LOCK}",
)  # fmt: skip
LINKS = {
    "the domain": ("x.test",),
    "the other domain": ("y.test",),
    "the mailbox": ("x.test/a",),
    "the new mailbox": ("x.test/c", "y.test/a"),
    "names beside": BESIDE,
}


@pytest.mark.parametrize("to", ["a folder", "a file"])
@pytest.mark.parametrize("places", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[1:4]).split(" --")[0])
def test_a_link_at_any_name_leads_root_nowhere(
    server: Instance, aim: Path, words: tuple[str, ...], places: tuple[str, ...], to: str
) -> None:
    target = aim / "secret" if to == "a file" else aim / "a" if "x.test/a" in places else aim
    before = look(aim)
    for mailboxes in (("x.test/a", "x.test/b"), ()):  # Dovecot has made them, or has not yet
        reset(server, *mailboxes)
        for place in places:
            link(target, server.mail / place)
        done = server.run(*words)
        assert look(aim) == before
        assert done.returncode in (0, 1, 75), done
        assert "Traceback" not in done.stderr, done.stderr


def test_what_is_no_folder_and_no_file_makes_no_command_wait(server: Instance) -> None:
    for make in ("mkfifo", "mkdir"):
        reset(server, "x.test/a")
        for name in (f"{DELETING}a", f"{DELETED}a:0"):
            as_mail(make, f"{server.mail}/x.test/{name}")
        server.setup("email", "del", "-y", "a@x.test")
        server.setup("email", "add", "a@x.test", "--hash", HASH)
        assert os.listdir(server.mail / "x.test") == []


# -- races: a folder and a link change places all the time


@pytest.mark.parametrize("what", ["the domain", "the mailbox", "the new domain"])
@pytest.mark.parametrize("verb", ["del", "rename"])
def test_root_loses_no_race(server: Instance, aim: Path, verb: str, what: str) -> None:
    reset(server)
    users = [f"{word}{number}" for number in range(RACES) for word in ("lib", "old")]
    lines = "".join(f"{user}@x.test|{HASH}\n" for user in users)
    server.file("postfix-accounts.cf").write_text(lines)
    server.setup("apply", "--removals")
    before = look(aim)
    for number in range(RACES):
        user = f"lib{number}" if verb == "del" else f"old{number}"
        as_mail("sh", "-c", f"cd {server.mail} && rm -rf * && mkdir -p x.test/{user}/cur y.test")
        folder, one, to = {
            "the domain": (server.mail, "x.test", aim),
            "the mailbox": (server.mail / "x.test", user, aim / user),
            "the new domain": (server.mail, "y.test", aim),
        }[what]
        link(to, folder / "link")
        words = ("del", "-y", f"{user}@x.test")
        if verb == "rename":
            words = ("rename", f"{user}@x.test", f"new{number}@y.test")
        with python_as(MAIL_UID, EXCHANGING, str(folder), one, "link"):
            done = server.run("email", *words)
        assert look(aim) == before, done
        assert done.returncode in (0, 1, 75), done
        assert "Traceback" not in done.stderr, done.stderr
    server.file(".mailroster-moves").unlink(missing_ok=True)


def test_a_start_looks_for_locks_below_no_link(server: Instance, aim: Path) -> None:
    (aim / "a" / UIDLIST_LOCK).write_text("of root")
    reset(server, "x.test/a/box", "x.test/b")
    for place in ("y.test", "x.test/c", "x.test/a/link"):
        link(aim / "a", server.mail / place)
    link(aim / "a" / UIDLIST_LOCK, server.mail / "x.test/b" / UIDLIST_LOCK)
    before = look(aim)
    link(aim / "a", server.mail / "x.test/a/other")
    with python_as(MAIL_UID, EXCHANGING, str(server.mail / "x.test/a"), "box", "other"):
        for _ in range(RACES):
            mail_folder(server.mail).unlock()
    assert look(aim) == before
    assert not (server.mail / "x.test/b" / UIDLIST_LOCK).is_symlink()


def test_folders_without_end_do_not_stop_a_start(server: Instance) -> None:
    reset(server, "x.test/a")
    nested = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')"
    as_mail(PYTHON, "-c", f"import os; os.chdir('{server.mail}/x.test/a')\n{nested}")
    as_mail("touch", f"{server.mail}/x.test/a/d/{UIDLIST_LOCK}")
    assert mail_folder(server.mail).unlock() == 1
    reset(server)


# -- the process that works as the mail's user

#: Looks for that process, does something to each, and says what it could read of it: ACT HOME. It
#: leaves those of other homes alone, which other tests use at the same time.
MEETING = """
import os, signal, sys
act, home = sys.argv[1], os.fsencode(sys.argv[2])
print("ready", flush=True)
met = set()
while True:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pid in met or os.stat(f"/proc/{pid}").st_uid not in (0, os.getuid()):
                continue
            status = open(f"/proc/{pid}/status").read()
            if f"Uid:\\t{os.getuid()}\\t" not in status or int(pid) == os.getpid():
                continue
            if home not in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0"):
                continue
            met.add(pid)
            os.kill(int(pid), signal.SIGSTOP if act == "stop" else signal.SIGKILL)
            read = []
            for name in ("mem", "environ", "maps", "fd/0", "fd/3", "cwd"):
                path = f"/proc/{pid}/{name}"
                try:
                    if os.readlink(path) if name[0] in "fc" else open(path, "rb").read(1):
                        read.append(name)
                except OSError:
                    pass
            print("met", *read, flush=True)
        except OSError:
            pass
"""

#: Makes so many files that their deletion takes a moment: FOLDER.
MANY = """
import os, sys
os.chdir(sys.argv[1])
for number in range(30_000):
    os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY))
"""


@pytest.mark.parametrize("act", ["kill", "stop"])
def test_a_process_that_is_stopped_or_killed_is_reported_and_gives_away_nothing(
    server: Instance, act: str
) -> None:
    reset(server, "x.test/a")
    as_mail(PYTHON, "-c", MANY, f"{server.mail}/x.test/a/cur")  # it takes a moment to delete them
    with python_as(MAIL_UID, MEETING, act, str(server.home)) as attacker:
        done = server.run("email", "del", "-y", "a@x.test")
        assert attacker.stdout is not None
        assert attacker.stdout.readline().split() == ["met"], "it read of that process"
    assert done.returncode == 75, done
    assert "was interrupted" in done.stderr, done
    # The account stays, or is gone; the next deletion, of any mailbox of the domain, goes on.
    server.run("email", "del", "-y", "a@x.test")
    server.setup("email", "del", "-y", "b@x.test")
    assert os.listdir(server.mail / "x.test") == []
