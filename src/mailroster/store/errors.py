"""What the store raises when a file can't be written, and in which words."""

import errno
import os
from collections.abc import Iterable

from mailroster.base.findings import Refused, TryAgain
from mailroster.system.files import NO_RIGHT, remedy

UNCHANGED = "nothing was changed"
COMMITTED = "the edit is committed; the next edit finishes writing it"
UNDECIDED = "the edit was cut short; the next edit completes it or takes it back"
#: Our version of a file that somebody wrote while our edit lay half finished after a crash.
UNAPPLIED = ".mailroster-unapplied"
_READ_ONLY = (
    "the folder is mounted read-only: change it where it comes from, or name a writable folder "
    "with --overlay"
)
#: Only a person can fix these; anything else may pass.
_REFUSED = (*NO_RIGHT, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)


class SetAside(TryAgain):
    """A file was written by another program while an edit lay half finished after a crash."""

    @classmethod
    def of(cls, files: Iterable[str]) -> "SetAside":
        return cls(
            f"{', '.join(files)}: written by somebody while an edit of ours lay there half "
            f"finished; that stays, and ours is kept as *{UNAPPLIED}: compare them, and run the "
            "command again"
        )


def words_of(error: OSError, folder: str) -> str:
    """`PATH: REASON`; the path is the folder where the error names none."""
    return f"{error.filename or folder}: {error.strerror}"


def explained(error: OSError, folder: str) -> Exception:
    """Refused for what only a person can fix, TryAgain for what may pass; nothing was changed."""
    fault = Refused if error.errno in _REFUSED else TryAgain
    read_only = error.errno in NO_RIGHT and _is_read_only(folder)
    hint = f"; {_READ_ONLY}" if read_only else remedy(error)
    return fault(f"{words_of(error, folder)}; {UNCHANGED}{hint}")


def _is_read_only(folder: str) -> bool:
    """Whether a folder is mounted so that no user can write it."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
