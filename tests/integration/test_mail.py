"""Mail and logins as users know them, on the real servers."""

import base64
import imaplib
import smtplib
import socket

import pytest

from tests.support.instance import PASSWORD, Instance, message, trusting, until

SETTINGS = {"spoof_protection": True}


@pytest.fixture(scope="module")
def mail(server: Instance) -> Instance:
    """The roster of this module."""
    for user in ("john.doe", "jane.doe", "qa", "test1", "full", "silent", "deaf", "boss"):
        server.setup("email", "add", f"{user}@example.com", PASSWORD)
    for alias, recipients in (
        ("info@example.com", "john.doe@example.com"),
        ("team@example.com", "john.doe@example.com,jane.doe@example.com,friend@elsewhere.test"),
        ("chain@example.com", "info@example.com"),
        ("brim@example.com", "full@example.com"),
        ("@example.com", "boss@example.com"),
        ("postmaster", "boss@example.com"),
    ):
        server.setup("alias", "add", alias, recipients)
    server.setup("quota", "set", "full@example.com", "20k")
    server.setup("email", "restrict", "add", "send", "silent@example.com")
    server.setup("email", "restrict", "add", "receive", "deaf@example.com")
    server.setup("dovecot-master", "add", "root", "master-secret")
    rule = r"/^test[0-9][0-9]*@example\.com/ qa@example.com" + "\n"
    server.file("postfix-regexp.cf").write_text(rule)
    until(lambda: "yes" in server.run("status").stdout)
    return server


def test_mail_to_an_account_arrives(mail: Instance) -> None:
    mail.send("john.doe@example.com", subject="account")
    mail.arrives("john.doe@example.com", "account")


def test_mail_to_an_alias_arrives(mail: Instance) -> None:
    mail.send("info@example.com", subject="alias")
    mail.arrives("john.doe@example.com", "alias")


def test_an_alias_with_several_recipients_reaches_all_here_and_elsewhere(mail: Instance) -> None:
    mail.send("team@example.com", subject="team")
    mail.arrives("john.doe@example.com", "team")
    mail.arrives("jane.doe@example.com", "team")
    until(lambda: any(t.recipients == ("friend@elsewhere.test",) for t in mail.sink.taken))


def test_an_alias_to_an_alias_arrives(mail: Instance) -> None:
    mail.send("chain@example.com", subject="chain")
    mail.arrives("john.doe@example.com", "chain")


def test_a_catch_all_takes_only_what_nobody_else_takes(mail: Instance) -> None:
    mail.send("nobody-at-all@example.com", subject="caught")
    mail.send("jane.doe@example.com", subject="not caught")
    mail.send("jane.doe+tag@example.com", subject="plus not caught")
    mail.arrives("boss@example.com", "caught")
    mail.arrives("jane.doe@example.com", "not caught")
    mail.arrives("jane.doe@example.com", "plus not caught")
    assert "not caught" not in mail.subjects("boss@example.com")


def test_a_regexp_alias_takes_the_mail_of_a_mailbox(mail: Instance) -> None:
    mail.send("test1@example.com", subject="captured")
    mail.arrives("qa@example.com", "captured")
    assert mail.subjects("test1@example.com") == []


def test_case_does_not_matter(mail: Instance) -> None:
    mail.send("John.DOE@Example.COM", subject="case")
    mail.arrives("JOHN.Doe@example.com", "case")


def test_an_unknown_user_is_550(server: Instance, mail: Instance) -> None:
    mail.setup("email", "add", "only@strict.test", PASSWORD)
    assert mail.rcpt("only@strict.test")[0] == 250
    assert mail.rcpt("nobody@strict.test")[0] == 550


def test_relaying_is_refused(mail: Instance) -> None:
    assert mail.rcpt("somebody@far.away.test")[0] == 554


