"""msmtp, s-nail, mutt, swaks and curl send by both ports of submission; sieve-connect
uploads scripts."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.client_mail import account, last, state
from tests.support.client_programs import HOST, Client, SieveConnect, as_options
from tests.support.instance import Instance, message, until

CONTENT = bytes(range(256)) * 4000  # about 1 MB
NAME = "Anhang ü.bin"
PORTS = ("submission", "submissions")


@pytest.fixture(scope="module")
def users(server: Instance) -> tuple[str, str]:
    return account(server, "sender@x.test"), account(server, "reader@x.test")


def attachment(client: Client) -> Path:
    path = client.folder / NAME
    path.write_bytes(CONTENT)
    return path


def arrives_whole(server: Instance, user: str, subject: str) -> None:
    server.arrives(user, subject)
    received = last(server, user)
    assert received["Subject"] == subject
    (found,) = received.iter_attachments()
    assert found.get_content() == CONTENT
    assert found.get_filename() == NAME


@pytest.mark.parametrize("port", PORTS)
def test_msmtp(server: Instance, tmp_path: Path, users: tuple[str, str], port: str) -> None:
    sender, reader = users
    client = Client(server, tmp_path, sender)

    def send(password: str) -> int:
        config = client.write(
            "msmtprc",
            f"""\
account default
host {HOST}
port {server.ports[port]}
tls on
tls_starttls {"on" if port == "submission" else "off"}
tls_trust_file {client.certificate}
auth on
user {sender}
password {password}
from {sender}
""",
        )
        text = message(f"msmtp {port}", reader)
        text.add_attachment(CONTENT, "application", "octet-stream", filename=NAME)
        return client.run("msmtp", "-C", str(config), reader, stdin=text.as_bytes()).returncode

    assert send("wrong") == 77  # EX_NOPERM
    assert send(client.password) == 0
    arrives_whole(server, reader, f"msmtp {port}")


@pytest.mark.parametrize("port", PORTS)
def test_s_nail(server: Instance, tmp_path: Path, users: tuple[str, str], port: str) -> None:
    sender, reader = users
    client = Client(server, tmp_path, sender)
    scheme = "smtps" if port == "submissions" else "smtp"
    login = f"{quote(sender, safe='')}:{client.password}"
    settings = as_options(
        {
            "mta": f"{scheme}://{login}@{HOST}:{server.ports[port]}",
            "smtp-auth": "plain",
            "from": sender,
            "tls-ca-file": client.certificate,
            "tls-verify": "strict",
        }
    )
    if port == "submission":
        settings += ["-S", "smtp-use-starttls"]
    subject = f"s-nail {port}"
    words = ["-n", "-S", "v15-compat", *settings, "-a", str(attachment(client)), "-s", subject]
    client.must("s-nail", *words, reader, stdin="hello\n")
    arrives_whole(server, reader, subject)


def test_mutt_sends_and_keeps_a_copy_on_the_server(
    server: Instance, tmp_path: Path, users: tuple[str, str]
) -> None:
    sender, reader = users
    client = Client(server, tmp_path, sender)
    ports = server.ports
    config = client.write(
        "muttrc",
        f"""\
set from="{sender}"
set imap_user="{sender}"
set imap_pass="{client.password}"
set smtp_pass="{client.password}"
set smtp_url="smtps://{sender}@{HOST}:{ports["submissions"]}/"
set folder="imaps://{HOST}:{ports["imaps"]}/"
set record="+Sent"
set certificate_file="{client.certificate}"
set ssl_usesystemcerts=no
set header_cache=""
""",
    )
    path = attachment(client)
    words = ["-F", str(config), "-s", "mutt", "-a", str(path), "--", reader]
    client.must("mutt", *words, stdin="hello\n")
    arrives_whole(server, reader, "mutt")
    assert state(server, sender, "Sent") == {"mutt": {"\\Seen"}}
    assert last(server, sender, "Sent")["To"] == reader


def test_swaks_and_curl(server: Instance, tmp_path: Path, users: tuple[str, str]) -> None:
    sender, reader = users
    client = Client(server, tmp_path, sender)
    path, ports = attachment(client), server.ports
    login = ("--auth", "PLAIN", "--auth-user", sender, "--auth-password", client.password)
    client.must(
        "swaks", "--server", HOST, "--port", str(ports["submission"]), "-tls", *login,
        "--tls-verify", "--tls-ca-path", str(client.certificate), "--from", sender,
        "--to", reader, "--header", "Subject: swaks", "--attach-name", "a.bin",
        "--attach", f"@{path}",
    )  # fmt: skip
    server.arrives(reader, "swaks")
    text = client.write("message.eml", message("curl", reader).as_string())
    client.must(
        "curl", "-sS", "--cacert", str(client.certificate), "-u", f"{sender}:{client.password}",
        "--mail-from", sender, "--mail-rcpt", reader, "-T", str(text),
        f"smtps://{HOST}:{ports['submissions']}",
    )  # fmt: skip
    server.arrives(reader, "curl")


def test_sieve_connect_uploads_and_activates_scripts(server: Instance, tmp_path: Path) -> None:
    user = account(server, "sieve@x.test")
    client = SieveConnect(server, tmp_path, user)
    good = client.write(
        "good.sieve",
        'require ["fileinto", "mailbox"];\n'
        'if header :contains "Subject" "list" { fileinto :create "Listen ü"; }\n',
    )
    bad = client.write("bad.sieve", 'require "fileinto";\nfileinto "x"\n')

    def sieve(*words: str) -> str:
        done = client.sieve(*words)
        assert done.returncode == 0, done
        return done.stdout

    upload = ("--upload", "--remotesieve", "filter", "--localsieve")
    sieve(*upload, str(good))
    assert "filter" in sieve("--list")
    sieve("--activate", "--remotesieve", "filter")
    assert '"filter" ACTIVE' in sieve("--list")
    server.send(user, subject="list 1")
    until(lambda: "list 1" in folder(server, user), 60)
    refused = client.sieve(*upload, str(bad))
    assert refused.returncode != 0
    assert (
        "line 2" in refused.stdout + refused.stderr or "line 3" in refused.stdout + refused.stderr
    )
    server.send(user, subject="list 2")
    until(lambda: "list 2" in folder(server, user), 60)
    assert server.subjects(user) == []
    sieve("--deactivate")
    sieve("--delete", "--remotesieve", "filter")
    assert "filter" not in sieve("--list")
    server.send(user, subject="list 3")
    server.arrives(user, "list 3")


def folder(server: Instance, user: str) -> dict[str, set[str]]:
    try:
        return state(server, user, "Listen ü")
    except server_error():
        return {}


def server_error() -> type[Exception]:
    """What imaplib raises for a folder that isn't there."""
    import imaplib

    return imaplib.IMAP4.error
