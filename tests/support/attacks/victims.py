"""Files of root's that an attack aims at, and what they look like."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SECRET = "root:$6$this-is-secret:20000:0:99999:7:::\n"


class Look(NamedTuple):
    """All that an attack could change of a file."""

    mode: int
    uid: int
    gid: int
    links: int
    inode: int
    mtime_ns: int
    content: str


@contextmanager
def victim(*names: str) -> Iterator[Path]:
    """A folder of root's that every user can enter, beside the homes of the tests, so that files
    can be linked; in it a secret, and for each name a folder with a message."""
    path = Path(tempfile.mkdtemp(prefix="mr-victim-", dir="/tmp"))
    path.chmod(0o755)
    (path / "secret").write_text(SECRET)
    (path / "secret").chmod(0o600)
    for name in names:
        (path / name / "cur").mkdir(parents=True)
        (path / name / "cur" / "1").write_text("of root")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def look(path: Path) -> dict[str, Look]:
    """What a folder and everything in it looks like; links aren't followed."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            status = os.lstat(place := os.path.join(folder, name))
            content = ""
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(place).read_bytes()).hexdigest()
            found[os.path.relpath(place, path)] = Look(
                status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_ino,
                status.st_mtime_ns, content,
            )  # fmt: skip
    return found


#: Exchanges two names again and again (renameat2(2)): FOLDER ONE OTHER [PAUSE_S].
EXCHANGING = """
import ctypes, os, sys, time
folder, one, other = sys.argv[1:4]
pause_s = float(sys.argv[4]) if len(sys.argv) > 4 else 0
os.chdir(folder)
libc = ctypes.CDLL(None)
names = one.encode(), other.encode()
for number in range(50_000_000):
    libc.renameat2(-100, names[0], -100, names[1], 2)
    if not number:
        print("ready", flush=True)
    if pause_s:
        time.sleep(pause_s)
"""
