"""`setup email app-password` on a folder without servers."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]  # the fixture

FILE = "dovecot-app-passwords.cf"


@pytest.fixture
def jane(folder: Folder) -> Folder:
    folder.write(ACCOUNTS, f"jane@x.com|{H}\nbob@x.com|{H}\n")
    return folder


def added(folder: Folder, *words: str) -> str:
    ran = folder.setup("email", "app-password", "add", *words)
    assert ran.code == 0, ran.err
    return ran.out.removesuffix("\n")


def test_a_password_is_printed_once_and_the_file_has_its_digest(jane: Folder) -> None:
    passwords = [added(jane, "jane@x.com", f"phone{n}") for n in range(20)]
    assert len(set(passwords)) == 20
    for password in passwords:
        assert re.fullmatch(r"[a-z2-9]{6}(-[a-z2-9]{6}){3}", password)
        assert hashlib.sha256(password.encode()).hexdigest() in jane.read(FILE)
    everything = b"".join(jane.state().values()).decode()
    assert not [password for password in passwords if password in everything]
    assert (jane.config / FILE).stat().st_mode & 0o777 == 0o600


def test_options_are_written_in_a_normal_form(jane: Folder) -> None:
    added(jane, "Jane@X.com", "Phone", "--for", "SMTP, imap", "--until", "2126-12-31",
          "--allow-nets", "192.0.2.17/24, 2001:DB8::1", "--comment", "her phone")  # fmt: skip
    lines = jane.read(FILE).splitlines()
    assert lines[0] == "# mailroster: comment her phone"
    assert re.sub(r"[0-9a-f]{64}", "D", lines[1]) == (
        "jane@x.com|phone|{SHA256.HEX}D|services=imap,smtp until=2126-12-31 "
        "allow_nets=192.0.2.0/24,2001:db8::1/128"
    )
    added(jane, "jane@x.com", "all", "--for", "imap,pop3,sieve,smtp")
    assert "|services" not in jane.read(FILE).splitlines()[2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nobody@x.com", "phone"], 1, "there is no account 'nobody@x.com'"),
        (["jane@x.com", "two words"], 1, "'two words' is not a valid label"),
        (["jane@x.com", "phone", "--for", "none"], 2, "would open nothing"),
        (["jane@x.com", "phone", "--for", "imap,lmtp"], 2, "write some of imap,smtp,pop3,sieve"),
        (["jane@x.com", "phone", "--for", ""], 2, "write some of imap,smtp,pop3,sieve"),
        (["jane@x.com", "phone", "--until", "2020-01-01"], 1, "is in the past"),
        (["jane@x.com", "phone", "--until", "soon"], 2, "is not a date"),
        (["jane@x.com", "phone", "--allow-nets", "10.0.0.0/33"], 2, "is not a network"),
        (["jane@x.com", "phone", "chosen"], 2, ""),
        (["jane@x.com"], 2, ""),
    ],
)
def test_what_is_refused_changes_nothing_and_prints_no_password(
    jane: Folder, words: list[str], code: int, message: str
) -> None:
    before = jane.state()
    ran = jane.setup("email", "app-password", "add", *words)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert jane.state() == before


def test_a_label_is_added_once_and_can_be_added_again_when_it_is_deleted(jane: Folder) -> None:
    first = added(jane, "jane@x.com", "phone")
    ran = jane.setup("email", "app-password", "add", "jane@x.com", "PHONE")
    assert (ran.code, ran.out) == (1, "")
    assert "has an app password 'phone' already" in ran.err
    assert jane.setup("email", "app-password", "del", "jane@x.com", "Phone").code == 0
    assert jane.read(FILE) == ""
    assert added(jane, "jane@x.com", "phone") != first


def test_several_are_deleted_or_none(jane: Folder) -> None:
    for label in ("a", "b", "c"):
        added(jane, "jane@x.com", label, "--comment", f"about {label}")
    before = jane.read(FILE)
    assert jane.setup("email", "app-password", "del", "jane@x.com", "a", "gone").code == 1
    assert jane.read(FILE) == before
    assert jane.setup("email", "app-password", "del", "bob@x.com", "a").code == 1
    assert jane.setup("email", "app-password", "del", "jane@x.com", "a", "c").code == 0
    assert jane.keys(FILE) == ["#", "jane@x.com"]


def test_a_dry_run_prints_no_password_and_no_digest(jane: Folder) -> None:
    ran = jane.setup("email", "app-password", "add", "jane@x.com", "phone", "--dry-run")
    assert ran.code == 0
    assert "+jane@x.com|phone|{SHA256.HEX}…" in ran.out
    assert "app password 'phone' of jane@x.com is added" in ran.out
    assert not re.search(r"[0-9a-f]{20}|[a-z2-9]{6}-[a-z2-9]{6}", ran.out + ran.err)
    assert jane.read(FILE) == ""


def test_lists_say_what_each_opens_and_why_not(jane: Folder) -> None:
    added(jane, "jane@x.com", "phone", "--for", "imap,smtp")
    added(jane, "bob@x.com", "all")
    digest = "0123456789abcdef" * 4
    jane.write(
        FILE,
        jane.read(FILE) + f"jane@x.com|old|{{SHA256.HEX}}{digest}|until=2020-01-01\n"
        f"gone@x.com|x|{{SHA256.HEX}}{digest}\n",
    )
    assert jane.setup("email", "lock", "bob@x.com").code == 0
    ran = jane.setup("email", "app-password", "list")
    assert ran.out == (
        "* jane@x.com phone\n    [ only imap, smtp ]\n\n* bob@x.com all\n    [ locked ]\n\n"
        "* jane@x.com old\n    [ until 2020-01-01 ]\n    [ ended ]\n\n* gone@x.com x\n"
        "    [ no account ]\n"
    )
    ran = jane.setup("email", "app-password", "list", "jane@x.com", "--json")
    listed = json.loads(ran.out)
    assert [(each["label"], each["services"], each["state"]) for each in listed] == [
        ("phone", ["imap", "smtp"], "open"),
        ("old", ["imap", "smtp", "pop3", "sieve"], "ended"),
    ]
    table = jane.setup("email", "app-password", "list", "--table").out.splitlines()
    assert table[0] == "jane@x.com\tphone\timap,smtp\t\t\t\t\t"
    assert digest not in ran.out + "".join(table)
    assert jane.setup("email", "app-password", "list", "nobody@x.com").code == 1


def test_the_history_has_no_digest_and_undo_brings_it_back(jane: Folder) -> None:
    password = added(jane, "jane@x.com", "phone")
    digest = hashlib.sha256(password.encode()).hexdigest()
    before = jane.state()[FILE]
    assert jane.setup("email", "del", "-n", "jane@x.com").code == 0
    assert jane.read(FILE) == ""
    ran = jane.setup("log", "--json")
    assert digest not in ran.out
    assert "dovecot-app-passwords.cf: 1 removed" in jane.setup("log").out
    assert jane.setup("undo").code == 0
    assert jane.state()[FILE] == before


def test_a_rename_takes_them_along_and_a_new_account_gets_none(jane: Folder) -> None:
    added(jane, "jane@x.com", "phone", "--comment", "hers")
    added(jane, "bob@x.com", "phone")
    assert jane.setup("email", "rename", "jane@x.com", "ann@x.com").code == 0
    assert jane.keys(FILE) == ["#", "ann@x.com", "bob@x.com"]
    jane.write(ACCOUNTS, f"bob@x.com|{H}\n")
    assert "app-password-without-account" in jane.setup("check").out
    ran = jane.setup("email", "add", "ann@x.com", "--hash", H)
    assert ran.code == 0, ran.err
    assert jane.keys(FILE) == ["bob@x.com"]


def test_an_export_has_them_with_secrets_only_and_an_import_adds_them(
    jane: Folder, tmp_path: Path
) -> None:
    added(jane, "jane@x.com", "phone", "--for", "imap", "--until", "2126-12-31")
    added(jane, "jane@x.com", "pc", "--allow-nets", "10.0.0.0/8")
    written = jane.read(FILE)
    assert "SHA256" not in jane.setup("export").out
    assert "SHA256" not in jane.setup("export", "--format", "jsonl").out
    for name in ("out.csv", "out.jsonl", "out"):
        target = str(tmp_path / name)
        format = name.partition(".")[2] or "folder"
        assert jane.setup("export", "--secrets", "--format", format, target).code == 0
        fresh = str(tmp_path / f"fresh-{name}")
        ran = jane.setup("--config", fresh, "import", target)
        assert ran.code == 0, ran.err
        assert (Path(fresh) / FILE).read_text() == written
        ran = jane.setup("--config", fresh, "import", "--update", target)
        assert "unchanged" in ran.out
        assert (Path(fresh) / FILE).read_text() == written
    assert (tmp_path / "out" / FILE).stat().st_mode & 0o777 == 0o600


def test_an_import_reports_a_bad_app_password_without_its_digest(
    jane: Folder, tmp_path: Path
) -> None:
    digest = "0123456789abcdef" * 4
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "address,hash,app_passwords\n"
        f"a@x.com,{H},two words|{{SHA256.HEX}}{digest}\n"
        f"b@x.com,{H},p|{{SHA256.HEX}}{digest}; P|{{SHA256.HEX}}{digest}\n"
        f"c@x.com,{H},p|{digest}\n"
    )
    ran = jane.setup("import", str(rows))
    assert ran.code == 1
    assert "rows.csv:2: error: the label is not valid" in ran.err
    assert "rows.csv:3: error: two app passwords of the row have the same label" in ran.err
    assert "rows.csv:4: error: the digest does not begin with {SHA256.HEX}" in ran.err
    assert digest not in ran.err
    assert jane.read(FILE) == ""


def test_show_and_explain_list_the_app_passwords_of_an_account(jane: Folder) -> None:
    added(jane, "jane@x.com", "phone", "--for", "imap,smtp", "--comment", "the blue one")
    added(jane, "bob@x.com", "of-bob")
    added(jane, "jane@x.com", "tablet", "--until", "2126-12-31")
    shown = jane.setup("email", "show", "jane@x.com").out
    assert f"app password  phone: only imap, smtp; the blue one  {FILE}:2\n" in shown
    assert f"app password  tablet: until 2126-12-31  {FILE}:4\n" in shown
    assert "of-bob" not in shown
    fields = json.loads(jane.setup("email", "show", "jane@x.com", "--json").out)["app_passwords"]
    listed = json.loads(jane.setup("email", "app-password", "list", "jane@x.com", "--json").out)
    assert [{**each, "where": fields[at]["where"]} for at, each in enumerate(listed)] == fields
    assert [each["where"] for each in fields] == [
        {"file": FILE, "line": line} for line in (2, 4)
    ]  # fmt: skip
    explained = jane.setup("explain", "jane@x.com")
    assert "also by app password: phone, tablet" in explained.out
    login = json.loads(jane.setup("explain", "jane@x.com", "--json").out)["login"]
    assert login["app_passwords"] == ["phone", "tablet"]
    jane.setup("email", "lock", "jane@x.com")
    assert "also by app password" not in jane.setup("explain", "jane@x.com").out
    assert "app password  phone: only imap, smtp; locked" in (
        jane.setup("email", "show", "jane@x.com").out
    )


def test_undo_names_an_app_password_that_expires_again(jane: Folder) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    jane.write(FILE, f"jane@x.com|old|{{SHA256.HEX}}{digest}|until=2020-01-01\n")
    assert "[ ended ]" in jane.setup("email", "app-password", "list").out
    assert jane.setup("email", "app-password", "del", "jane@x.com", "old").code == 0
    ran = jane.setup("undo")
    assert ran.code == 0, ran.err
    assert "jane@x.com|old" in ran.err
    assert "2020-01-01" in ran.err


@pytest.mark.parametrize(
    ("services", "label", "expected"),
    [
        ("none", "", "no: postfix-accounts.cf:1; its main password opens nothing"),
        ("none", "phone", "opens nothing; also by app password: phone"),
        ("imap,smtp", "", "yes: postfix-accounts.cf:1; its main password opens imap, smtp"),
    ],
)
def test_explain_says_what_the_main_password_opens(
    jane: Folder, services: str, label: str, expected: str
) -> None:
    jane.write(ACCOUNTS, f"jane@x.com|{H}|services={services}\n")
    if label:
        added(jane, "jane@x.com", label)
    assert expected in jane.setup("explain", "jane@x.com").out
    login = json.loads(jane.setup("explain", "jane@x.com", "--json").out)["login"]
    assert login["allowed"] is (services != "none" or bool(label))
    assert login["services"] == ([] if services == "none" else ["imap", "smtp"])
