"""Many clients at once, honest or not, keep nobody else out. Each has an address of its own, in a
network of the test's own; `benchmarks/connections.py` says how long each waits."""

from collections.abc import Iterator

import pytest

from tests.support.crowd import Login, banner_s, idle, log_in_at_once
from tests.support.instance import HASH, Instance
from tests.support.network import own_network

USERS = [f"u{number}@x.com" for number in range(30)]
#: Numbers of clients that the attackers do not have.
OTHERS = range(2000, 2010)
WAIT_S = 60.0


@pytest.fixture(scope="module")
def crowded() -> Iterator[Instance]:
    """A server for all addresses of its network."""
    with own_network():
        instance = Instance(listen="0.0.0.0")
        lines = "".join(f"{user}|{HASH}\n" for user in USERS)
        instance.file("postfix-accounts.cf").write_text(lines)
        try:
            instance.start()
            yield instance
        finally:
            instance.close()


def _login(server: Instance, number: int) -> Login:
    (login,) = log_in_at_once(server.ports["imaps"], USERS[:1], number)
    return login


def test_of_300_logins_at_once_none_is_dropped(crowded: Instance) -> None:
    """Nor of those that come while all the 300 sessions are open."""
    users = [USERS[number % len(USERS)] for number in range(300)]
    beside: list[bool] = []

    def held() -> None:
        for number in OTHERS:
            assert banner_s(crowded.ports["smtp"], number, WAIT_S) is not None
            assert banner_s(crowded.ports["submission"], number, WAIT_S) is not None
        beside.append(crowded.can_log_in(USERS[0]))

    logins = log_in_at_once(crowded.ports["imaps"], users, held=held)
    assert sum(login.succeeded for login in logins) == 300
    assert beside == [True]


@pytest.mark.parametrize("port", ["imap", "imaps", "pop3", "pop3s", "sieve"])
@pytest.mark.parametrize(("count", "clients"), [(200, 1), (800, 100)])
def test_idle_connections_to_a_login_port_keep_nobody_out(
    crowded: Instance, port: str, count: int, clients: int
) -> None:
    with idle(crowded.ports[port], count, range(clients)):
        for number in OTHERS:
            assert _login(crowded, number).succeeded
        session = crowded.pop3()
        session.user(USERS[0])
        assert session.pass_("secret").startswith(b"+OK")
        session.quit()
        assert banner_s(crowded.ports["smtp"], OTHERS[0], WAIT_S) is not None


@pytest.mark.parametrize("port", ["smtp", "submission"])
def test_200_idle_connections_of_28_clients_keep_nobody_out(crowded: Instance, port: str) -> None:
    with idle(crowded.ports[port], 200, range(28)):
        for number in OTHERS:
            assert banner_s(crowded.ports[port], number, WAIT_S) is not None
        assert _login(crowded, OTHERS[0]).succeeded


def test_one_client_alone_takes_no_port_for_itself(crowded: Instance) -> None:
    """The 21st connection of one address is refused with a reason; others go on."""
    with idle(crowded.ports["smtp"], 60, [0]) as connections:
        answers = []
        for connection in connections:
            connection.settimeout(WAIT_S)
            answers.append(connection.recv(100)[:3])
        assert answers.count(b"220") == 20 and answers.count(b"421") == 40
        assert banner_s(crowded.ports["smtp"], OTHERS[0], WAIT_S) is not None


def test_a_recipient_is_judged_beside_150_sessions_that_have_named_one(crowded: Instance) -> None:
    """Each smtpd(8) keeps its connection to Dovecot's quota-status, of which there are as many."""
    crowded.setup("quota", "set", USERS[0], "1k")
    with idle(crowded.ports["smtp"], 150, range(28)) as connections:
        talk = b"EHLO c\r\nMAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<%s>\r\n" % USERS[1].encode()
        for connection in connections:
            connection.settimeout(WAIT_S)
            lines = connection.makefile("rwb")
            assert lines.readline().startswith(b"220")
            for command in talk.splitlines(keepends=True):
                lines.write(command)
                lines.flush()
                while (line := lines.readline())[3:4] == b"-":
                    pass
            assert line.startswith(b"250"), line
        with crowded.smtp() as session:
            session.mail("a@elsewhere.test", ["SIZE=5000"])
            code, text = session.rcpt(USERS[0])
            assert (code, text[:5]) == (552, b"5.2.2")
    crowded.setup("quota", "del", USERS[0])


def test_the_servers_do_not_complain(crowded: Instance) -> None:
    """A limit that is too low for another one would stand in the log. Last of all."""
    for name in ("mail.log", "dovecot.log"):
        log = (crowded.home / "mail-logs" / name).read_text()
        assert "limit" not in log.replace("concurrency limit", "").replace("Connection", ""), name
