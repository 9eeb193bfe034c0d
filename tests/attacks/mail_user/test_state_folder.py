"""Users dovecot, postfix and 5000 put links at each name that root writes in a folder of theirs:
while the server runs, before it starts, and while it changes. No file of root's becomes another,
and none is read out."""

import os
import pwd
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.daemons.policy.service import _listen
from mailroster.servers import ownership
from mailroster.servers.prepare import _create_mail_log
from tests.support.attacks.parties import MAIL_UID, python_as, run_as
from tests.support.attacks.victims import EXCHANGING, SECRET, look, victim
from tests.support.instance import HASH, Instance, save, until

#: Names of the folder `sql` that root, or SQLite as root, opens, makes, renames or removes.
SQL = ("exceptions", "exceptions-spelt", "roster.db")
BESIDE = (".new", "-wal", "-shm", "-journal", ".new-wal", ".new-shm", ".new-journal")
NAMES = (*SQL, *(name + end for name in SQL for end in BESIDE))
EXCEPTIONAL = f"e@x.test|{HASH}|userdb_quota_rule2=Trash:storage=+1G\n"
RACES = int(os.environ.get("RACES", "12"))


@pytest.fixture
def aim() -> Iterator[Path]:
    with victim("a") as path:
        yield path


@pytest.fixture
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        made.file("postfix-accounts.cf").write_text(f"a@x.test|{HASH}\n{EXCEPTIONAL}")
        made.start()
        yield made
    finally:
        made.close()


def links(
    user: str, folder: Path, names: tuple[str, ...], target: Path, *, over: bool = True
) -> list[str]:
    """Puts links as a user at some names; those where it could. `over`: in the place of what is
    there."""
    for name in names:
        if over:
            run_as(user, "rm", "-rf", str(folder / name))
        run_as(user, "ln", "-s", str(target), str(folder / name))
    return [name for name in names if (folder / name).is_symlink()]


def edit(server: Instance, number: int) -> None:
    """A hand edit that changes the passwd-file of exceptions and the database."""
    text = f"a@x.test|{HASH}\n{EXCEPTIONAL}"
    text += f"e{number}@x.test|{HASH}|userdb_quota_rule2=Trash:storage=+{number}G\n"
    save(server.file("postfix-accounts.cf"), f"{text}f{number}@x.test|{HASH}\n")
    until(lambda: server.can_log_in(f"e{number}@x.test") and server.can_log_in(f"f{number}@x.test"))


def test_user_dovecot_replaces_no_file_of_roots(instance: Instance) -> None:
    sql = instance.state / "sql"
    for name in SQL:
        assert (sql / name).stat().st_uid == 0
        assert run_as("dovecot", "rm", "-f", str(sql / name)).returncode != 0
        run_as("dovecot", "touch", str(sql / "mine"))
        assert run_as("dovecot", "mv", "-f", str(sql / "mine"), str(sql / name)).returncode != 0
    assert not [name for name in SQL if name in links("dovecot", sql, SQL, Path("/"))]


@pytest.mark.parametrize("what", ["secret", "a", "not-there", "database"])
def test_links_while_it_runs(instance: Instance, aim: Path, what: str) -> None:
    sql = instance.state / "sql"
    shutil.copy(sql / "roster.db", aim / "database")
    before = look(aim)
    for number in range(1, 4):
        # Not over the log in use: without it user dovecot loses its own logins.
        links("dovecot", sql, NAMES, aim / what, over=False)
        old = ("exceptions.new",)  # unless a change that goes on has just removed it
        until(lambda old=old: bool(links("dovecot", sql, old, aim / what)))  # type: ignore[misc]
        if number == 2:
            instance.setup("apply", "--verify")
        edit(instance, number)
        assert look(aim) == before
        assert SECRET.strip() not in (sql / "exceptions").read_text()
        assert (sql / "exceptions").stat().st_uid == 0
    assert instance.stop() == 0
    assert look(aim) == before


