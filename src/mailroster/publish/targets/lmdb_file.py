"""Checks an LMDB file for damage without a risk to this process.

LMDB trusts its file: a truncated file ends the process with SIGBUS, a zeroed page with an
assertion. So this module parses the head itself, and a child reads the rest.
"""

import errno
import os
import struct
import sys
from typing import NamedTuple

from mailroster.system import file_lock
from mailroster.system.programs import in_child, is_single_threaded, run_module

# MDB_page's header, then MDB_meta (lmdb, mdb.c), in the machine's own sizes and order.
_HEAD_BYTES = 16
_DB = "IHHNNNNN"  # page size or pad, flags, depth, branch, leaf and overflow pages, entries, root
_META = struct.Struct(f"@IINN{_DB}{_DB}NN")  # magic, version, address, map size, 2 dbs, last page…
_MAGIC, _VERSION = 0xBEEFC0DE, 1
#: A value of this size, never committed, makes LMDB read its list of free pages.
_TRIAL_BYTES = 1 << 20


class _MetaPage(NamedTuple):
    page_bytes: int
    entries: int
    last_page: int
    transaction: int


def check(path: str) -> None:
    """Raises OSError, which names the file, if it is no LMDB file or is truncated."""
    meta, size = _last_meta(path)
    if size < (meta.last_page + 1) * meta.page_bytes:
        raise OSError(errno.EIO, "the file is truncated", path)


def entries(path: str) -> int:
    """The number of rows. Raises OSError if the file is no LMDB file."""
    return _last_meta(path)[0].entries


def _last_meta(path: str) -> tuple[_MetaPage, int]:
    """The newer meta page, and the size of the file. Raises OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = _meta(file.read(_HEAD_BYTES + _META.size))
        file.seek(first.page_bytes if first else 0)
        second = _meta(file.read(_HEAD_BYTES + _META.size)) if first else None
    if first is None or second is None:
        raise OSError(errno.EIO, "not an LMDB file", path)
    last = max(first, second, key=lambda meta: meta.transaction)
    return last._replace(page_bytes=first.page_bytes), size


def walk(path: str) -> str:
    """The damage of the rows of a file that passes `check`; "" for none."""
    if is_single_threaded():
        damage, ended = in_child(lambda: _walk_quietly(path))
    else:
        damage, ended = run_module(__name__, path)
    return damage if ended else "it can't be read"


def _walk_quietly(path: str) -> str:
    """Walks the file in a process that may be killed by a signal, without a core or a message."""
    import resource
    import signal

    for number in (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for LMDB's assertions
    return _walk_rows(path)


def _meta(raw: bytes) -> _MetaPage | None:
    """A meta page; None if these bytes are no meta page."""
    if len(raw) < _HEAD_BYTES + _META.size:
        return None
    fields = _META.unpack_from(raw, _HEAD_BYTES)
    if fields[:2] != (_MAGIC, _VERSION):
        return None
    return _MetaPage(fields[4], entries=fields[18], last_page=fields[20], transaction=fields[21])


def _walk_rows(path: str) -> str:
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
        return ""  # a long write is no damage
    except (lmdb.Error, OSError, ValueError) as error:
        return str(error)


if __name__ == "__main__":
    print(_walk_quietly(sys.argv[1]), end="")
