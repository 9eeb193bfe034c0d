"""What other users of the machine can do with the files of a used home: named one by one, with the
reason. Tried by processes of other users, not by looking at modes."""

import fnmatch
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.attacks.parties import MAIL_UID, PYTHON, argv_as
from tests.support.host import Host
from tests.support.instance import HASH, PASSWORD, Instance, free_ports, until
from tests.support.project import ROOT

#: Tries everything with every path that it is told, and prints what it could do, by deed.
TRIER = """
import json, os, socket, stat, sys
done = {"read": [], "write": [], "list": [], "enter": [], "make": [], "connect": []}
def tries(deed, path, act):
    try:
        act()
        done[deed].append(path)
    except OSError:
        pass
def make(path):
    new = os.path.join(path, ".attack")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(new)
def connect(path):
    os.chdir(os.path.dirname(path))  # a path may be too long for a socket
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.settimeout(2)
                client.connect(os.path.basename(path))
            return
        except OSError as error:
            last = error
    raise last
for path, kind in json.load(sys.stdin):
    if kind == "folder":
        tries("list", path, lambda: os.listdir(path))
        tries("enter", path, lambda: os.stat(path + "/."))
        tries("make", path, lambda: make(path))
    elif kind == "socket":
        tries("connect", path, lambda: connect(path))
    else:
        tries("read", path, lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
        tries("write", path, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
json.dump(done, sys.stdout)
"""


class Open(NamedTuple):
    """What is open to every user of the machine, for which deeds, and why."""

    path: str  # below the home, with * as fnmatch(3) knows it
    deeds: str
    why: str


_SERVERS = "the users of the servers pass through it, each to folders of its own"
_PUBLIC = "it says what the servers say to every client, and commands of other users read it"
_THEIRS = "the administrator's: we neither make it nor change its mode"
OPEN = (
    Open("", "list enter", _THEIRS),
    Open("config", "list enter", _THEIRS),
    Open("config/mailroster.toml", "read", _THEIRS),
    Open("mail-state", "enter", _SERVERS),
    Open("mail-state/origin", "read", _PUBLIC),
    Open("mail-state/mail-folder", "read", _PUBLIC),
    Open("mail-state/dovecot-version", "read", _PUBLIC),
    Open("mail-state/lib", "enter", _SERVERS),
    Open("mail-state/tls", "enter", "for the certificate"),
    Open("mail-state/tls/cert.pem", "read", "clients verify by it; its key is closed"),
    Open("mail-state/run", "list enter", "Dovecot's master gives its base_dir mode 0755"),
    Open("mail-state/run/empty", "list enter", "Dovecot's, where its processes chroot to"),
    Open("mail-state/run/auth-userdb", "connect", "Dovecot's: it answers only a user's own lookup"),
    Open("mail-state/run/imap-urlauth", "connect", "Dovecot's: it wants a login"),
    Open("mail-state/run/indexer", "connect", "Dovecot's default: it indexes what exists"),
    Open("mail-state/run/dns-client", "connect", "Dovecot's: it resolves names"),
    Open("mail-state/rspamd", "enter", _SERVERS),
    Open("mail-logs", "enter", "Postfix's user writes there at a start; the files are closed"),
)
#: In the layout `system`, where Postfix is the machine's own.
_MACHINES = "sendmail(1), mailq(1) and postdrop(1) of every user go through it"
_COPIES = "Debian 13 copies here what is open in /etc, for services that see no other folder"
OPEN_IN_SYSTEM = (
    *(one for one in OPEN if one.path.startswith("mail-")),
    Open("mail-state/postfix", "enter", _MACHINES),
    Open("mail-state/postfix/main.cf", "read", _MACHINES),
    Open("mail-state/spool", "enter", _MACHINES),
    Open("mail-state/spool/pid", "list enter", "Postfix's: its files are closed"),
    Open("mail-state/spool/etc", "list enter", _COPIES),
    Open("mail-state/spool/etc/*", "read", _COPIES),
)
#: Beside the servers of a host, which have their own folders.
OPEN_ON_A_HOST = (
    Open("mail-state", "enter", _SERVERS),
    Open("mail-state/origin", "read", _PUBLIC),
    Open("mail-state/mail-folder", "read", _PUBLIC),
    Open("mail-state/dovecot-version", "read", _PUBLIC),
    Open("mail-state/layout", "read", "it says `host`; commands of other users read it"),
    Open("mail-logs", "enter", "the files are closed"),
)

