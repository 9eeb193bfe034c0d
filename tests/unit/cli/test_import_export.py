"""`setup import` and `setup export` as users run them."""

import ctypes
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.system.folder_lock import LOCK_FILE
from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, H, folder

__all__ = ["folder"]  # the fixture

PEOPLE = """\
address,password,hash,quota,extra,alias,recipients
Ann@X.com," p""ä,w ",,05g,,,
bob@x.com,,{PLAIN}x,,nologin,,
,,,,,info@x.com,"ann@x.com, Bob@x.com"
"""


def source(folder: Folder, text: str | bytes, name: str = "people.csv") -> str:
    path = folder.home / name
    path.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    return str(path)


def crypt(password: str, hash: str) -> str:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found: bytes = library.crypt(password.encode(), hash.encode())
    return found.decode()


def test_accounts_quotas_and_aliases_are_taken_from_csv(folder: Folder) -> None:
    ran = folder.setup("import", source(folder, PEOPLE))
    assert (ran.code, ran.out, ran.err) == (0, "2 accounts added; 1 alias added\n", "")
    ann, bob = folder.read(ACCOUNTS).splitlines()
    login, _, hash = ann.partition("|{SHA512-CRYPT}")
    assert login == "ann@x.com"
    assert crypt(' p"ä,w ', hash) == hash
    assert bob == "bob@x.com|{PLAIN}x|nologin"
    assert folder.read(QUOTAS) == "ann@x.com:5G\n"
    assert folder.read(VIRTUAL) == "info@x.com ann@x.com,Bob@x.com\n"
    assert (folder.config / ACCOUNTS).stat().st_mode & 0o777 == 0o600


def test_an_import_makes_the_config_folder(folder: Folder) -> None:
    folder.config.rmdir()
    assert folder.setup("import", source(folder, PEOPLE), "--scheme", "blf-crypt").code == 0
    assert "{BLF-CRYPT}$2y$" in folder.read(ACCOUNTS)


def test_every_bad_row_is_reported_with_its_line_and_nothing_is_written(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"old@x.com|{H}\n")
    before = folder.state()
    path = source(
        folder,
        "address,password,hash,quota\nnew@x.com,secret,,\nold@x.com,secret,,\nnobody@x.com,,,\n"
        "x@x.com,se\rcret,,\na+b@x.com,secret,,\nb@x.com,secret,secret,\nc@x.com,,secret,\n"
        "d@x.com,secret,,secret\nnew@x.com,secret,,\ne@x.com,sec\0ret,,\n",
    )
    ran = folder.setup("import", path)
    assert (ran.code, ran.out) == (1, "")
    *lines, last = ran.err.splitlines()
    assert last == "setup: 9 bad rows; nothing was changed"
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{n}" for n in range(3, 12)]
    assert all(": error: " in line and line.isprintable() for line in lines)
    assert "secret" not in ran.err
    assert folder.state() == before
    ran = folder.setup("import", "--skip-bad", path)
    assert (ran.code, ran.out) == (0, "1 account added; 9 bad rows skipped\n")
    assert len(ran.err.splitlines()) == 9
    assert folder.keys(ACCOUNTS) == ["old@x.com", "new@x.com"]


def test_a_password_that_the_scheme_cannot_take_is_a_bad_row(folder: Folder) -> None:
    path = source(folder, f"address,password\na@x.com,{'x' * 80}\n")
    ran = folder.setup("import", "--scheme", "BLF-CRYPT", path)
    assert (ran.code, f"{path}:2: error: BLF-CRYPT" in ran.err, "xxx" in ran.err) == (
        1,
        True,
        False,
    )
    assert folder.setup("import", "--scheme", "MD5", path).code == 2
    assert folder.state() == {}


