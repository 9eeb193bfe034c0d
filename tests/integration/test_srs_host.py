"""A host's own Postfix rewrites the senders of forwarded mail, by the postsrsd of `watch`."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import until

JANE, FRIEND, AUTHOR = "jane@served.example", "friend@elsewhere.example", "author@other.example"
TOML, SECRET = "/etc/mailroster/mailroster.toml", "/var/lib/mailroster/srs-secret"
PID = "/var/lib/mailroster/locks/postsrsd.pid"
REWRITTEN = r"SRS0=[^=]{4}=[^=]+=other\.example=author@host\.example\.test"
SCRIPT = 'if header :contains "subject" "by a script" { redirect "friend@elsewhere.example"; }\n'
#: What the administrator's own Postfix rewrites: the sender of a program, and a recipient.
OWN = ("program@host.example.test office@own.example", "old@own.example new@elsewhere.example")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """It keeps mail to elsewhere in its queue, and has tables of its administrator."""
    found = Host()
    try:
        found.run("postconf", "-e", "defer_transports = smtp")
        found.run("postconf", "-e", "mydestination = $myhostname, own.example, localhost")
        for name, line in zip(("sender", "recipient"), OWN, strict=True):
            path = f"/etc/postfix/{name}_canonical"
            found.write(path, f"{line}\n")
            found.run("postmap", f"lmdb:{path}")
            found.run("postconf", "-e", f"{name}_canonical_maps = lmdb:{path}")
        found.write(TOML, "enable_srs = true\n")
        found.run_setup("email", "add", JANE, "secret")
        found.run_setup("alias", "add", "out@served.example", FRIEND)
        found.write(f"/etc/mailroster/{JANE}.dovecot.sieve", SCRIPT)
        found.run_setup("tables")
        yield found
        found.stop()
    finally:
        found.close()


@pytest.fixture(scope="module")
def served(host: Host) -> Host:
    """Integrated, with servers that run, and `watch`."""
    host.run("postconf", "-e", "sender_canonical_classes = envelope_sender")
    done = host.setup("integrate", "--apply")
    assert done.returncode == 0, done.stderr
    host.watch()
    host.start()
    return host


def runs(host: Host) -> bool:
    """Whether a postsrsd runs; one that was killed may be a zombie here."""
    return host.inside("pgrep", "-x", "-r", "R,S,D,T", "postsrsd").stdout != ""


def queued(host: Host, subject: str) -> dict[str, str]:
    """The sender and the recipient of the message in the queue with a subject."""
    found: dict[str, str] = {}

    def is_there() -> bool:
        for line in host.run("postqueue", "-j").splitlines():
            entry = json.loads(line)
            text = host.inside("postcat", "-qh", entry["queue_id"]).stdout
            if f"Subject: {subject}\n" in text:
                (recipient,) = entry["recipients"]
                found.update(sender=entry["sender"], to=recipient["address"], text=text)
        return bool(found)

    until(is_there, evidence=host.evidence)
    return found


def forwarded(host: Host, sender: str, subject: str, to: str = "out@served.example") -> str:
    """The sender with which a message from elsewhere leaves."""
    headers = ("--header", f"From: {sender}", "--header", f"Subject: {subject}")
    shown = host.send(to, "--from", sender, *headers)
    assert "queued as" in shown, shown
    return queued(host, subject)["sender"]


def test_own_tables_that_rewrite_headers_are_not_changed(host: Host) -> None:
    refused = host.setup("integrate", "--check")
    assert refused.returncode == 1
    assert "set sender_canonical_classes = envelope_sender" in refused.stderr


def test_a_port_of_another_postsrsd_is_named(host: Host) -> None:
    host.run("postconf", "-e", "sender_canonical_classes = envelope_sender")
    host.write("/run/other-secret", "secret\n")
    pid = "/run/other-postsrsd.pid"
    host.run(
        "postsrsd", "-D", "-d", "elsewhere.example", "-s", "/run/other-secret", "-p", pid,
        "-u", "postsrsd", "-f", "941", "-r", "942",
    )  # fmt: skip
    until(lambda: host.inside("cat", pid).stdout.strip() != "")
    refused = host.setup("integrate", "--apply")
    assert refused.returncode == 1
    assert "port 941 is in use by postsrsd" in refused.stderr
    assert "srs" not in host.run("postconf", "-n")
    host.run("sh", "-c", 'kill "$(cat "$0")"', pid)
    until(lambda: not runs(host))


def test_it_is_integrated_behind_the_own_tables(served: Host) -> None:
    checked = served.setup("integrate", "--check")
    assert (checked.returncode, checked.stdout) == (0, "integrated\n")
    senders = served.run("postconf", "-h", "sender_canonical_maps").strip()
    assert senders == "lmdb:/etc/postfix/sender_canonical, $mailroster_srs_senders"
    assert served.run("stat", "-c", "%a %U", SECRET) == "600 root\n"


def test_a_sender_of_another_domain_is_rewritten_and_its_header_is_not(served: Host) -> None:
    assert re.fullmatch(REWRITTEN, forwarded(served, AUTHOR, "by an alias"))
    assert f"From: {AUTHOR}\n" in queued(served, "by an alias")["text"]


def test_a_script_forwards_with_the_same_sender(served: Host) -> None:
    until(lambda: ", live" in served.setup("sieve", "list").stdout)
    assert re.fullmatch(REWRITTEN, forwarded(served, AUTHOR, "by a script", JANE))


def test_a_bounce_returns_to_the_author_and_a_forged_address_is_refused(served: Host) -> None:
    sender = forwarded(served, AUTHOR, "to be bounced")
    shown = served.send(sender, "--from", "<>", "--header", "Subject: it bounced")
    assert "queued as" in shown, shown
    assert queued(served, "it bounced")["to"] == AUTHOR
    forged = sender.replace("author@", "victim@")
    assert " 550 5.1.1" in served.send(forged, "--from", "<>", "--quit-after", "RCPT")
    assert "accepts only bounces" in served.send(sender, "--from", AUTHOR, "--quit-after", "RCPT")


def test_own_senders_and_own_tables_stay(served: Host) -> None:
    served.run_setup("email", "add", "eve@new.example", "secret")
    for sender in (JANE, "eve@new.example", "someone@own.example", "root@host.example.test"):
        assert forwarded(served, sender, f"of {sender}") == sender
    assert forwarded(served, "Ann@OWN.Example", "of Ann").lower() == "ann@own.example"
    assert forwarded(served, "program@host.example.test", "of a program") == "office@own.example"
    assert "queued as" in served.send("old@own.example", "--header", "Subject: to the old one")
    assert queued(served, "to the old one")["to"] == "new@elsewhere.example"


def test_mail_of_others_waits_while_it_is_down_and_it_is_restarted(served: Host) -> None:
    secret = served.read(SECRET)
    served.stop_watch()
    assert not runs(served)
    shown = served.send("out@served.example", "--from", AUTHOR)
    assert " 451 4." in shown and "queued as" not in shown, shown
    assert "queued as" in served.send(JANE, "--from", JANE)
    served.watch()
    assert served.read(SECRET) == secret
    assert "queued as" in served.send("out@served.example", "--from", AUTHOR)
    pid = served.read(PID).strip()
    served.run("kill", "-KILL", pid)
    until(lambda: served.inside("cat", PID).stdout.strip() not in ("", pid))
    until(lambda: "queued as" in served.send("out@served.example", "--from", AUTHOR))


def test_without_the_setting_the_next_integration_takes_it_out(served: Host) -> None:
    served.stop_watch()
    served.write(TOML, "")
    done = served.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    shown = served.run("postconf", "-n")
    assert "srs" not in shown
    for line in (
        "sender_canonical_maps = lmdb:/etc/postfix/sender_canonical\n",
        "recipient_canonical_maps = lmdb:/etc/postfix/recipient_canonical\n",
        "sender_canonical_classes = envelope_sender\n",
    ):
        assert line in shown
    served.watch()
    until(lambda: not runs(served))  # a child of the killed one ends with its connection
    assert forwarded(served, AUTHOR, "as before") == AUTHOR


def test_bounces_arrive_if_the_name_of_the_server_is_a_served_domain(served: Host) -> None:
    """Also without tables of the administrator, where the policy service knows all recipients."""
    served.stop_watch()
    served.write(TOML, "enable_srs = true\n")
    for name in ("recipient_canonical_maps", "sender_canonical_maps", "sender_canonical_classes"):
        served.run("postconf", "-X", name)
    done = served.setup("integrate", "--apply", "--reload")
    assert done.returncode == 0, done.stderr
    assert "policy_context=recipient" in served.run("postconf", "-h", "mailroster_recipient_check")
    assert served.run("postconf", "-xh", "sender_canonical_classes") == "envelope_sender\n"
    served.watch()
    served.run_setup("email", "add", "postmaster@host.example.test", "secret")
    sender = forwarded(served, AUTHOR, "to be bounced again")
    assert re.fullmatch(REWRITTEN, sender)
    assert "queued as" in served.send(sender, "--from", "<>", "--header", "Subject: it bounced too")
    assert queued(served, "it bounced too")["to"] == AUTHOR
    for address in (sender.replace("author@", "victim@"), "nobody@host.example.test"):
        assert " 550 5.1.1" in served.send(address, "--from", "<>", "--quit-after", "RCPT")


def test_an_undo_leaves_nothing(served: Host) -> None:
    assert served.setup("integrate", "--undo", "--force").returncode == 0
    assert "mailroster" not in served.run("postconf", "-n")
