"""Another `recipient_delimiter`, full-text search, and plugins of `dovecot.cf`: one server with all
three settings."""

import imaplib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.servers import prerequisites, version
from mailroster.servers.config.dovecot import conf_2_3, conf_2_4
from tests.support.instance import HASH, PASSWORD, Instance, until

ANN, BEN = "ann@example.test", "ben@example.test"
#: Files what was sent to `ann-DETAIL` into the folder `to-DETAIL`.
SIEVE = """\
require ["subaddress", "fileinto", "mailbox", "envelope", "variables"];
if envelope :matches :detail "to" "*" { fileinto :create "to-${1}"; }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    server = Instance(recipient_delimiter="-_", full_text_search=True, spoof_protection=True)
    try:
        for address in (ANN, BEN):
            server.setup("email", "add", address, PASSWORD)
        server.setup("quota", "set", BEN, "20k")
        server.file(f"{ANN}.dovecot.sieve").write_text(SIEVE)
        server.file("dovecot.cf").write_text(_added("notify", "mail_log"))
        server.start()
        yield server
    finally:
        server.close()


def _added(*plugins: str) -> str:
    """A `dovecot.cf` with more plugins for every protocol."""
    if version.version() == "2.3":
        return f"mail_plugins = $mail_plugins {' '.join(plugins)}\n"
    return "mail_plugins {\n" + "".join(f"  {name} = yes\n" for name in plugins) + "}\n"


def test_an_extension_is_one_to_postfix_dovecot_and_sieve(server: Instance) -> None:
    for local in ("ann-list", "ann_list-2", "ann"):
        assert server.rcpt(f"{local}@example.test")[0] == 250, local
    # The last one is the extension `ann` of an account `owner`, which does not exist.
    for local in ("ann+list", "annlist", "owner-ann"):
        assert server.rcpt(f"{local}@example.test")[0] == 550, local
    server.send("ann-lists@example.test", subject="dash")
    server.send("ann_lists@example.test", subject="underscore")

    def filed() -> bool:
        with server.imap(ANN) as session:
            return session.select("to-lists") == ("OK", [b"2"])

    until(filed)


def test_a_full_mailbox_is_full_under_every_extension(server: Instance) -> None:
    server.send(BEN, size=15_000)
    until(lambda: server.subjects(BEN) == ["hello"])
    with server.smtp() as session:
        session.docmd("MAIL FROM:<somebody@elsewhere.test> SIZE=30000")
        assert session.rcpt("ben-tag@example.test")[0] == 552


def test_senders_and_explain_know_the_extension(server: Instance) -> None:
    with server.smtp("submission") as session:
        session.login(ANN, PASSWORD)
        session.mail("ann-tag@example.test")
        assert session.rcpt(BEN)[0] == 250
        session.rset()
        session.mail("ben_tag@example.test")
        assert session.rcpt(BEN)[0] == 553
    told = server.setup("explain", "ann-tag@example.test")
    assert f"the mailbox of {ANN}" in told and "Postfix and Dovecot say the same" in told
    server.setup("email", "restrict", "add", "receive", BEN)
    assert server.rcpt("ben_x@example.test")[0] == 554
    server.setup("email", "restrict", "del", "receive", BEN)


def test_an_account_with_a_delimiter_is_refused(server: Instance) -> None:
    refused = server.run("email", "add", "ann-marie@example.test", PASSWORD)
    assert refused.returncode == 1
    assert "has '-', which begins the extension" in refused.stderr
    accounts = server.file("postfix-accounts.cf")
    text = accounts.read_text()
    accounts.write_text(f"{text}ann_b@example.test|{HASH}\n")
    checked = server.run("check")
    assert "postfix-accounts.cf:3: error:" in checked.stdout and checked.returncode == 1
    assert "recipient_delimiter" in checked.stdout
    accounts.write_text(text)
    until(lambda: "in step: yes" in server.run("status").stdout)


def test_up_refuses_a_new_delimiter_that_accounts_have_in_their_names() -> None:
    server = Instance(recipient_delimiter="-")
    try:
        lines = [f"{name}@x.example.test|{HASH}\n" for name in ("one-two", "three")]
        server.file("postfix-accounts.cf").write_text("# a-comment\n" + "".join(lines))
        refused = server.run("up")
        assert refused.returncode == 1
        assert "recipient_delimiter: '-' is in the names of accounts" in refused.stderr
        assert "(one-two@x.example.test)" in refused.stderr
    finally:
        server.close()


def _search(session: imaplib.IMAP4, *words: str) -> list[bytes]:
    done, found = session.search(None, *words)
    assert done == "OK", found
    return bytes(found[0]).split()


def test_searches_find_words_and_parts_of_words_by_the_index(server: Instance) -> None:
    with server.imap(ANN) as session:
        bodies = ("Die Monatsrechnung liegt bei.", "Needlework for beginners", "Gr=C3=B6=C3=9Fe")
        head = "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        head += "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        for body in bodies:
            session.append("Sent", "", "", f"{head}{body}\r\n".encode())
        session.select("Sent")
        assert _search(session, "BODY", "Monatsrechnung") == [b"1"]
        assert _search(session, "BODY", "rechnung") == [b"1"]
        assert _search(session, "TEXT", "needle") == [b"2"]
        assert _search(session, "BODY", "nowhere") == []
        session.literal = "größe".encode()  # type: ignore[assignment]
        assert session.search("UTF-8", "BODY")[1] == [b"3"]
    names = {path.name for path in (server.mail / "example.test/ann").rglob("*")}
    assert names & {"xapian-indexes", "fts-flatcurve"}, "no index was used"


def test_plugins_of_dovecot_cf_are_in_force_in_every_protocol(server: Instance) -> None:
    """mail_log tells what a process does to mails, if it is loaded there."""
    log = server.home / "mail-logs/dovecot.log"
    with server.imap(ANN) as session:
        session.create("logged")
        session.delete("logged")
    server.send(BEN, subject="small")
    told = re.compile(r"imap\(ann@.*(?:logged|Mailbox created)")
    until(lambda: told.search(log.read_text()) is not None)
    until(lambda: re.search(r"lmtp\(ben@.*save: ", log.read_text()) is not None)
    assert "Warning" not in "".join(
        line for line in log.read_text().splitlines(True) if "config:" in line
    )


def test_a_plugin_that_is_not_there_is_an_error(server: Instance) -> None:
    """On Dovecot 2.4 the words of 2.3 are such a plugin: it takes `$mail_plugins` for a name."""
    overrides = server.file("dovecot.cf")
    text = overrides.read_text()
    name = "$mail_plugins" if version.version() != "2.3" else "no_such"
    overrides.write_text(f"mail_plugins = $mail_plugins {name}\n")
    checked = server.run("check").stdout
    assert f"dovecot.cf:1: error: the plugin '{name}' in mail_plugins" in checked, checked
    overrides.write_text(text)


def test_up_says_which_package_the_search_needs(
    server: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for its in (conf_2_3, conf_2_4):
        package = its.SEARCH_PACKAGE[0]
        monkeypatch.setattr(its, "SEARCH_PACKAGE", (package, str(Path("/nowhere"))))
    options = {"home": str(server.home), "hostname": "mail.test", "full_text_search": "1"}
    settings = load(Sources(options, {}, lambda path: b"", lambda path: False))
    with pytest.raises(Refused, match="full_text_search needs the Debian package dovecot-f"):
        prerequisites.check(settings, Layout(settings.state))
