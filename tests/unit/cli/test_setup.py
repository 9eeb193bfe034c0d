"""The commands on a config folder alone, with no server: files, exit statuses, and words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.store.history.log import HISTORY
from tests.support.folder import (
    ACCOUNTS,
    MASTERS,
    QUOTAS,
    SEND,
    VIRTUAL,
    Folder,
    H,
    Ran,
    given,
    on_a_terminal,
)
from tests.support.folder import folder as folder
from tests.support.mailboxes import give_to_mail_user

# -- email add, update


def test_an_account_is_made_with_mode_0600_and_no_word(folder: Folder) -> None:
    assert folder.setup("email", "add", "a@x.com", "secret") == (0, "", "")
    assert folder.read(ACCOUNTS).startswith("a@x.com|{SHA512-CRYPT}$6$")
    assert (folder.config / ACCOUNTS).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.home.iterdir()] == ["config"]
    assert sorted(folder.state()) == [HISTORY, ACCOUNTS]
    assert (folder.config / HISTORY).stat().st_mode & 0o777 == 0o600


def test_an_account_that_exists_is_refused_in_every_spelling(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"Bob@X.com|{H}\n")
    before = folder.state()
    for address in ("bob@x.com", "BOB@x.COM"):
        ran = folder.setup("email", "add", address, "secret")
        assert ran.code == 1
        assert "'bob@x.com' exists already" in ran.err
        assert folder.setup("email", "add", "--if-not-exists", address, "secret").code == 0
    assert folder.setup("email", "add", "--if-not-exists", "bob@x.com").code == 0
    assert folder.state() == before
    assert folder.setup("email", "add", "--if-not-exists", "new@x.com", "secret").code == 0
    assert folder.keys(ACCOUNTS) == ["Bob@X.com", "new@x.com"]


def test_an_alias_of_that_name_refuses_the_account(folder: Folder) -> None:
    folder.write(VIRTUAL, "Info@X.com a@x.com\n")
    for options in ([], ["--if-not-exists"]):
        ran = folder.setup("email", "add", *options, "info@x.com", "secret")
        assert (ran.code, ran.out) == (1, "")
        assert "alias" in ran.err
    assert folder.read(ACCOUNTS) == ""


@pytest.mark.parametrize(
    "address",
    [
        "../../etc@x.com", "victim@../../srv", "@x.com", "@", "a@", ".@x.com", "", "a", "a+b@x.com",
        "evil@x.com:{PLAIN}owned:5000:5000::/var/mail/z.com/v@z.com", "a@x.com|{PLAIN}x",
        "a@x.com\n",
        "a@x.com\nroot@x.com|{PLAIN}x", "#a@x.com", "-a@x.com", "a b@x.com", "%d@x.com", "*@x.com",
        "jürgen@x.com", "a\udcff@x.com", "a@b@c",
    ],
)  # fmt: skip
def test_an_address_that_could_mean_something_else_is_refused(folder: Folder, address: str) -> None:
    folder.write(ACCOUNTS, f"# ours\n{address}|{H}\nok@x.com|{H}")
    folder.write(VIRTUAL, "l@x.com ok@x.com\n")
    for domain in ("x.com", "srv", "etc"):
        (folder.mail / domain / "ok").mkdir(parents=True)
    before = folder.state()
    for command in (
        ["email", "add", address, "secret"],
        ["email", "add", "--if-not-exists", address, "secret"],
        ["email", "update", address, "secret"],
        ["email", "del", "-y", address],
        ["email", "del", "-y", "ok@x.com", address],
        ["quota", "set", address, "1G"],
        ["quota", "del", address],
    ):
        ran = folder.setup(*command)
        assert ran.code in ((1, 2) if address.startswith("-") else (1,)), command
        assert ran.out == ""
        assert ran.err.startswith("setup: ")
        assert ran.err[:-1].isprintable(), "nothing that a terminal would obey"
    assert folder.state() == before
    assert len(list(folder.mail.glob("*/ok"))) == 3


@pytest.mark.parametrize(
    "password",
    ["it's", 'a"b', "back\\slash", "a|b", " both ends ", "pässwörd €😀", "-dash", "--dash", "$HOME",
     "%d", "x" * 1000, "help", "\udcff", "`id`", "*"],
    ids=repr,
)  # fmt: skip
def test_a_password_is_taken_as_it_is_from_the_line_and_from_stdin(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    import mailroster.app.passwords.hashing as module

    taken: list[str] = []

    def recording(password: str, scheme: str, cost: object) -> str:
        taken.append(password)
        module.check(password)
        return H

    monkeypatch.setattr(module, "hash_password", recording)
    assert folder.setup("email", "add", "a@x.com", password).code == 0
    for end in (b"\n", b"\r\n", b"", b"\nsecond line\n"):
        given(monkeypatch, password.encode("utf-8", "surrogateescape") + end)
        assert folder.setup("email", "update", "a@x.com", "--password-stdin").code == 0
    assert taken == [password] * 5


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n", b"a\0b\n", b"a\rb\n"])
def test_an_empty_password_and_one_that_no_client_can_send_are_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    given(monkeypatch, raw)
    assert folder.setup("email", "add", "a@x.com", "--password-stdin").code == 1
    assert folder.setup("email", "add", "a@x.com", "").code == 1
    assert folder.state() == {}


def test_without_a_password_and_without_a_terminal_nothing_waits(folder: Folder) -> None:
    for command in (["email", "add", "a@x.com"], ["dovecot-master", "add", "m"]):
        ran = folder.setup(*command)
        assert ran.code == 2
        assert "--password-stdin" in ran.err
    assert folder.state() == {}


def test_a_ready_hash_is_taken_and_one_that_is_none_refused(folder: Folder) -> None:
    assert folder.setup("email", "add", "a@x.com", "--hash", H).code == 0
    assert folder.read(ACCOUNTS) == f"a@x.com|{H}\n"
    for bad in ("secret", "{PLAIN}", "$6$x", "{PLAIN}a|b", "{PLAIN}a:b", "{PLAIN}a\nb", "{}x", ""):
        ran = folder.setup("email", "update", "a@x.com", f"--hash={bad}")
        assert ran.code == 1, bad
        assert "secret" not in ran.err
    assert folder.setup("email", "update", "a@x.com", "pw", "--hash", H).code == 2
    assert folder.setup("email", "update", "a@x.com", "--password-stdin", "--hash", H).code == 2
    assert folder.setup("email", "update", "a@x.com", "pw", "--password-stdin").code == 2
    assert folder.read(ACCOUNTS) == f"a@x.com|{H}\n"


@pytest.mark.parametrize(
    ("options", "environment", "start"),
    [
        ([], {}, "{SHA512-CRYPT}$6$"),
        (["--scheme", "blf-crypt"], {}, "{BLF-CRYPT}$2y$"),
        (["--scheme=ARGON2ID"], {}, "{ARGON2ID}$argon2id$"),
        ([], {"PASSWORD_SCHEME": "BLF-CRYPT"}, "{BLF-CRYPT}$2y$"),
        (["--scheme", "SHA512-CRYPT"], {"PASSWORD_SCHEME": "BLF-CRYPT"}, "{SHA512-CRYPT}$6$"),
    ],
)
def test_the_scheme_comes_from_an_option_or_a_setting(
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    environment: dict[str, str],
    start: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert folder.setup("email", "add", "a@x.com", "pw", *options).code == 0
    assert folder.read(ACCOUNTS).startswith(f"a@x.com|{start}")
    assert folder.setup("email", "add", "b@x.com", "pw", "--scheme", "MD5").code == 2


def test_update_keeps_the_extra_fields_and_the_spelling(folder: Folder) -> None:
    folder.write(ACCOUNTS, "# c\r\nA@X.com|{S}o|allow_nets=10.0.0.0/8\r\nb@x.com|{S}o\xe4\udcff")
    assert folder.setup("email", "update", "a@x.com", "--hash", H).code == 0
    expected = f"# c\r\nA@X.com|{H}|allow_nets=10.0.0.0/8\r\nb@x.com|{{S}}o\xe4\udcff"
    assert folder.read(ACCOUNTS) == expected
    assert folder.setup("email", "update", "nobody@x.com", "pw").code == 1
    assert folder.read(ACCOUNTS) == expected


def test_a_missing_final_newline_is_completed_and_crlf_kept(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"# ours\r\n  a@x.com | {H} \r\n\r\nb@x.com|{H}")
    assert folder.setup("email", "add", "c@x.com", "--hash", H).code == 0
    assert folder.read(ACCOUNTS) == (
        f"# ours\r\n  a@x.com | {H} \r\n\r\nb@x.com|{H}\r\nc@x.com|{H}\r\n"
    )
    assert folder.setup("email", "del", "b@x.com").code == 0
    assert folder.read(ACCOUNTS) == f"# ours\r\n  a@x.com | {H} \r\n\r\nc@x.com|{H}\r\n"


def test_upper_case_is_lowered_with_a_warning_that_names_both_forms(folder: Folder) -> None:
    for command, both in (
        (["email", "add", "Bob@X.com", "pw"], ("Bob@X.com", "bob@x.com")),
        (["quota", "set", "BOB@x.com", "1G"], ("BOB@x.com", "bob@x.com")),
        (["alias", "add", "Info@x.com", "bob@X.com"], ("Info@x.com", "info@x.com")),
        (["alias", "add", "info@x.com", "Friend@y.org"], ("Friend@y.org", "friend@y.org")),
        (["email", "restrict", "add", "send", "BOB@x.com"], ("BOB@x.com", "bob@x.com")),
    ):
        ran = folder.setup(*command)
        assert ran.code == 0
        assert "warning" in ran.err
        assert all(repr(form) in ran.err for form in both)
    for file in (ACCOUNTS, QUOTAS, VIRTUAL, SEND):
        assert [key.lower() for key in folder.keys(file)] == folder.keys(file)
    assert folder.setup("quota", "set", "bob@x.com", "2G").err == ""


# -- email del


def test_an_account_goes_with_its_quota_and_out_of_its_aliases(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"Bob@X.com|{H}\nal@x.com|{H}\n")
    folder.write(QUOTAS, "bob@x.com:1G\nal@x.com:1G\n")
    folder.write(VIRTUAL, "solo@x.com bob@x.com\nteam@x.com al@x.com, BOB@x.com\n")
    assert folder.setup("email", "del", "-n", "bob@x.com") == (0, "", "")
    assert folder.read(ACCOUNTS) == f"al@x.com|{H}\n"
    assert folder.read(QUOTAS) == "al@x.com:1G\n"
    assert folder.read(VIRTUAL) == "team@x.com al@x.com\n"


@pytest.mark.parametrize(
    "pattern", ["[a-z]*@x.com", ".*@x.com", "*@x.com", "b.b@x.com", "bob@x.co"]
)
def test_a_pattern_names_no_account(folder: Folder, pattern: str) -> None:
    folder.write(ACCOUNTS, f"bob@x.com|{H}\n")
    (folder.mail / "x.com" / "bob").mkdir(parents=True)
    assert folder.setup("email", "del", "-y", pattern).code == 1
    assert folder.keys(ACCOUNTS) == ["bob@x.com"]
    assert (folder.mail / "x.com" / "bob").is_dir()


def test_one_unknown_address_and_none_is_deleted(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    assert folder.setup("email", "del", "-y", "a@x.com", "nobody@x.com").code == 1
    assert folder.keys(ACCOUNTS) == ["a@x.com", "b@x.com"]
    assert folder.setup("email", "del", "-y", "a@x.com", "b@x.com", "A@x.com").code == 0
    assert folder.read(ACCOUNTS) == ""


@pytest.mark.parametrize(("option", "stays"), [("-y", False), ("-n", True), ("", True)])
def test_the_mail_goes_only_with_y(folder: Folder, option: str, stays: bool) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    for user in "ab":
        (folder.mail / "x.com" / user / "cur").mkdir(parents=True)
    give_to_mail_user(folder.mail)
    ran = folder.setup("email", "del", *[option][: bool(option)], "a@x.com")
    assert ran.code == 0
    assert (folder.mail / "x.com" / "a").exists() is stays
    assert (folder.mail / "x.com" / "b").exists()
    assert ("-y" in ran.err) is (option == ""), "it is told that the mail stays"


def test_nothing_was_ever_delivered(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    assert folder.setup("email", "del", "-y", "-n", "a@x.com").code == 2
    assert folder.setup("email", "del", "-y", "a@x.com") == (0, "", "")


def test_a_mailbox_that_leads_out_of_the_mail_folder_refuses_the_whole_edit(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    (folder.home / "elsewhere" / "a").mkdir(parents=True)
    folder.mail.mkdir()
    (folder.mail / "x.com").symlink_to(folder.home / "elsewhere")
    assert folder.setup("email", "del", "-y", "a@x.com").code == 1
    assert folder.keys(ACCOUNTS) == ["a@x.com"]
    assert (folder.home / "elsewhere" / "a").is_dir()


# -- alias, quota, restrict, dovecot-master


def test_an_alias_in_every_spelling(folder: Folder) -> None:
    folder.write(VIRTUAL, "# ours\nInfo@X.com a@x.com, b@x.com ,c@x.com\t\n")
    assert folder.setup("alias", "add", "info@x.com", "r&d/x+tag@x.com").code == 0
    assert folder.setup("alias", "del", "INFO@x.com", "B@x.com").code == 0
    assert folder.read(VIRTUAL) == "# ours\nInfo@X.com a@x.com ,c@x.com,r&d/x+tag@x.com\n"
    before = folder.state()
    assert folder.setup("alias", "add", "info@X.com", "A@x.com").code == 1
    assert folder.setup("alias", "del", "info@x.com", "nobody@x.com").code == 0
    assert folder.setup("alias", "del", "nobody@x.com", "a@x.com").code == 0
    assert folder.state() == before
    assert folder.setup("alias", "del", "info@x.com", "a@x.com,c@x.com,r&d/x+tag@x.com").code == 0
    assert folder.read(VIRTUAL) == "# ours\n"


@pytest.mark.parametrize(
    ("alias", "recipients", "code"),
    [
        ("a@x.com", "a@x.com", 0),
        ("postmaster", "a@x.com", 0),
        ("@x.com", "a@x.com, b@x.com", 0),
        ("new+tag@x.com", "a@x.com", 0),
        ("loop@x.com", "back@x.com", 1),
        ("many@x.com", ",".join(f"u{n}@x.com" for n in range(1001)), 1),
        ("a@x.com", "@y.org,b@x.com", 1),
        ("a@x.com", "", 2),
        ("a@x.com", " , ", 2),
        ("a@", "a@x.com", 1),
        ("a@x.com\nb@x.com", "c@x.com", 1),
        ("a@x.com", "b@x.com\nroot", 0),
        ("a@x.com", '"|/bin/sh"', 1),
        ("#a@x.com", "b@x.com", 1),
    ],
)
def test_what_an_alias_may_be(folder: Folder, alias: str, recipients: str, code: int) -> None:
    folder.write(VIRTUAL, "back@x.com loop@x.com\n")
    ran = folder.setup("alias", "add", alias, recipients)
    assert ran.code == code, ran.err
    lines = folder.read(VIRTUAL).splitlines()
    assert len(lines) == 1 + (code == 0)


@pytest.mark.parametrize(
    ("size", "line"),
    [("5G", "5G"), ("0", "0"), ("05G", "5G"), ("5g", "5G"), (" 5G", "5G"), ("5K", "5k"),
     ("10k", "10k"), ("5GB", ""), ("1.5G", ""), ("-1", ""), ("99999999999T", ""), ("", ""),
     ("5", ""),
     ("5G\na@x.com:0", "")],
)  # fmt: skip
def test_a_quota_is_taken_in_its_normal_form_or_refused(
    folder: Folder, size: str, line: str
) -> None:
    folder.write(ACCOUNTS, f"A@x.com|{H}\n")
    ran = folder.setup("quota", "set", "a@x.com", size)
    assert ran.code == (0 if line else 1)
    assert folder.read(QUOTAS) == (f"a@x.com:{line}\n" if line else "")
    assert line or "500M" in ran.err or "smaller" in ran.err


def test_quotas_of_known_and_unknown_accounts(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"john@x.com|{H}\na-john@x.com|{H}\n")
    assert folder.setup("quota", "set", "a-john@x.com", "1G").code == 0
    assert folder.setup("quota", "set", "john@x.com", "2G").code == 0
    assert folder.setup("quota", "set", "john@x.com", "3G").code == 0
    assert folder.read(QUOTAS) == "a-john@x.com:1G\njohn@x.com:3G\n"
    assert folder.setup("quota", "del", "john@x.com").code == 0
    assert folder.setup("quota", "del", "john@x.com").code == 0
    assert folder.read(QUOTAS) == "a-john@x.com:1G\n"
    assert folder.setup("quota", "set", "ohn@x.com", "10k").code == 1
    assert folder.setup("quota", "del", "ohn@x.com").code == 1
    assert folder.read(QUOTAS) == "a-john@x.com:1G\n"


def test_restrictions(folder: Folder) -> None:
    folder.write(SEND, "bob@x.com.au REJECT\nBob@x.com\tREJECT\n")
    before = folder.state()
    assert folder.setup("email", "restrict", "add", "send", "bob@x.com").code == 1
    assert folder.setup("email", "restrict", "add", "send", "@x.com").code == 1
    assert folder.setup("email", "restrict", "add", "both", "bob@x.com").code == 2
    assert folder.state() == before
    listed = folder.setup("email", "restrict", "list", "send")
    assert listed.out == "bob@x.com.au REJECT\nbob@x.com REJECT\n"
    none = folder.setup("email", "restrict", "list", "Send", "eve@x.com")
    assert none == (0, "", "setup: postfix-send-access.cf has no line for 'eve@x.com'\n")
    one = folder.setup("email", "restrict", "list", "SEND", "BOB@x.com", "--json")
    bob = {"address": "bob@x.com", "action": "REJECT", "comment": None, "until": None}
    assert json.loads(one.out) == [bob]
    assert folder.setup("email", "restrict", "del", "send", "bob@x.com").code == 0
    assert folder.read(SEND) == "bob@x.com.au REJECT\n"
    assert folder.setup("email", "restrict", "del", "send", "bob@x.com").code == 0
    assert folder.setup("email", "restrict", "add", "receive", "a@x.com").code == 0
    assert folder.read("postfix-receive-access.cf") == "a@x.com REJECT\n"


def test_masters(folder: Folder) -> None:
    assert folder.setup("dovecot-master", "add", "Admin", "pw", "--comment", "me").code == 0
    assert (folder.config / MASTERS).stat().st_mode & 0o777 == 0o600
    assert folder.setup("dovecot-master", "add", "admin", "pw").code == 1
    assert folder.setup("dovecot-master", "update", "admin", "--hash", H).code == 0
    assert folder.read(MASTERS) == f"# mailroster: comment me\nadmin|{H}\n"
    assert folder.setup("dovecot-master", "list").out == "* admin\n    [ me ]\n"
    assert json.loads(folder.setup("dovecot-master", "list", "--json").out) == [
        {"name": "admin", "comment": "me"}
    ]
    for name in ("a|b", "a*b", "", ".*", "nobody"):
        assert folder.setup("dovecot-master", "del", "-y", name).code == 1
        assert folder.setup("dovecot-master", "update", name, "pw").code == 1
    assert folder.setup("dovecot-master", "del", "-y", "ADMIN").code == 0
    assert folder.read(MASTERS) == ""


# -- lists


def test_lists(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"b@x.com|{H}\n#\nbad\nA@x.com|{H}\nb@x.com|{H}\n")
    folder.write(VIRTUAL, "one@x.com A@x.com, b@x.com\ntwo@x.com a@x.com\na@x.com a@x.com\n")
    listed = folder.setup("email", "list")
    assert listed.out == (
        "* b@x.com\n    [ aliases -> one@x.com ]\n\n"
        "* a@x.com\n    [ aliases -> one@x.com, two@x.com ]\n"
    )
    rest = {"locked": False, "comment": None, "until": None, "quota": None}
    assert json.loads(folder.setup("email", "list", "--json").out) == [
        {"address": "b@x.com", "aliases": ["one@x.com"], **rest},
        {"address": "a@x.com", "aliases": ["one@x.com", "two@x.com"], **rest},
    ]
    assert folder.setup("alias", "list").out == (
        "* one@x.com A@x.com, b@x.com\n\n* two@x.com a@x.com\n\n* a@x.com a@x.com\n"
    )
    assert json.loads(folder.setup("alias", "list", "--json").out)[0] == {
        "alias": "one@x.com",
        "recipients": ["A@x.com", "b@x.com"],
        "comment": None,
        "until": None,
    }


def test_empty_lists(folder: Folder) -> None:
    for command in (["email", "list"], ["alias", "list"], ["dovecot-master", "list"],
                    ["email", "restrict", "list", "send"]):  # fmt: skip
        assert folder.setup(*command)[:2] == (0, "")
        assert folder.setup(*command, "--json")[:2] == (0, "[]\n")


def test_a_list_without_restrictions_says_who_may(folder: Folder) -> None:
    for direction in ("send", "receive"):
        file = f"postfix-{direction}-access.cf"
        ran = folder.setup("email", "restrict", "list", direction.upper())
        assert f"setup: all accounts may {direction}: {file} has no restrictions\n" in ran.err
        assert (ran.code, ran.out) == (0, "")


def test_check_prints_every_finding_and_tells_errors_from_warnings(folder: Folder) -> None:
    assert folder.setup("check")[:2] == (0, "")
    folder.write(QUOTAS, "gone@x.com:1G\n")
    ran = folder.setup("check")
    assert ran.code == 0
    assert ran.out.startswith("dovecot-quotas.cf:1: warning: ")
    folder.write(ACCOUNTS, "a@x.com {PLAIN}secret\n")
    folder.write(VIRTUAL, "\nl@x.com m@x.com\nm@x.com l@x.com\n")
    ran = folder.setup("check")
    assert ran.code == 1
    assert [line.rsplit(" ", 1)[1] for line in ran.out.splitlines()] == [
        "[quota-without-account]",
        "[missing-password]",
        "[unreasonable-alias]",
        "[unreasonable-alias]",
    ]
    assert "secret" not in ran.out
    found = json.loads(folder.setup("check", "--json").out)
    assert found[1]["where"] == {"file": ACCOUNTS, "line": 1}


# -- --dry-run, folders, faults of the system


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("email add n@x.com pw", "+n@x.com|{SHA512-CRYPT}…"),
        ("email update a@x.com pw", "-a@x.com|{SHA512-CRYPT}…"),
        ("email del -y a@x.com", "-l@x.com a@x.com,z@y.org"),
        ("alias add l@x.com n@y.org", "+l@x.com a@x.com,z@y.org,n@y.org"),
        ("alias del l@x.com a@x.com", "+l@x.com z@y.org"),
        ("quota set a@x.com 5g", "+a@x.com:5G"),
        ("quota del a@x.com", "-a@x.com:1G"),
        ("email restrict add send a@x.com", "+a@x.com REJECT"),
        ("dovecot-master add m pw", "+m|{SHA512-CRYPT}…"),
    ],
)
def test_a_dry_run_shows_the_difference_and_changes_nothing(
    folder: Folder, command: str, shown: str
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.write(QUOTAS, "a@x.com:1G\n")
    folder.write(VIRTUAL, "l@x.com a@x.com,z@y.org\n")
    (folder.mail / "x.com" / "a").mkdir(parents=True)
    before = folder.state()
    ran = folder.setup(*command.split(), "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert shown in ran.out.splitlines()
    assert ran.out.startswith("--- a/")
    assert "$6$" not in ran.out
    assert folder.state() == before
    assert (folder.mail / "x.com" / "a").is_dir()


def test_a_dry_run_of_what_is_refused_is_refused(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    assert folder.setup("email", "add", "a@x.com", "pw", "--dry-run").code == 1
    assert folder.setup("email", "del", "b@x.com", "--dry-run").code == 1


def test_the_first_account_makes_the_folder_and_a_wrong_name_is_told(folder: Folder) -> None:
    folder.config.rmdir()
    for command in ("email list", "alias list", "check", "email del -y a@x.com"):
        ran = folder.setup(*command.split())
        assert ran.code == 1
        assert str(folder.config) in ran.err
    assert not folder.config.exists()
    assert folder.setup("email", "add", "a@x.com", "pw").code == 0
    assert folder.keys(ACCOUNTS) == ["a@x.com"]


def test_a_file_that_cannot_be_read_is_a_refusal_not_an_empty_file(folder: Folder) -> None:
    (folder.config / ACCOUNTS).mkdir()
    for command in (["email", "list"], ["email", "add", "a@x.com", "pw"], ["check"]):
        ran = folder.setup(*command)
        assert ran.code in (1, 75)
        assert ACCOUNTS in ran.out + ran.err


def test_a_change_whose_tables_cannot_be_written_is_told_and_made_live_later(
    folder: Folder,
) -> None:
    state = folder.home / "mail-state"
    (state / "tables").mkdir(parents=True)  # a server has been started here
    ran = folder.setup("email", "add", "a@x.com", "--hash", H)
    assert (ran.code, ran.out) == (75, "")
    assert "the files are changed, but the change is not live yet" in ran.err
    assert folder.keys(ACCOUNTS) == ["a@x.com"]
    (state / "sql").mkdir()
    ran = folder.setup("apply")
    assert (ran.code, ran.err) == (0, "")
    assert not ran.out.startswith("0 rows")
    assert folder.setup("apply").out == "nothing changed\n"


def test_what_the_system_refuses_is_no_traceback(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mailroster.cli.email_list as module

    for error, code in (
        (PermissionError(13, "Permission denied", "/c"), 1),
        (OSError(28, "No space left on device"), 75),
    ):

        def failing(call: object, error: OSError = error) -> int:
            raise error

        monkeypatch.setattr(module, "show", failing)
        ran = folder.setup("email", "list")
        assert ran.code == code
        assert str(error.strerror) in ran.err


def test_help_on_a_command_has_its_spellings(folder: Folder) -> None:
    spellings = ["help email add", "email add help", "email add --help", "email add a@x.com --help"]
    texts = {folder.setup(*line.split()) for line in spellings}
    assert len(texts) == 1
    assert "usage: setup email add " in texts.pop().out
    assert folder.setup("email", "help") == folder.setup("help", "email")
    assert folder.setup("help", "nothing").code == 2
    assert folder.setup("version").out.startswith("mailroster ")


# -- as a process: terminals, closed descriptors, the environment


def command(home: Path, *argv: str) -> list[str]:
    return [sys.executable, "-m", "mailroster", "--home", str(home), *argv]


#: Runs a command, and says on stderr what it gives to each process that it starts.
WATCHED = """
import os, sys
def told(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"):
        os.write(2, f"started {arguments!r}\\n".encode())
sys.addaudithook(told)
from mailroster.cli import main
sys.exit(main(sys.argv[1:]))
"""


def watched(folder: Folder, *argv: str) -> Ran:
    words = [sys.executable, "-c", WATCHED, "--home", str(folder.home), *argv]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("scheme", ("SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID"))
@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("email", "add", "new@x.com"), 0, id="done"),
        pytest.param(("email", "add", "a@x.com"), 1, id="refused"),
        pytest.param(("email", "add", "a@@x.com"), 1, id="not an address"),
        pytest.param(("email", "update", "a@x.com"), 0, id="changed"),
        pytest.param(("email", "update", "a@x.com", "more"), 2, id="not understood"),
        pytest.param(("dovecot-master", "add", "boss"), 0, id="a master"),
        pytest.param(("--dry-run", "email", "update", "a@x.com"), 2, id="an option misplaced"),
    ],
)
def test_a_password_reaches_no_other_process_and_no_output(
    folder: Folder, words: tuple[str, ...], code: int, scheme: str
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    ran = watched(folder, *words, "-S3cret 'x'", "--scheme", scheme)
    assert ran.code == code, ran.err
    assert "S3cret" not in ran.out + ran.err + folder.read(ACCOUNTS) + folder.read(MASTERS)


def test_a_process_that_a_command_starts_is_seen(folder: Folder) -> None:
    folder.write("postfix-regexp.cf", "/^t@x\\.com$/ a@x.com\n")
    assert "postmap" in watched(folder, "check").err


def test_on_a_terminal_the_password_is_asked_for_twice_without_echo(folder: Folder) -> None:
    ran = on_a_terminal(command(folder.home, "email", "add", "a@x.com"), b"sesame", b"sesame")
    assert ran.code == 0
    assert ran.out.count(": ") == 2
    assert "a@x.com" in ran.out
    assert "sesame" not in ran.out
    assert folder.keys(ACCOUNTS) == ["a@x.com"]


@pytest.mark.parametrize(
    "words",
    [
        ("email", "add", "a@x.com"),
        ("email", "update", "b@x.com"),
        ("dovecot-master", "update", "boss"),
    ],
    ids=" ".join,
)
def test_nobody_types_a_password_for_a_command_that_would_be_refused(
    folder: Folder, words: tuple[str, ...]
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    ran = on_a_terminal(command(folder.home, *words))
    assert ran.code == 1
    assert "assword" not in ran.out


@pytest.mark.parametrize("answers", [(b"one", b"two"), (b"", b"")], ids=["differ", "empty"])
def test_two_passwords_that_differ_or_are_empty_are_refused(
    folder: Folder, answers: tuple[bytes, bytes]
) -> None:
    assert on_a_terminal(command(folder.home, "email", "add", "a@x.com"), *answers).code == 1
    assert folder.read(ACCOUNTS) == ""


@pytest.mark.parametrize(
    ("answer", "stays"), [(b"y", False), (b"YES", False), (b"n", True), (b"", True), (b"x", True)]
)
def test_on_a_terminal_the_mail_is_asked_about_and_stays_by_default(
    folder: Folder, answer: bytes, stays: bool
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    (folder.mail / "x.com" / "a").mkdir(parents=True)
    give_to_mail_user(folder.mail)
    ran = on_a_terminal(command(folder.home, "email", "del", "a@x.com"), answer)
    assert ran.code == 0
    assert "[y/N]" in ran.out
    assert (folder.mail / "x.com" / "a").exists() is stays
    assert folder.read(ACCOUNTS) == ""


def test_on_a_terminal_a_dry_run_asks_nothing(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    (folder.mail / "x.com" / "a").mkdir(parents=True)
    ran = on_a_terminal(command(folder.home, "email", "del", "--dry-run", "a@x.com"))
    assert ran.code == 0
    assert "[y/N]" not in ran.out


def process(home: Path, line: str, **environment: str) -> Ran:
    """Runs a line of a shell in which `setup` is the program on a home."""
    setup = " ".join(f"'{word}'" for word in command(home))
    done = subprocess.run(
        ["sh", "-c", f'setup() {{ {setup} "$@"; }}; {line}'],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("setup email add a@x.com <&-", 2, id="no standard input at all"),
        pytest.param("setup email add a@x.com --password-stdin <&-", 1, id="nor for a password"),
        pytest.param("setup email list >&-", 75, id="no standard output"),
        pytest.param("setup email add a@x.com </dev/null", 2, id="an empty standard input"),
        pytest.param("echo pw | setup email add n@x.com --password-stdin", 0, id="a pipe"),
        pytest.param("echo pw | setup email add n@x.com", 2, id="a pipe that was not asked for"),
        pytest.param("setup email del b@x.com <&-", 0, id="nobody to ask"),
        pytest.param("LC_ALL=C setup help", 0, id="a locale without …"),
        pytest.param("PYTHONIOENCODING=latin-1 setup help", 0, id="a terminal without …"),
        pytest.param("setup help | head -1", 0, id="a pipe that closes early"),
    ],
)
def test_odd_surroundings_hang_nothing_and_show_no_traceback(
    folder: Folder, line: str, code: int
) -> None:
    folder.write(ACCOUNTS, f"b@x.com|{H}\n")
    (folder.mail / "x.com" / "b").mkdir(parents=True)
    give_to_mail_user(folder.mail)
    ran = process(folder.home, line)
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err


def test_the_environment_names_folders_and_options_beat_it(folder: Folder, tmp_path: Path) -> None:
    folder.write(ACCOUNTS, f"home@x.com|{H}\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / ACCOUNTS).write_text(f"other@x.com|{H}\n")
    ran = process(folder.home, "setup email list", MAILROSTER_CONFIG=str(other))
    assert ran.out == "* home@x.com\n"
    argv = [sys.executable, "-m", "mailroster", "email", "list"]
    environment = {**os.environ, "MAILROSTER_CONFIG": str(other), "PYTHONPATH": ""}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "* other@x.com\n"
