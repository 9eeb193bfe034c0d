"""Mail to the postmaster of every domain and to the server's own names, and mail that is
discarded."""

import json
import subprocess

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, message, until

SETTINGS = {"postmaster_address": "Chief@x.com", "spoof_protection": True, "quota_warnings": "none"}
USERS = ("chief@x.com", "a@y.com", "box@z.com", "w@w.com")
ALIASES = """\
@z.com box@z.com
abuse@y.com a@y.com
@old.test @y.com
no-reply@x.com trash
both@x.com trash, a@y.com
"""
#: Address -> the account that gets its mail.
ENDS = {
    "postmaster@x.com": "chief@x.com",
    "abuse@x.com": "chief@x.com",
    "Postmaster+tag@Y.com": "chief@x.com",
    "abuse@y.com": "a@y.com",
    "postmaster@old.test": "chief@x.com",
    "abuse@old.test": "a@y.com",
    "postmaster@z.com": "box@z.com",
    "postmaster@w.com": "a@y.com",
    "abuse@w.com": "chief@x.com",
    "root@mail.example.test": "chief@x.com",
    "root": "chief@x.com",
    "mailer-daemon@mail.example.test": "chief@x.com",
    "postmaster@mail.example.test": "chief@x.com",
    "postmaster": "chief@x.com",
    "abuse@mail.example.test": "a@y.com",
}


@pytest.fixture(scope="module")
def post(server: Instance) -> Instance:
    server.file("postfix-accounts.cf").write_text("".join(f"{user}|{HASH}\n" for user in USERS))
    server.file("postfix-virtual.cf").write_text(ALIASES)
    server.file("postfix-regexp.cf").write_text("/^postmaster@w\\.com$/ a@y.com\n")
    local = "trash: /dev/null\nabuse: a@y.com\nroot: a@y.com\n"
    server.file("postfix-aliases.cf").write_text(local)
    server.setup("apply")
    return server


def test_mail_to_a_role_arrives(post: Instance) -> None:
    for address in ENDS:
        post.send(address, subject=f"to {address}")
    for address in list(ENDS)[::3]:
        told = json.loads(post.setup("explain", address, "--json"))
        assert [end["mailbox"]["account"] for end in told["recipients"]] == [ENDS[address]]
        assert told["disagreements"] == []
    for address, account in ENDS.items():
        post.arrives(account, f"to {address}")
    assert "no-postmaster" not in post.run("check", "--info").stdout
    assert "postmaster_address is not set" not in post.log.read_text()


def test_what_cron_sends_to_root_arrives(post: Instance) -> None:
    text = message("from cron", "root").as_bytes()
    argv = ["/usr/sbin/sendmail", "-C", str(post.state / "postfix"), "root"]
    subprocess.run(argv, input=text, check=True, timeout=60)
    post.arrives("chief@x.com", "from cron")


def test_a_new_domain_has_a_postmaster_at_once(post: Instance) -> None:
    assert post.rcpt("postmaster@new.test")[0] == 554
    post.setup("email", "add", "n@new.test", PASSWORD)
    assert (post.rcpt("postmaster@new.test")[0], post.rcpt("abuse@new.test")[0]) == (250, 250)
    assert post.rcpt("webmaster@new.test")[0] == 550
    post.setup("alias", "add", "@new.test", "n@new.test")
    post.send("postmaster@new.test", subject="a catch-all comes first")
    post.arrives("n@new.test", "a catch-all comes first")
    post.setup("alias", "del", "@new.test", "n@new.test")
    post.setup("email", "del", "-y", "n@new.test")
    assert post.rcpt("postmaster@new.test")[0] in (550, 554)
    assert post.setup("apply", "--verify").startswith("0 rows")


@pytest.mark.parametrize(
    ("login", "sender", "code"),
    [
        ("chief@x.com", "postmaster@y.com", 250),
        ("chief@x.com", "Abuse+tag@X.com", 250),
        ("chief@x.com", "postmaster@old.test", 250),
        ("a@y.com", "postmaster@y.com", 553),
        ("a@y.com", "abuse@old.test", 250),
        ("chief@x.com", "abuse@old.test", 553),
        ("box@z.com", "postmaster@z.com", 553),  # spoof_catch_all is off
        ("a@y.com", "no-reply@x.com", 553),
    ],
)
def test_who_may_send_as_a_role(post: Instance, login: str, sender: str, code: int) -> None:
    with post.smtp("submission") as session:
        session.login(login, PASSWORD)
        session.mail(sender)
        assert session.rcpt("a@y.com")[0] == code
    told = json.loads(post.setup("explain", sender, "--json"))
    assert (login in told["senders"]) == (code == 250)
    assert told["disagreements"] == []


def test_an_alias_of_dev_null_discards_mail(post: Instance) -> None:
    post.send("no-reply@x.com", subject="for nobody")
    post.send("both@x.com", subject="for one")
    post.arrives("a@y.com", "for one")
    log = post.home / "mail-logs/mail.log"
    until(lambda: log.read_text().count("relay=none") >= 2)
    lines = [line for line in log.read_text().splitlines() if "relay=none" in line]
    assert all("status=sent (discard" in line for line in lines), lines
    assert any("orig_to=<no-reply@x.com>" in line for line in lines)
    for address in ("no-reply@x.com", "trash@mail.example.test"):
        told = json.loads(post.setup("explain", address, "--json"))
        assert [end["kind"] for end in told["recipients"]] == ["discarded"]
        assert told["disagreements"] == []
    assert "accepted with 250, and discarded" in post.setup("explain", "no-reply@x.com")
    assert post.rcpt("discard@discard.mailroster.invalid")[0] == 554
    assert "discards-mail" in post.run("check", "--info").stdout
