"""`setup relay` and `setup sieve` on a config folder alone."""

import json
import os

import pytest

from tests.support.folder import Folder, folder

__all__ = ["folder"]
MAP, PASSWORDS = "postfix-relaymap.cf", "postfix-sasl-password.cf"


def test_a_relay_is_named_replaced_excluded_and_forgotten(folder: Folder) -> None:
    assert folder.setup("relay", "add-domain", "Example.com", "r.test").code == 0
    assert folder.read(MAP) == "@example.com [r.test]:25\n"
    assert folder.setup("relay", "add-domain", "@example.com", "[r.test]", "587").code == 0
    assert folder.setup("relay", "add-auth", "example.com", "john", "se cret").code == 0
    assert folder.read(MAP) == "@example.com [r.test]:587\n"
    assert folder.read(PASSWORDS) == "@example.com john:se cret\n"
    assert os.stat(folder.config / PASSWORDS).st_mode & 0o777 == 0o600
    assert folder.setup("relay", "list").out == "* @example.com [r.test]:587 as john\n"
    (shown,) = json.loads(folder.setup("relay", "list", "--json").out)
    assert (shown["sender"], shown["relayed"]) == ("@example.com", True)
    assert (shown["destinations"], shown["user"]) == (["[r.test]:587"], "john")
    assert folder.setup("relay", "exclude-domain", "example.com").code == 0
    assert folder.setup("relay", "exclude-domain", "example.com").code == 0
    assert folder.read(MAP) == "@example.com\n"
    assert folder.setup("relay", "list").out == "* @example.com never relayed as john\n"
    assert folder.setup("relay", "del", "EXAMPLE.com").code == 0
    assert folder.read(MAP) + folder.read(PASSWORDS) == ""
    assert folder.setup("relay", "del", "example.com").code == 1


def test_a_relay_has_a_comment_which_goes_with_it(folder: Folder) -> None:
    folder.setup("relay", "add-domain", "x.com", "r.test", "--comment", "the cheap one")
    folder.setup("relay", "exclude-domain", "x.com")
    assert folder.read(MAP) == "# mailroster: comment the cheap one\n@x.com\n"
    assert folder.setup("relay", "list").out == "* @x.com never relayed\n    [ the cheap one ]\n"
    assert (
        folder.setup("relay", "list", "--table").out == "@x.com\tnever relayed\t\tthe cheap one\n"
    )
    (shown,) = json.loads(folder.setup("relay", "list", "--json").out)
    assert shown["comment"] == "the cheap one"
    folder.setup("relay", "del", "x.com")
    assert folder.read(MAP) == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("add-domain", "x.com", "r.test", "70000"), 1),
        (("add-domain", "x.com", "r.test", "two"), 0),
        (("add-domain", "x.com", "r.test", "2 5"), 1),
        (("add-domain", "x.com", "r.test:25"), 2),
        (("add-domain", "x.com", "r.test]\n@y.com [evil"), 1),
        (("add-domain", "a@x.com", "r.test"), 1),
        (("add-domain", "x.com\n@y.com", "r.test"), 1),
        (("add-domain", "", "r.test"), 1),
        (("add-domain", "x.com"), 2),
        (("add-auth", "x.com", "jo:hn", "pw"), 1),
        (("add-auth", "x.com", "john", "p\nw"), 1),
        (("add-auth", "x.com", "john", ""), 1),
        (("add-auth", "x.com", "john", "pw "), 1),
        (("add-auth", "x.com", "john\n@y.com", "pw"), 1),
        (("add-auth", "x.com", "john", "pw", "--password-stdin"), 2),
        (("add-auth", "x.com", "john"), 2),
        (("exclude-domain", "-x.com"), 1),
    ],
)
def test_what_is_no_relay_is_refused_and_changes_nothing(
    folder: Folder, words: tuple[str, ...], code: int
) -> None:
    before = folder.state()
    ran = folder.setup("relay", *words)
    assert ran.code == code, ran.err
    assert code == 0 or folder.state() == before


def test_no_password_is_shown(folder: Folder) -> None:
    lines = "# @old.test john:geheim1\n@x.com john:geheim2\njohn:geheim3\n  geheim4\n"
    folder.write(PASSWORDS, lines)
    for words in (
        ("relay", "add-auth", "y.com", "john", "geheim5", "--dry-run"),
        ("relay", "del", "x.com", "--dry-run"),
        ("relay", "list"),
        ("check",),
    ):
        ran = folder.setup(*words)
        assert "geheim" not in ran.out + ran.err, words


def test_the_scripts_are_listed(folder: Folder) -> None:
    folder.write("postfix-accounts.cf", "a@x.com|{SHA512-CRYPT}$6$abc$def\n")
    for name in ("before", "a@x.com", "b@x.com"):
        folder.write(f"{name}.dovecot.sieve", "keep;\n")
    said = "* a@x.com, not live\n\n* b@x.com, no account, not live\n\n* before, not live\n"
    assert folder.setup("sieve", "list").out == said
    assert json.loads(folder.setup("sieve", "list", "--json").out)[2] == {
        "name": "before", "file": "before.dovecot.sieve", "live": False, "account": None,
    }  # fmt: skip
