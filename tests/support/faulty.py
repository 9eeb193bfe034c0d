"""A disk that fails on purpose, a folder to edit, and a child process to die in."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mailroster.base.address import account
from mailroster.base.content import Content
from mailroster.base.findings import Refused, TryAgain
from mailroster.edits import accounts
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.store.history.log import HISTORY
from mailroster.system.files import Disk
from mailroster.system.folder_lock import LOCK_FILE

ACCOUNTS, QUOTAS, VIRTUAL = "postfix-accounts.cf", "dovecot-quotas.cf", "postfix-virtual.cf"
FILES = (ACCOUNTS, QUOTAS, VIRTUAL)
HASH = "{SHA512-CRYPT}$6$salt$hash"
NOBODY = 65534
Edit = Callable[[Roster], Roster]

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18  # mount(2)
_HANGS_S = 60


class FaultyDisk(Disk):
    """Counts the effects, and at the one with the given number has a fault in its stead.

    Every call is an effect before it begins; so are the middle of a write, when half of the bytes
    are there, and each sync.
    """

    def __init__(self, at: int, fault: Callable[[], None]) -> None:
        self._at, self.fault = at, fault
        self.count = 0

    def effect(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.fault()

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        self.effect()
        super().create(path, content, mode, owner)

    def rename(self, old: str, new: str) -> None:
        self.effect()
        super().rename(old, new)

    def overwrite(self, path: str, content: bytes) -> None:
        self.effect()
        super().overwrite(path, content)

    def append(self, fd: int, content: bytes) -> None:
        self.effect()
        super().append(fd, content)

    def remove(self, path: str) -> None:
        self.effect()
        super().remove(path)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        self.effect()
        super().make_folder(path, mode)

    def step(self, path: str) -> None:
        self.effect()

    def write(self, fd: int, content: bytes) -> None:
        half = len(content) // 2
        super().write(fd, content[:half])
        self.effect()
        super().write(fd, content[half:])

    def sync(self, fd: int) -> None:
        self.effect()
        super().sync(fd)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


def fail(number: int) -> Callable[[], None]:
    """A fault: the system's error of that number."""

    def raise_it() -> None:
        raise OSError(number, os.strerror(number))

    return raise_it


def in_child(act: Callable[[], object], *, uid: int | None = None) -> str:
    """How a child process ends that does something: "done", "killed", "hung", "Refused: …",
    "TryAgain: …", or a traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_HANGS_S)
        os.close(reader)
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            act()
            word = "done"
        except (TryAgain, Refused) as error:
            word = f"{type(error).__name__}: {error}"
        except BaseException:  # noqa: BLE001 (the parent is told)
            word = traceback.format_exc()
        os.write(writer, word.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        word = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else "hung"
    return word


def edited(folder: Path, edit: Edit, disk: Disk | None = None, *, uid: int | None = None) -> str:
    """How a child ends that makes an edit."""
    store = Store(str(folder), disk, wait_s=1, linked=elsewhere(folder))
    return in_child(lambda: store.transact(edit), uid=uid)


def recovered(folder: Path, disk: Disk | None = None, *, uid: int | None = None) -> str:
    """How a child ends that does what any edit does first, and waits for nobody. Another one has
    read the folder before: that changed nothing, and what it saw is what the recovery makes."""

    def act() -> None:
        reader = Store(str(folder), wait_s=0, linked=elsewhere(folder))
        before = listing(folder)
        seen = reader.read()
        assert listing(folder) == before, "a look changes nothing"
        store = Store(str(folder), disk, wait_s=0, linked=elsewhere(folder))
        store.transact(lambda roster: roster) if not seen.unreadable else store.recover()
        assert texts(reader.read().roster) == texts(seen.roster), (
            "a look sees what a recovery makes"
        )

    return in_child(act, uid=uid)


def elsewhere(folder: Path) -> tuple[str, ...]:
    """The folder to which links may lead, in these tests."""
    return (str(folder.parent / "elsewhere"),)


def texts(roster: Roster) -> list[bytes]:
    return [bytes(document) for document in roster]


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every file of a folder and the folder itself: which it is, its mode, size and times."""
    paths = [folder, *(folder.iterdir() if os.access(folder, os.R_OK) else ())]
    return {
        path.name: (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for path in paths
        for s in (path.lstat(),)
    }


@contextmanager
def own_mounts() -> Iterator[None]:
    """What is mounted inside is seen by this process and its children alone, and then gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    outside = _Place()
    _checked(libc.unshare(_CLONE_NEWNS))
    inside = _Place()
    try:
        inside.enter(libc)
        _checked(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
        inside.come_back()
        yield
    finally:
        outside.enter(libc)
        outside.come_back()


class _Place:
    """A mount namespace, and where in it this process stands, which may be in a chroot(2)."""

    def __init__(self) -> None:
        self._cwd = os.getcwd()
        self._namespace = open("/proc/self/ns/mnt", "rb")  # noqa: SIM115
        self._root = os.open("/", os.O_PATH | os.O_CLOEXEC)

    def enter(self, libc: ctypes.CDLL) -> None:
        """Out of the chroot, to the root of the namespace (setns(2))."""
        _checked(libc.setns(self._namespace.fileno(), _CLONE_NEWNS))

    def come_back(self) -> None:
        """Into the chroot again."""
        os.fchdir(self._root)
        os.chroot(".")
        os.chdir(self._cwd)
        os.close(self._root)
        self._namespace.close()


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: these tests need root")


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user may come to."""
    path = Path(tempfile.mkdtemp(prefix="mr-faults-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


# -- the folder of these tests, and edits of one, two and three files

BEFORE = {
    ACCOUNTS: f"# people\na@x.com|{HASH}\r\nb@x.com|{HASH}|nologin\nc@x.com|{HASH}",
    QUOTAS: "b@x.com:5G\n# c has none\na@x.com:1G\n",
    VIRTUAL: "all@x.com a@x.com, b@x.com ,c@x.com\nonly@x.com b@x.com\n\n",
}


def set_password(roster: Roster) -> Roster:
    return accounts.set_password(roster, account("a@x.com"), HASH + "2")


def delete_with_quota(roster: Roster) -> Roster:
    return accounts.delete_accounts(roster, [account("a@x.com")])._replace(virtual=roster.virtual)


def delete_with_all(roster: Roster) -> Roster:
    return accounts.delete_accounts(roster, [account("b@x.com")])


def fill(folder: Path) -> None:
    """Puts the files in their first state, through links and mounts."""
    for file, text in BEFORE.items():
        (folder / file).write_bytes(text.encode())


def contents(folder: Path) -> dict[str, bytes]:
    return {file: (folder / file).read_bytes() for file in FILES}


def after(edit: Edit) -> dict[str, bytes]:
    """What the files hold once an edit has gone through, by way of no disk at all."""
    fields = {document.format.file: field for field, document in Roster().documents()}
    roster = Roster()
    for file, text in BEFORE.items():
        document = getattr(roster, fields[file])
        new = type(document).from_bytes(document.format, text.encode())
        roster = roster._replace(**{fields[file]: new})
    roster = edit(roster)
    return {file: bytes(getattr(roster, fields[file])) for file in FILES}


def debris(*folders: Path) -> list[str]:
    """What a transaction has left lying about; the history is meant to stay."""
    names = (path.name for folder in folders for path in folder.iterdir())
    stays = (HISTORY, LOCK_FILE)
    return sorted(name for name in names if ".mailroster" in name and name not in stays)