@pytest.mark.parametrize("what", ["secret", "a", "not-there", "database"])
def test_links_before_a_start_and_in_the_place_of_lost_tables(
    instance: Instance, aim: Path, what: str
) -> None:
    sql = instance.state / "sql"
    shutil.copy(sql / "roster.db", aim / "database")
    assert instance.stop() == 0
    before = look(aim)
    for path in sql.iterdir():
        path.unlink()
    assert set(links("dovecot", sql, NAMES, aim / what)) == set(NAMES)
    instance.start()
    assert instance.can_log_in("a@x.test")
    assert instance.can_log_in("e@x.test")
    edit(instance, 1)
    assert look(aim) == before
    assert SECRET.strip() not in (sql / "exceptions").read_text()
    for name in SQL:
        assert stat.S_ISREG((sql / name).lstat().st_mode)
        assert (sql / name).stat().st_uid == 0


def test_hard_links_in_the_place_of_lost_tables(instance: Instance, aim: Path) -> None:
    """As where fs.protected_hardlinks is off."""
    sql = instance.state / "sql"
    assert instance.stop() == 0
    for name in SQL:
        (sql / name).unlink()
        os.link(aim / "secret", sql / name)
    before = look(aim)
    instance.start()
    assert instance.can_log_in("e@x.test")
    edit(instance, 1)
    after = look(aim)
    assert {name: found.content for name, found in after.items()} == {
        name: found.content for name, found in before.items()
    }
    assert (after["secret"].uid, after["secret"].mode) == (0, before["secret"].mode)
    assert SECRET.strip() not in (sql / "exceptions").read_text()


def test_links_that_come_and_go_at_that_moment(instance: Instance, aim: Path) -> None:
    sql, before = instance.state / "sql", look(aim)
    run_as("dovecot", "ln", "-s", str(aim / "secret"), str(sql / "exceptions.new"))
    run_as("dovecot", "ln", "-s", str(aim / "secret"), str(sql / "roster.db.new"))
    coming = """
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    for name in ("exceptions.new", "roster.db.new", "roster.db-wal", "roster.db-shm"):
        try: os.symlink(sys.argv[2], name)
        except OSError: pass
"""
    with python_as("dovecot", coming, str(sql), str(aim / "secret")):
        for number in range(1, RACES):
            text = f"a@x.test|{HASH}\n{EXCEPTIONAL}g{number}@x.test|{HASH}|userdb_x={number}\n"
            save(instance.file("postfix-accounts.cf"), text)
            instance.run("apply", "--verify", "--removals")
            assert look(aim) == before
    edit(instance, 1)
    assert look(aim) == before


def test_the_auth_workers_are_not_roots_and_need_not_be(instance: Instance) -> None:
    assert instance.can_log_in("a@x.test")
    assert instance.can_log_in("e@x.test")
    instance.send("a@x.test", subject="userdb")
    instance.arrives("a@x.test", "userdb")
    dovecot = pwd.getpwnam("dovecot").pw_uid
    status = [Path(f"/proc/{pid}/status").read_text() for pid in _workers(instance)]
    assert len(status) > 1, "the process itself and its workers"
    assert all(f"Uid:\t{dovecot}\t{dovecot}\t{dovecot}" in text for text in status), status
    log = (instance.home / "mail-logs/dovecot.log").read_text()
    assert "Error" not in log, log
    instance.setup("email", "add", "late@x.test", "--hash", HASH)
    assert instance.can_log_in("late@x.test")


def _workers(instance: Instance) -> list[int]:
    conf = str(instance.state / "run")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        master = int((Path(conf) / "master.pid").read_text())
        if parent == master and b"auth" in command:
            found.append(int(pid))
    return found


# -- the queue and the folders of Postfix


OLD_UID = 12345


@pytest.mark.parametrize("hard", [False, True], ids=["links", "hard links"])
def test_a_queue_is_handed_over_and_nothing_else(tmp_path: Path, aim: Path, hard: bool) -> None:
    """Under another number, as after a move to another Debian; the old number is somebody's."""
    layout = Layout(str(tmp_path))
    places = [Path(layout.postfix_data), *(Path(layout.spool, n) for n in ("active", "maildrop"))]
    for place in places:
        (place / "1/2").mkdir(parents=True)
        (place / "1/2/message").write_text("mail")
        (place / "link").symlink_to(aim)
        (place / "1/secret").symlink_to(aim / "secret")
        if hard:
            os.link(aim / "secret", place / "1/hard")
        for folder, folders, files in os.walk(place):
            for name in (*folders, *files):
                if name != "hard":
                    os.lchown(os.path.join(folder, name), OLD_UID, -1)
        os.chown(place, OLD_UID, -1)
    before = look(aim)
    if hard:
        os.chown(aim / "secret", OLD_UID, -1)  # a file of the user's own, which has two names
        before = look(aim)
    ownership.hand_over_queue(layout)
    assert look(aim) == before
    postfix = pwd.getpwnam("postfix").pw_uid
    assert {place.stat().st_uid for place in places} == {postfix}
    assert (places[1] / "1/2/message").stat().st_uid == postfix
    assert (places[2] / "1/2/message").stat().st_uid == OLD_UID