def test_a_name_without_a_domain_is_an_alias_of_the_server(mail: Instance) -> None:
    mail.send("postmaster@mail.example.test", subject="to the postmaster")
    mail.arrives("boss@example.com", "to the postmaster")
    assert mail.rcpt("nobody@mail.example.test")[0] == 550


def test_a_full_mailbox_refuses_at_rcpt_through_its_alias_too(mail: Instance) -> None:
    mail.send("full@example.com", subject="big", size=19000)
    mail.arrives("full@example.com", "big")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused, mail.smtp() as session:
        text = message("more", "full@example.com", 9000)
        session.sendmail("a@elsewhere.test", ["full@example.com"], text.as_bytes())
    assert refused.value.recipients["full@example.com"][0] == 552
    mail.send("john.doe@example.com", subject="others are not concerned")
    for address in ("full@example.com", "brim@example.com"):
        with mail.smtp() as session:
            session.mail("a@elsewhere.test", ["SIZE=9000"])
            assert session.rcpt(address)[0] == 552, address


@pytest.mark.parametrize("kind", ["submission", "submissions"])
def test_submission_takes_the_right_password_only(mail: Instance, kind: str) -> None:
    with mail.smtp(kind) as session, pytest.raises(smtplib.SMTPAuthenticationError):
        session.login("john.doe@example.com", "wrong")
    with mail.smtp(kind) as session:
        session.login("john.doe@example.com", PASSWORD)
        text = message(kind, "jane.doe@example.com")
        session.sendmail("john.doe@example.com", ["jane.doe@example.com"], text.as_bytes())
    mail.arrives("jane.doe@example.com", kind)


def test_who_is_logged_in_may_send_elsewhere(mail: Instance) -> None:
    with mail.smtp("submission") as session:
        session.login("john.doe@example.com", PASSWORD)
        text = message("outward", "customer@elsewhere.test")
        session.sendmail("john.doe@example.com", ["customer@elsewhere.test"], text.as_bytes())
    until(lambda: any(t.recipients == ("customer@elsewhere.test",) for t in mail.sink.taken))


def test_submission_without_a_login_is_refused(mail: Instance) -> None:
    with mail.smtp("submission") as session:
        session.mail("john.doe@example.com")
        assert session.rcpt("jane.doe@example.com")[0] == 554


def test_no_password_is_taken_without_tls(mail: Instance) -> None:
    plain = smtplib.SMTP("127.0.0.1", mail.ports["submission"])
    plain.ehlo()
    assert not plain.has_extn("auth")
    plain.quit()
    # Dovecot trusts a client that comes from the very address it connects to.
    source = ("127.0.0.9", 0)
    with socket.create_connection(("127.0.0.1", mail.ports["imap"]), 10, source) as connection:
        assert b"LOGINDISABLED" in connection.recv(4096)
    session = imaplib.IMAP4("127.0.0.1", mail.ports["imap"])
    session.starttls(trusting())
    session.login("john.doe@example.com", PASSWORD)
    session.logout()


def sender_code(mail: Instance, login: str, sender: str) -> int:
    with mail.smtp("submission") as session:
        session.login(login, PASSWORD)
        session.mail(sender)
        return session.rcpt("jane.doe@example.com")[0]


def test_one_sends_as_oneself_and_as_the_aliases_that_lead_to_oneself(mail: Instance) -> None:
    john = "john.doe@example.com"
    for sender in (john, "info@example.com", "team@example.com", "chain@example.com"):
        assert sender_code(mail, john, sender) == 250, sender
    for sender in ("jane.doe@example.com", "brim@example.com", "who@elsewhere.test"):
        assert sender_code(mail, john, sender) == 553, sender


def test_a_catch_all_is_no_sender_unless_a_setting_says_so(mail: Instance) -> None:
    assert sender_code(mail, "boss@example.com", "who-ever@example.com") == 553


