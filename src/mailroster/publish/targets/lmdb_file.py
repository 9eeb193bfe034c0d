"""Whether a file is a sound LMDB file, found out without a risk to this process.

LMDB trusts its file: reading one that was cut short ends the process with SIGBUS, a zeroed page
with an assertion. So the head is read by hand, and all the rest by a child.
"""

import errno
import os
import struct
import sys

from mailroster.system import file_lock
from mailroster.system.child import in_child, in_program, is_alone

# MDB_page's header, then MDB_meta (lmdb, mdb.c), in the machine's own sizes and order.
_HEAD_BYTES = 16
_DB = "IHHNNNNN"  # page size or pad, flags, depth, branch, leaf and overflow pages, entries, root
_META = struct.Struct(f"@IINN{_DB}{_DB}NN")  # magic, version, address, map size, 2 dbs, last page…
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE_BYTES_AT, _ENTRIES_AT, _LAST_PAGE_AT, _TRANSACTION_AT = 4, 18, 20, 21
#: Asked for in vain, to make LMDB look at its list of free pages.
_TRIAL_BYTES = 1 << 20


def check(path: str) -> None:
    """Raises OSError, which names the file, if it is none of LMDB's or was cut short."""
    meta, size = _last_meta(path)
    if size < (meta[_LAST_PAGE_AT] + 1) * meta[_PAGE_BYTES_AT]:
        raise OSError(errno.EIO, "the file was cut short", path)


def entries(path: str) -> int:
    """How many rows there are. Raises OSError if the file is none of LMDB's."""
    return _last_meta(path)[0][_ENTRIES_AT]


def _last_meta(path: str) -> tuple[tuple[int, ...], int]:
    """The fields of the newer meta page, and the size of the file. Raises OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = _meta(file.read(_HEAD_BYTES + _META.size))
        page_bytes = first[_PAGE_BYTES_AT] if first else 0
        file.seek(page_bytes)
        second = _meta(file.read(_HEAD_BYTES + _META.size)) if first else ()
    if not first or not second:
        raise OSError(errno.EIO, "not an LMDB file", path)
    last = max(first, second, key=lambda meta: meta[_TRANSACTION_AT])
    return (*last[:_PAGE_BYTES_AT], page_bytes, *last[_PAGE_BYTES_AT + 1 :]), size


def walk(path: str) -> str:
    """What is wrong with any row of a file that `check` lets pass; "" if nothing is."""

    if is_alone():
        words, ended = in_child(lambda: _look(path))
    else:
        words, ended = in_program(__name__, path)
    return words if ended else "it can't be read"


def _look(path: str) -> str:
    _die_in_silence()
    return _walked(path)


def _die_in_silence() -> None:
    """A signal is an answer here, nothing to report or to keep a core of."""
    import resource
    import signal

    for number in (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LMDB's assertions speak there


def _meta(raw: bytes) -> tuple[int, ...]:
    """The fields of a meta page; empty if it is none."""
    if len(raw) < _HEAD_BYTES + _META.size:
        return ()
    fields = _META.unpack_from(raw, _HEAD_BYTES)
    return fields if fields[:2] == (_MAGIC, _VERSION) else ()


def _walked(path: str) -> str:
    import lmdb

    try:
        size = 2 * os.path.getsize(path) + 2 * _TRIAL_BYTES
        env = lmdb.open(path, subdir=False, lock=False, map_size=size)
        with open(path, "rb") as file:
            file_lock.lock(file.fileno(), path, shared=True)
            transaction = env.begin(write=True)
            count, before = 0, b""
            for key, value in transaction.cursor():
                if key <= before or key[-1:] != b"\0" or value[-1:] != b"\0":
                    return "a row is out of order"
                key.decode(), value.decode()
                count, before = count + 1, key
            if count != transaction.stat()["entries"]:
                return "rows are missing"
            transaction.put(b"\0\0", bytes(_TRIAL_BYTES))
            transaction.abort()
        return ""
    except BlockingIOError:
        return ""  # a writer is at work for long, which is no damage
    except (lmdb.Error, OSError, ValueError) as error:
        return str(error)


if __name__ == "__main__":
    print(_look(sys.argv[1]), end="")
