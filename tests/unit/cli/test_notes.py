"""`--comment`, `--until` and locks as users type them."""

import json
import time

import pytest

from mailroster.base.findings import Refused, UsageError
from mailroster.cli.notes import until_of
from tests.support.folder import ACCOUNTS, MASTERS, QUOTAS, SEND, VIRTUAL, Folder, H, folder

__all__ = ["folder"]
L = H.replace("}", "}!")
NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00 UTC


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2027-01-15", "2027-01-15"),
        ("2027-01-15T08:01", "2027-01-15T08:01"),
        ("", ""),
        (" 2027-02-01 ", "2027-02-01"),
        ("7d\n", "2027-01-22T08:00"),
        ("5s", "2027-01-15T08:00:05"),
        ("1min", "2027-01-15T08:01"),
        ("12h", "2027-01-15T20:00"),
        ("7d", "2027-01-22T08:00"),
        ("2w", "2027-01-29T08:00"),
    ],
)
def test_a_span_becomes_a_date(text: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert until_of(text, NOW_S) == written
        if text.endswith("min"):
            assert until_of(text, NOW_S + 1) == "2027-01-15T08:02"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2027-01-14", Refused), ("2027-01-13T23:59", Refused), ("0d", Refused),
        ("99999w", Refused), ("9" * 400 + "d", Refused), ("9" * 9000 + "s", Refused),
        ("-7d", UsageError),
        ("7", UsageError), ("d", UsageError), ("7D", UsageError), ("7 d", UsageError),
        ("1m", UsageError), ("3M", UsageError), ("min", UsageError), ("m", UsageError),
        ("1mi", UsageError), ("1mind", UsageError), ("²d", UsageError),
        ("1.5h", UsageError), ("never", UsageError),
        ("2027-02-30", UsageError), ("2027-12-31\nx@x.com y@y", UsageError),
    ],
)  # fmt: skip
def test_what_is_over_or_makes_no_sense(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        until_of(text, NOW_S)


def test_m_is_refused_since_it_may_mean_months() -> None:
    with pytest.raises(UsageError, match=r"minutes or months; write 3min, .* 30d, or a date"):
        until_of("3m", NOW_S)


@pytest.mark.parametrize(
    "comment",
    ["a\nroot@x.com|{PLAIN}x", "a\rb", "a\0", "\x1b[2J", "x" * 201, "\u2028", "\udcff", "\u202e"],
)
@pytest.mark.parametrize(
    "line",
    [
        "email add b@x.com pw", "email lock a@x.com", "email restrict add send a@x.com",
        "alias add b@x.com a@x.com", "quota set a@x.com 5G",
    ],
)  # fmt: skip
def test_a_hostile_comment_changes_nothing(folder: Folder, line: str, comment: str) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    before = folder.state()
    ran = folder.setup(*line.split(), "--comment", comment)
    assert ran.code == 1
    assert "the comment has" in ran.err
    assert folder.state() == before


def test_notes_are_written_and_go_with_their_entries(folder: Folder) -> None:
    about = ("--comment", "a | b: # {PLAIN}x, ünïcode", "--until", "2199-12-31")
    noted = "# mailroster: comment a | b: # {PLAIN}x, ünïcode\n"
    ends = "# mailroster: until 2199-12-31\n"
    folder.write(VIRTUAL, "# mine\r\n")
    assert folder.setup("email", "add", "a@x.com", "--hash", H, *about).code == 0
    assert folder.setup("alias", "add", "b@x.com", "a@x.com", *about).code == 0
    assert folder.setup("email", "restrict", "add", "send", "a@x.com", *about).code == 0
    assert folder.setup("quota", "set", "a@x.com", "5G", *about[:2]).code == 0
    assert folder.read(ACCOUNTS) == f"{noted}{ends}a@x.com|{H}\n"
    assert folder.read(QUOTAS) == f"{noted}a@x.com:5G\n"
    assert folder.read(SEND) == f"{noted}{ends}a@x.com REJECT\n"
    aliases = f"# mine\n{noted}{ends}b@x.com a@x.com\n".replace("\n", "\r\n")
    assert folder.read(VIRTUAL) == aliases
    assert folder.setup("check") == (0, "", "")
    listed = json.loads(folder.setup("alias", "list", "--json").out)
    assert listed[0]["until"] == "2199-12-31"
    assert listed[0]["comment"] == about[1]
    assert folder.setup("email", "restrict", "del", "send", "a@x.com").code == 0
    assert folder.setup("email", "del", "-n", "a@x.com").code == 0
    assert folder.read(VIRTUAL) == "# mine\r\n"
    assert folder.read(ACCOUNTS) == folder.read(QUOTAS) == folder.read(SEND) == ""


def test_an_entry_that_is_there_takes_notes_and_without_any_is_refused(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    folder.write(VIRTUAL, "b@x.com A@x.com,c@x.com\n")
    folder.write(SEND, "a@x.com DISCARD\n")
    assert folder.setup("alias", "add", "b@x.com", "a@x.com").code == 1
    assert folder.setup("alias", "add", "b@x.com", "a@x.com", "--until", "2199-01-01").code == 0
    assert folder.read(VIRTUAL) == "# mailroster: until 2199-01-01\nb@x.com A@x.com,c@x.com\n"
    assert folder.setup("alias", "add", "b@x.com", "a@x.com", "--until", "").code == 0
    assert folder.read(VIRTUAL) == "b@x.com A@x.com,c@x.com\n"
    assert folder.setup("email", "restrict", "add", "send", "a@x.com").code == 1
    restrict = ("email", "restrict", "add", "send", "a@x.com", "--comment", "spam")
    assert folder.setup(*restrict).code == 0
    assert folder.read(SEND) == "# mailroster: comment spam\na@x.com DISCARD\n"
    assert folder.setup("email", "add", "a@x.com", "pw", "--comment", "x").code == 1
    lenient = ("email", "add", "--if-not-exists", "a@x.com", "pw", "--comment", "x")
    assert folder.setup(*lenient).code == 0
    assert folder.read(ACCOUNTS) == f"a@x.com|{H}\n"


def test_a_lock(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"A@x.com|{H}|fail=1\n")
    assert folder.setup("email", "lock", "nobody@x.com").code == 1
    assert folder.setup("email", "unlock", "nobody@x.com").code == 1
    shown = folder.setup("email", "lock", "a@x.com", "--dry-run").out
    assert "+A@x.com|{SHA512-CRYPT}!…|fail=1" in shown
    assert "$6$" not in shown
    assert folder.setup("email", "lock", "a@x.com") == (0, "", "")
    assert folder.setup("email", "lock", "a@x.com").err == "setup: 'a@x.com' is locked already\n"
    assert folder.read(ACCOUNTS) == f"A@x.com|{L}|fail=1\n"
    assert folder.setup("email", "list").out == "* a@x.com\n    [ locked ]\n"
    other = H.replace("def", "other")
    updated = folder.setup("email", "update", "a@x.com", "--hash", other)
    assert updated.code == 0
    assert "stays locked" in updated.err
    refused = folder.setup("email", "update", "a@x.com", "--hash", "{PLAIN}secret")
    assert refused.code == 1
    assert "secret" not in refused.err
    assert folder.setup("email", "unlock", "a@x.com") == (0, "", "")
    assert folder.setup("email", "unlock", "a@x.com").err == "setup: 'a@x.com' is not locked\n"
    assert folder.read(ACCOUNTS) == f"A@x.com|{other}|fail=1\n"


def test_a_lock_that_comes_with_the_hash(folder: Folder) -> None:
    assert folder.setup("email", "add", "a@x.com", "--hash", L).code == 0
    assert folder.setup("dovecot-master", "add", "m", "--hash", L).code == 0
    assert folder.read(ACCOUNTS) == f"a@x.com|{L}\n"
    assert folder.read(MASTERS) == f"m|{L}\n"
    assert json.loads(folder.setup("email", "list", "--json").out)[0]["locked"] is True


def test_a_lock_takes_the_place_of_the_end_of_the_account(folder: Folder) -> None:
    folder.setup("email", "add", "a@x.com", "--hash", H, "--until", "2199-01-01")
    ran = folder.setup("email", "lock", "a@x.com")
    assert "the end date 2199-01-01 of" in ran.err
    assert folder.read(ACCOUNTS) == f"a@x.com|{L}\n"


def test_an_import_keeps_the_lock(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"# mailroster: until 2199-01-01\na@x.com|{L}\n")
    rows = folder.home / "rows.csv"
    rows.write_text(f"address,hash\na@x.com,{H.replace('def', 'other')}\n")
    assert folder.setup("import", "--update", str(rows)).code == 0
    assert folder.read(ACCOUNTS) == (
        f"# mailroster: until 2199-01-01\na@x.com|{L.replace('def', 'other')}\n"
    )
    rows.write_text("address,hash\na@x.com,{PLAIN}x\n")
    assert folder.setup("import", "--update", str(rows)).code == 1


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        pytest.param(
            ACCOUNTS, f"# mailroster: until 31.12.2026\na@x.com|{H}\n",
            "1: error: '31.12.2026' is not a date", id="no date",
        ),
        pytest.param(
            VIRTUAL, "\n# mailroster: until\nb@x.com a@x.com\n", "2: error: '' is not a date",
            id="no date at all",
        ),
        pytest.param(
            VIRTUAL, "b@x.com a@x.com\n#mailroster: util 2026-12-31\nc@x.com a@x.com\n",
            "2: error: 'util' is not a kind of note", id="a word that is none",
        ),
        pytest.param(
            SEND, "# mailroster: comment x\n\na@x.com REJECT\n", "1: warning: the note belongs to",
            id="an empty line between",
        ),
        pytest.param(
            SEND, "a@x.com REJECT\n# mailroster: comment x\n", "2: warning: the note belongs to",
            id="nothing below",
        ),
        pytest.param(
            MASTERS, f"# mailroster: until 2026-12-31\nm|{H}\n", "1: warning: an end date has",
            id="where nothing ends",
        ),
    ],
)  # fmt: skip
def test_check_finds_notes_that_are_amiss(folder: Folder, file: str, text: str, found: str) -> None:
    folder.write(file, text)
    ran = folder.setup("check")
    assert f"{file}:{found}" in ran.out
    assert ran.code == ("error" in found)
