"""Writes what `host_files` has planned for the servers of a host, and puts it back.

Beside the tables stand a copy of each file as it was (`before/`), and what was written of it: by
that an undo knows whether somebody has changed a file since. All files are written, or none.
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
from mailroster.servers.integrate.plan import Change, Planned, planned
from mailroster.system.files import Disk, owner_and_mode, read
from mailroster.system.programs import HOT_MAIN_CF_S, run

#: In the place of a digest: there was no file.
_NONE = "-"


class _Kept(NamedTuple):
    """What is known of one file that was written: digests of it as it was and as it was written."""

    path: str
    was: str
    became: str


class Integration:
    """One host's."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout, self._disk = settings, layout, Disk()
        self._folder = os.path.join(layout.state, "integration")

    def planned(self, *, keep_system_users: bool = False) -> Planned:
        """What is not yet as it has to be. What was said once of the machine's users holds."""
        keep = keep_system_users or os.path.exists(self._path("keep-system-users"))
        return planned(self._settings, self._layout, keep_system_users=keep)

    def apply(self, plan: Planned, *, keep_system_users: bool = False) -> None:
        """Writes the files. Raises Refused if one can't be written, ServerError if a server can't
        read what it is then; in both cases all are as they were."""
        before = {kept.path: kept for kept in self._kept()}
        for change in plan.changes:
            before[change.path] = self._keep(change, before.get(change.path))
        had_note = os.path.exists(self._path("files"))
        noted = read(self._path("files"))
        self._note(before.values())
        done: list[Change] = []
        try:
            for change in plan.changes:
                done.append(change)
                self._write(change.path, change.new)
            self._judge()
        except (OSError, ServerError) as error:
            for change in done:
                self._put_back(change.path, change.old)
            if had_note:
                self._disk.replace(self._path("files"), noted, mode=0o600)
            else:
                shutil.rmtree(self._folder)
            if isinstance(error, ServerError):
                raise ServerError(f"{error}; all files are as they were") from None
            words = f"{error.filename}: {error.strerror}"
            raise Refused(f"{words}; all files are as they were") from None
        if keep_system_users:
            self._disk.replace(self._path("keep-system-users"), b"")

    def undo(self, *, force: bool = False) -> list[str]:
        """Puts every file back as it was; which ones. Raises Refused if there is nothing to undo,
        or if somebody has changed one since, unless it is forced."""
        kept = self._kept()
        if not kept:
            raise Refused("nothing is integrated here")
        changed = [one.path for one in kept if _digest(one.path) not in (one.was, one.became)]
        if changed and not force:
            raise Refused(
                f"changed since they were written: {', '.join(changed)}; take our lines out "
                "by hand, or lose the changes with --force"
            )
        for one in kept:
            old = None if one.was == _NONE else read(self._before(one.path))
            try:
                self._put_back(one.path, old)
            except OSError as error:
                raise Refused(f"{error.filename}: {error.strerror}; run --undo again") from None
        if os.path.isdir(self._layout.dovecot) and not os.listdir(self._layout.dovecot):
            os.rmdir(self._layout.dovecot)
        shutil.rmtree(self._folder)
        return [one.path for one in kept]

    def reload(self) -> list[str]:
        """Has the servers that run read their files again; their names."""
        found = []
        if running.postfix_pid(self._layout):
            _must(["postfix", "-c", self._layout.postfix, "reload"])
            found.append("Postfix")
        if running.dovecot_pid(self._layout):
            _must(["doveadm", "-c", self._layout.dovecot_conf, "reload"])
            found.append("Dovecot")
        return found

    # -- files

    def _judge(self) -> None:
        _must(["postfix", "-c", self._layout.postfix, "check"])
        _must(["doveconf", "-c", self._layout.dovecot_conf, "-n"])

    def _keep(self, change: Change, known: _Kept | None) -> _Kept:
        """A copy of a file as it was before we ever wrote it; one that somebody has changed since
        stays told from that, so that an undo asks."""
        became = sha256(change.new).hexdigest()
        if known is not None:
            same = change.old is not None and sha256(change.old).hexdigest() in known[1:]
            return known._replace(became=became if same else "changed by somebody")
        if change.old is None:
            return _Kept(change.path, _NONE, became)
        path = self._before(change.path)
        self._disk.make_folder(os.path.dirname(path), 0o700)
        self._disk.replace(path, change.old, mode=0o600)
        return _Kept(change.path, sha256(change.old).hexdigest(), became)

    def _write(self, path: str, content: bytes) -> None:
        """Beside its place and renamed over, with the owner and the mode that it had."""
        path = os.path.realpath(path)
        there = os.path.exists(path)
        owner, mode = owner_and_mode(path) if there else ((0, 0), 0o644)
        self._disk.make_folder(os.path.dirname(path))
        mtime_s = int(time.time()) - HOT_MAIN_CF_S
        self._disk.replace(path, content, mode=mode, group=owner[1], mtime_s=mtime_s)
        os.chown(path, *owner)

    def _put_back(self, path: str, content: bytes | None) -> None:
        if content is not None:
            if read(path) != content:
                self._write(path, content)
        elif os.path.lexists(path):
            self._disk.remove(path)

    def _before(self, path: str) -> str:
        return self._path(f"before{path}")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _kept(self) -> list[_Kept]:
        lines = read(self._path("files")).decode("utf-8", "surrogateescape").split("\n")
        words = (line.split("\t") for line in lines if line)
        return [_Kept(path, was, became) for was, became, path in words]

    def _note(self, kept: Iterable[_Kept]) -> None:
        self._disk.make_folder(self._folder, 0o700)
        text = "".join(f"{one.was}\t{one.became}\t{one.path}\n" for one in kept)
        self._disk.replace(self._path("files"), text.encode("utf-8", "surrogateescape"), mode=0o600)


def _digest(path: str) -> str:
    return sha256(read(path)).hexdigest() if os.path.exists(path) else _NONE


def _must(argv: list[str]) -> None:
    """Raises ServerError with the program's own words."""
    code, out, err = run(argv)
    if code:
        raise ServerError(f"{' '.join(argv)}: {(err or out).strip()}")
