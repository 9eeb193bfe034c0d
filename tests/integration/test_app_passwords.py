"""App passwords, and what the passwords of accounts open, by logins at a real Dovecot: IMAP, POP3,
submission and ManageSieve."""

import base64
import imaplib
import poplib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailroster.base.services import SERVICES
from mailroster.roster.formats.app_passwords import digest_of
from tests.support.instance import HASH, PASSWORD, Instance, save, trusting, until

ALL = set(SERVICES)
ACCOUNTS = f"""\
jane@x.com|{HASH}
near@x.com|{HASH}|allow_nets=127.0.0.0/8
far@x.com|{HASH}|allow_nets=10.0.0.0/8
faraway@x.com|{HASH}|allow_real_nets=10.0.0.0/8
closed@x.com|{HASH}|nologin
failing@x.com|{HASH}|fail
imaponly@x.com|{HASH}|services=imap
sending@x.com|{HASH}|services=smtp,sieve
apponly@x.com|{HASH}|services=none
odd@x.com|{HASH}|services=pop3 reason=%u userdb_nice=3
oddnone@x.com|{HASH}|services=none reason=%u
u@müller.example|{HASH}|services=imap reason=%u
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    instance = Instance()
    try:
        instance.file("postfix-accounts.cf").write_text(ACCOUNTS, encoding="utf-8")
        instance.file("dovecot-masters.cf").write_text(f"admin|{HASH}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


def opened(server: Instance, user: str, password: str) -> set[str]:
    """The protocols in which a login succeeds."""
    tries = {
        "imap": lambda: server.can_log_in(user, password),
        "smtp": lambda: _submits(server, user, password),
        "pop3": lambda: _pops(server, user, password),
        "sieve": lambda: _sieves(server, user, password),
    }
    with ThreadPoolExecutor(len(SERVICES)) as pool:  # Dovecot waits before it refuses
        results = pool.map(lambda service: tries[service](), SERVICES)
    return {service for service, opens in zip(SERVICES, results, strict=True) if opens}


def _submits(server: Instance, user: str, password: str) -> bool:
    plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    with server.smtp("submission") as session:
        code, _ = session.docmd("AUTH", f"PLAIN {plain}")
        assert code in (235, 535), code
        return code == 235


def _pops(server: Instance, user: str, password: str) -> bool:
    plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    session = server.pop3()
    try:
        session._shortcmd(f"AUTH PLAIN {plain}")  # type: ignore[attr-defined]
        return True
    except poplib.error_proto:
        return False
    finally:
        session.close()


def _sieves(server: Instance, user: str, password: str) -> bool:
    plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    with socket.create_connection(("127.0.0.1", server.ports["sieve"]), timeout=30) as raw:
        assert _answer(raw).startswith("OK")
        raw.sendall(b"STARTTLS\r\n")
        assert _answer(raw).startswith("OK")
        with trusting().wrap_socket(raw) as session:
            assert _answer(session).startswith("OK")
            session.sendall(f'AUTHENTICATE "PLAIN" "{plain}"\r\n'.encode())
            answer = _answer(session)
    assert answer[:2] in ("OK", "NO"), answer
    return answer.startswith("OK")


def _answer(session: socket.socket | ssl.SSLSocket) -> str:
    """The last line of an answer of ManageSieve."""
    text = b""
    while True:
        last = text.rstrip(b"\r\n").rpartition(b"\n")[2]
        if text.endswith(b"\n") and last[:3].rstrip() in (b"OK", b"NO", b"BYE"):
            return last.decode()
        text += session.recv(4096) or b"BYE\n"


def added(server: Instance, address: str, label: str, *options: str) -> str:
    return server.setup("email", "app-password", "add", address, label, *options).strip()


# -- what an app password opens


def test_an_app_password_opens_every_protocol_at_once_in_any_case(server: Instance) -> None:
    password = added(server, "jane@x.com", "everything")
    assert opened(server, "jane@x.com", password) == ALL
    assert opened(server, "JANE@X.com", password) == ALL
    assert opened(server, "jane@x.com", PASSWORD) == ALL, "the main password still opens all"


@pytest.mark.parametrize("services", ["imap", "smtp", "pop3", "sieve", "imap,smtp"])
def test_an_app_password_opens_its_protocols_only(server: Instance, services: str) -> None:
    password = added(server, "jane@x.com", f"only-{services.replace(',', '-')}", "--for", services)
    assert opened(server, "jane@x.com", password) == set(services.split(","))


def test_it_opens_no_other_account_and_nothing_with_another_end(server: Instance) -> None:
    password = added(server, "jane@x.com", "mine")
    assert opened(server, "near@x.com", password) == set()
    assert opened(server, "nobody@x.com", password) == set()
    assert opened(server, "jane@x.com", password[:-1]) == set()
    assert opened(server, "jane@x.com", f"{password}x") == set()
    assert opened(server, "jane@x.com", password.upper()) == set()
    assert opened(server, "jane@x.com", digest_of(password)) == set()
    assert opened(server, "jane@x.com*admin", password) == set()


def test_quotes_and_backslashes_in_a_tried_password_are_only_a_wrong_password(
    server: Instance,
) -> None:
    for tried in ("it's", "' OR '1'='1", "\\", '"', "%{sha256:password}", "a|b", "ü"):
        assert not server.can_log_in("jane@x.com", tried), tried


def test_a_deleted_one_opens_nothing_and_its_sessions_end(server: Instance) -> None:
    password = added(server, "jane@x.com", "lost")
    with server.imap("jane@x.com", password) as session:
        server.setup("email", "app-password", "del", "jane@x.com", "lost")
        assert opened(server, "jane@x.com", password) == set()
        with pytest.raises((imaplib.IMAP4.error, OSError)):
            session.noop()
            session.noop()


def test_one_that_has_ended_opens_nothing_with_or_without_mailroster(server: Instance) -> None:
    """Dovecot itself compares the end with the clock."""
    end = time.time() + 8
    until_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(end))
    password = added(server, "jane@x.com", "ending", "--until", until_text)
    assert server.can_log_in("jane@x.com", password)
    until(lambda: not server.can_log_in("jane@x.com", password), 60)
    assert time.time() >= end - 1


def test_one_that_has_ended_is_removed_and_its_sessions_end(server: Instance) -> None:
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 5))
    password = added(server, "jane@x.com", "short", "--until", end)
    with server.imap("jane@x.com", password) as session:

        def is_over() -> bool:
            try:
                return session.noop()[0] != "OK"
            except (imaplib.IMAP4.error, OSError):
                return True

        until(is_over, 90)
    until(lambda: "short" not in server.setup("email", "app-password", "list"))
    assert "'jane@x.com|short' has expired" in server.log.read_text()
    newest = server.setup("log", "jane@x.com").split("\n")[:2]
    assert "mailroster up" in newest[0]
    assert newest[1] == "    dovecot-app-passwords.cf: 1 removed"


def test_networks_of_the_app_password_and_of_the_account_both_count(server: Instance) -> None:
    near, far = "127.0.0.0/8", "10.0.0.0/8"
    assert opened(server, "jane@x.com", added(server, "jane@x.com", "n", "--allow-nets", near))
    assert not opened(server, "jane@x.com", added(server, "jane@x.com", "f", "--allow-nets", far))
    assert opened(server, "near@x.com", added(server, "near@x.com", "plain")) == ALL
    both = added(server, "near@x.com", "both", "--allow-nets", far)
    assert opened(server, "near@x.com", both) == set()
    assert opened(server, "far@x.com", added(server, "far@x.com", "plain")) == set()
    both = added(server, "far@x.com", "both", "--allow-nets", near)
    assert opened(server, "far@x.com", both) == set()
    assert opened(server, "faraway@x.com", added(server, "faraway@x.com", "plain")) == set()


@pytest.mark.parametrize("address", ["closed@x.com", "failing@x.com"])
def test_an_account_without_login_has_none_by_an_app_password(
    server: Instance, address: str
) -> None:
    assert opened(server, address, added(server, address, "phone")) == set()


def test_a_lock_closes_them_and_a_master_still_logs_in(server: Instance) -> None:
    server.setup("email", "add", "lock@x.com", PASSWORD)
    password = added(server, "lock@x.com", "phone")
    assert server.can_log_in("lock@x.com", password)
    server.setup("email", "lock", "lock@x.com")
    assert opened(server, "lock@x.com", password) == set()
    assert opened(server, "lock@x.com", PASSWORD) == set()
    assert opened(server, "lock@x.com*admin", PASSWORD) == ALL
    server.setup("email", "unlock", "lock@x.com")
    assert opened(server, "lock@x.com", password) == ALL


def test_an_account_that_has_ended_closes_them(server: Instance) -> None:
    server.setup("email", "add", "leaver@x.com", PASSWORD, "--until", "6s")
    password = added(server, "leaver@x.com", "phone")
    until(lambda: not server.can_log_in("leaver@x.com", password), 90)
    assert "leaver@x.com|{SHA512-CRYPT}!" in server.file("postfix-accounts.cf").read_text()


def test_a_deletion_and_the_next_owner_close_them_and_a_rename_takes_them_along(
    server: Instance,
) -> None:
    server.setup("email", "add", "old@x.com", PASSWORD)
    password = added(server, "old@x.com", "phone", "--for", "imap,smtp")
    server.setup("email", "rename", "old@x.com", "new@x.com", "--no-alias")
    assert opened(server, "new@x.com", password) == {"imap", "smtp"}
    assert opened(server, "old@x.com", password) == set()
    server.setup("email", "del", "-y", "new@x.com")
    assert opened(server, "new@x.com", password) == set()
    server.setup("undo")
    assert opened(server, "new@x.com", password) == {"imap", "smtp"}
    file = server.file("postfix-accounts.cf")
    kept = [line for line in file.read_text().splitlines(True) if not line.startswith("new@")]
    save(file, "".join(kept))
    until(lambda: not server.can_log_in("new@x.com", password))
    assert "app-password-without-account" in server.run("check").stdout
    server.setup("email", "add", "new@x.com", PASSWORD)
    assert opened(server, "new@x.com", password) == set()
    assert opened(server, "new@x.com", PASSWORD) == ALL


def test_a_line_by_hand_is_in_force_and_its_removal_too(server: Instance) -> None:
    file = server.file("dovecot-app-passwords.cf")
    before = file.read_text()
    line = f"jane@x.com|Hand|{{SHA256.HEX}}{digest_of('by-hand').upper()}|services=imap\n"
    file.write_text(before + line)
    until(lambda: opened(server, "jane@x.com", "by-hand") == {"imap"})
    file.write_text(before)
    until(lambda: opened(server, "jane@x.com", "by-hand") == set())


def test_the_spellings_of_a_domain_log_in_by_app_passwords(server: Instance) -> None:
    password = added(server, "u@müller.example", "phone")
    for name in ("u@müller.example", "u@MÜLLER.example", "u@xn--mller-kva.example"):
        assert opened(server, name, password) == ALL, name
        assert opened(server, name, PASSWORD) == {"imap"}, name


# -- what the password of an account opens


@pytest.mark.parametrize(
    ("address", "services"),
    [
        ("imaponly@x.com", {"imap"}),
        ("sending@x.com", {"smtp", "sieve"}),
        ("apponly@x.com", set()),
        ("odd@x.com", {"pop3"}),
        ("oddnone@x.com", set()),
    ],
)
def test_a_main_password_opens_what_services_names(
    server: Instance, address: str, services: set[str]
) -> None:
    assert opened(server, address, PASSWORD) == services
    assert opened(server, address, "wrong") == set()
    assert opened(server, f"{address}*admin", PASSWORD) == ALL, "a master may still log in"
    assert opened(server, f"{address}*admin", "wrong") == set()
    assert opened(server, address, added(server, address, "phone")) == ALL


def test_a_hand_edit_of_services_is_in_force(server: Instance) -> None:
    file = server.file("postfix-accounts.cf")
    for extra, services in (("services=smtp", {"smtp"}), ("reason=%u services=imap", {"imap"})):
        server.setup("email", "del", "-y", "hand@x.com") if "hand@" in file.read_text() else None
        with file.open("a", encoding="utf-8") as accounts:
            accounts.write(f"hand@x.com|{HASH}|{extra}\n")
        until(lambda s=services: opened(server, "hand@x.com", PASSWORD) == s)  # type: ignore[misc]


def test_mail_is_delivered_whatever_a_password_opens(server: Instance) -> None:
    server.send("apponly@x.com", subject="to apponly")
    server.send("oddnone@x.com", subject="to oddnone")
    for address in ("apponly@x.com", "oddnone@x.com"):
        server.arrives(address, f"to {address.partition('@')[0]}", added(server, address, "read"))


# -- secrets


def test_no_password_and_no_digest_is_in_a_log_the_history_or_a_readable_file(
    server: Instance,
) -> None:
    password = added(server, "jane@x.com", "secret")
    assert opened(server, "jane@x.com", password) == ALL
    needles = [password.encode(), digest_of(password).encode()]
    shown = server.setup("log", "--json") + server.setup("log")
    assert digest_of(password) not in shown
    places = [server.home / "mail-logs", server.state, server.config]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        assert needles[0] not in raw, path
        if needles[1] in raw:
            assert path.stat().st_mode & 0o007 == 0, path
            assert "log" not in path.name, path
    assert server.file("dovecot-app-passwords.cf").stat().st_mode & 0o777 == 0o600


# -- the setting


def test_the_setting_closes_main_passwords_and_services_opens_them_again() -> None:
    instance = Instance(main_password_services="none")
    try:
        instance.file("postfix-accounts.cf").write_text(
            f"plain@x.com|{HASH}\nodd@x.com|{HASH}|reason=%u\n"
            f"open@x.com|{HASH}|services=imap\noddopen@x.com|{HASH}|services=imap reason=%u\n"
        )
        instance.file("dovecot-masters.cf").write_text(f"admin|{HASH}\n")
        instance.start()
        phone = added(instance, "plain@x.com", "phone")
        for address in ("plain@x.com", "odd@x.com"):
            assert opened(instance, address, PASSWORD) == set(), address
            assert opened(instance, f"{address}*admin", PASSWORD) == ALL, address
        for address in ("open@x.com", "oddopen@x.com"):
            assert opened(instance, address, PASSWORD) == {"imap"}, address
        assert opened(instance, "plain@x.com", phone) == ALL
        instance.setup("email", "password-check", "--password-stdin", "plain@x.com", stdin=PASSWORD)
        instance.stop()
        toml = instance.file("mailroster.toml")
        toml.write_text(toml.read_text().replace('"none"', '["smtp", "imap"]'))
        instance.start()
        for address in ("plain@x.com", "odd@x.com"):
            assert opened(instance, address, PASSWORD) == {"imap", "smtp"}, address
        assert opened(instance, "plain@x.com", phone) == ALL
    finally:
        instance.close()
