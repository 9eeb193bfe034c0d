"""`setup quota list` and `setup sender` on a config folder alone."""

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.support.folder import Folder, H, folder  # noqa: F401 - a fixture

ACCOUNTS = f"a@x.com|{H}\nlong.name@x.com|{H}|userdb_quota_rule=*:storage=2M\nb@x.com|{H}\n"


@pytest.fixture
def quotas(folder: Folder) -> Folder:  # noqa: F811
    folder.write("postfix-accounts.cf", ACCOUNTS)
    folder.write("dovecot-quotas.cf", "b@x.com:5k\naa@x.com:1G\n")
    return folder


def test_without_a_server_there_are_limits_alone(quotas: Folder) -> None:
    done = quotas.setup("quota", "list")
    assert done.code == 0
    assert done.out == (
        "a@x.com             ~  default\n"
        "long.name@x.com  2.0M\n"
        "b@x.com          5.0K\n"
    )  # fmt: skip
    assert "no server is running" in done.err


def test_the_default_is_shown_as_one(quotas: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTFIX_MAILBOX_SIZE_LIMIT", "10240")
    listed = json.loads(quotas.setup("quota", "list", "--json").out)
    assert [(row["limit"], row["default"], row["used"]) for row in listed] == [
        (10240, True, None), (2 << 20, False, None), (5120, False, None),
    ]  # fmt: skip


def test_with_quotas_off_it_says_so(quotas: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_QUOTAS", "0")
    assert "quotas are off" in quotas.setup("quota", "list").err


def test_what_one_cannot_sort_by_is_not_understood(quotas: Folder) -> None:
    assert quotas.setup("quota", "list", "--sort", "size").code == 2
    assert quotas.setup("quota", "list", "--sort", "use").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["A@X.com", "Press@X.com"], 0, id="upper case"),
        pytest.param(["a@x.com", "@far.test"], 0, id="a domain"),
        pytest.param(["a@x.com", "press"], 1, id="no domain"),
        pytest.param(["a@x.com", "a@x.com"], 1, id="oneself"),
        pytest.param(["nobody@x.com", "press@x.com"], 1, id="no such account"),
        pytest.param([".*@x.com", "press@x.com"], 1, id="a pattern"),
        pytest.param(["a@x.com", "p@x.com b@x.com"], 1, id="two in one word"),
        pytest.param(["a@x.com", "p@x.com\nq@x.com"], 1, id="a line break"),
        pytest.param(["a@x.com"], 2, id="too few"),
    ],
)
def test_who_may_be_granted_what(quotas: Folder, words: list[str], code: int) -> None:
    assert quotas.setup("sender", "add", *words).code == code
    assert bool(quotas.read("postfix-sender-logins.cf")) == (code == 0)


def test_grants_are_listed_all_or_those_of_one(quotas: Folder) -> None:
    quotas.write("postfix-sender-logins.cf", "p@x.com a@x.com, b@x.com\n@far.test b@x.com\n")
    assert quotas.setup("sender", "list").out == (
        "* p@x.com a@x.com, b@x.com\n\n* @far.test b@x.com\n"
    )
    assert quotas.setup("sender", "list", "A@x.com").out == "* p@x.com a@x.com\n"
    assert quotas.setup("sender", "del", "a@x.com", "P@x.com").code == 0
    assert quotas.setup("sender", "del", "a@x.com", "p@x.com").code == 0
    assert quotas.read("postfix-sender-logins.cf") == "p@x.com b@x.com\n@far.test b@x.com\n"


def test_a_grant_to_nobody_is_a_warning(quotas: Folder) -> None:
    quotas.write("postfix-sender-logins.cf", "p@x.com gone@x.com\n")
    done = quotas.setup("check")
    assert "postfix-sender-logins.cf:1: warning: there is no account 'gone@x.com'" in done.out


def test_a_grant_has_a_comment(quotas: Folder) -> None:
    quotas.setup("sender", "add", "a@x.com", "p@x.com", "--comment", "for June")
    quotas.setup("sender", "add", "a@x.com", "p@x.com", "--comment", "for July")
    note = "# mailroster: comment for July\np@x.com a@x.com\n"
    assert quotas.read("postfix-sender-logins.cf") == note
    assert quotas.setup("sender", "list").out == "* p@x.com a@x.com\n    [ for July ]\n"
    assert quotas.setup("sender", "list", "--table").out == "p@x.com\ta@x.com\tfor July\n"
    (shown,) = json.loads(quotas.setup("sender", "list", "--json").out)
    assert shown["comment"] == "for July"
    quotas.setup("sender", "del", "a@x.com", "p@x.com")
    assert quotas.read("postfix-sender-logins.cf") == ""


def test_a_table_of_quotas(quotas: Folder) -> None:
    assert quotas.setup("quota", "list", "--table").out == (
        "a@x.com\t\t~\t\tdefault\nlong.name@x.com\t\t2.0M\t\t\nb@x.com\t\t5.0K\t\t\n"
    )


def test_a_size_that_is_missing_is_asked_for_on_a_terminal(quotas: Folder) -> None:
    argv = [sys.executable, "-m", "mailroster", "--home", str(quotas.home)]
    for words, answer in (
        (["quota", "set", "a@x.com"], "5G"),
        (["email", "restrict", "add", "Send"], "a@x.com"),
    ):
        leader, follower = pty.openpty()
        os.write(leader, f"{answer}\n".encode())
        done = subprocess.run(
            [*argv, *words], stdin=follower, capture_output=True, text=True, timeout=60
        )
        os.close(leader)
        os.close(follower)
        assert done.returncode == 0
        assert done.stderr in ("Size (5G, 500M, 0 for unlimited): ", "Address: ")
    assert "a@x.com:5G\n" in quotas.read("dovecot-quotas.cf")
    assert quotas.read("postfix-send-access.cf") == "a@x.com REJECT\n"
    done = subprocess.run(
        [*argv, "quota", "set", "a@x.com"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "SIZE is missing" in done.stderr
