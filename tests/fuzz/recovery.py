"""What must hold when a folder is opened in which a crash, or anybody, left anything."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from mailroster.base.findings import Refused, TryAgain
from mailroster.store.config_folder import Store
from mailroster.store.errors import UNAPPLIED
from mailroster.store.journal import JOURNAL
from mailroster.store.leftovers import NEW, OLD
from mailroster.system.folder_lock import LOCK_FILE

_FILES = ("postfix-accounts.cf", "dovecot-quotas.cf", "postfix-virtual.cf")
#: What a record may be about, by its first letter.
_NAMES = {
    **dict(zip("aqv", _FILES, strict=True)),
    **{letter: f".{file}{NEW}" for letter, file in zip("AQV", _FILES, strict=True)},
    **{letter: f".{file}{OLD}" for letter, file in zip("xyz", _FILES, strict=True)},
    **{letter: f"{file}{UNAPPLIED}" for letter, file in zip("XYZ", _FILES, strict=True)},
    "j": JOURNAL,
    "J": JOURNAL,  # with true checksums
    "n": "notes.txt",
}
_SEPARATOR = b"\xff\n"
_MEMORY = "/dev/shm"


def crash(raw: bytes) -> None:
    """Records with 0xff and a line feed between them: a letter for the file, then what it holds.

    `l` and `d` in front make a link and a folder of it. In a journal `J`, `=LETTER` is a file of
    that letter with the checksum of what it holds, and the checksum of the whole is added.
    """
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.path.isdir(_MEMORY) else None) as root:
        folder, elsewhere = Path(root, "config"), Path(root, "elsewhere")
        folder.mkdir()
        elsewhere.mkdir()
        (elsewhere / "other").write_bytes(b"other")
        for record in raw.split(_SEPARATOR):
            _make(folder, elsewhere, record)
        before = _contents(folder)
        named = _journal(before.get(JOURNAL, b""))
        regular = all(path.is_file() for path in folder.iterdir())
        looked = _looked(folder)
        assert _contents(folder) == before, "a look changes nothing"
        first = _opened(folder)
        if first == "done":
            assert looked == _looked(folder), "what is seen is what a recovery makes of it"
        _only_named_files_changed(before, _contents(folder), named)
        assert (elsewhere / "other").read_bytes() == b"other"
        if regular:
            assert first == "done" or _opened(folder) == "done"
            left = {name for name in os.listdir(folder) if name.endswith((NEW, OLD, JOURNAL))}
            assert not left


def _make(folder: Path, elsewhere: Path, record: bytes) -> None:
    kind = ""
    if record[:1] in (b"l", b"d"):
        kind, record = chr(record[0]), record[1:]
    letter, content = record[:1].decode("latin-1"), record[1:]
    if letter not in _NAMES or os.path.lexists(folder / _NAMES[letter]):
        return
    path = folder / _NAMES[letter]
    if kind == "d":
        path.mkdir()
        return
    if kind == "l":
        target = elsewhere / path.name
        path.symlink_to(target)
        path = target
    path.write_bytes(_true_journal(folder, content) if letter == "J" else content)


def _true_journal(folder: Path, content: bytes) -> bytes:
    lines = b"".join(_true_line(folder, line) + b"\n" for line in content.split(b"\n") if line)
    return lines + f"{crc32(lines):08x} {JOURNAL}\n".encode()


def _true_line(folder: Path, line: bytes) -> bytes:
    name = _NAMES.get(line[1:].decode("latin-1"), "") if line[:1] == b"=" else ""
    if not name:
        return line
    path = folder / name
    held = path.read_bytes() if path.is_file() else b""
    return f"{crc32(held):08x} {name}".encode()


def _journal(whole: bytes) -> dict[str, str]:
    """Checksums by file of a journal that is whole."""
    lines = whole.splitlines(keepends=True)
    if not lines or lines[-1] != f"{crc32(b''.join(lines[:-1])):08x} {JOURNAL}\n".encode():
        return {}
    pairs = [line.decode("ascii", "replace").split() for line in lines[:-1]]
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _contents(folder: Path) -> dict[str, bytes]:
    """What every file of a folder holds, links followed."""
    files = (path for path in folder.iterdir() if path.is_file() and path.name != LOCK_FILE)
    return {path.name: path.read_bytes() for path in files}


def _store(folder: Path) -> Store:
    return Store(str(folder), wait_s=0, linked=(str(folder.parent / "elsewhere"),))


def _looked(folder: Path) -> list[bytes] | str:
    """What a command sees that only reads."""
    try:
        return [bytes(document) for document in _store(folder).read().roster]
    except (TryAgain, Refused) as error:
        return type(error).__name__


def _opened(folder: Path) -> str:
    """How it ends to open a folder as every command does that edits."""
    try:
        _store(folder).transact(lambda roster: roster)
    except (TryAgain, Refused) as error:
        assert str(error)
        return type(error).__name__
    return "done"


def _only_named_files_changed(
    before: Mapping[str, bytes], now: Mapping[str, bytes], named: Mapping[str, str]
) -> None:
    """A file changes only to what was staged for it, and only if it was as the journal says, or an
    overwriting was cut short."""
    for name in {*before, *now} - {JOURNAL}:
        if name.endswith((NEW, OLD, UNAPPLIED)) or before.get(name) == now.get(name):
            continue
        assert name in named, name
        assert now[name] == before[f".{name}{NEW}"]
        was_as_said = f"{crc32(before.get(name, b'')):08x}" == named[name]
        assert was_as_said or f".{name}{OLD}" in before
