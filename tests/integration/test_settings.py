"""Settings that users of the environment variables rely on, each seen on the servers."""

import smtplib
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, free_ports, message, until


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with every setting turned."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    argv += ["-subj", "/CN=given.test", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    instance = Instance(
        mailbox_size_limit=30_000,
        message_size_limit=100_000,
        postmaster_address="chief@x.com",
        tls_certificate=str(certificate),
        tls_key=str(key),
        vmail_uid=5023,
        vmail_gid=5024,
        password_scheme="BLF-CRYPT",
    )
    try:
        instance.start()
        instance.setup("email", "add", "chief@x.com", PASSWORD)
        instance.setup("email", "add", "u@x.com", PASSWORD)
        yield instance
    finally:
        instance.close()


def test_the_default_quota_holds_where_no_entry_is(other: Instance) -> None:
    assert "u@x.com ( 0 / 30K ) [0%]" in other.setup("email", "list")
    other.setup("quota", "set", "u@x.com", "0")
    assert "u@x.com ( 0 / ~ ) [0%]" in other.setup("email", "list")
    other.setup("quota", "del", "u@x.com")
    assert "/ 30K )" in other.setup("email", "list")


def test_a_message_larger_than_the_limit_is_refused(other: Instance) -> None:
    with other.smtp() as session, pytest.raises(smtplib.SMTPSenderRefused) as refused:
        text = message("large", "u@x.com", 200_000)
        session.sendmail("a@elsewhere.test", ["u@x.com"], text.as_bytes())
    assert refused.value.smtp_code == 552


def test_mail_to_the_postmaster_goes_where_it_is_told(other: Instance) -> None:
    other.send("postmaster@mail.example.test", subject="to the chief")
    other.arrives("chief@x.com", "to the chief")


def test_the_given_certificate_is_shown(other: Instance) -> None:
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{other.ports['imaps']}"],
        input="",
        capture_output=True,
        text=True,
    )
    assert "CN=given.test" in shown.stdout.replace(" = ", "=")


def test_mail_belongs_to_the_given_user(other: Instance) -> None:
    other.send("u@x.com", subject="owned")
    other.arrives("u@x.com", "owned")
    status = (other.mail / "x.com/u").stat()
    assert (status.st_uid, status.st_gid) == (5023, 5024)
    assert (other.mail / "x.com/u/home").parent.is_dir()


def test_the_scheme_of_new_passwords_is_the_given_one(other: Instance) -> None:
    assert "chief@x.com|{BLF-CRYPT}$2y$" in other.file("postfix-accounts.cf").read_text()


def test_it_listens_on_all_addresses_if_it_is_told_to() -> None:
    instance = Instance(listen="0.0.0.0")
    try:
        instance.start()
        instance.setup("email", "add", "u@x.com", PASSWORD)
        instance.send("u@x.com", subject="from anywhere")
        instance.arrives("u@x.com", "from anywhere")
        assert "warning" not in (instance.home / "mail-logs/mail.log").read_text()
    finally:
        instance.close()


def test_without_quotas_nothing_is_full_and_none_is_listed() -> None:
    instance = Instance(enable_quotas=False)
    try:
        instance.file("postfix-accounts.cf").write_text(f"u@x.com|{HASH}\n")
        instance.file("dovecot-quotas.cf").write_text("u@x.com:1k\n")
        instance.start()
        assert instance.setup("email", "list") == "* u@x.com\n"
        for subject in ("one", "two"):
            instance.send("u@x.com", subject=subject, size=5000)
            instance.arrives("u@x.com", subject)
    finally:
        instance.close()


def test_without_spoof_protection_anybody_logged_in_may_send_as_anybody(other: Instance) -> None:
    with other.smtp("submission") as session:
        session.login("u@x.com", PASSWORD)
        session.mail("chief@x.com")
        assert session.rcpt("chief@x.com")[0] == 250


def test_a_taken_port_is_told_and_nothing_is_left_running(other: Instance) -> None:
    second = Instance(imap_port=other.ports["imap"])
    try:
        done = second.run("up")
        assert done.returncode == 1
        assert "Address already in use" in done.stderr
        assert "postfix: not running" in second.run("status").stdout
        assert "dovecot: not running" in second.run("status").stdout
    finally:
        second.close()


def test_hand_written_faults_are_skipped_told_and_the_rest_is_served(other: Instance) -> None:
    with other.file("postfix-accounts.cf").open("a") as file:
        file.write(f"broken\nBob@X.com|{HASH}\nu@x.com|{HASH}\n../../etc@x.com|{HASH}\n")
    other.file("postfix-virtual.cf").write_text(
        "Info@X.com u@x.com\nloop1@x.com loop2@x.com\nloop2@x.com loop1@x.com\n"
    )
    until(lambda: other.can_log_in("BOB@x.com"))
    assert other.can_log_in("bob@X.COM")
    until(lambda: other.rcpt("info@x.com")[0] == 250)
    assert other.rcpt("loop1@x.com")[0] == 550
    checked = other.run("check")
    assert checked.returncode == 1
    assert "postfix-accounts.cf:3: error:" in checked.stdout
    assert "postfix-accounts.cf:5: warning:" in checked.stdout
    assert "postfix-accounts.cf:6: error:" in checked.stdout
    assert "postfix-virtual.cf:2: error:" in checked.stdout
    assert "postfix-virtual.cf:3: error:" in checked.stdout
    assert "postfix-accounts.cf:3: error:" in other.log.read_text()
    other.setup("email", "del", "-y", "bob@x.com")
    assert not other.can_log_in("bob@x.com")
    assert other.run("email", "del", "-y", "../../etc@x.com").returncode == 1
    assert other.mail.parent.is_dir()


def test_ports_are_named_by_options_too_and_beat_the_file() -> None:
    instance = Instance()
    try:
        port = free_ports(1)[0]
        instance.start("--smtp-port", str(port))
        instance.ports["smtp"] = port
        assert instance.rcpt("nobody@x.com")[0] == 554
    finally:
        instance.close()
