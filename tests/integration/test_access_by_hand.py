"""Access files that were written by hand: Postfix treats each key and action as we judge it, and an
action that it does not know never gets into its tables."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import SEND_ACCESS
from mailroster.routing.trace import code_of
from tests.support.access_keys import UNKNOWN, WITHOUT_EFFECT
from tests.support.instance import Instance, save, until

#: A sender that the key would have to match.
SENDERS = {
    "@x.com": "u@x.com", "@": "u@x.com", ".x.com": "u@sub.x.com", ".": "u@x.com",
    "*@x.com": "u@x.com", "a*@x.com": "ab@x.com", "*": "u@x.com", "*.x.com": "u@sub.x.com",
    "192.0.2.1": "u@x.com", "192.0": "u@x.com",
}  # fmt: skip
#: Keys that work, and a sender that they match.
WORKING = {
    "dom.example": "u@dom.example", "up.example": "u@sub.up.example", "user@": "user@any.example",
    "full@full.example": "full+tag@full.example", "zone": "u@in.zone", "<>": "",
    "[192.0.2.1]": "u@[192.0.2.1]", "lit@[192.0.2.2]": "lit@[192.0.2.2]",
    "xn--mller-kva.example": "u@xn--mller-kva.example",
}  # fmt: skip
#: Actions that work, and what MAIL or RCPT is answered with.
ACTIONS = {
    "OK": 250, "RELAY": 250, "permit": 250, "DUNNO": 250, "1": 250, "OK text": 250, "WARN x": 250,
    "INFO": 250, "HOLD": 250, "DISCARD": 250, "FILTER smtp:[127.0.0.1]:1": 250, "BCC a@x.com": 250,
    "REDIRECT a@x.com": 250, "PREPEND X-A: b": 250, "REJECT": 554, "Reject": 554, "reject": 554,
    "REJECT 5.7.1 go away": 554, "DEFER": 450, "defer": 450, "DEFER_IF_PERMIT": 450,
    "DEFER_IF_REJECT x": 250, "550 no": 550, "551 5.1.1 no": 551, "450 later": 450,
    "permit_mynetworks, reject": 554, "warn_if_reject reject": 250,
}  # fmt: skip
RAW = {key: (sender, "REJECT") for key, sender in (SENDERS | WORKING).items()}


class Raw(NamedTuple):
    """An instance whose Postfix also asks a table that was not checked by us."""

    server: Instance
    actions: dict[str, str]  # sender -> action

    def answer(self, sender: str) -> int:
        """The code that MAIL is answered with, or RCPT if MAIL is accepted."""
        with self.server.smtp() as session:
            code, _ = session.mail(sender)
            return code if code >= 400 else session.rcpt("john@here.example")[0]


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    server = Instance(enable_quotas=False)
    actions = {f"a{n}@act.example": action for n, action in enumerate((*ACTIONS, *UNKNOWN))}
    lines = [f"{key} REJECT\n" for key in RAW]
    lines += [f"{sender} {action}\n" for sender, action in actions.items()]
    try:
        (server.home / "raw").write_text("".join(lines))
        server.file("postfix-main.cf").write_text(
            f"smtpd_sender_restrictions = check_sender_access texthash:{server.home}/raw\n"
        )
        server.start()
        server.setup("email", "add", "john@here.example", "secret")
        yield Raw(server, actions)
    finally:
        server.close()


def test_postfix_and_our_judgement_of_each_key_and_action_agree(raw: Raw) -> None:
    for key, sender in WORKING.items():
        assert not Document(SEND_ACCESS, f"{key} REJECT\n").findings(), key
        assert raw.answer(sender) == 554, key
    for key in WITHOUT_EFFECT:
        assert raw.answer(SENDERS[key]) == 250, f"{key} has no effect"
    for sender, action in raw.actions.items():
        code = raw.answer(sender)
        if action in ACTIONS:
            assert code == ACTIONS[action], action
            assert not Document(SEND_ACCESS, f"a@x.com {action}\n").findings(), action
            assert code_of(action) in (0, code), action
        elif not action.startswith("REJECT,"):  # the first of them alone
            assert code in (250, 451), f"{action} is no refusal"


def test_what_has_no_effect_or_is_unknown_is_reported_and_never_served(raw: Raw) -> None:
    server = raw.server
    file = server.file("postfix-receive-access.cf")
    save(file, "john@here.example DENY\n@here.example REJECT\nother.example REJECT\n")
    checked = server.run("check").stdout
    assert "postfix-receive-access.cf:1: error: Postfix has no action 'DENY'" in checked
    assert "postfix-receive-access.cf:2: error: '@here.example' matches no address" in checked
    until(lambda: "1 in postfix-receive-access.cf" in server.run("status").stdout)
    assert server.rcpt("john@here.example")[0] == 250
    save(file, "john@here.example REJECT go away\n")
    until(lambda: server.rcpt("john@here.example")[0] == 554)
    save(file, "john@here.example REJEC\n")
    until(lambda: "'john@here.example'" in server.run("status").stdout)
    assert server.rcpt("john@here.example")[0] == 554, "what was served before, and never 451"


def test_status_is_in_step_only_if_every_line_of_every_file_is_served(raw: Raw) -> None:
    server = raw.server
    files = {
        "postfix-receive-access.cf": "john@here.example REJEC\nok.example REJECT\n@x DISCARD\n",
        "postfix-virtual.cf": "a@here.example john@here.example\nbad line@\n",
        "dovecot-quotas.cf": "john@here.example:10GB\n",
        "postfix-aliases.cf": "no colon\n",
    }
    save(server.file("postfix-receive-access.cf"), "")
    until(lambda: "in step: yes" in server.run("status").stdout)
    for file, text in files.items():
        save(server.file(file), text)
    until(
        lambda: "\nskipped: 5 lines with errors; see 'setup check'\n" in server.run("status").stdout
    )
    status = server.run("status")
    assert status.returncode == 1
    assert "in step: no\n" in status.stdout
    found = json.loads(server.run("status", "--json").stdout)
    assert found["in_step"] is False
    assert found["skipped"] == {
        "postfix-receive-access.cf": 2,
        "postfix-virtual.cf": 1,
        "dovecot-quotas.cf": 1,
        "postfix-aliases.cf": 1,
    }
    for file in files:
        save(server.file(file), "")
    loop = "l1@here.example l2@here.example\nl2@here.example l1@here.example\n"
    save(server.file("postfix-virtual.cf"), loop)
    until(lambda: "\nskipped: 2 lines with errors" in server.run("status").stdout)
    save(server.file("postfix-virtual.cf"), "")
    until(lambda: server.run("status").returncode == 0)
    assert "skipped" not in server.run("status").stdout


def test_files_with_a_byte_order_mark_are_served(raw: Raw) -> None:
    server = raw.server
    files = {
        "postfix-regexp.cf": "/^t[0-9]+@here\\.example$/ john@here.example\n",
        "postfix-virtual.cf": "info@here.example john@here.example\n",
        "john@here.example.dovecot.sieve": (
            'require ["fileinto", "mailbox"];\nfileinto :create "Sorted";\nkeep;\n'
        ),
    }
    for file, text in files.items():
        save(server.file(file), f"\ufeff{text}")
    until(lambda: server.run("status").returncode == 0)
    assert ": error: " not in server.run("check").stdout
    server.send("t1@here.example", subject="by pattern")
    server.send("info@here.example", subject="by alias")
    server.arrives("john@here.example", "by pattern")
    server.arrives("john@here.example", "by alias")
    assert "* john@here.example, live" in server.setup("sieve", "list")
    assert "Sorted" in server.doveadm("mailbox", "list", "-u", "john@here.example")
