"""getmail, fetchmail and curl: mail that stays on the server is fetched once, also across a restart
of the server; and new mail is pushed by IDLE."""

from pathlib import Path

from tests.support.client_mail import account
from tests.support.client_programs import HOST, Client, Fetchmail, Getmail, said_by
from tests.support.instance import Instance, until


def test_mail_that_stays_on_the_server_is_fetched_once(server: Instance, tmp_path: Path) -> None:
    user = account(server, "fetch@x.test", 5)
    pop3 = Getmail(server, tmp_path / "getmail-pop3", user)
    imap = Getmail(server, tmp_path / "getmail-imap", user)
    fetchmail = Fetchmail(server, tmp_path / "fetchmail", user)

    def fetched() -> list[int]:
        return [
            pop3.fetch("SimplePOP3SSLRetriever", "pop3s"),
            imap.fetch("SimpleIMAPSSLRetriever", "imaps"),
            fetchmail.fetch(),
        ]

    assert fetched() == [5, 5, 5]
    assert fetched() == [0, 0, 0]
    server.stop()
    server.start()
    server.send(user, subject="after the restart")
    server.arrives(user, "after the restart")
    assert fetched() == [1, 1, 1]
    assert fetchmail.subjects()[-1] == "after the restart"
    assert len(server.subjects(user)) == 6


def test_new_mail_is_pushed_to_a_client_that_waits(server: Instance, tmp_path: Path) -> None:
    """fetchmail with `idle` fetches once, and then only when the server says that there is mail."""
    user = account(server, "idle@x.test", 1)
    client = Fetchmail(server, tmp_path, user)
    with client.beside(*client.argv("imap", "imaps", "idle", "fetchall")) as process:
        until(lambda: client.subjects() == ["message 0"], 60)
        for subject in ("pushed", "pushed too"):
            assert process.poll() is None, said_by(process)
            server.send(user, subject=subject)
            until(lambda subject=subject: subject in client.subjects(), 60)  # type: ignore[misc]


def test_curl_reads_by_each_protocol(server: Instance, tmp_path: Path) -> None:
    user = account(server, "curl@x.test", 2)
    client = Client(server, tmp_path, user)
    trust = ("curl", "-sS", "--cacert", str(client.certificate), "-u", f"{user}:{client.password}")
    ports = server.ports
    for url in (
        f"imaps://{HOST}:{ports['imaps']}/INBOX;MAILINDEX=1",
        f"pop3s://{HOST}:{ports['pop3s']}/1",
    ):
        assert "Subject: message 0" in client.must(*trust, url)
    for url in (
        f"imap://{HOST}:{ports['imap']}/INBOX;MAILINDEX=1",
        f"pop3://{HOST}:{ports['pop3']}/1",
    ):
        assert "Subject: message 0" in client.must(*trust, "--ssl-reqd", url)
    wrong = client.run(*trust[:-1], f"{user}:wrong", f"imaps://{HOST}:{ports['imaps']}/INBOX")
    assert wrong.returncode == 67, wrong  # CURLE_LOGIN_DENIED
