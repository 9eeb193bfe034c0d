"""Writes the planned changes of a host's servers, and undoes them. All files are written, or none.

The state folder keeps a copy of each original file (`before/`), and checksums of the originals and
of the written files, from which an undo sees whether a file was changed since.
"""

import os
import shutil
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from mailroster.base.findings import Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers import running
from mailroster.servers.integrate.plan import Change, Plan, make_plan
from mailroster.system.files import Disk, owner_and_mode, read
from mailroster.system.programs import HOT_MAIN_CF_S, run

#: In place of a checksum: there was no file.
_NONE = "-"


class _Record(NamedTuple):
    """A written file: the checksums of the original and of the written content."""

    path: str
    original: str
    written: str

    def matches(self, checksum: str) -> bool:
        return checksum in (self.original, self.written)


class Integration:
    """The integration of one host. Its records are in `integration/files` of the state folder."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout, self._disk = settings, layout, Disk()
        self._folder = os.path.join(layout.state, "integration")

    def plan(self, *, keep_system_users: bool = False) -> Plan:
        """The changes that are still needed. `keep_system_users` stays in force once applied."""
        keep = keep_system_users or os.path.exists(self._path("keep-system-users"))
        return make_plan(self._settings, self._layout, keep_system_users=keep)

    def apply(self, plan: Plan, *, keep_system_users: bool = False) -> None:
        """Writes the files. Raises Refused if one can't be written, ServerError if a server can't
        read the result; in both cases all files are restored."""
        records = {record.path: record for record in self._records()}
        for change in plan.changes:
            records[change.path] = self._record(change, records.get(change.path))
        is_first = not os.path.exists(self._path("files"))
        old_records = read(self._path("files"))
        self._save(records.values())
        started: list[Change] = []
        try:
            for change in plan.changes:
                started.append(change)
                self._restore(change.path, change.new, is_secret=change.is_secret)
            self._check()
        except (OSError, ServerError) as error:
            for change in started:
                self._restore(change.path, change.old, is_secret=change.is_secret)
            if is_first:
                shutil.rmtree(self._folder)
            else:
                self._disk.replace(self._path("files"), old_records, mode=0o600)
            if isinstance(error, ServerError):
                raise ServerError(f"{error}; all files are restored") from None
            reason = f"{error.filename}: {error.strerror}"
            raise Refused(f"{reason}; all files are restored") from None
        if keep_system_users:
            self._disk.replace(self._path("keep-system-users"), b"")

    def undo(self, *, force: bool = False) -> list[str]:
        """Restores all original files; their paths. Raises Refused if there are none, or if a file
        was changed since, unless `force` is set."""
        records = self._records()
        if not records:
            raise Refused("nothing to undo: the servers are not integrated")
        changed = [record.path for record in records if not record.matches(_checksum(record.path))]
        if changed and not force:
            raise Refused(
                f"files were changed after they were written: {', '.join(changed)}; remove our "
                "lines by hand, or discard the changes with --force"
            )
        for record in records:
            old = None if record.original == _NONE else read(self._before(record.path))
            try:
                self._restore(record.path, old)
            except OSError as error:
                raise Refused(f"{error.filename}: {error.strerror}; run --undo again") from None
        if os.path.isdir(self._layout.dovecot) and not os.listdir(self._layout.dovecot):
            os.rmdir(self._layout.dovecot)
        shutil.rmtree(self._folder)
        return [record.path for record in records]

    def reload(self) -> list[str]:
        """Reloads the servers that run; their names."""
        reloaded = []
        if running.postfix_pid(self._layout):
            _run(["postfix", "-c", self._layout.postfix, "reload"])
            reloaded.append("Postfix")
        if running.dovecot_pid(self._layout):
            _run(["doveadm", "-c", self._layout.dovecot_conf, "reload"])
            reloaded.append("Dovecot")
        return reloaded

    # -- files

    def _check(self) -> None:
        _run(["postfix", "-c", self._layout.postfix, "check"])
        _run(["doveconf", "-c", self._layout.dovecot_conf, "-n"])

    def _record(self, change: Change, known: _Record | None) -> _Record:
        """The record of a file, which is copied before we write it for the first time. If it was
        changed since, the record matches no content, so that an undo requires --force."""
        old, written = _checksum_of(change.old), _checksum_of(change.new)
        if known is not None:
            return known._replace(written=written if known.matches(old) else "changed")
        if change.old is not None:
            path = self._before(change.path)
            self._disk.make_folder(os.path.dirname(path), 0o700)
            self._disk.replace(path, change.old, mode=0o600)
        return _Record(change.path, old, written)

    def _write(self, path: str, content: bytes, *, is_secret: bool) -> None:
        """Replaces a file atomically, and keeps its owner and mode; a secret gets its own."""
        path = os.path.realpath(path)
        owner, mode = (0, 0), 0o600 if is_secret else 0o644
        if os.path.exists(path) and not is_secret:
            owner, mode = owner_and_mode(path)
        self._disk.make_folder(os.path.dirname(path))
        mtime_s = int(time.time()) - HOT_MAIN_CF_S
        self._disk.replace(path, content, mode=mode, group=owner[1], mtime_s=mtime_s)
        os.chown(path, *owner)

    def _restore(self, path: str, content: bytes | None, *, is_secret: bool = False) -> None:
        """Writes a file, or removes it if `content` is None."""
        if content is not None:
            if read(path) != content:
                self._write(path, content, is_secret=is_secret)
        elif os.path.lexists(path):
            self._disk.remove(path)

    def _before(self, path: str) -> str:
        return self._path(f"before{path}")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _records(self) -> list[_Record]:
        lines = read(self._path("files")).decode("utf-8", "surrogateescape").split("\n")
        fields = (line.split("\t") for line in lines if line)
        return [_Record(path, original, written) for original, written, path in fields]

    def _save(self, records: Iterable[_Record]) -> None:
        self._disk.make_folder(self._folder, 0o700)
        text = "".join(f"{one.original}\t{one.written}\t{one.path}\n" for one in records)
        self._disk.replace(self._path("files"), text.encode("utf-8", "surrogateescape"), mode=0o600)


def _checksum(path: str) -> str:
    return _checksum_of(read(path) if os.path.exists(path) else None)


def _checksum_of(content: bytes | None) -> str:
    return _NONE if content is None else sha256(content).hexdigest()


def _run(argv: list[str]) -> None:
    """Runs a program. Raises ServerError with its message if it fails."""
    code, out, err = run(argv)
    if code:
        why = (err or out).strip() or f"exit status {code}; its log has the reason"
        raise ServerError(f"{' '.join(argv)}: {why}")
