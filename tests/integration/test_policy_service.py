"""Unknown recipients, full mailboxes and senders as the policy service judges them, and mail when
it is down."""

import contextlib
import json
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import running
from tests.support.instance import HASH, PASSWORD, Instance, until
from tests.support.processes import children

SETTINGS = {"spoof_protection": True, "spoof_catch_all": True, "quota_warnings": "none"}
USERS = ("full", "free", "moved", "kept", "ann", "bob", "qa", "test1", "lost")
QUOTAS = "".join(f"{user}@x.com:20k\n" for user in ("full", "moved", "kept"))
ALIASES = """\
brim@x.com full@x.com
team@x.com free@x.com, full@x.com
everybody@x.com team@x.com, far@elsewhere.test
outward@x.com far@elsewhere.test, free@x.com
moved@x.com free@x.com
kept@x.com kept@x.com, free@x.com
list+all@x.com free@x.com, full@x.com
@caught.test free@x.com, full@x.com
@bob.test bob@x.com
info@x.com ann@x.com
press@x.com info@x.com
round@x.com dept-7@x.com
root full@x.com, free@x.com
lost@x.com ann@x.com
@old.test @x.com
@older.test @old.test
@bob-old.test @bob.test
@loop.test @loop-too.test
@loop-too.test @loop.test
stale@x.com nobody@x.com
deep@x.com stale@x.com
half@x.com nobody@x.com, free@x.com
away@x.com nobody@x.com, far@elsewhere.test
bare@x.com ghost
"""
PATTERNS = r"""
/^dept-\d+@x\.com$/ full@x.com
/^to-(.*)@x\.com$/ $1@x.com
/^test1@x\.com$/ qa@x.com
!/@(x|caught|bob|bob-old|old|older|loop|loop-too|mail\.example)\.(com|test)$/ qa@x.com
/^sales-/ press@x.com
/^gone-\d+@x\.com$/ nobody@x.com
"""
GRANTS = """\
news@far.test ann@x.com
bob@x.com ann@x.com
@bob.test ann@x.com
sales-0@x.com bob@x.com
"""


@pytest.fixture(scope="module")
def post(server: Instance) -> Instance:
    """The roster of this module: `full`, `moved` and `kept` are full."""
    server.file("postfix-accounts.cf").write_text("".join(f"{u}@x.com|{HASH}\n" for u in USERS))
    server.file("dovecot-quotas.cf").write_text(QUOTAS)
    server.setup("apply")
    for user in ("full", "moved", "kept"):
        server.send(f"{user}@x.com", subject="big", size=19000)
        server.arrives(f"{user}@x.com", "big")
    server.file("postfix-virtual.cf").write_text(ALIASES)
    server.file("postfix-regexp.cf").write_text(PATTERNS)
    server.file("postfix-sender-logins.cf").write_text(GRANTS)
    server.setup("apply")
    return server


def asked(post: Instance, *addresses: str, size: int = 9000) -> list[int]:
    """What one session answers to each recipient of a message of a size."""
    with post.smtp() as session:
        session.mail("somebody@elsewhere.test", [f"SIZE={size}"])
        return [session.rcpt(address)[0] for address in addresses]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        pytest.param("full@x.com", 552, id="a full mailbox"),
        pytest.param("Full+Tag@X.com", 552, id="an address of it with an extension"),
        pytest.param("free@x.com", 250, id="one with room"),
        pytest.param("brim@x.com", 552, id="an alias to it"),
        pytest.param("team@x.com", 552, id="an alias to it and another"),
        pytest.param("everybody@x.com", 552, id="an alias to that alias and elsewhere"),
        pytest.param("outward@x.com", 250, id="an alias to others alone"),
        pytest.param("moved@x.com", 250, id="a full mailbox whose alias leaves it out"),
        pytest.param("kept@x.com", 552, id="one whose alias keeps it"),
        pytest.param("list+all@x.com", 552, id="an alias with an extension in its key"),
        pytest.param("whoever@caught.test", 552, id="a catch-all"),
        pytest.param("dept-3@x.com", 552, id="a pattern"),
        pytest.param("to-full@x.com", 552, id="a pattern with a group"),
        pytest.param("to-to-team@x.com", 552, id="a pattern to a pattern to an alias"),
        pytest.param("to-free@x.com", 250, id="a pattern to one with room"),
        pytest.param("round@x.com", 552, id="an alias to a pattern"),
        pytest.param("root@mail.example.test", 552, id="a bare alias of the server"),
        pytest.param("nobody@x.com", 550, id="nobody"),
    ],
)
def test_a_full_mailbox_refuses_whatever_leads_to_it(
    post: Instance, address: str, code: int
) -> None:
    assert asked(post, address) == [code]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        pytest.param("nobody@old.test", 550, id="an unknown user of a moved domain"),
        pytest.param("nobody+tag@Old.test", 550, id="with an extension, in another case"),
        pytest.param("nobody@older.test", 550, id="of a chain of moved domains"),
        pytest.param("free@old.test", 250, id="a user of a moved domain"),
        pytest.param("free+tag@older.test", 250, id="of a chain, with an extension"),
        pytest.param("info@older.test", 250, id="an alias of the new domain"),
        pytest.param("dept-3@older.test", 552, id="a pattern of the new domain, to a full mailbox"),
        pytest.param("whoever@bob-old.test", 250, id="a moved domain with a catch-all"),
        pytest.param("x@loop.test", 550, id="domains in a loop, which are not served"),
        pytest.param("stale@x.com", 550, id="an alias to an address that does not exist"),
        pytest.param("deep@x.com", 550, id="an alias to that alias"),
        pytest.param("bare@x.com", 550, id="an alias to an unknown name"),
        pytest.param("gone-1@x.com", 550, id="a pattern to an address that does not exist"),
        pytest.param("half@x.com", 250, id="an alias with one recipient that exists"),
        pytest.param("away@x.com", 250, id="an alias with one recipient elsewhere"),
        pytest.param('"half"@x.com', 250, id="in quotes"),
    ],
)
def test_what_ends_at_no_mailbox_is_refused(post: Instance, address: str, code: int) -> None:
    assert asked(post, address) == [code]
    told = json.loads(post.run("explain", address.replace('"', ""), "--json").stdout)
    assert told["disagreements"] == []
    assert told["answer"]["rcpt"] == (250 if code == 552 else code)


