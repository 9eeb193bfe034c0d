"""Commands about one account, without a server: what they print, and what a newcomer gets wrong."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mailroster.base.settings import FOLDERS, SETTINGS
from mailroster.cli.progress import Bar
from mailroster.cli.table import print_table
from tests.support.folder import ACCOUNTS, MASTERS, QUOTAS, VIRTUAL, Folder, H, given

BOB = f"bob@x.com|{H}\n"


@pytest.fixture
def folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Folder:
    for setting in (*FOLDERS, *SETTINGS):
        monkeypatch.delenv(setting.variable or "-", raising=False)
    given(monkeypatch, b"")
    return Folder(tmp_path, capsys)


# -- passwords


@pytest.mark.parametrize(
    "command", [("email", "add", "bob@x.com"), ("dovecot-master", "add", "boss")]
)
def test_a_generated_password_is_all_that_is_printed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    ran = folder.setup(*command, "--generate")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out) == 28
    given(monkeypatch, ran.out.encode())
    if command[0] == "email":
        assert folder.setup("email", "password-check", "bob@x.com", "--password-stdin").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--dry-run"], ["pw"], ["--hash", H], ["--password-stdin"], ["--if-not-exists"],
    ],
)  # fmt: skip
def test_a_password_is_not_generated_for_nothing(folder: Folder, words: list[str]) -> None:
    folder.write(ACCOUNTS, BOB)
    address = "bob@x.com" if words == ["--if-not-exists"] else "new@x.com"
    ran = folder.setup("email", "add", address, "--generate", *words)
    assert ran.code == (2 if words[0] in ("pw", "--hash", "--password-stdin") else 0)
    assert "|" in ran.out if words == ["--dry-run"] else ran.out == ""
    assert folder.read(ACCOUNTS) == BOB


def test_a_generated_password_is_printed_if_the_file_has_it_though_it_is_not_live(
    folder: Folder,
) -> None:
    (folder.home / "mail-state/tables").mkdir(parents=True)
    (folder.home / "mail-state/sql").write_text("in the way")
    ran = folder.setup("email", "add", "bob@x.com", "--generate")
    assert ran.code == 75
    assert len(ran.out) == 28
    assert folder.read(ACCOUNTS).startswith("bob@x.com|")


@pytest.mark.parametrize(
    "command",
    [("email", "add", "new@x.com"), ("email", "update", "bob@x.com"),
     ("dovecot-master", "add", "new"), ("dovecot-master", "update", "boss")],
)  # fmt: skip
def test_the_policy_holds_for_accounts_and_masters(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    folder.write(ACCOUNTS, BOB)
    folder.write(MASTERS, f"boss|{H}\n")
    folder.write("refused", "Hunter2-hunter2\n")
    folder.write("mailroster.toml", 'password_min_length = 9\npassword_refused = "refused"\n')
    before = folder.state()
    for word, why in (("hunter2-HUNTER2", "password_refused"), ("x7-qqqq8", "password_min_length")):
        ran = folder.setup(*command, word)
        assert ran.code == 1
        assert why in ran.err
        assert word not in ran.err
        given(monkeypatch, word.encode())
        assert folder.setup(*command, "--password-stdin").code == 1
    assert folder.state() == before
    assert folder.setup(*command, "x7-qqqq89").code == 0
    folder.write("mailroster.toml", 'password_refused = "missing"\n')
    assert folder.setup("email", "add", "other@x.com", "secret").code == 1


def test_the_policy_holds_for_an_import_row_by_row(folder: Folder) -> None:
    folder.write("refused", "hunter2\n")
    folder.write("mailroster.toml", 'password_refused = "refused"\npassword_cost = 1000\n')
    rows = folder.home / "rows.csv"
    rows.write_text("address,password\na@x.com,HUNTER2\nb@x.com,good\n")
    ran = folder.setup("import", str(rows))
    assert ran.code == 1
    assert ":2: error:" in ran.err
    assert "password_refused" in ran.err
    assert "HUNTER2" not in ran.err
    assert folder.read(ACCOUNTS) == ""
    assert folder.setup("import", "--skip-bad", str(rows)).code == 0
    assert folder.keys(ACCOUNTS) == ["b@x.com"]
    assert "$6$rounds=1000$" in folder.read(ACCOUNTS)


@pytest.mark.parametrize(
    ("toml", "options", "start"),
    [
        ('password_cost = "2000"', [], "{SHA512-CRYPT}$6$rounds=2000$"),
        ("password_cost = 5000", [], "{SHA512-CRYPT}$6$"),
        ('password_scheme = "blf-crypt"\npassword_cost = 6', [], "{BLF-CRYPT}$2y$06$"),
        ("password_cost = 2000", ["--scheme", "BLF-CRYPT"], "{BLF-CRYPT}$2y$05$"),
        ('password_scheme = "ARGON2ID"\npassword_cost = "t=2,m=128"', [],
         "{ARGON2ID}$argon2id$v=19$m=128,t=2,p=1$"),
    ],
)  # fmt: skip
def test_scheme_and_cost_come_from_the_settings(
    folder: Folder, toml: str, options: list[str], start: str
) -> None:
    folder.write("mailroster.toml", toml + "\n")
    assert folder.setup("email", "add", "bob@x.com", "pw", *options).code == 0
    assert folder.read(ACCOUNTS).startswith(f"bob@x.com|{start}")


def test_a_cost_that_is_none_of_the_scheme_is_not_understood(folder: Folder) -> None:
    folder.write("mailroster.toml", "password_cost = 12\n")
    ran = folder.setup("email", "add", "bob@x.com", "pw")
    assert ran.code == 2
    assert "1000 to 10000000" in ran.err
    assert folder.setup("email", "list").code == 0


def test_a_check_tells_right_wrong_locked_and_unknown(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checked(password: str, *words: str, address: str = "BOB@x.com") -> tuple[int, str]:
        given(monkeypatch, f"{password}\n".encode())
        ran = folder.setup("email", "password-check", address, "--password-stdin", *words)
        assert ran.out == ""
        assert password not in ran.err
        return ran.code, ran.err

    folder.setup("email", "add", "bob@x.com", "zebra-11")
    assert checked("zebra-11")[0] == 0
    assert checked("zebra-12") == (1, (
        "setup: warning: 'BOB@x.com' is changed to lower case: 'bob@x.com'\n"
        "setup: the password of 'bob@x.com' is wrong\n"
    ))  # fmt: skip
    assert checked("zebra-11", address="no@x.com")[0] == 1
    folder.setup("email", "lock", "bob@x.com")
    for password, word in (("zebra-11", "right"), ("zebra-12", "wrong")):
        code, err = checked(password, "--rehash")
        assert code == 1
        assert f"is locked and can't log in; the password is {word}" in err


def test_a_check_without_a_terminal_wants_standard_input(folder: Folder) -> None:
    folder.write(ACCOUNTS, BOB)
    assert folder.setup("email", "password-check", "bob@x.com").code == 2
    assert folder.setup("email", "password-check", "bob@x.com", "secret").code == 2


def test_a_rehash_keeps_the_line_and_what_costs_more(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehashed(cost: int) -> str:
        folder.write("mailroster.toml", f"password_cost = {cost}\n")
        given(monkeypatch, b"secret\n")
        words = ("email", "password-check", "bob@x.com", "--password-stdin", "--rehash")
        assert folder.setup(*words).code == 0
        return folder.read(ACCOUNTS)

    folder.setup("email", "add", "bob@x.com", "secret")
    folder.write(ACCOUNTS, "# top\n Bob@x.com | " + folder.read(ACCOUNTS)[10:-1] + " |nologin\r\n")
    first = rehashed(3000)
    assert "rounds=" not in first
    higher = rehashed(7000)
    assert higher.startswith("# top\n Bob@x.com | {SHA512-CRYPT}$6$rounds=7000$")
    assert higher.endswith(" |nologin\r\n")
    assert rehashed(6000) == higher


# -- show


def test_show_says_when_an_account_ends_and_what_a_lock_waits_for(folder: Folder) -> None:
    until = "# mailroster: until 2199-12-31\n"
    folder.write(ACCOUNTS, f"{until}a@x.com|{H}\n{until}b@x.com|{{SHA512-CRYPT}}!$6$x$y\n")
    assert "ends          2199-12-31\n" in folder.setup("email", "show", "a@x.com").out
    shown = folder.setup("email", "show", "b@x.com").out
    assert "locked        until 2199-12-31\n" in shown
    assert "ends" not in shown


def test_show_says_all_and_never_the_hash(folder: Folder) -> None:
    folder.write(ACCOUNTS, "# mailroster: comment likes mail\n"
                 "Bob@X.com|{SHA512-CRYPT}!$6$salt$hash|"
                 "allow_nets=10.0.0.0/8 reason=gone\n")  # fmt: skip
    folder.write(QUOTAS, "BOB@x.com:5g\n")
    folder.write(VIRTUAL, "i@x.com bob@x.com\nall@x.com i@x.com\n")
    folder.write("postfix-send-access.cf", "# mailroster: comment spam\nx.com REJECT now\n")
    ran = folder.setup("email", "show", "bob@x.com")
    assert ran.code == 0
    for words in ("postfix-accounts.cf:2", "SHA512-CRYPT, cost 5000", "locked        yes",
                  "likes mail", "allow_nets=10.0.0.0/8", "reason=gone", "5G  dovecot-quotas.cf:1",
                  "i@x.com  postfix-virtual.cf:1", "all@x.com, through i@x.com",
                  "send: x.com REJECT now, spam  postfix-send-access.cf:2"):  # fmt: skip
        assert words in ran.out
    shown = json.loads(folder.setup("email", "show", "bob@x.com", "--json").out)
    assert shown["locked"] is True
    assert shown["fields"] == {"allow_nets": "10.0.0.0/8", "reason": "gone"}
    for out in (ran.out, json.dumps(shown)):
        assert "salt" not in out
    assert folder.setup("email", "show", "no@x.com").code == 1
    assert folder.setup("email", "show").code == 2


# -- forward


def test_a_forward_is_an_alias_on_its_own_address(folder: Folder) -> None:
    folder.write(ACCOUNTS, BOB)
    folder.write(VIRTUAL, "# all\nx@x.com bob@x.com\n")
    forward = ("email", "forward", "bob@x.com")
    assert folder.setup(*forward, "a@y.z,b@y.z", "c@y.z").code == 0
    assert folder.read(VIRTUAL) == "# all\nx@x.com bob@x.com\nbob@x.com a@y.z,b@y.z,c@y.z\n"
    assert folder.setup(*forward, "b@y.z", "--keep-copy").code == 0
    assert folder.read(VIRTUAL) == "# all\nx@x.com bob@x.com\nbob@x.com b@y.z,bob@x.com\n"
    assert folder.setup(*forward, "B@Y.z", "--keep-copy").code == 0
    assert folder.setup(*forward, "--off").code == 0
    assert folder.read(VIRTUAL) == "# all\nx@x.com bob@x.com\n"
    assert folder.setup(*forward, "--off").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["bob@x.com"], 2), (["bob@x.com", "a@y.z", "--off"], 2), (["no@x.com", "a@y.z"], 1),
        (["no@x.com", "--off"], 1), (["bob@x.com", "bob@x.com"], 1),
        (["bob@x.com", "--keep-copy"], 2),
        (["bob@x.com", "--off", "--keep-copy"], 2), (["bob@x.com", "x@x.com"], 1),
        (["bob@x.com", "a b;c"], 1), ([], 2), (["bob@x.com", "@y.z", "a@y.z"], 1),
    ],
)  # fmt: skip
def test_a_forward_that_makes_no_sense_changes_nothing(
    folder: Folder, words: list[str], code: int
) -> None:
    folder.write(ACCOUNTS, BOB)
    folder.write(VIRTUAL, "x@x.com bob@x.com\n")
    before = folder.state()
    assert folder.setup("email", "forward", *words).code == code
    assert folder.state() == before


# -- rename


def test_a_rename_dry_run_shows_and_moves_nothing(folder: Folder) -> None:
    folder.write(ACCOUNTS, BOB)
    (folder.mail / "x.com/bob/new").mkdir(parents=True)
    before = folder.state()
    ran = folder.setup("email", "rename", "--dry-run", "bob@x.com", "rob@y.z")
    assert ran.code == 0
    assert "+rob@y.z|{SHA512-CRYPT}…" in ran.out
    assert ran.out.endswith(f"would move {folder.mail}/x.com/bob to {folder.mail}/y.z/rob\n")
    assert folder.state() == before
    assert os.listdir(folder.mail / "x.com") == ["bob"]


@pytest.mark.parametrize(
    "words",
    [["bob@x.com", "../../etc@x.com"], ["bob@x.com", "a b@x.com"], ["no@x.com", "new@x.com"],
     ["bob@x.com", "carol@x.com"], ["bob@x.com", "info@x.com"], ["bob@x.com", "BOB@x.com"],
     [".*@x.com", "new@x.com"], ["bob@x.com", "@x.com"], ["bob@x.com", "b+x@x.com"],
     ["bob@x.com", "evil@x.com:{PLAIN}owned"]],
)  # fmt: skip
def test_a_rename_that_makes_no_sense_changes_nothing(folder: Folder, words: list[str]) -> None:
    folder.write(ACCOUNTS, f"{BOB}Carol@x.com|{H}\n")
    folder.write(VIRTUAL, "Info@x.com bob@x.com\n")
    (folder.mail / "x.com/bob").mkdir(parents=True)
    before = folder.state()
    ran = folder.setup("email", "rename", *words)
    assert (ran.code, ran.out) == (1, "")
    assert folder.state() == before
    assert os.listdir(folder.mail / "x.com") == ["bob"]


def test_a_rename_names_the_patterns_that_lead_to_an_address_that_is_given_up(
    folder: Folder,
) -> None:
    folder.write(ACCOUNTS, BOB)
    folder.write("postfix-regexp.cf", "# x\n/^b/ Bob@x.com\n")
    ran = folder.setup("email", "rename", "--no-alias", "bob@x.com", "rob@x.com")
    assert ran.code == 0
    assert "postfix-regexp.cf:2: this rule still points to 'bob@x.com'" in ran.err


# -- tables


def test_a_table_that_is_piped_has_tabs_and_all_columns(folder: Folder) -> None:
    folder.write(
        ACCOUNTS, f"{BOB}# mailroster: comment 日本\ncarol@x.com|{{SHA512-CRYPT}}!$6$x$y\n"
    )
    folder.write(VIRTUAL, "i@x.com bob@x.com, carol@x.com\n")
    assert folder.setup("email", "list", "--table").out == (
        "bob@x.com\t\t\t\ti@x.com\t\t\ncarol@x.com\t\t\t\ti@x.com\tlocked\t日本\n"
    )
    assert folder.setup("alias", "list", "--table").out == "i@x.com\tbob@x.com, carol@x.com\t\t\n"
    assert folder.setup("dovecot-master", "list", "--table").out == ""


def test_a_dumb_terminal_gets_no_escapes(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("mailroster.cli.progress._DELAY_S", 0)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    for term, escapes in (("xterm", 3), ("dumb", 0)):
        monkeypatch.setenv("TERM", term)
        print_table(("ADDRESS",), [("a@x.com",)])
        with Bar(10, "rows") as bar:
            bar(5)
        out, err = folder.capsys.readouterr()
        assert (out + err).count("\x1b") == escapes
        assert "a@x.com" in out


@pytest.mark.parametrize("columns", ["30", "100"])
def test_a_table_on_a_terminal_has_a_heading_and_fits(folder: Folder, columns: str) -> None:
    folder.write(ACCOUNTS, BOB)
    folder.write(VIRTUAL, "".join(f"list{n}@x.com bob@x.com\n" for n in range(9)))
    leader, follower = pty.openpty()
    argv = [
        sys.executable,
        "-m",
        "mailroster",
        "--home",
        str(folder.home),
        "email",
        "list",
        "--table",
    ]
    environment = {**os.environ, "COLUMNS": columns, "NO_COLOR": "1"}
    subprocess.run(argv, stdout=follower, env=environment, check=True)
    os.close(follower)
    shown = b""
    with suppress(OSError):  # the end of a terminal (EIO)
        while part := os.read(leader, 10000):
            shown += part
    lines = shown.decode().splitlines()
    os.close(leader)
    assert lines[0].split() == ["ADDRESS", "ALIASES"]
    assert lines[1].startswith("bob@x.com  list0@x.com")
    assert lines[1].endswith("…")
    assert max(map(len, lines)) == int(columns)


def test_notes_alone_are_updated_and_the_password_stays(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.setup("email", "update", "a@x.com", "--comment", "out", "--until", "2199-12-31")
    noted = f"# mailroster: comment out\n# mailroster: until 2199-12-31\na@x.com|{H}\n"
    assert folder.read(ACCOUNTS) == noted
    assert folder.setup("email", "update", "a@x.com", "--until", "").code == 0
    assert folder.read(ACCOUNTS) == f"# mailroster: comment out\na@x.com|{H}\n"
    assert folder.setup("email", "update", "a@x.com", "--hash", H + "2", "--comment", "").code == 0
    assert folder.read(ACCOUNTS) == f"a@x.com|{H}2\n"
    assert folder.setup("email", "update", "b@x.com", "--comment", "out").code == 1


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ("x.com REJECT\n", ["x.com"]),
        ("com REJECT\na@x.com REJECT\n", ["a@x.com", "com"]),
        ("a@ REJECT\ny.com REJECT\n.x.com REJECT\n", ["a@"]),
    ],
)
def test_a_restriction_by_a_parent_domain_is_shown_and_explained_alike(
    folder: Folder,
    lines: str,
    keys: list[str],
) -> None:
    folder.write("postfix-accounts.cf", f"a@x.com|{H}\n")
    folder.write("postfix-send-access.cf", lines)
    shown = json.loads(folder.setup("email", "show", "a@x.com", "--json").out)["restrictions"]
    assert [entry["address"] for entry in shown] == keys
    explained = json.loads(folder.setup("explain", "a@x.com", "--json").out)["restrictions"]
    assert [entry["key"] for entry in explained] == keys[:1]


def test_the_quota_and_the_place_of_an_account_are_shown_by_its_fields(
    folder: Folder,
) -> None:
    extra = "userdb_quota_storage_size=7M userdb_mail_path=~/m"
    folder.write("postfix-accounts.cf", f"a@x.com|{H}|{extra}\n")
    folder.write("dovecot-quotas.cf", "a@x.com:5G\n")
    shown = json.loads(folder.setup("email", "show", "a@x.com", "--json").out)
    explained = json.loads(folder.setup("explain", "a@x.com", "--json").out)
    box = explained["recipients"][0]["mailbox"]
    assert shown["quota"]["size"] == box["limit"] == "7M"
    assert shown["quota"]["field"] == "userdb_quota_storage_size"
    assert shown["mailbox"]["location"] == box["place"]
    assert box["place"].endswith("/x.com/a/home/m")
    listed = json.loads(folder.setup("quota", "list", "--json").out)
    assert listed[0]["limit"] == 7 << 20
    assert "quota-overridden" in folder.setup("check").out
    text = folder.setup("email", "show", "a@x.com").out
    assert "7M  userdb_quota_storage_size in postfix-accounts.cf:1" in text
