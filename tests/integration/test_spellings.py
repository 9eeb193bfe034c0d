"""Domains that are not ASCII: one mailbox, one quota and one set of rules, however a client spells
the domain."""

import base64
import imaplib
import socket
import subprocess
from unicodedata import normalize

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, trusting, until

SETTINGS = {"spoof_protection": True}
DOMAIN, LABELS = "müller.example", "xn--mller-kva.example"
SPELLINGS = (
    LABELS, DOMAIN, normalize("NFD", DOMAIN), DOMAIN.upper(), normalize("NFD", DOMAIN.upper()),
    "Müller.Example", "müller\u3002example", "XN--MLLER-KVA.example",
)  # fmt: skip
IDS = ("A-labels", "NFC", "NFD", "upper", "NFD upper", "title", "full stop", "upper A-labels")
#: With it an account is no row, but lines of a passwd-file.
FIELD = "userdb_nice=3"


@pytest.fixture(scope="module", autouse=True)
def roster(server: Instance) -> None:
    files = {
        "postfix-accounts.cf": (
            f"joe@{DOMAIN}|{HASH}\nann@{LABELS}|{HASH}|{FIELD}\ndeaf@{DOMAIN}|{HASH}\n"
            f"full@{DOMAIN}|{HASH}\nout@ascii.example|{HASH}\n"
        ),
        "postfix-virtual.cf": f"info@{DOMAIN} joe@{LABELS}\nworld@{DOMAIN} out@ascii.example\n",
        "postfix-regexp.cf": f"/^team[0-9]@{LABELS}$/ joe@{DOMAIN}\n",
        "postfix-receive-access.cf": f"deaf@{DOMAIN} REJECT\n",
        "postfix-send-access.cf": "bücher.example REJECT\n",
        "dovecot-quotas.cf": f"full@{LABELS}:1k\n",
        "dovecot-masters.cf": f"admin|{HASH}\n",
    }
    for name, text in files.items():
        server.file(name).write_text(text)
    server.setup("apply")


def smtp(server: Instance, *commands: str) -> list[str]:
    """The last lines of the answers to raw commands, in UTF-8 without SMTPUTF8."""
    answers = []
    with socket.create_connection(("127.0.0.1", server.ports["smtp"]), 30) as session:
        said = session.makefile("rb")
        for command in ("", "EHLO client.test", *commands, "QUIT"):
            if command:
                session.sendall(f"{command}\r\n".encode())
            while (line := said.readline())[3:4] == b"-":
                assert b"SMTPUTF8" not in line
            answers.append(line.decode("utf-8", "replace").strip())
    return answers[2:-1]


@pytest.mark.parametrize("domain", SPELLINGS, ids=IDS)
def test_mail_arrives_and_is_refused_alike(server: Instance, domain: str) -> None:
    subject = f"to {domain.encode().hex()}"
    body = f"Subject: {subject}\r\nX-Raw: Grüße\r\n\r\nGrüße\r\n."
    found = smtp(
        server, "MAIL FROM:<a@else.test>", f"RCPT TO:<joe@{domain}>", f"RCPT TO:<ANN+tag@{domain}>",
        f"RCPT TO:<info@{domain}>", f"RCPT TO:<team3@{domain}>", f"RCPT TO:<world@{domain}>",
        f"RCPT TO:<nobody@{domain}>", f"RCPT TO:<deaf@{domain}>", f"RCPT TO:<joe@x{domain}>",
        "DATA", body,
    )  # fmt: skip
    codes = ["250"] * 6 + ["550", "554", "554" if domain.isascii() else "501"]
    assert [answer[:3] for answer in found[1:-2]] == [*codes[1:]]
    assert (found[0][:3], found[-1][:3]) == ("250", "250")
    for account in (f"joe@{LABELS}", f"ann@{LABELS}", "out@ascii.example"):
        server.arrives(account, subject)
    assert server.subjects(f"joe@{domain}") == server.subjects(f"joe@{LABELS}")
    (full,) = smtp(server, "MAIL FROM:<a@else.test> SIZE=5000", f"RCPT TO:<full@{domain}>")[1:]
    assert full.startswith("552"), full
    (restricted,) = smtp(server, "MAIL FROM:<x@xn--bcher-kva.example>", f"RCPT TO:<joe@{domain}>")[
        1:
    ]
    assert restricted.startswith("554"), restricted


@pytest.mark.parametrize("domain", SPELLINGS, ids=IDS)
def test_every_protocol_takes_the_login(server: Instance, domain: str) -> None:
    user = f"joe@{domain}"
    if "\u3002" not in domain:  # ann is in a passwd-file, which has no patterns
        assert server.can_log_in(f"ann@{domain}")
    assert server.can_log_in(user)
    assert not server.can_log_in(user, "wrong")
    assert not server.can_log_in(f"nobody@{domain}")
    assert server.can_log_in(f"{user}*admin")
    login = imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=trusting())
    words = f'"{user}" "{PASSWORD}"'.encode()
    assert login._simple_command("LOGIN", words)[0] == "OK"
    login.shutdown()
    pop3 = server.pop3()
    pop3._putline(f"USER {user}".encode())  # type: ignore[attr-defined]
    assert pop3._getresp()[:3] == b"+OK"  # type: ignore[attr-defined]
    assert pop3.pass_(PASSWORD)[:3] == b"+OK"
    pop3.quit()
    # Submission: as itself, in any spelling; not as another.
    plain = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
    with server.smtp("submission") as session:
        session.command_encoding = "utf-8"
        assert session.docmd("AUTH PLAIN", plain)[0] == 235
        for sender, code in (
            (f"joe@{domain}", 250), (f"info@{domain}", 250), (f"joe+x@{LABELS}", 250),
            (f"ann@{domain}", 553), ("out@ascii.example", 553),
        ):  # fmt: skip
            session.docmd("MAIL", f"FROM:<{sender}>")
            assert session.docmd("RCPT", "TO:<friend@elsewhere.example>")[0] == code, sender
            session.docmd("RSET")
    name, secret = (base64.b64encode(word.encode()).decode() for word in (user, PASSWORD))
    with server.smtp("submission") as session:
        assert session.docmd("AUTH LOGIN", name)[0] == 334
        assert session.docmd(secret)[0] == 235