def test_a_restricted_sender_is_refused_and_a_restricted_recipient(mail: Instance) -> None:
    assert sender_code(mail, "silent@example.com", "silent@example.com") == 554
    assert mail.rcpt("silent@example.com")[0] == 250
    assert mail.rcpt("deaf@example.com")[0] == 554
    assert sender_code(mail, "deaf@example.com", "deaf@example.com") == 250


def test_a_restricted_sender_gains_nothing_by_an_alias(mail: Instance) -> None:
    mail.setup("alias", "add", "mask@example.com", "silent@example.com")
    assert sender_code(mail, "silent@example.com", "mask@example.com") == 554


def test_a_master_logs_in_as_anybody_who_exists(mail: Instance) -> None:
    assert mail.can_log_in("john.doe@example.com*root", "master-secret")
    assert not mail.can_log_in("john.doe@example.com*root", PASSWORD)
    assert not mail.can_log_in("nobody@example.com*root", "master-secret")
    assert not mail.can_log_in("root", "master-secret")
    mail.setup("dovecot-master", "update", "root", "another")
    assert not mail.can_log_in("john.doe@example.com*root", "master-secret")
    assert mail.can_log_in("john.doe@example.com*root", "another")
    mail.setup("dovecot-master", "del", "root")
    assert not mail.can_log_in("john.doe@example.com*root", "another")


def test_an_alias_cannot_log_in_and_is_not_listed(mail: Instance) -> None:
    for password in (PASSWORD, "", "x"):
        assert not mail.can_log_in("info@example.com", password)
    users = mail.doveadm("user", "*").split()
    assert "john.doe@example.com" in users
    assert "info@example.com" not in users


def test_pop3_reads_the_same_mailbox(mail: Instance) -> None:
    session = mail.pop3()
    session.user("jane.doe@example.com")
    session.pass_(PASSWORD)
    assert session.stat()[0] == len(mail.subjects("jane.doe@example.com"))
    session.quit()


def test_a_sieve_script_put_by_managesieve_files_the_mail(mail: Instance) -> None:
    mail.setup("email", "add", "sieve@example.com", PASSWORD)
    with socket.create_connection(("127.0.0.1", mail.ports["sieve"]), 30) as plain:
        answer(plain)
        plain.sendall(b"STARTTLS\r\n")
        assert answer(plain).endswith("OK")
        with trusting().wrap_socket(plain) as session:
            answer(session)
            login = base64.b64encode(f"\0sieve@example.com\0{PASSWORD}".encode())
            session.sendall(b'AUTHENTICATE "PLAIN" "' + login + b'"\r\n')
            assert answer(session).endswith("OK")
            script = b'require "fileinto"; fileinto "Junk";'
            session.sendall(b'PUTSCRIPT "all" {%d+}\r\n%s\r\n' % (len(script), script))
            assert answer(session).endswith("OK")
            session.sendall(b'SETACTIVE "all"\r\n')
            assert answer(session).endswith("OK")
    mail.send("sieve@example.com", subject="filed")

    def filed() -> bool:
        with mail.imap("sieve@example.com") as session:
            return session.select("Junk")[1] == [b"1"]

    until(filed)
    assert mail.subjects("sieve@example.com") == []


def answer(session: socket.socket) -> str:
    """ManageSieve's next answer, up to the word that ends it (RFC 5804)."""
    said = b""
    while True:
        said += session.recv(4096)
        last = said.removesuffix(b"\r\n").rpartition(b"\r\n")[2]
        if said.endswith(b"\r\n") and last[:2] in (b"OK", b"NO", b"BY"):
            return said.decode()[: said.rfind(last) + 2]


def test_email_list_shows_use_limit_and_aliases(mail: Instance) -> None:
    listed = mail.setup("email", "list").split("\n\n")
    john = next(block for block in listed if block.startswith("* john.doe@example.com "))
    assert "/ ~ ) [" in john
    assert "\n    [ aliases -> info@example.com, team@example.com ]" in john
    assert any(b.startswith("* full@example.com ( ") and "/ 20K ) [" in b for b in listed)
