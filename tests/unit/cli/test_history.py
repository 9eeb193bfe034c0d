"""`setup log` and `setup undo` as they are used: on a folder alone, with no server."""

import json
import re
from pathlib import Path

import pytest

from mailroster.store.history.log import HISTORY
from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, Ran
from tests.support.mailboxes import give_to_mail_user

H = "{SHA512-CRYPT}$6$abc$def"
SECRET = "correct horse"


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    folder = Folder(tmp_path, capsys)
    for user in ("john", "jane"):
        assert folder.setup("email", "add", f"{user}@x.com", "--hash", H).code == 0
    assert folder.setup("alias", "add", "info@x.com", "john@x.com,jane@x.com").code == 0
    assert folder.setup("quota", "set", "jane@x.com", "5G").code == 0
    return folder


def commands(folder: Folder, *words: str) -> list[str]:
    """Of each change that is listed, what stands behind who made it."""
    ran = folder.setup("log", *words)
    assert (ran.code, ran.err) == (0, "")
    heads = [line for line in ran.out.splitlines() if line[0] != " "]
    return [re.sub(r"^\d+ \S+Z \S.*?: ", "", head) for head in heads]


def files(folder: Folder) -> dict[str, bytes]:
    return {name: raw for name, raw in folder.state().items() if name != HISTORY}


def test_changes_are_listed_the_newest_first(folder: Folder) -> None:
    assert commands(folder) == [
        "setup quota set jane@x.com 5G",
        "setup alias add info@x.com john@x.com,jane@x.com",
        "setup email add jane@x.com --hash …",
        "setup email add john@x.com --hash …",
    ]
    assert commands(folder, "-n", "1") == ["setup quota set jane@x.com 5G"]
    assert len(commands(folder, "-n", "0")) == 4


def test_who_and_when_are_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("SUDO_USER", "jane")
    folder.setup("quota", "set", "john@x.com", "1G")
    head = folder.setup("log", "-n1".replace("-n1", "-n"), "1").out.splitlines()[0]
    assert re.fullmatch(
        r"5 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ root \(sudo: jane\): setup quota set john@x.com 1G",
        head,
    )


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("jane@x.com", 3),
        ("JANE@X.COM", 3),
        ("john@x.com", 2),
        ("info@x.com", 1),
        ("@x.com", 4),
        ("ane@x.com", 0),
        ("jane@x.co", 0),
        ("nobody@x.com", 0),
        (H, 0),
    ],
)
def test_an_address_picks_the_changes_that_name_it(
    folder: Folder, address: str, number: int
) -> None:
    assert len(commands(folder, address)) == number


def test_no_password_and_no_hash_is_ever_shown(folder: Folder) -> None:
    for words in (
        ("email", "update", "john@x.com", SECRET),
        ("email", "update", "jane@x.com", "--", f"-{SECRET}"),
        ("email", "add", f"--hash={H}", "bob@x.com"),
        ("dovecot-master", "add", "admin", SECRET),
    ):
        assert folder.setup(*words).code == 0, words
    for shown in (("log", "--patch"), ("log", "--json", "--patch"), ("log",)):
        out = folder.setup(*shown).out
        assert "$6$" not in out and "horse" not in out, shown
    assert SECRET not in folder.read(HISTORY), "hashes it has to hold, passwords never"
    assert (folder.config / HISTORY).stat().st_mode & 0o777 == 0o600
    for number in ("8", "7", "6", "5"):
        for dry in (("--dry-run",), ()):
            ran = folder.setup("undo", number, *dry)
            assert ran.code == 0
            assert "$6$" not in ran.out + ran.err and "horse" not in ran.out + ran.err


def test_a_patch_has_the_lines(folder: Folder) -> None:
    folder.setup("email", "del", "-n", "jane@x.com")
    assert folder.setup("log", "-n", "1", "--patch").out.splitlines()[1:] == [
        f"    {ACCOUNTS}: 1 removed",
        "    line 2:",
        "    -jane@x.com|{SHA512-CRYPT}…",
        f"    {QUOTAS}: 1 removed",
        "    line 1:",
        "    -jane@x.com:5G",
        f"    {VIRTUAL}: 1 removed, 1 added",
        "    line 1:",
        "    -info@x.com john@x.com,jane@x.com",
        "    +info@x.com john@x.com",
    ]


