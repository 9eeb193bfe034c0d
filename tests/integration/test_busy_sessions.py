"""A session that is busy, or that no master knows any more, ends with a stop, and with its account.

The client asks for all mail and reads nothing of the answer, so that Dovecot waits for it.
"""

import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from mailroster.base.layout import Layout
from mailroster.servers.running import dovecot_pid
from mailroster.servers.survivors import survivors
from mailroster.system.processes import ProcessEntry, entries, program_name
from tests.support.instance import HASH, PASSWORD, Instance, trusting, until
from tests.support.mailboxes import give_to_mail_user

DOMAIN = "busy.test"
#: More than all buffers between Dovecot and a client hold.
MESSAGES, OCTETS = 40, 1 << 20
_number = iter(range(1000))


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    made = Instance()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def running(server: Instance) -> Instance:
    if server.up is None:
        server.start()
    return server


def account(server: Instance) -> str:
    """A new account with much mail."""
    name = f"user{next(_number)}"
    address = f"{name}@{DOMAIN}"
    server.setup("email", "add", address, "--hash", HASH)
    folder = server.mail / DOMAIN / name / "cur"
    folder.mkdir(parents=True)
    first = folder / "1700000000.M0P1.mail:2,S"
    first.write_bytes(b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * (OCTETS // 72))
    for number in range(1, MESSAGES):
        os.link(first, folder / f"1700000000.M{number}P1.mail:2,S")
    give_to_mail_user(server.mail)
    return address


class Client:
    """A session of IMAP that the test reads when it likes."""

    def __init__(self, server: Instance, user: str, protocol: str = "imaps") -> None:
        plain = socket.create_connection(("127.0.0.1", server.ports[protocol]), 60)
        self._session: ssl.SSLSocket = trusting().wrap_socket(plain)
        self.ask(f"a LOGIN {user} {PASSWORD}", "a OK")
        self.ask("b SELECT INBOX", "b OK")

    def ask(self, command: str, answer: str = "") -> None:
        """Sends a command, and waits for a line that begins as an answer does."""
        self._session.sendall(f"{command}\r\n".encode())
        said = b""
        while answer and f"\n{answer}".encode() not in said:
            part = self._session.recv(1 << 16)
            assert part, said
            said += part

    def stall(self) -> "Client":
        self.ask("c FETCH 1:* (BODY.PEEK[])")
        assert self._session.recv(1)  # the answer has begun
        return self

    def has_ended(self) -> bool:
        """Whether the server has closed the connection, when all that is under way has been read,
        and answers no more."""
        try:
            self._session.sendall(b"z NOOP\r\n")
            while part := self._session.recv(1 << 16):
                if b"z OK" in part:
                    return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self._session.close()


def master(server: Instance) -> int:
    pid = dovecot_pid(Layout(str(server.state)))
    assert pid is not None
    return pid


def of_session(session: int) -> list[ProcessEntry]:
    """The processes that a master has started, also when it has ended."""
    return [each for each in entries().values() if each.session == session and not each.is_dead()]


def sessions_of(session: int) -> list[int]:
    return [each.pid for each in of_session(session) if program_name(each.pid) == "imap"]


def same(some: list[ProcessEntry], others: list[ProcessEntry]) -> bool:
    return {each.pid for each in some} == {each.pid for each in others}


def kill_all(server: Instance) -> int:
    """`kill -9` of `up` and of Dovecot's master, as the system does that runs out of memory; the
    number of that master."""
    pid = master(server)
    server.kill()
    os.kill(pid, signal.SIGKILL)
    until(lambda: dovecot_pid(Layout(str(server.state))) is None)
    return pid


def test_a_stop_ends_busy_sessions(running: Instance) -> None:
    busy, idle = Client(running, account(running)).stall(), Client(running, account(running))
    pid = master(running)
    assert len(sessions_of(pid)) == 2
    assert running.stop() == 0
    assert of_session(pid) == []
    assert busy.has_ended()
    assert idle.has_ended()


LEAVES: dict[str, Callable[[Instance, str], object]] = {
    "lock": lambda server, user: server.setup("email", "lock", user),
    "rename": lambda server, user: server.setup("email", "rename", user, f"new-{user}"),
    "del": lambda server, user: server.setup("email", "del", "-y", user),
}


def test_what_ends_an_account_ends_its_busy_session_of_an_earlier_start(running: Instance) -> None:
    """`up` is killed and started anew, and takes over the servers with their sessions."""
    users = {command: account(running) for command in LEAVES}
    clients = {command: Client(running, user).stall() for command, user in users.items()}
    bystander = Client(running, account(running)).stall()
    pid = master(running)
    running.kill()
    running.start()
    assert master(running) == pid
    for command, act in LEAVES.items():
        before = len(sessions_of(pid))
        act(running, users[command])
        assert len(sessions_of(pid)) == before - 1, "it is over when the command returns"
        assert clients[command].has_ended()
    assert not bystander.has_ended()
    assert running.stop() == 0
    assert of_session(pid) == []


def test_a_master_that_dies_takes_its_sessions_with_it(running: Instance) -> None:
    busy, idle = Client(running, account(running)).stall(), Client(running, account(running))
    pid, said = master(running), running.log.stat().st_size
    os.kill(pid, signal.SIGKILL)
    until(lambda: b"dovecot runs again" in running.log.read_bytes()[said:], 60)
    assert of_session(pid) == []
    assert busy.has_ended()
    assert idle.has_ended()
    running.stop()


@pytest.mark.parametrize("command", LEAVES)
def test_a_session_that_no_master_knows_ends_with_an_account(
    running: Instance, command: str
) -> None:
    """Nothing tells whose it is, so that all of them end. Neither `up` nor Dovecot runs."""
    user = account(running)
    busy, idle = Client(running, user).stall(), Client(running, user)
    pid = kill_all(running)
    assert len(sessions_of(pid)) == 2, "else the test shows nothing"
    LEAVES[command](running, user)
    assert of_session(pid) == []
    assert busy.has_ended()
    assert idle.has_ended()
    running.start()


def test_the_next_start_ends_what_a_crash_has_left(running: Instance) -> None:
    busy, said = Client(running, account(running)).stall(), running.log.stat().st_size
    spool = running.smtp()  # a session of Postfix, whose master is killed, too
    postfix = int((running.state / "spool/pid/master.pid").read_text())
    os.kill(postfix, signal.SIGKILL)
    pid = kill_all(running)
    running.start()
    assert b"processes of a dead server" in running.log.read_bytes()[said:]
    assert of_session(pid) == []
    assert of_session(postfix) == []
    assert busy.has_ended()
    spool.close()
    assert running.stop() == 0


def test_a_session_that_anvil_has_forgotten_ends_with_its_account(running: Instance) -> None:
    """Dovecot starts another anvil if one dies, and that one knows no older session."""
    user = account(running)
    old, pid = Client(running, user).stall(), master(running)
    anvil = next(e.pid for e in of_session(pid) if program_name(e.pid) == "anvil")
    os.kill(anvil, signal.SIGKILL)
    until(lambda: all(each.pid != anvil for each in of_session(pid)))
    until(lambda: running.can_log_in(user))
    young = Client(running, account(running))
    running.setup("email", "lock", user)
    assert old.has_ended()
    assert not young.has_ended(), "of another account, and known"


def test_a_session_that_reacts_to_nothing_is_killed(running: Instance) -> None:
    """As one that computes for minutes; or one that the owner of the mail has stopped."""
    user = account(running)
    client, pid = Client(running, user), master(running)
    (session,) = sessions_of(pid)[-1:]
    os.kill(session, signal.SIGSTOP)
    running.setup("email", "lock", user)
    assert session not in sessions_of(pid)
    assert client.has_ended()


def test_another_instance_keeps_what_a_crash_has_left(running: Instance) -> None:
    other = Instance()
    try:
        other.start()
        client = Client(other, account(other)).stall()
        pid = kill_all(other)
        layout = Layout(str(other.state))
        until(lambda: survivors(layout) != [] and same(survivors(layout), of_session(pid)))
        running.setup("email", "lock", account(running))
        assert running.stop() == 0
        assert not client.has_ended()
        assert len(sessions_of(pid)) == 1
    finally:
        other.close()
    assert of_session(pid) == []
