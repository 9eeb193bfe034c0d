"""The errors of the store for files that can't be written, and their words."""

import errno
import os
from collections.abc import Iterable

from mailroster.base.findings import Refused, TryAgain
from mailroster.system.files import NO_RIGHT, remedy

UNCHANGED = "nothing was changed"
COMMITTED = "the edit is committed; the next edit finishes writing it"
UNDECIDED = "the edit was cut short; the next edit completes it or rolls it back"
#: Suffix of our version of a file that another program wrote before an edit was completed that a
#: crash had cut short.
UNAPPLIED = ".mailroster-unapplied"
_READ_ONLY = (
    "the folder is mounted read-only: change the files at their source, or name a writable folder "
    "with --overlay"
)
#: Errors that only a person can fix; any other may pass.
_REFUSED = (*NO_RIGHT, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)


class SetAside(TryAgain):
    """Another program wrote a file before an edit was completed that a crash had cut short."""

    @classmethod
    def of(cls, files: Iterable[str]) -> "SetAside":
        return cls(
            f"{', '.join(files)}: another program wrote to it before an interrupted edit was "
            f"completed; its version stays, ours is kept as *{UNAPPLIED}: compare them, then run "
            "the command again"
        )


def words_of(error: OSError, folder: str) -> str:
    """`PATH: REASON`; the path is the folder if the error names none."""
    return f"{error.filename or folder}: {error.strerror or error}"


def explained(error: OSError, folder: str) -> Exception:
    """The error to raise if nothing was changed: Refused if only a person can fix it, else
    TryAgain."""
    fault = Refused if error.errno in _REFUSED else TryAgain
    read_only = error.errno in NO_RIGHT and _is_read_only(folder)
    hint = f"; {_READ_ONLY}" if read_only else remedy(error)
    return fault(f"{words_of(error, folder)}; {UNCHANGED}{hint}")


def _is_read_only(folder: str) -> bool:
    """Whether a folder is mounted read-only."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