def test_json_has_it_all(folder: Folder) -> None:
    (entry,) = json.loads(folder.setup("log", "--json", "-n", "1", "--patch").out)
    assert (entry.pop("time")[-1], entry.pop("uid"), entry.pop("user")) == ("Z", 0, "root")
    assert entry == {
        "id": 4,
        "sudo": None,
        "command": "setup quota set jane@x.com 5G",
        "by_hand": False,
        "files": [
            {
                "file": QUOTAS,
                "removed": 0,
                "added": 1,
                "can_be_undone": True,
                "places": [{"line": 1, "offset": 0, "removed": [], "added": ["jane@x.com:5G"]}],
            }
        ],
    }
    assert json.loads(folder.setup("log", "--json", "nobody@x.com").out) == []


def test_the_newest_change_is_undone_and_an_undo_too(folder: Folder) -> None:
    before = files(folder)
    folder.setup("email", "del", "-n", "jane@x.com")
    deleted = files(folder)
    ran = folder.setup("undo")
    assert ran.code == 0
    assert re.fullmatch(r"undone: 5 \S+ root: setup email del -n jane@x.com\n", ran.out)
    assert files(folder) == before
    assert folder.setup("undo").code == 0
    assert files(folder) == deleted
    assert commands(folder, "-n", "3") == [
        "setup undo 6", "setup undo 5", "setup email del -n jane@x.com"
    ]  # fmt: skip


def test_all_changes_are_undone_in_turn(folder: Folder) -> None:
    for number in ("4", "3", "2", "1"):
        assert folder.setup("undo", number).code == 0
    assert set(files(folder).values()) == {b""}


def test_an_older_change_is_undone_beside_newer_ones(folder: Folder) -> None:
    folder.setup("email", "update", "john@x.com", "--hash", H + "2")
    assert folder.setup("undo", "4").code == 0
    assert folder.read(QUOTAS) == ""
    assert folder.read(ACCOUNTS) == f"john@x.com|{H}2\njane@x.com|{H}\n"


def test_what_has_changed_since_is_named_and_nothing_is_changed(folder: Folder) -> None:
    folder.setup("quota", "set", "jane@x.com", "6G")
    before = folder.state()
    assert folder.setup("undo", "4") == Ran(
        1,
        "",
        "setup: dovecot-quotas.cf: 'jane@x.com:5G' is no longer in the file since change 5 "
        "(setup quota set jane@x.com 6G); nothing was changed\n",
    )
    assert folder.state() == before


def test_an_alias_that_would_lead_in_a_circle_now_does_not_come_back(folder: Folder) -> None:
    folder.setup("alias", "add", "a@x.com", "b@x.com")
    folder.setup("alias", "del", "a@x.com", "b@x.com")
    folder.setup("alias", "add", "b@x.com", "a@x.com")
    before = folder.state()
    ran = folder.setup("undo", "6")
    assert (ran.code, ran.out) == (1, "")
    assert "a@x.com" in ran.err and "nothing was changed" in ran.err
    assert folder.state() == before


def test_a_dry_run_shows_the_change_and_makes_none(folder: Folder) -> None:
    before = folder.state()
    ran = folder.setup("undo", "--dry-run")
    assert ran.code == 0
    assert "\n-jane@x.com:5G\n" in ran.out
    assert "undone" not in ran.out
    assert folder.state() == before


def test_that_mail_does_not_come_back_is_told(folder: Folder) -> None:
    (folder.mail / "x.com/jane").mkdir(parents=True)
    (folder.mail / "x.com/john").mkdir()
    give_to_mail_user(folder.mail)
    folder.setup("email", "del", "-y", "jane@x.com")
    said = "setup: the mail of jane@x.com can't be restored: 'email del -y' has deleted it"
    assert folder.setup("undo").err.startswith(said)
    folder.setup("email", "del", "-n", "john@x.com")
    assert folder.setup("undo").err == "", "the mail was kept"


def test_an_undo_of_a_rename_takes_the_mail_along_and_so_does_a_redo(folder: Folder) -> None:
    old, new = folder.mail / "x.com/jane", folder.mail / "y.org/joan"
    (old / "cur").mkdir(parents=True)
    give_to_mail_user(folder.mail)
    before = files(folder)
    folder.setup("email", "rename", "jane@x.com", "joan@y.org")
    assert ((new / "cur").is_dir(), old.exists()) == (True, False)
    ran = folder.setup("undo", "--dry-run")
    assert f"would move {new} to {old}\n" in ran.out
    assert (new / "cur").is_dir()
    assert folder.setup("undo").err == ""
    assert files(folder) == before
    assert ((old / "cur").is_dir(), new.exists()) == (True, False)
    assert folder.setup("undo").err == ""
    assert ((new / "cur").is_dir(), old.exists()) == (True, False)