def test_sieve_is_managed_under_any_name(server: Instance) -> None:
    for domain in SPELLINGS:
        plain = base64.b64encode(f"\0joe@{domain}\0{PASSWORD}".encode()).decode()
        with socket.create_connection(("127.0.0.1", server.ports["sieve"]), 30) as raw:
            said = raw.makefile("rb")
            while not said.readline().startswith(b"OK"):
                pass
            raw.sendall(b"STARTTLS\r\n")
            assert said.readline().startswith(b"OK")
            with trusting().wrap_socket(raw) as session:
                said = session.makefile("rb")
                while not said.readline().startswith(b"OK"):
                    pass
                session.sendall(f'AUTHENTICATE "PLAIN" "{plain}"\r\n'.encode())
                assert said.readline().startswith(b"OK"), domain


def test_there_is_one_mailbox_and_one_quota(server: Instance) -> None:
    assert sorted(folder.name for folder in server.mail.iterdir()) == ["ascii.example", LABELS]
    homes = {server.doveadm("user", "-f", "home", f"joe@{domain}") for domain in SPELLINGS}
    assert len(homes) == 1, homes
    assert f"{LABELS}/joe" in homes.pop()
    quotas = {server.doveadm("quota", "get", "-u", f"full@{domain}") for domain in SPELLINGS}
    assert len(quotas) == 1, quotas
    assert f"full@{LABELS}" in server.users()
    assert all(name.isascii() for name in server.users())


def test_commands_say_the_same_of_each_spelling(server: Instance) -> None:
    for command in (("explain",), ("email", "show")):
        told = {server.setup(*command, f"joe@{domain}", "--json") for domain in SPELLINGS}
        assert len(told) == 1, told
        assert f"joe@{LABELS}" in told.pop()
    explained = server.setup("explain", f"deaf@{DOMAIN}")
    assert f"postfix-receive-access.cf:1 restricts 'deaf@{LABELS}'" in explained
    assert "differ" not in explained


def test_a_program_of_the_machine_may_spell_it_too(server: Instance) -> None:
    """sendmail(1), with a raw header."""
    argv = ["/usr/sbin/sendmail", "-C", str(server.state / "postfix"), "-f", "a@else.test"]
    mail = "Subject: by sendmail Größe\n\nhello\n".encode()
    subprocess.run([*argv, f"joe@{DOMAIN}"], input=mail, check=True)
    server.arrives(f"joe@{LABELS}", "by sendmail Größe")


def test_a_domain_is_known_and_forgotten_at_once(server: Instance) -> None:
    new = "köln.example"
    server.setup("email", "add", f"kim@{new}", "--hash", HASH)
    assert smtp(server, "MAIL FROM:<>", f"RCPT TO:<kim@{new}>")[1][:3] == "250"
    assert server.can_log_in(f"kim@{new.upper()}")
    server.setup("email", "del", "-y", f"kim@{normalize('NFD', new)}")
    assert smtp(server, "MAIL FROM:<>", f"RCPT TO:<kim@{new}>")[1][:3] == "501"
    assert not server.can_log_in(f"kim@{new}")
    restricted = ("email", "restrict", "add", "send")
    server.setup(*restricted, DOMAIN.upper())
    assert f"{LABELS} REJECT" in server.setup("email", "restrict", "list", "send")
    assert smtp(server, f"MAIL FROM:<x@{DOMAIN}>", f"RCPT TO:<joe@{DOMAIN}>")[1][:3] == "554"
    server.setup("email", "restrict", "del", "send", normalize("NFD", DOMAIN))
    until(lambda: smtp(server, "MAIL FROM:<>", f"RCPT TO:<joe@{DOMAIN}>")[1][:3] == "250")


def test_octets_that_are_no_utf_8_harm_nobody(server: Instance) -> None:
    with socket.create_connection(("127.0.0.1", server.ports["smtp"]), 30) as session:
        said = session.makefile("rb")
        for command in (
            b"",
            b"HELO x",
            b"MAIL FROM:<a\xff@\xfe\x80.test>",
            b"RCPT TO:<joe@m\xfcller.example>",
        ):
            if command:
                session.sendall(command + b"\r\n")
            answer = said.readline()
        assert answer[:1] in (b"4", b"5"), answer
    broken = base64.b64encode(b"\0joe@m" + b"\xfcller.example\0" + PASSWORD.encode())
    with server.smtp("submission") as client:
        assert client.docmd("AUTH PLAIN", broken.decode())[0] == 535
    assert server.can_log_in(f"joe@{DOMAIN}")