def test_an_account_that_comes_and_goes_decides_at_once(post: Instance) -> None:
    assert asked(post, "late-comer@old.test") == [550]
    post.setup("email", "add", "late-comer@x.com", PASSWORD)
    assert asked(post, "late-comer@old.test", "late-comer@older.test") == [250, 250]
    post.setup("email", "del", "-y", "late-comer@x.com")
    assert asked(post, "late-comer@old.test") == [550]


def test_while_tables_change_nothing_is_unknown(post: Instance) -> None:
    changing = Path(Layout(str(post.state)).changing)
    post.setup("apply", "--verify")
    (post.state / "tables/roles.lmdb").unlink()
    post.setup("apply")
    assert (post.state / "tables/roles.lmdb").exists()
    assert not changing.exists()
    changing.touch()
    try:
        assert asked(post, "stale@x.com", "nobody@x.com") == [250, 550]
    finally:
        changing.unlink()
    assert asked(post, "stale@x.com") == [550]


def test_a_refusal_waits_until_a_change_is_over(post: Instance) -> None:
    changing = Path(Layout(str(post.state)).changing)
    for _ in range(3):
        changing.touch()
        ends = threading.Timer(0.2, changing.unlink)
        ends.start()
        try:
            assert asked(post, "stale@x.com", "free@x.com", "gone-1@x.com") == [550, 250, 550]
        finally:
            ends.join()


def test_what_fits_is_taken_by_all(post: Instance) -> None:
    assert asked(post, "full@x.com", "team@x.com", "whoever@caught.test", size=10) == [250] * 3


def test_the_next_recipient_sees_a_quota_that_was_raised(post: Instance) -> None:
    post.setup("quota", "set", "full@x.com", "1M")
    assert asked(post, "team@x.com", "dept-3@x.com") == [250, 250]
    post.setup("quota", "set", "full@x.com", "20k")
    assert asked(post, "team@x.com", "dept-3@x.com") == [552, 552]


def test_a_changed_pattern_counts_at_the_next_session(post: Instance) -> None:
    post.file("postfix-regexp.cf").write_text(
        PATTERNS.replace("+@x", "+@x", 1) + "/^late@/ full@x.com\n"
    )
    post.setup("apply")
    assert asked(post, "late@x.com") == [552]
    post.file("postfix-regexp.cf").write_text(PATTERNS)
    post.setup("apply", "--removals")
    assert asked(post, "late@x.com") == [550]


# -- senders