def test_that_what_comes_back_is_over_is_told(folder: Folder) -> None:
    alias = folder.read(VIRTUAL)
    folder.write(VIRTUAL, f"{alias}# mailroster: until 2020-01-01\nfair@x.com john@x.com\n")
    folder.setup("alias", "del", "fair@x.com", "john@x.com")
    said = "setup: warning: 'fair@x.com' has expired (2020-01-01) and will expire again\n"
    assert folder.setup("undo").err == said


def test_what_still_names_an_account_that_goes_is_told(folder: Folder) -> None:
    ran = folder.setup("undo", "2")
    assert ran.code == 0
    assert ran.err == (
        "setup: warning: 'jane@x.com' is no longer an account; its quota, the alias info@x.com "
        "stays\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("undo", "99"), 1, "there is no change 99 in the history"),
        (("undo", "0"), 1, "there is no change 0 in the history"),
        (("undo", "-1"), 2, "'-1' is not a number"),
        (("undo", "jane@x.com"), 2, "'jane@x.com' is not a number"),
        (("undo", "1" * 99), 2, "is not a number"),
        (("undo", "٣"), 2, "is not a number"),
        (("undo", "1", "2"), 2, "too many arguments"),
        (("log", "-n", "many"), 2, "'many' is not a number"),
        (("log", "-n"), 2, "needs a value"),
        (("log", "a@x", "b@x"), 2, "too many arguments"),
    ],
)
def test_a_line_that_makes_no_sense_is_told_so(
    folder: Folder, words: tuple[str, ...], code: int, said: str
) -> None:
    before = folder.state()
    ran = folder.setup(*words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert folder.state() == before


def test_without_a_history_there_is_nothing_to_list_or_undo(folder: Folder) -> None:
    (folder.config / HISTORY).unlink()
    assert folder.setup("log") == Ran(0, "", "")
    assert folder.setup("undo").err == "setup: the history is empty: there is nothing to undo\n"
    assert not (folder.config / HISTORY).exists()


def test_a_history_of_no_bytes_is_none(folder: Folder) -> None:
    before = folder.read(HISTORY)
    folder.write("mailroster.toml", "history_bytes = 0\n")
    assert folder.setup("quota", "set", "john@x.com", "1G") == Ran(0, "", "")
    assert folder.read(HISTORY) == before


def test_a_history_does_not_grow_beyond_its_size(folder: Folder) -> None:
    folder.write("mailroster.toml", "history_bytes = 2000\n")
    for number in range(40):
        folder.setup("quota", "set", "john@x.com", f"{number + 1}G")
        assert len(folder.read(HISTORY)) <= 2000
    assert commands(folder)[0] == "setup quota set john@x.com 40G"
    assert 3 < len(commands(folder)) < 40
    assert folder.setup("undo").code == 0
    assert folder.read(QUOTAS).endswith("john@x.com:39G\n")


def test_an_import_that_is_too_large_is_only_counted(folder: Folder) -> None:
    rows = "".join(f"u{n}@x.com,{H}\n" for n in range(200))
    folder.write("../rows.csv", f"address,hash\n{rows}")
    folder.write("mailroster.toml", "history_bytes = 20000\n")
    assert folder.setup("import", str(folder.home / "rows.csv")).code == 0
    assert folder.setup("log", "-n", "1").out.splitlines()[1:] == [
        f"    {ACCOUNTS}: 200 added (too many to store; can't be undone)"
    ]
    ran = folder.setup("undo")
    assert ran.code == 1
    assert "which was too large: 0 lines removed and 200 added" in ran.err
    assert len(folder.read(HISTORY)) < 5000


def test_a_history_that_can_not_be_written_is_told_and_the_change_made(folder: Folder) -> None:
    (folder.config / HISTORY).unlink()
    (folder.config / HISTORY).mkdir()
    ran = folder.setup("quota", "set", "john@x.com", "1G")
    assert ran.code == 0
    assert "warning: the change is written, but not in the history" in ran.err
    assert "john@x.com:1G" in folder.read(QUOTAS)
    ran = folder.setup("log")
    assert (ran.code, ran.out) == (75, "")
    assert HISTORY in ran.err


def test_words_that_are_odd_stay_on_one_line_and_harm_no_terminal(folder: Folder) -> None:
    folder.setup("alias", "add", "it's@x.com", "john@x.com")
    folder.setup("import", "no such\nfile\x1b[31m.csv")
    source = folder.home / "rows\x1b[31m and\nmore.csv"
    source.write_text(f"address,hash\nbob@x.com,{H}\n")
    assert folder.setup("import", str(source)).code == 0
    shown = commands(folder)
    assert shown[1] == "setup alias add 'it'\\''s@x.com' john@x.com"
    assert shown[0].endswith("rows\\x1b[31m and\\nmore.csv'")
    assert "\x1b" not in folder.setup("log", "--patch").out
