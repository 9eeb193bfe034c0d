"""Every command that only looks, started on a config folder that somebody else has filled."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.attacks.forked import Forker, Started

HASH = "{SHA512-CRYPT}$6$salt$hash"
ACCOUNTS, VIRTUAL = "postfix-accounts.cf", "postfix-virtual.cf"
#: How long one command may take on a loaded machine.
_LIMIT_S = 120

#: A word for the folder that is looked at, and one for an innocent one.
FOLDER, OWN = "FOLDER", "OWN"
LOOKING = (
    ("--config", FOLDER, "check"),
    ("--config", FOLDER, "check", "--format", "json"),
    ("--config", FOLDER, "email", "list"),
    ("--config", FOLDER, "email", "show", "a@example.com"),
    ("--config", FOLDER, "alias", "list"),
    ("--config", FOLDER, "explain", "a@example.com"),
    ("--config", FOLDER, "log", "--patch"),
    ("--config", FOLDER, "export", "--secrets"),
    ("--config", FOLDER, "sieve", "list"),
    ("--config", FOLDER, "relay", "list"),
    ("--config", FOLDER, "email", "add", "n@example.com", "--hash", HASH, "--dry-run"),
    ("--config", FOLDER, "email", "del", "-n", "a@example.com", "--dry-run"),
    ("--config", FOLDER, "email", "password-check", "a@example.com", "--password-stdin"),
    ("--config", FOLDER, "email", "rename", "a@example.com", "z@example.com", "--dry-run"),
    ("--config", FOLDER, "undo", "--dry-run"),
    ("--config", FOLDER, "completion", "bash"),
    ("--config", OWN, "diff", FOLDER),
    ("--config", FOLDER, "diff", OWN),
    ("--config", OWN, "import", FOLDER, "--dry-run"),
)


_forker = Forker()


def started(words: Iterable[str], folder: Path, own: Path) -> Started:
    names = {FOLDER: str(folder), OWN: str(own)}
    environment = {**os.environ, "HOME": str(own)}
    if "completion" in words:
        environment["MAILROSTER_COMPLETE"] = f"setup --config {folder} email del "
    return Started([names.get(word, word) for word in words], environment)


def outputs(commands: Iterable[Sequence[str]], folder: Path, own: Path) -> dict[str, str]:
    """What commands print that run at the same time, by their words."""
    commands = list(commands)
    found = _forker.run([started(words, folder, own) for words in commands], "password\n", _LIMIT_S)
    printed = {" ".join(words): text for words, (_, text) in zip(commands, found, strict=True)}
    assert len(printed) == len(commands), "each command once"
    for words, (code, text) in zip(commands, found, strict=True):
        assert code in (0, 1, 2, 75), (words, code, text)
        assert "Traceback" not in text, (words, text)
    return printed


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: mode, owner, times, and what it holds."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file() and status.st_size < 1 << 20:
            content = path.read_bytes()
        where = (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_nlink)
        times = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        found[str(path)] = (*where, *times, content)
    return found