def test_an_update_changes_passwords_quotas_and_recipients(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"# ours\nann@x.com|{H}|fail=b\nbob@x.com|{{PLAIN}}x|nologin\n")
    folder.write(VIRTUAL, "info@x.com   ann@x.com,\n  Bob@x.com\n")
    path = source(folder, PEOPLE)
    assert folder.setup("import", path).code == 1
    ran = folder.setup("import", "--update", path)
    assert (ran.code, ran.out) == (0, "1 account changed, 1 unchanged; 1 alias unchanged\n")
    assert H not in folder.read(ACCOUNTS)
    assert folder.read(ACCOUNTS).splitlines()[1].endswith("|fail=b")
    assert folder.read(VIRTUAL) == "info@x.com   ann@x.com,\n  Bob@x.com\n"
    before = folder.state()
    path = source(folder, PEOPLE.replace('" p""ä,w "', ""))
    assert folder.setup("import", "--update", path).out.startswith("2 accounts unchanged")
    assert folder.state() == before


def test_a_dry_run_shows_what_would_change_and_hashes_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailroster.app.passwords.hashing.hash_passwords", None)
    ran = folder.setup("import", "--dry-run", source(folder, PEOPLE))
    assert ran.code == 0
    assert "+ann@x.com|{SHA512-CRYPT}…\n" in ran.out
    assert "+bob@x.com|{PLAIN}…|nologin\n" in ran.out
    assert "+info@x.com ann@x.com,Bob@x.com\n" in ran.out
    assert folder.state() == {}


def test_standard_input_wants_a_format(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"address": "a@x.com", "hash": H, "quota": "1G"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
    assert folder.setup("import", "-").code == 2
    assert folder.setup("import", "-", "--format", "xml").code == 2
    assert folder.setup("import", "-", "--format", "jsonl").code == 0
    assert folder.read(QUOTAS) == "a@x.com:1G\n"


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("people.txt", b"address\n", 2, "--format"),
        ("missing.csv", None, 1, "No such file"),
        ("missing/", None, 1, "no folder"),
        ("utf16.csv", "address\n".encode("utf-16"), 1, "UTF-16"),
        ("bytes.csv", b"address,password\na@x.com,\xff\n", 1, "bytes.csv:2: error: the password"),
        ("empty.csv", b"", 0, ""),
    ],
)
def test_a_source_that_is_none_is_told(
    folder: Folder, name: str, content: bytes | None, code: int, words: str
) -> None:
    path = f"{folder.home}/{name}" if content is None else source(folder, content, name)
    ran = folder.setup("import", path)
    assert (ran.code, words in ran.err) == (code, True)
    assert ran.out == ("no rows\n" if code == 0 else "")
    assert folder.state() == {}


def test_another_folder_is_taken_and_its_bad_lines_are_named(folder: Folder) -> None:
    old = folder.home / "old"
    old.mkdir()
    (old / ACCOUNTS).write_text(f"a@x.com|{H}\nbad secret\nb@x.com|{H}|nologin\n")
    (old / QUOTAS).write_text("b@x.com:5g\nz@x.com:1G\n")
    (old / VIRTUAL).write_text("info@x.com a@x.com\n b@x.com\n")
    ran = folder.setup("import", str(old))
    assert ran.code == 1
    assert f"{old}/{ACCOUNTS}:2: error: " in ran.err
    assert "secret" not in ran.err
    assert folder.state() == {}
    ran = folder.setup("import", "--skip-bad", str(old))
    assert ran.out == "2 accounts added; 1 alias added; 1 bad row skipped\n"
    assert f"{old}/{QUOTAS}:2: warning: " in ran.err
    assert folder.read(ACCOUNTS) == f"a@x.com|{H}\nb@x.com|{H}|nologin\n"
    assert folder.read(QUOTAS) == "b@x.com:5G\n"
    assert folder.read(VIRTUAL) == "info@x.com a@x.com,b@x.com\n"