Runner = Callable[[str | int, list[tuple[str, str]]], str]


def kind_of(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return "folder"
    return "socket" if stat.S_ISSOCK(mode) else "file"


def everything(home: Path) -> list[tuple[str, str]]:
    """Every path of a home with its kind. A link is what it leads to, and that is elsewhere."""
    found = []
    for path in (home, *home.rglob("*")):
        with suppress(FileNotFoundError):  # a temporary file of a server
            if not path.is_symlink():
                found.append((str(path), kind_of(path)))
    return found


def by_setpriv(user: str | int, paths: list[tuple[str, str]]) -> str:
    argv = argv_as(user, [PYTHON, "-c", TRIER])
    done = subprocess.run(argv, input=json.dumps(paths), capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def deeds_of(user: str | int, home: Path, run: Runner = by_setpriv) -> dict[str, set[str]]:
    """What a user can do with what is in a home: path below it -> deeds."""
    found: dict[str, set[str]] = {}
    for deed, paths in json.loads(run(user, everything(home))).items():
        for path in paths:
            below = os.path.relpath(path, home)
            found.setdefault("" if below == "." else below, set()).add(deed)
    return found


def unexplained(deeds: dict[str, set[str]], explained: tuple[Open, ...]) -> dict[str, set[str]]:
    """What no entry of a table explains."""
    left = {}
    for path, done in deeds.items():
        why = [one for one in explained if fnmatch.fnmatchcase(path, one.path)]
        rest = done - {deed for one in why for deed in one.deeds.split()}
        if rest:
            left[path] = rest
    return left


OVERRIDES = {
    "postfix-main.cf": "message_size_limit = 20000000\n# OVERSECRET\n",
    "postfix-master.cf": "submission/inet/syslog_name=postfix/OVERSECRET\n",
    "dovecot.cf": "mail_max_userip_connections = 40\n# OVERSECRET\n",
}


def put(instance: Instance, name: str, text: str) -> None:
    """A file of the config folder as its administrator closes it."""
    instance.file(name).touch(mode=0o600)
    instance.file(name).write_text(text)


def use(instance: Instance) -> None:
    """What the users of a home do in years: every kind of file is there afterwards."""
    for name, text in OVERRIDES.items():
        put(instance, name, text)
    instance.start()
    for name in ("john", "jane", "max"):
        instance.setup("email", "add", f"{name}@example.com", PASSWORD)
    instance.setup("quota", "set", "max@example.com", "100K")
    instance.setup("alias", "add", "info@example.com", "john@example.com")
    instance.setup("email", "restrict", "add", "send", "jane@example.com")
    instance.setup("email", "restrict", "add", "receive", "jane@example.com")
    instance.setup("dovecot-master", "add", "boss", PASSWORD)
    instance.setup("relay", "add-domain", "relayed.test", "127.0.0.1", "2525")
    instance.setup("relay", "add-auth", "relayed.test", "customer", "relay-secret")
    put(instance, "postfix-regexp.cf", "/^rx[0-9]+@example\\.com$/ john@example.com\n")
    put(instance, "postfix-aliases.cf", "abuse: john@example.com\n")
    with instance.file("postfix-accounts.cf").open("a") as file:
        file.write(f"odd@example.com|{HASH}|userdb_mail_max_userip_connections=3\n")
    for name in ("before", "jane@example.com"):
        put(instance, f"{name}.dovecot.sieve", 'require "fileinto";\nkeep;\n')
    until(lambda: instance.rcpt("rx1@example.com")[0] == 250)
    until(lambda: instance.can_log_in("odd@example.com"))
    instance.send("info@example.com", subject="to an alias")
    instance.arrives("john@example.com", "to an alias")
    instance.send("max@example.com", subject="large", size=90_000)
    until(lambda: any("full" in one for one in instance.subjects("max@example.com")))
    with instance.file("dovecot-app-passwords.cf").open("w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(
            f"john@example.com|phone|{{SHA256.HEX}}{sha256(PASSWORD.encode()).hexdigest()}\n"
        )
    for kind in ("rsa", "ed25519"):
        instance.setup("config", "dkim", "keytype", kind)
    instance.setup("block", "add", "192.0.2.1")
    until(lambda: "OpenDKIM signs" in instance.log.read_text())
    until(lambda: "Rspamd filters" in instance.log.read_text(), 180)
    instance.setup("email", "rename", "jane@example.com", "june@example.com")
    instance.setup("apply", "--verify")
    until(lambda: instance.run("status").returncode == 0)


@pytest.fixture(scope="module")
def home() -> Iterator[Instance]:
    """A home in use, whose servers were stopped and started again."""
    reports, forward, reverse = free_ports(3)
    instance = Instance(
        quota_warnings="50", block_guessing=True, login_reports_port=reports, enable_rspamd=True,
        enable_srs=True, srs_forward_port=forward, srs_reverse_port=reverse,
    )  # fmt: skip
    try:
        use(instance)
        assert instance.stop() == 0
        instance.start()
        yield instance
    finally:
        instance.close()


OTHERS = ("nobody", 1234)


@pytest.mark.parametrize("user", OTHERS)
def test_what_others_can_do_with_a_used_home_is_named_with_its_reason(
    home: Instance, user: str | int
) -> None:
    deeds = deeds_of(user, home.home)
    # The log of `up` is the test's own.
    assert unexplained(deeds, (*OPEN, Open("up.log", "read", "the test's"))) == {}


def test_every_reason_is_needed(home: Instance) -> None:
    """What Dovecot no longer makes, or no longer opens, must not stay in the table."""
    deeds = deeds_of("nobody", home.home)
    of_one_version = {"mail-state/run/empty", "mail-state/run/imap-urlauth"}
    unneeded = [one.path for one in OPEN if set(one.deeds.split()) - deeds.get(one.path, set())]
    assert set(unneeded) <= of_one_version


def test_the_home_is_a_used_one(home: Instance) -> None:
    """Each kind of file is there, so that the test above has seen it."""
    for path in (
        "mail-logs/mail.log", "mail-logs/dovecot.log", "mail-logs/policy.log",
        "mail-state/tables/aliases.lmdb", "mail-state/tables/regexp", "mail-state/sql/roster.db",
        "mail-state/sql/exceptions", "mail-state/overrides/postfix-main.cf",
        "mail-state/postfix/main.cf", "mail-state/postfix/master.cf",
        "mail-state/dovecot/dovecot.conf", "mail-state/dovecot/quota-warning",
        "mail-state/sieve/before.svbin", "mail-state/served/postfix-virtual.cf",
        "mail-state/locks/up.pid", "mail-state/locks/policy.pid", "mail-state/tls/key.pem",
        "mail-data/example.com/max/dovecot.index.log", "config/.mailroster-history",
    ):  # fmt: skip
        assert (home.home / path).exists(), path


def test_no_file_or_folder_is_writable_for_others_or_for_a_group_it_is_not_for(
    home: Instance,
) -> None:
    groups = {"mail-state/sql": "dovecot", "mail-data": str(MAIL_UID), "mail-state/spool": "post"}
    for path, _ in everything(home.home):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue  # a temporary file of a server
        if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            continue
        assert not status.st_mode & stat.S_IWOTH, path
        if status.st_mode & stat.S_IWGRP:
            below = os.path.relpath(path, home.home)
            (group,) = (g for place, g in groups.items() if below.startswith(place))
            assert (
                Path(path).group().startswith(group)
                if group != "5000"
                else (status.st_gid == MAIL_UID)
            ), path


#: What each user of the servers reads below the state folder and the logs, beside what is open to
#: all, and nothing else.
READERS: dict[str | int, tuple[str, ...]] = {
    # The keys are closed to it, as the next test shows.
    "postfix": ("mail-state/dkim/*", "mail-state/rspamd/run/milter", "mail-state/tables/*",
                "mail-state/postmap/*", "mail-state/spool*",
                "mail-state/lib/postfix*", "mail-state/run/*", "mail-logs/mail.log*"),
    "dovecot": ("mail-state/sql*", "mail-state/run/*"),
    MAIL_UID: ("mail-state/sieve/*", "mail-state/sieve-mail/sendmail", "mail-state/run/*",
               "mail-state/rspamd/control/controller", "mail-state/spam-sieve/*", "mail-data/*"),
    "opendkim": (),  # with its own group; as a process it has that of Postfix, for its socket
    "_rspamd": ("mail-state/rspamd/*", "mail-logs/rspamd.log"),
    "postsrsd": (),  # it gets its secret before it becomes this user
}  # fmt: skip


@pytest.mark.parametrize("user", READERS)
def test_each_user_of_the_servers_reads_its_own_files_only(home: Instance, user: str | int) -> None:
    deeds = deeds_of(user, home.home)
    read = {path for path, done in deeds.items() if done & {"read", "write"}}
    open_to_all = {path for path, done in deeds_of("nobody", home.home).items() if "read" in done}
    own = {path for path in read if any(fnmatch.fnmatchcase(path, p) for p in READERS[user])}
    assert read - open_to_all - own == set()
    assert own or not READERS[user], "it serves nothing"


def test_passwords_of_relays_and_keys_are_read_by_no_user_of_the_servers(home: Instance) -> None:
    for user in READERS:
        read = {path for path, done in deeds_of(user, home.home).items() if "read" in done}
        assert not read & {
            "mail-state/tables/relay_passwords.lmdb", "mail-state/tls/key.pem",
            "mail-state/postfix/main.cf", "mail-state/overrides/postfix-main.cf",
            "mail-state/dovecot/dovecot.conf", "config/postfix-accounts.cf",
            "mail-state/dovecot/login-reports.conf", "mail-state/locks/login-reports.key",
            "mail-state/srs-secret",
            "config/dovecot-app-passwords.cf", "config/opendkim/keys/example.com/mail.private",
        }, user  # fmt: skip


def test_a_copy_of_an_override_is_never_more_open_than_its_source(home: Instance) -> None:
    for user in (*OTHERS, *READERS):
        read = [path for path, done in deeds_of(user, home.home).items() if "read" in done]
        for path in read:
            assert b"OVERSECRET" not in (home.home / path).read_bytes(), (user, path)


#: How an earlier version has left its files.
EARLIER = {0o755: ("", "tables", "postfix", "overrides", "spool", "lib", "lib/dovecot", "tls",
                   "dovecot", "sieve"),
           0o644: ("tables/aliases.lmdb", "tables/regexp", "overrides/dovecot.cf",
                   "postfix/main.cf", "postfix/master.cf", "dovecot/dovecot.conf", "stopped",
                   "overrides/postfix-main.cf", "served/built")}  # fmt: skip


def test_a_home_of_an_earlier_version_is_closed_at_the_next_start(home: Instance) -> None:
    assert home.stop() == 0
    logs = home.home / "mail-logs"
    shutil.copy(logs / "mail.log", logs / "mail.log.1")
    for path in logs.iterdir():
        path.chmod(0o644)
        os.chown(path, 0, 0)
    for mode, names in EARLIER.items():
        for name in names:
            (home.state / name).touch()
            (home.state / name).chmod(mode)
            os.chown(home.state / name, 0, 0)
    for name in ("up.pid", "policy.pid"):
        (home.state / name).write_text("1\n")
        (home.state / name).chmod(0o644)
    assert unexplained(deeds_of("nobody", home.home), OPEN), "this is how it was"
    home.start()
    home.send("john@example.com", subject="after the upgrade")
    home.arrives("john@example.com", "after the upgrade")
    assert home.rcpt("rx7@example.com")[0] == 250
    until(lambda: "after-upgrade" in home.setup("email", "list") or added(home))
    for user in OTHERS:
        deeds = deeds_of(user, home.home)
        assert unexplained(deeds, (*OPEN, Open("up.log", "read", "the test's"))) == {}


def added(home: Instance) -> bool:
    return home.run("email", "add", "after-upgrade@example.com", PASSWORD).returncode == 0


def test_a_log_that_has_a_second_name_keeps_its_mode(home: Instance) -> None:
    """In a folder where others could link, it may be any file of root's."""
    assert home.stop() == 0
    elsewhere = home.home / "elsewhere"
    elsewhere.write_text("root's\n")
    elsewhere.chmod(0o644)
    os.link(elsewhere, home.home / "mail-logs/mail.log.2")
    try:
        home.start()
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
    finally:
        (home.home / "mail-logs/mail.log.2").unlink()
        elsewhere.unlink()


# -- the other layouts, in namespaces with a whole machine's folders

STATE, LOGS = "/var/lib/mailroster", "/var/log/mailroster"
_LISTER = """
import json, os, stat, sys
found = []
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(top):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                kind = "socket" if stat.S_ISSOCK(mode) else "file"
                found.append((path, "folder" if stat.S_ISDIR(mode) else kind))
json.dump(found, sys.stdout)
"""


def deeds_inside(host: Host, user: str | int) -> dict[str, set[str]]:
    """As `deeds_of`, of the state folder and the logs of a host."""
    paths = host.run(PYTHON, "-c", _LISTER, STATE, LOGS)
    done = host.inside(*argv_as(user, [PYTHON, "-c", TRIER]), stdin=paths)
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    for deed, some in json.loads(done.stdout).items():
        for path in some:
            below = path.replace(STATE, "mail-state", 1).replace(LOGS, "mail-logs", 1)
            found.setdefault(below, set()).add(deed)
    return found


def mail_of(host: Host) -> str:
    return host.inside("doveadm", "fetch", "-u", "john@example.com", "text", "all").stdout


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()
    try:
        yield found
    finally:
        found.close()


def test_beside_the_servers_of_a_host_as_little_is_open(host: Host) -> None:
    assert host.setup("integrate", "--apply").returncode == 0
    host.start()
    host.watch()
    try:
        for name in ("john", "jane"):
            assert host.setup("email", "add", f"{name}@example.com", PASSWORD).returncode == 0
        assert host.setup("alias", "add", "info@example.com", "john@example.com").returncode == 0
        assert "250 2.0.0 Ok" in host.send("info@example.com")  # by the chrooted smtpd
        until(lambda: "Subject" in mail_of(host))
        for user in OTHERS:
            assert unexplained(deeds_inside(host, user), OPEN_ON_A_HOST) == {}
        read = {path for path, done in deeds_inside(host, "postfix").items() if "read" in done}
        assert "mail-state/tables/mailboxes.lmdb" in read
        assert "mail-state/sql/roster.db" not in read
    finally:
        host.stop_watch()
        host.stop()


@pytest.mark.parametrize("override", ["", "open", "closed"])
def test_where_postfix_is_the_machines_own_every_user_can_send(host: Host, override: str) -> None:
    """Unless an override is closed to users: its text stands in main.cf."""
    if override:
        host.write("/etc/mailroster/postfix-main.cf", "bounce_queue_lifetime = 4d\n")
        host.run("chmod", "644" if override == "open" else "600", "/etc/mailroster/postfix-main.cf")
    accounts = "".join(f"{name}@example.com|{HASH}\n" for name in ("john", "jane"))
    host.write("/etc/mailroster/postfix-accounts.cf", accounts)
    script = "/etc/mailroster/jane@example.com.dovecot.sieve"
    actions = 'redirect "john@example.com"; redirect "friend@elsewhere.invalid"; vacation "away";'
    host.write(
        script, f'require ["vacation", "enotify"]; {actions} notify "mailto:a@pager.invalid";\n'
    )
    argv = ["up", "--layout", "system", "--adopt"]
    with (host.folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            ["nsenter", "-t", host._pid, "--root", "--mount", "--net", "--pid", "--ipc",
             f"--wd={ROOT}", sys.executable, "-m", "mailroster", *argv],
            stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
        )  # fmt: skip
    said = host.folder / "up.log"
    try:
        until(lambda: b"ready" in said.read_bytes() or up.poll() is not None, 60)
        assert up.poll() is None, said.read_text()
        warned = "main.cf is closed too" in said.read_text()
        assert warned == (override == "closed")
        mail = "From: nobody\nSubject: by sendmail\n\nhello\n"
        sendmail = argv_as("nobody", ["/usr/sbin/sendmail", "-f", "john@example.com"])
        sent = host.inside(*sendmail, "john@example.com", stdin=mail)
        assert (sent.returncode == 0) == (override != "closed"), sent.stderr
        if override != "closed":
            until(lambda: "by sendmail" in mail_of(host))
            assert host.inside(*argv_as("nobody", ["mailq"])).returncode == 0
        host.send("jane@example.com", "--header", "Subject: by Sieve")
        until(lambda: "by Sieve" in mail_of(host))  # whether or not sendmail(1) works
        for address in ("friend@elsewhere.invalid", "a@elsewhere.test", "a@pager.invalid"):
            until(lambda: address in host.inside("postqueue", "-j").stdout)  # noqa: B023
        for user in OTHERS:
            deeds = deeds_inside(host, user)
            assert unexplained(deeds, OPEN_IN_SYSTEM) == {}
            assert ("mail-state/postfix/main.cf" in deeds) == (override != "closed")
    finally:
        host.run("sh", "-c", "kill -TERM $(cat /var/lib/mailroster/locks/up.pid)")
        up.wait(60)
