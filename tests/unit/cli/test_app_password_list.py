"""Every field of the lists of app passwords, as JSON and as a table."""

import json

import pytest

from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]  # the fixture

FILE = "dovecot-app-passwords.cf"
DIGEST = "{SHA256.HEX}" + "0123456789abcdef" * 4


@pytest.fixture
def jane(folder: Folder) -> Folder:
    folder.write(ACCOUNTS, f"jane@x.com|{H}\nbob@x.com|{H.replace('}', '}!')}\n")
    folder.write(
        FILE,
        f"# mailroster: comment in the kitchen\njane@x.com|Phone|{DIGEST}|services=smtp,imap "
        f"until=2126-12-31 allow_nets=10.0.0.0/8,::1\njane@x.com|old|{DIGEST}|until=2020-01-01\n"
        f"bob@x.com|phone|{DIGEST}\ngone@x.com|phone|{DIGEST}\n",
    )
    return folder


def test_json_has_every_field(jane: Folder) -> None:
    ran = jane.setup("email", "app-password", "list", "--json")
    every = ["imap", "smtp", "pop3", "sieve"]
    nothing = {"until": None, "allow_nets": None, "comment": None, "last_use": None}
    assert ran.code == 0
    assert [fields for fields in json.loads(ran.out) if fields["address"] != "gone@x.com"] == [
        {
            "address": "jane@x.com", "label": "phone", "services": ["imap", "smtp"],
            "until": "2126-12-31", "allow_nets": ["10.0.0.0/8", "::1"], "state": "open",
            "comment": "in the kitchen", "last_use": None,
        },
        {
            **nothing, "address": "jane@x.com", "label": "old", "services": every,
            "until": "2020-01-01", "state": "ended",
        },
        {
            **nothing, "address": "bob@x.com", "label": "phone", "services": every,
            "state": "locked",
        },
    ]  # fmt: skip
    assert DIGEST[12:] not in ran.out


def test_a_table_has_every_column(jane: Folder) -> None:
    ran = jane.setup("email", "app-password", "list", "jane@x.com", "--table")
    first, second = ran.out.splitlines()
    assert first.split() == [
        "jane@x.com", "phone", "imap,smtp", "2126-12-31", "10.0.0.0/8,::1", "in", "the", "kitchen",
    ]  # fmt: skip
    assert second.split() == ["jane@x.com", "old", "imap,smtp,pop3,sieve", "2020-01-01", "ended"]


def test_an_account_without_any_is_said_on_stderr(jane: Folder) -> None:
    jane.write(FILE, "")
    ran = jane.setup("email", "app-password", "list", "jane@x.com")
    assert (ran.code, ran.out) == (0, "")
    assert "jane@x.com has no app password" in ran.err
    assert "no account has an app password" in jane.setup("email", "app-password", "list").err
    assert jane.setup("email", "app-password", "list", "none@x.com").code == 1