ENTRIES = {
    ACCOUNTS: f"a@x.com|{H}|fail=y nologin\nb@x.com|{{PLAIN}}x\n",
    QUOTAS: "a@x.com:5G\n",
    VIRTUAL: "info@x.com a@x.com,B@x.com\n@x.com a@x.com\n",
}


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out/"])
def test_what_is_exported_can_be_imported_and_is_the_same(folder: Folder, name: str) -> None:
    for file, text in ENTRIES.items():
        folder.write(file, text)
    path = f"{folder.home}/{name}"
    ran = folder.setup("export", "--secrets", path)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    secret = Path(path, ACCOUNTS) if name == "out/" else Path(path)
    assert secret.stat().st_mode & 0o777 == 0o600
    for file in ENTRIES:
        (folder.config / file).unlink()
    assert folder.setup("import", path).out == "2 accounts added; 2 aliases added\n"
    assert {file: folder.read(file) for file in ENTRIES} == ENTRIES


def test_without_secrets_an_export_has_no_hashes_and_updates_nothing(folder: Folder) -> None:
    for file, text in ENTRIES.items():
        folder.write(file, text)
    path = f"{folder.home}/out.csv"
    assert folder.setup("export", path).code == 0
    assert Path(path).read_text() == (
        "address,quota,extra,alias,recipients\na@x.com,5G,fail=y nologin,,\nb@x.com,,,,\n"
        ',,,info@x.com,"a@x.com, B@x.com"\n,,,@x.com,a@x.com\n'
    )
    before = folder.state()
    ran = folder.setup("import", "--update", path)
    assert ran.out == "2 accounts unchanged; 2 aliases unchanged\n"
    assert folder.state() == before


def test_an_export_goes_to_standard_output_and_tells_what_it_leaves_out(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"ü\na@x.com|{H}|reason=ü\n")
    ran = folder.setup("export", "--format", "jsonl")
    assert ran.out == '{"address": "a@x.com", "extra": "reason=ü"}\n'
    assert ran.err.startswith(f"setup: left out: {ACCOUNTS}:1: error: ")
    assert folder.setup("export", "-").out.startswith("address,quota,")


def test_an_export_writes_over_nothing_without_force(folder: Folder) -> None:
    for file, text in ENTRIES.items():
        folder.write(file, text)
    path = source(folder, "mine", "out.csv")
    ran = folder.setup("export", path)
    assert (ran.code, "--force" in ran.err, Path(path).read_text()) == (1, True, "mine")
    assert folder.setup("export", "--secrets", "--force", path).code == 0
    assert Path(path).stat().st_mode & 0o777 == 0o600
    out = folder.home / "out"
    out.mkdir()
    (out / VIRTUAL).write_text("mine a@x.com\n")
    assert folder.setup("export", str(out)).code == 2, "a folder has the hashes in it"
    assert folder.setup("export", "--secrets", str(out)).code == 1
    assert {path.name for path in out.iterdir()} == {VIRTUAL, LOCK_FILE}
    assert folder.setup("export", "--secrets", "--force", str(out)).code == 0
    assert (out / VIRTUAL).read_text() == ENTRIES[VIRTUAL]
    before = folder.state()
    config = str(folder.config)
    assert folder.setup("export", "--secrets", "--force", config).code == 1
    assert folder.setup("export", "--format", "csv", "--force", config).code == 1
    assert folder.setup("export", "--format", "folder", "--secrets").code == 2
    assert folder.state() == before


def test_a_terminal_shows_a_bar_and_ctrl_c_leaves_all_as_it_was(folder: Folder) -> None:
    rows = "".join(f"u{n}@x.com,pw{n}\n" for n in range(20_000))
    path = source(folder, f"address,password\n{rows}")
    control, terminal = pty.openpty()
    # A shell starts a job in the background with SIGINT ignored (POSIX, sh).
    ctrl_c = ["env", "--default-signal=INT"]
    command = [sys.executable, "-m", "mailroster", "--home", str(folder.home), "import", path]
    process = subprocess.Popen([*ctrl_c, *command], stdout=subprocess.PIPE, stderr=terminal)
    shown = b""
    while b"of 20000 passwords hashed" not in shown:
        shown += os.read(control, 4096)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"[" in shown
    assert folder.state() == {}
    while not shown.endswith(b"\r\x1b[K"):
        assert select.select([control], [], [], 10)[0], "the bar is still there"
        shown += os.read(control, 4096)
    os.close(terminal)  # not before: what is on its way through a terminal may be lost with it
    os.close(control)
