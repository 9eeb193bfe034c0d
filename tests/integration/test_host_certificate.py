"""`watch` follows the certificate of a host's own Postfix and Dovecot, and `integrate` lets them
read the copy that it keeps."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import HASH, until
from tests.support.pki import Authority, Issued

NAME = "host.example.test"
MAIN = "/etc/postfix/main.cf"
CHAIN_FILES = "smtpd_tls_chain_files = $mailroster_certificates\n"
#: Keeps sessions open over a renewal, and prints what a new client sees on each port.
CLIENT = """
import imaplib, smtplib, ssl, sys, time
context = ssl._create_unverified_context()
imap = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=60)
imap.login("john@example.com", "secret")
imap.select()
smtp = smtplib.SMTP("127.0.0.1", 587, timeout=60)
smtp.starttls(context=context)
smtp.login("john@example.com", "secret")
smtp.mail("john@example.com")
print("open", flush=True)
sys.stdin.readline()
time.sleep(10)  # Dovecot kills clients 6 s after a reload, if it kills them
print(imap.noop()[0], smtp.rcpt("john@example.com")[0], smtp.data("Subject: kept\\n\\nx")[0])
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def host(authority: Authority) -> Iterator[Host]:
    made = Host()
    try:
        made.run("postconf", "-e", f"myhostname = {NAME}")
        made.write("/etc/mailroster/postfix-accounts.cf", f"john@example.com|{HASH}\n")
        toml = f'tls_type = "letsencrypt"\ntls_domain = "{NAME}"\n'
        made.write("/etc/mailroster/mailroster.toml", toml)
        yield made
    finally:
        made.close()


def renew(host: Host, issued: Issued) -> None:
    """As certbot does: another folder of files, and links to them."""
    live = f"/etc/letsencrypt/live/{NAME}"
    host.run("mkdir", "-p", live, "/etc/letsencrypt/archive")
    for name, text in (("fullchain", issued.chain), ("privkey", issued.key)):
        number = host.run("sh", "-c", "ls /etc/letsencrypt/archive | wc -l").strip()
        host.write(f"/etc/letsencrypt/archive/{name}{number}.pem", text)
        host.run("ln", "-sfn", f"../../archive/{name}{number}.pem", f"{live}/{name}.pem")


def shown(host: Host, port: int, starttls: str = "") -> str:
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    argv += ["-starttls", starttls] if starttls else []
    return host.inside(*argv).stdout


def in_force(host: Host, issued: Issued) -> bool:
    ports = ((25, "smtp"), (587, "smtp"), (465, ""), (143, "imap"), (993, ""))
    return all(issued.certificate.strip() in shown(host, *port) for port in ports)


def test_a_host_follows_its_certificate(host: Host, authority: Authority) -> None:
    done = host.setup("integrate", "--apply")
    assert done.returncode == 1
    assert f"there is no TLS file /etc/letsencrypt/live/{NAME}/fullchain.pem" in done.stderr
    first = authority.issue(NAME)
    renew(host, first)
    done = host.setup("integrate", "--apply")
    assert done.returncode == 0, done.stderr
    assert CHAIN_FILES in host.read(MAIN)
    host.start()
    host.watch()
    until(lambda: in_force(host, first), 60, host.evidence)
    second = authority.issue(NAME)
    client = subprocess.Popen(
        host.enter(sys.executable, "-c", CLIENT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert client.stdin is not None
    assert client.stdout is not None
    assert client.stdout.readline() == b"open\n"
    renew(host, second)
    until(lambda: in_force(host, second), 60, host.evidence)
    client.stdin.write(b"\n")
    client.stdin.close()
    assert client.stdout.read() == b"OK 250 250\n"
    assert client.wait(60) == 0
    assert "is in force, valid until 20" in host.log.read_text()


def test_a_name_of_postfix_will_do_and_another_is_refused(host: Host, authority: Authority) -> None:
    renew(host, authority.issue("other.test"))
    until(lambda: f"is not for {NAME}" in host.log.read_text(), 60)
    status = host.setup("status")
    assert f"is not for {NAME}" in status.stdout, status.stdout + status.stderr
    assert status.returncode == 1
    third = authority.issue(NAME)
    renew(host, third)
    until(lambda: in_force(host, third), 60, host.evidence)


def test_without_the_setting_the_administrators_certificate_is_used_again(host: Host) -> None:
    host.write("/etc/mailroster/mailroster.toml", "")
    host.stop_watch()
    done = host.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    main = host.read(MAIN)
    assert "mailroster_certificates" not in main
    assert "smtpd_tls_cert_file=" in main.replace(" ", "")
    own = host.read("/etc/dovecot/private/dovecot.pem").strip()
    for port in ((25, "smtp"), (993, "")):
        until(lambda port=port: own in shown(host, *port), 60, host.evidence)  # type: ignore[misc]
    host.stop()