@pytest.mark.parametrize(
    ("login", "sender", "code"),
    [
        pytest.param("ann", "ann@x.com", 250, id="oneself"),
        pytest.param("ann", "Ann+tag@X.com", 250, id="oneself with an extension"),
        pytest.param("ann", "", 250, id="nobody, as receipts do"),
        pytest.param("ann", "info@x.com", 250, id="an alias"),
        pytest.param("ann", "press@x.com", 250, id="an alias to an alias"),
        pytest.param("ann", "lost@x.com", 250, id="an alias on another's mailbox"),
        pytest.param("lost", "lost@x.com", 250, id="one's own address, whose mail goes elsewhere"),
        pytest.param("bob", "info@x.com", 553, id="an alias to another"),
        pytest.param("ann", "test1@x.com", 553, id="another mailbox"),
        pytest.param("test1", "test1@x.com", 250, id="oneself, caught by a pattern"),
        pytest.param("qa", "test1@x.com", 250, id="a mailbox that a pattern takes"),
        pytest.param("qa", "ceo@bank.test", 553, id="what a negated pattern matches elsewhere"),
        pytest.param("ann", "sales-1@x.com", 250, id="a pattern to an alias to an alias"),
        pytest.param("bob", "sales-1@x.com", 553, id="a pattern to another"),
        pytest.param("ann", "sales-1@bank.test", 553, id="a broad pattern in a foreign domain"),
        pytest.param("bob", "to-bob@x.com", 250, id="a pattern with a group"),
        pytest.param("ann", "to-bob@x.com", 553, id="one that leads to another"),
        pytest.param("ann", "to-to-info@x.com", 250, id="through two patterns and an alias"),
        pytest.param("lost", "to-lost@x.com", 553, id="one whose mail goes elsewhere"),
        pytest.param("ann", "to-lost@x.com", 250, id="one whose mail comes from there"),
        pytest.param("bob", "sales-0@x.com", 250, id="a grant on what a pattern takes"),
        pytest.param("ann", "sales-0@x.com", 250, id="and who it leads to"),
        pytest.param("ann", "news@far.test", 250, id="a grant in a foreign domain"),
        pytest.param("bob", "news@far.test", 553, id="one of another"),
        pytest.param("ann", "bob@x.com", 250, id="a grant on a mailbox"),
        pytest.param("bob", "bob@x.com", 250, id="which its owner keeps"),
        pytest.param("ann", "who@bob.test", 250, id="a grant on a domain"),
        pytest.param("bob", "who@bob.test", 250, id="a catch-all, where it is allowed"),
        pytest.param("qa", "who@bob.test", 553, id="a catch-all of another"),
        pytest.param("free", "who@caught.test", 250, id="a catch-all to several"),
        pytest.param("ann", "ann@old.test", 250, id="oneself in a moved domain"),
        pytest.param("ann", "Ann+Tag@OLD.test", 250, id="with an extension, in another case"),
        pytest.param("ann", "ann@older.test", 250, id="through two moved domains"),
        pytest.param("ann", "info@old.test", 250, id="an alias in a moved domain"),
        pytest.param("bob", "to-bob@old.test", 250, id="a pattern in a moved domain"),
        pytest.param("bob", "ann@old.test", 553, id="another in a moved domain"),
        pytest.param("bob", "info@older.test", 553, id="another's alias in a moved domain"),
        pytest.param("bob", "nobody@old.test", 553, id="an unknown user of a moved domain"),
        pytest.param("bob", "who@bob-old.test", 250, id="a moved domain with a catch-all"),
        pytest.param("ann", "who@bob-old.test", 553, id="which is another's"),
        pytest.param("lost", "lost@old.test", 553, id="one whose mail goes elsewhere, moved"),
        pytest.param("ann", "who@caught.test", 553, id="a catch-all to several others"),
    ],
)
def test_who_may_send_as_whom(post: Instance, login: str, sender: str, code: int) -> None:
    with post.smtp("submission") as session:
        session.login(f"{login}@x.com", PASSWORD)
        session.mail(sender)
        assert session.rcpt("free@x.com")[0] == code


def test_a_grant_is_live_when_the_command_returns(post: Instance) -> None:
    def code() -> int:
        with post.smtp("submission") as session:
            session.login("qa@x.com", PASSWORD)
            session.mail("ann@x.com")
            return session.rcpt("free@x.com")[0]

    assert code() == 553
    post.setup("sender", "add", "qa@x.com", "ann@x.com")
    assert code() == 250
    post.setup("sender", "del", "qa@x.com", "ann@x.com")
    assert code() == 553


# -- without it


@pytest.fixture
def alone(post: Instance) -> Iterator[Path]:
    """The state folder, with `up` killed, so that nobody starts the service again."""
    post.kill()
    try:
        yield post.state
    finally:
        post.start()
        # An smtpd that had a connection to what is gone notices it when it idles.
        until(lambda: asked(post, "team@x.com") == [552])


def policy_pid(state: Path) -> int:
    pid = running.policy_pid(Layout(str(state)))
    assert pid is not None
    return pid


def kill_policy(state: Path) -> None:
    """Whoever has a connection to the service has it no more."""
    os.kill(policy_pid(state), signal.SIGKILL)
    until(lambda: running.policy_pid(Layout(str(state))) is None)