def test_the_queue_is_handed_over_while_its_old_owner_exchanges_folders(
    tmp_path: Path, aim: Path
) -> None:
    layout = Layout(str(tmp_path))
    for above in (tmp_path, *tmp_path.parents[:-2]):
        above.chmod(0o755)
    os.chown(aim, OLD_UID, -1)  # a folder that only has the same number
    (aim / "2").mkdir()
    (aim / "2/message").write_text("of root")
    before = look(aim)
    active = Path(layout.spool, "active")
    for _ in range(RACES):
        shutil.rmtree(active, ignore_errors=True)
        (active / "1/2").mkdir(parents=True)
        (active / "1/2/message").write_text("mail")
        (active / "link").symlink_to(aim)
        for path in (active, *active.rglob("*")):
            os.lchown(path, OLD_UID, -1)
        with python_as(OLD_UID, EXCHANGING, str(active), "1", "link"):
            ownership.hand_over_queue(layout)
        assert look(aim) == before


def test_postfix_can_put_no_link_in_the_place_of_the_socket(tmp_path: Path, aim: Path) -> None:
    """On a host the socket of the policy service lies in a folder of Postfix's."""
    for above in (tmp_path, *tmp_path.parents[:-2]):
        above.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    postfix = pwd.getpwnam("postfix")
    os.chown(private, postfix.pw_uid, 0)
    link = private / "link"
    link.symlink_to(aim / "secret")
    os.lchown(link, postfix.pw_uid, -1)
    before = look(aim)
    with python_as("postfix", EXCHANGING, str(private), "policy", "link"):
        for _ in range(100 * RACES):
            try:
                _listen(str(private / "policy")).close()
            except OSError:
                pass  # the attacker's link is in the way: the service is started again later
            assert look(aim)["secret"] == before["secret"]
    if not link.is_symlink():
        (private / "policy").rename(link)
    (private / "policy").unlink(missing_ok=True)
    _listen(str(private / "policy")).close()
    status = (private / "policy").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (postfix.pw_uid, 0o600)


# -- what else root writes


@pytest.mark.parametrize("user", ["dovecot", "postfix", "nobody", MAIL_UID, "dovenull"])
def test_no_other_folder_that_root_writes_to_is_theirs(instance: Instance, user: str | int) -> None:
    """Each folder below the home: who can write there is expected, or the test fails."""
    state = instance.state
    theirs = {
        "dovecot": {"sql"},
        "postfix": {"lib/postfix", "spool"},
        "nobody": set[str](),
        "dovenull": set[str](),
        MAIL_UID: set[str](),
    }[user]
    find = ["find", str(instance.home), "-type", "d", "-writable"]
    found = run_as(user, *find).stdout.splitlines()
    strange = [
        path for path in found
        if not any(path.startswith(f"{state}/{name}") for name in theirs)
        and not (user == MAIL_UID and path.startswith(str(instance.mail)))
    ]  # fmt: skip
    assert strange == []


def test_sockets_are_removed_below_no_link(instance: Instance, aim: Path) -> None:
    """A change of the settings removes the sockets of the old Dovecot."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(aim / "a/socket"))
    before = look(aim)
    (instance.state / "run/link").symlink_to(aim / "a")
    assert instance.stop() == 0
    save(instance.file("dovecot.cf"), "mail_max_userip_connections = 7\n")
    instance.start()
    assert look(aim) == before


def test_a_log_with_another_name_is_given_to_no_other_user(instance: Instance, aim: Path) -> None:
    assert instance.stop() == 0
    log = instance.home / "mail-logs/mail.log"
    log.unlink()
    os.link(aim / "secret", log)
    before = look(aim)
    with pytest.raises(OSError, match="one name"):
        _create_mail_log(str(log), pwd.getpwnam("postfix").pw_uid)
    assert look(aim) == before
    log.unlink()
