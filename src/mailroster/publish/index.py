"""An index of large files: where the lines of a key stand, and those that lead to an address.

One lmdb. Who reads sees one state of it, however long that takes, while somebody writes the next.
For every file there are a note and two tables, `FILE.keys` and `FILE.mentions`, from "domain NUL
user" to offsets; so all of one domain stand together. An offset is where the line stood when it was
written down. Lines that become longer or shorter move those behind them: the note says how far any
of them may have moved, and there they are to be looked for. An offset too many does no harm. Behind
an offset stands the serial of the copy to which it belonged, since two lines may have stood at one
place, one after the other.

Not synced: it can be made anew from the copy of the file, and after a power cut it is.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from mailroster.base.address import split
from mailroster.publish.targets.lmdb_file import check
from mailroster.roster.roster import Roster
from mailroster.system.files import Disk, Identity, identity

if TYPE_CHECKING:
    import lmdb

_MAP_BYTES = 1 << 35  # address space, not memory
_KEY_MAX_BYTES = 500  # lmdb takes 511; no key that long can be read anyway
_OFFSET_BYTES = 6
_SERIAL_BYTES = 8


class CopyInfo(NamedTuple):
    """What is known of the copy of one file."""

    serial: int  # another one whenever the copy has become another
    identity: Identity  # of the file that the copy equals; ABSENT if that is not known
    size: int
    low: int  # lines may have moved by low to high bytes
    high: int
    entries: int  # lines that claim a key
    faulty: int  # those of them that can't be read

    def __bytes__(self) -> bytes:
        return " ".join(map(str, (self.serial, *self.identity, *self[2:]))).encode()

    @classmethod
    def of(cls, raw: bytes) -> "CopyInfo":
        serial, *rest = map(int, raw.split())
        return cls(serial, Identity(*rest[:4]), *rest[4:])


class Entry(NamedTuple):
    """Where a line stands, which key it claims, and which addresses it mentions."""

    offset: int
    key: str
    mentions: tuple[tuple[str, str], ...]
    faulty: bool  # it can't be read


class Index:
    """One state of the index."""

    def __init__(self, tables: Mapping[bytes, Any], transaction: "lmdb.Transaction") -> None:
        self._tables, self._transaction = tables, transaction

    def note(self, field: str) -> CopyInfo | None:
        raw = self._transaction.get(field.encode())
        return None if raw is None else CopyInfo.of(bytes(raw))

    def claiming(self, field: str, key: str) -> list[int]:
        return self._values(_keys(field), _place(*split(key)))

    def mentioning(self, field: str, user: str, domain: str) -> list[int]:
        """Of an address and of its whole domain; with an empty user, of all in the domain."""
        name, whole_domain = _mentions(field), _place("", domain)
        if not user:
            return [_offset(value) for _, value in self._range(name, whole_domain)]
        return self._values(name, _place(user, domain)) + self._values(name, whole_domain)

    def keys_in(self, field: str, domain: str) -> Iterator[str]:
        for raw, _ in self._range(_keys(field), _place("", domain)):
            there, _, user = raw.decode("utf-8", "surrogateescape").partition("\0")
            yield f"{user}@{there}"

    def _values(self, name: bytes, key: bytes) -> list[int]:
        with self._transaction.cursor(self._tables[name]) as cursor:
            if len(key) > _KEY_MAX_BYTES or not cursor.set_key(key):
                return []
            return [_offset(value) for value in cursor.iternext_dup()]

    def _range(self, name: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._transaction.cursor(self._tables[name]) as cursor:
            if len(prefix) > _KEY_MAX_BYTES or not cursor.set_range(prefix):
                return
            for key, value in cursor:
                if not bytes(key).startswith(prefix):
                    return
                yield bytes(key), bytes(value)


class Writing(Index):
    """The next state of the index, as it is being written."""

    def put_note(self, field: str, note: CopyInfo | None) -> None:
        if note is None:
            self._transaction.delete(field.encode())
        else:
            self._transaction.put(field.encode(), bytes(note))

    def clear(self, field: str) -> None:
        for name in (_keys(field), _mentions(field)):
            self._transaction.drop(self._tables[name], delete=False)

    def learn(self, field: str, entries: Iterable[Entry], serial: int) -> None:
        """Adds lines of the copy with a serial; quick for many at once."""
        keys, mentions, written = [], [], serial.to_bytes(_SERIAL_BYTES)
        for offset, key, mentioned, _ in entries:
            value = offset.to_bytes(_OFFSET_BYTES) + written
            keys.append((_place(*split(key)), value))
            mentions += [(_place(*place), value) for place in mentioned]
        for name, rows in ((_keys(field), keys), (_mentions(field), mentions)):
            known = sorted(row for row in rows if len(row[0]) <= _KEY_MAX_BYTES)
            if known:
                with self._transaction.cursor(self._tables[name]) as cursor:
                    cursor.putmulti(known)

    def forget(self, field: str, entries: Iterable[Entry]) -> None:
        """Takes out what a line was found by, unless other lines are found by the same."""
        for _, key, mentioned, _ in entries:
            self._forget(_keys(field), _place(*split(key)))
            for place in mentioned:
                self._forget(_mentions(field), _place(*place))

    def _forget(self, name: bytes, key: bytes) -> None:
        with self._transaction.cursor(self._tables[name]) as cursor:
            if len(key) <= _KEY_MAX_BYTES and cursor.set_key(key) and cursor.count() == 1:
                cursor.delete()


class IndexFile:
    """The index at a path. Reads nothing, where it isn't there or may not be used."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._env: lmdb.Environment | None = None
        self._tables: dict[bytes, Any] = {}
        self._inode = 0

    def is_there(self) -> bool:
        return os.access(self._path, os.W_OK)  # also who reads must write, his lock

    def look(self) -> Index | None:
        """The index as it is now."""
        if not self.is_there():
            return None
        env = self._opened()
        return None if env is None else Index(self._tables, env.begin())

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """The next state; it is there when the block ends, all at once. Raises OSError."""
        import lmdb

        env = self._opened()
        if env is None:
            self.remove()
            env = self._opened(make=True)
            assert env is not None
        self._disk.step(self._path)
        try:
            env.reader_check()  # those that were killed
            with env.begin(write=True) as transaction:
                yield Writing(self._tables, transaction)
                self._disk.step(self._path)
        except lmdb.Error as error:
            raise OSError(5, str(error), self._path) from error

    def remove(self) -> None:
        """Takes the index away; nothing is known by it then."""
        self.close()
        for path in (self._path, f"{self._path}-lock"):
            if os.path.exists(path):
                self._disk.remove(path)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _opened(self, *, make: bool = False) -> "lmdb.Environment | None":
        """None if it isn't there, or is damaged."""
        if self._env is not None and identity(self._path).inode != self._inode:
            self.close()  # somebody has made it anew
        if self._env is None and (make or self.is_there()):
            import lmdb  # 1 ms: not for who has only small files

            env = None
            try:
                if not make:
                    check(self._path)
                env = lmdb.open(
                    self._path,
                    subdir=False,
                    map_size=_MAP_BYTES,
                    max_dbs=len(_NAMES),
                    mode=0o600,
                    sync=False,
                    metasync=False,
                )
                # What is opened in a transaction that only reads is closed again at its end.
                with env.begin(write=True) as transaction:
                    self._tables = {
                        name: env.open_db(name, transaction, dupsort=True, create=make)
                        for name in _NAMES
                    }
            except (lmdb.Error, OSError):
                if env is not None:
                    env.close()
                return None
            self._env, self._inode = env, identity(self._path).inode
        return self._env


def _offset(value: bytes | memoryview) -> int:
    return int.from_bytes(value[:_OFFSET_BYTES])


def _keys(field: str) -> bytes:
    return f"{field}.keys".encode()


def _mentions(field: str) -> bytes:
    return f"{field}.mentions".encode()


def _place(user: str, domain: str) -> bytes:
    return f"{domain}\0{user}".encode("utf-8", "surrogateescape")


_NAMES = tuple(name for field in Roster._fields for name in (_keys(field), _mentions(field)))
