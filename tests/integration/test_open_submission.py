"""An SMTP session that has logged in sends no more once its account is locked, renamed or deleted.

What a Sieve script of a locked account forwards is still sent."""

import base64
import contextlib
import os
import signal
import smtplib
from collections.abc import Callable, Iterator

import pytest

from mailroster.base.layout import Layout
from mailroster.servers.running import policy_pid
from tests.support.instance import HASH, PASSWORD, Instance, until

KEPT = "kept@open.test"
_number = iter(range(1000))


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    made = Instance(spoof_protection=False)
    try:
        made.start()
        made.setup("email", "add", KEPT, "--hash", HASH)
        yield made
    finally:
        made.close()


def account(server: Instance, domain: str = "open.test", extra: str = "") -> str:
    """A new account. `extra`: one more field of its line."""
    address = f"user{next(_number)}@{domain}"
    server.setup("email", "add", address, "--hash", HASH)
    if extra:
        file = server.file("postfix-accounts.cf")
        line = f"{address}|{HASH}"
        file.write_text(file.read_text().replace(line, f"{line}|{extra}"))
        server.setup("apply")
    return address


@contextlib.contextmanager
def session(server: Instance, user: str, kind: str = "submissions") -> Iterator[smtplib.SMTP]:
    """One that stays open. `user`: also with a domain that is not ASCII."""
    opened = server.smtp(kind)
    try:
        plain = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        assert opened.docmd("AUTH", f"PLAIN {plain}")[0] == 235
        yield opened
    finally:
        opened.close()


def answer(opened: smtplib.SMTP, sender: str = KEPT) -> tuple[int, str]:
    """What MAIL and RCPT answer together, to a recipient that exists."""
    opened.rset()
    opened.mail(sender)
    code, words = opened.rcpt(KEPT)
    return code, words.decode()


def refused(opened: smtplib.SMTP, user: str) -> bool:
    code, words = answer(opened)
    told = f"the account {user} is locked or does not exist any more"
    return code == 554 and told in words and words.startswith("5.7.1 ")


LEAVES: dict[str, Callable[[Instance, str], object]] = {
    "lock": lambda server, user: server.setup("email", "lock", user),
    "rename": lambda server, user: server.setup("email", "rename", user, f"new-{user}"),
    "del": lambda server, user: server.setup("email", "del", "-y", user),
}


@pytest.mark.parametrize("extra", ["", "userdb_nice=3"], ids=["a row", "a line of the passwd-file"])
def test_an_open_session_sends_no_more(server: Instance, extra: str) -> None:
    users = {command: account(server, extra=extra) for command in LEAVES}
    with contextlib.ExitStack() as stack:
        opened = {c: stack.enter_context(session(server, user)) for c, user in users.items()}
        other = stack.enter_context(session(server, KEPT, "submission"))
        assert [answer(one)[0] for one in opened.values()] == [250] * 3
        for command, act in LEAVES.items():
            act(server, users[command])
            assert refused(opened[command], users[command]), command
            assert answer(other)[0] == 250
        server.setup("email", "unlock", users["lock"])
        assert answer(opened["lock"])[0] == 250
        for user in (users["lock"], f"new-{users['rename']}"):
            assert answer(stack.enter_context(session(server, user)))[0] == 250, user


def test_the_last_account_of_a_domain_in_any_spelling(server: Instance) -> None:
    """The session has sent nothing before."""
    user = account(server, "xn--bcher-kva.test")
    spelt = user.replace("xn--bcher-kva", "Bücher")
    with session(server, spelt, "submission") as opened, session(server, user) as plain:
        server.setup("email", "lock", user)
        assert refused(opened, user)
        server.setup("email", "unlock", user)
        server.setup("email", "del", "-y", spelt)
        assert refused(opened, user)
        assert refused(plain, user)


def test_an_access_row_that_permits_is_no_way_around(server: Instance) -> None:
    user = account(server)
    access = server.file("postfix-send-access.cf")
    access.write_text(f"{user} OK\n{KEPT} OK\n")
    server.setup("apply")
    with session(server, user) as opened:
        assert answer(opened)[0] == 250
        server.setup("email", "lock", user)
        assert refused(opened, user)
        assert answer(opened, user)[0] == 554
    access.write_text("")
    server.setup("apply")


def test_a_master_is_judged_by_the_account(server: Instance) -> None:
    """Postfix is told only the account."""
    user = account(server)
    server.setup("dovecot-master", "add", "boss", PASSWORD)
    with session(server, f"{user}*boss") as opened:
        assert answer(opened)[0] == 250
        server.setup("email", "lock", user)
        assert refused(opened, user)
    assert server.can_log_in(f"{user}*boss")


def test_a_locked_account_still_forwards_its_mail(server: Instance) -> None:
    user = account(server)
    server.file(f"{user}.dovecot.sieve").write_text(f'redirect "{KEPT}";\n')
    server.setup("email", "lock", user)
    until(lambda: f"{user}, live" in server.setup("sieve", "list"))
    server.send(user, subject="forwarded while locked")
    server.arrives(KEPT, "forwarded while locked")


def test_without_the_service_mail_goes_on(server: Instance) -> None:
    user = account(server)
    layout = Layout(str(server.state))
    with session(server, user) as opened:
        server.setup("email", "lock", user)
        assert refused(opened, user)
        server.kill()  # else it starts the service again
        try:
            pid = policy_pid(layout)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            until(lambda: policy_pid(layout) is None)
            assert answer(opened)[0] == 250
        finally:
            server.start()
        until(lambda: refused(opened, user))
