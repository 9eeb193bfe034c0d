"""An index of large copies: the offsets of the lines with a key, and of those that name an address.

The index is one LMDB file. Readers see a consistent snapshot while a writer prepares the next one.
Each copy has a record (`CopyInfo`) and two tables, `FIELD.keys` and `FIELD.mentions`, from "domain
NUL user" to offsets, so that a domain is one range of keys. An offset is where the line began when
it was recorded. Later edits shift lines: the record says how far at most, and a reader searches
that range. A stale offset does no harm. The serial of the copy follows each offset, since two lines
may have had the same offset at different times.

The index is not synced: it can be rebuilt from the copy, and is rebuilt after a power cut.
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
_KEY_MAX_BYTES = 500  # lmdb takes 511; a key of that length is invalid anyway
_OFFSET_BYTES = 6
_SERIAL_BYTES = 8


class CopyInfo(NamedTuple):
    """The record of one copy."""

    serial: int  # changes with the copy
    identity: Identity  # of the config file that equals the copy; ABSENT if unknown
    size: int
    low: int  # lines have shifted by low to high bytes since their offsets were recorded
    high: int
    entries: int  # lines with a key
    faulty: int  # entries with errors

    def __bytes__(self) -> bytes:
        return " ".join(map(str, (self.serial, *self.identity, *self[2:]))).encode()

    @classmethod
    def of(cls, raw: bytes) -> "CopyInfo":
        """The record that `__bytes__` wrote."""
        serial, *rest = map(int, raw.split())
        return cls(serial, Identity(*rest[:4]), *rest[4:])


class IndexEntry(NamedTuple):
    """What the index records of a line."""

    offset: int
    key: str
    mentions: tuple[tuple[str, str], ...]  # user and domain of each address
    faulty: bool  # the line has an error


class Index:
    """A snapshot of the index."""

    def __init__(self, tables: Mapping[bytes, Any], transaction: "lmdb.Transaction") -> None:
        self._tables, self._transaction = tables, transaction

    def info(self, field: str) -> CopyInfo | None:
        """The record of a copy; None if it has no index."""
        raw = self._transaction.get(field.encode())
        return None if raw is None else CopyInfo.of(bytes(raw))

    def claiming(self, field: str, key: str) -> list[int]:
        """Recorded offsets of the lines with a key."""
        return self._offsets(_keys(field), _address_key(*split(key)))

    def mentioning(self, field: str, user: str, domain: str) -> list[int]:
        """Recorded offsets of the lines that mention an address or its whole domain; with an empty
        user, any address of the domain."""
        name, whole_domain = _mentions(field), _address_key("", domain)
        if not user:
            return [_offset(value) for _, value in self._range(name, whole_domain)]
        address = self._offsets(name, _address_key(user, domain))
        return address + self._offsets(name, whole_domain)

    def keys_in(self, field: str, domain: str) -> Iterator[str]:
        """The recorded keys of a domain."""
        for raw, _ in self._range(_keys(field), _address_key("", domain)):
            key_domain, _, user = raw.decode("utf-8", "surrogateescape").partition("\0")
            yield f"{user}@{key_domain}"

    def _offsets(self, name: bytes, key: bytes) -> list[int]:
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


class IndexWriter(Index):
    """The next snapshot of the index, which its writer sees already."""

    def put_info(self, field: str, info: CopyInfo | None) -> None:
        """Replaces the record of a copy. None: the copy has no index any more."""
        if info is None:
            self._transaction.delete(field.encode())
        else:
            self._transaction.put(field.encode(), bytes(info))

    def clear(self, field: str) -> None:
        """Removes all lines of a copy."""
        for name in (_keys(field), _mentions(field)):
            self._transaction.drop(self._tables[name], delete=False)

    def add(self, field: str, entries: Iterable[IndexEntry], serial: int) -> None:
        """Adds lines of the copy with a serial, quickest many at once."""
        keys, mentions, serial_bytes = [], [], serial.to_bytes(_SERIAL_BYTES)
        for offset, key, mentioned, _ in entries:
            value = offset.to_bytes(_OFFSET_BYTES) + serial_bytes
            keys.append((_address_key(*split(key)), value))
            mentions += [(_address_key(*address), value) for address in mentioned]
        for name, rows in ((_keys(field), keys), (_mentions(field), mentions)):
            valid = sorted(row for row in rows if len(row[0]) <= _KEY_MAX_BYTES)
            if valid:
                with self._transaction.cursor(self._tables[name]) as cursor:
                    cursor.putmulti(valid)

    def remove(self, field: str, entries: Iterable[IndexEntry]) -> None:
        """Removes what is recorded of lines. A key or an address with more than one offset stays,
        as it may be of another line."""
        for _, key, mentioned, _ in entries:
            self._remove(_keys(field), _address_key(*split(key)))
            for address in mentioned:
                self._remove(_mentions(field), _address_key(*address))

    def _remove(self, name: bytes, key: bytes) -> None:
        with self._transaction.cursor(self._tables[name]) as cursor:
            if len(key) <= _KEY_MAX_BYTES and cursor.set_key(key) and cursor.count() == 1:
                cursor.delete()


class IndexFile:
    """The file of the index. Without the file, or the right to use it, there is no snapshot."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._env: lmdb.Environment | None = None
        self._tables: dict[bytes, Any] = {}
        self._inode = 0

    def is_there(self) -> bool:
        return os.access(self._path, os.W_OK)  # a reader, too, writes its lock

    def snapshot(self) -> Index | None:
        """The index as it is now."""
        if not self.is_there():
            return None
        env = self._environment()
        return None if env is None else Index(self._tables, env.begin())

    @contextmanager
    def update(self) -> Iterator[IndexWriter]:
        """The next snapshot, which becomes visible when the block ends. Raises OSError."""
        import lmdb

        env = self._environment()
        if env is None:
            self.remove()
            env = self._environment(make=True)
            assert env is not None
        self._disk.step(self._path)
        try:
            env.reader_check()  # drops the readers that were killed
            with env.begin(write=True) as transaction:
                yield IndexWriter(self._tables, transaction)
                self._disk.step(self._path)
        except lmdb.Error as error:
            raise OSError(5, str(error), self._path) from error

    def remove(self) -> None:
        """Deletes the file."""
        self.close()
        for path in (self._path, f"{self._path}-lock"):
            if os.path.exists(path):
                self._disk.remove(path)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _environment(self, *, make: bool = False) -> "lmdb.Environment | None":
        """The open file; None if it is missing or damaged."""
        if self._env is not None and identity(self._path).inode != self._inode:
            self.close()  # another process has replaced it
        if self._env is None and (make or self.is_there()):
            import lmdb  # 1 ms, which commands on small files need not pay

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
                # A read-only transaction would close the tables at its end.
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


def _address_key(user: str, domain: str) -> bytes:
    return f"{domain}\0{user}".encode("utf-8", "surrogateescape")


_NAMES = tuple(name for field in Roster._fields for name in (_keys(field), _mentions(field)))