def mail_goes_on(post: Instance, subject: str) -> None:
    """What the service would refuse is taken, what the servers know themselves is not."""
    codes = asked(post, "team@x.com", "whoever@caught.test", "dept-3@x.com", "stale@x.com")
    assert codes == [250] * 4
    assert asked(post, "full@x.com", "brim@x.com") == [552] * 2
    post.send("team@x.com", subject=subject)
    post.arrives("free@x.com", subject)
    with post.smtp("submission") as session:
        session.login("ann@x.com", PASSWORD)
        session.mail("press@x.com")
        assert session.rcpt("free@x.com")[0] == 250
        session.rset()
        for sender in ("test1@x.com", "bob@old.test", "ann@old.test"):
            session.mail(sender)
            assert session.rcpt("free@x.com")[0] == 553, sender
            session.rset()


def test_killed_mail_goes_on(post: Instance, alone: Path) -> None:
    with post.smtp() as session:
        session.mail("somebody@elsewhere.test", ["SIZE=9000"])
        assert session.rcpt("team@x.com")[0] == 552
        kill_policy(alone)
        assert session.rcpt("team@x.com")[0] == 250
    mail_goes_on(post, "killed")


def test_stopped_mail_goes_on(post: Instance, alone: Path) -> None:
    pid = policy_pid(alone)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert asked(post, "team@x.com", "full@x.com") == [250, 552]
        post.send("free@x.com", subject="hung")
        post.arrives("free@x.com", "hung")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: asked(post, "team@x.com") == [552])


def test_without_its_socket_mail_goes_on(post: Instance, alone: Path) -> None:
    kill_policy(alone)
    (alone / "run/policy").unlink()
    mail_goes_on(post, "no socket")


def test_with_dovecot_silent_mail_goes_on(post: Instance, alone: Path) -> None:
    dovecot = running.dovecot_pid(Layout(str(alone)))
    assert dovecot is not None
    # Its processes would serve their clients until these leave (shutdown_clients).
    for pid in [dovecot, *children(dovecot)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: running.dovecot_pid(Layout(str(alone))) is None)
    until(lambda: asked(post, "free@x.com", "team@x.com", "full@x.com") == [250] * 3)
    assert "policy: " in (post.home / "mail-logs/policy.log").read_text()


@contextlib.contextmanager
def somebody_else(path: Path, said: bytes) -> Iterator[None]:
    """A server at a socket that says one thing to whatever it is asked."""

    connections: list[socket.socket] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.append(self.connection)
            while line := self.rfile.readline():
                if line == b"\n":
                    self.wfile.write(said)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True  # an smtpd keeps its connection

    path.unlink()
    with Server(str(path), Handler) as server:
        path.chmod(0o666)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            for connection in connections:
                connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "said",
    [b"\n", b"\n\n", b"\0\xff" * 50 + b"\n\n", b"552 5.2.2 Mailbox is full\n\n", b"x=y\n\n"],
    ids=["an empty line", "two", "noise", "no attribute", "another attribute"],
)
def test_with_nonsense_for_an_answer_mail_goes_on(post: Instance, alone: Path, said: bytes) -> None:
    kill_policy(alone)
    with somebody_else(alone / "run/policy", said):
        assert asked(post, "team@x.com", "free@x.com", "full@x.com") == [250, 250, 552]


def test_with_a_full_disk_it_goes_on_judging(post: Instance) -> None:
    log = post.home / "mail-logs/policy.log"
    log.unlink()
    log.symlink_to("/dev/full")
    pid = policy_pid(post.state)
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.policy_pid(Layout(str(post.state))) not in (None, pid))  # by `up`
    hidden = post.state / "run/hidden"
    (post.state / "run/quota-status").rename(hidden)
    try:
        assert asked(post, "team@x.com") == [250]  # and a complaint, which nobody can write down
    finally:
        hidden.rename(post.state / "run/quota-status")
    until(lambda: asked(post, "team@x.com") == [552])


def test_it_runs_as_postfix_and_its_socket_is_closed_to_others(post: Instance) -> None:
    import pwd

    postfix = pwd.getpwnam("postfix")
    status = Path(f"/proc/{policy_pid(post.state)}/status").read_text()
    assert f"Uid:\t{postfix.pw_uid}\t{postfix.pw_uid}\t{postfix.pw_uid}" in status
    assert "Groups:\t\n" in status.replace("Groups:\t \n", "Groups:\t\n")
    listening = (post.state / "run/policy").stat()
    assert (listening.st_mode & 0o777, listening.st_uid) == (0o600, postfix.pw_uid)


def test_status_tells_when_it_is_down(post: Instance) -> None:
    assert "policy" not in post.run("status").stdout
    assert post.up is not None
    post.up.send_signal(signal.SIGSTOP)  # else it starts the service again
    try:
        kill_policy(post.state)
        done = post.run("status")
    finally:
        post.up.send_signal(signal.SIGCONT)
    assert "policy: not running" in done.stdout
    assert done.returncode == 1
    until(lambda: running.policy_pid(Layout(str(post.state))) is not None)
