"""Follows the config folder: keeps the tables and the Sieve scripts of an instance in step with it.

What runs on does this beside servers (`up`), or for servers of somebody else (`watch`).
"""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from mailroster.apply import Outcome, Tables, converge
from mailroster.commit import MOVES
from mailroster.damage import damaged
from mailroster.deadlines import Deadlines, now, put_over
from mailroster.disk import identity
from mailroster.finding import Busy, Finding, Refused, ServiceFailed
from mailroster.history import user_name
from mailroster.installed import version
from mailroster.instance.layout import Layout
from mailroster.moving import Mover, Record, settle
from mailroster.noting import author, command
from mailroster.overlay import Overlay
from mailroster.overrides import Pending
from mailroster.roster import Roster
from mailroster.served import Served
from mailroster.settings import Settings
from mailroster.settling import Settling
from mailroster.sieve import SieveScripts
from mailroster.store import Store
from mailroster.watch import hints

#: Tables that were written are looked through this often at the most, and in this part of the time.
LOOK_S = 2.0
LOOK_SHARE = 50
#: What is over but can't be put into effect is tried again after this time.
TRY_AGAIN_S = 60.0
_QUIET = {"error": 0, "warn": 1}


def log(text: str) -> None:
    """One line on stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """The lock of the one `up` or `watch` of an instance; its file says which process that is."""
    os.makedirs(layout.state, exist_ok=True)
    fd = os.open(layout.up_pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 20).decode().strip()
            name = "watch" if layout.kind == "host" else "up"
            raise Refused(f"'mailroster {name}' runs here already, as process {pid}") from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _author(name: str) -> str:
    """Who changes what has come to its end date, as the history notes it."""
    uid = os.getuid()
    return author(uid, user_name(uid), "", command(["mailroster", name]))


class Follower:
    """What one process knows of a config folder, and of what is in force of it."""

    def __init__(
        self, settings: Settings, layout: Layout, name: str = "up", *, observer: bool = True
    ) -> None:
        """`name`: the command that follows, as the history notes what it changes. `observer`: it
        looks again and again, and so sees itself how long a file stays as it is."""
        self._settings, self._layout = settings, layout
        copies = Served(layout.served, index_from=settings.index_from_bytes)
        self._store = Store(
            settings.config, find=copies.current, history_bytes=settings.history_bytes,
            author=lambda: _author(name), linked=settings.linked(),
        )  # fmt: skip
        self._tables = Tables(layout, copies)
        self._settling = Settling(settings.settle_seconds, observer=observer)
        self._pending = Pending(settings, layout)
        self._scripts = SieveScripts(
            settings.config, layout, settings.settle_seconds, observer=observer,
            linked=settings.linked(),
        )  # fmt: skip
        self._overlay = (
            Overlay(settings.source, settings.config, linked=settings.linked())
            if settings.source
            else None
        )
        self._apart: tuple[str, ...] = ()  # what of the source was told
        self._deadlines = Deadlines(self._store.path, opened=self._store.opened)
        self._next_try = 0.0  # to put into effect what is over
        self._refusal = ""  # why that could not be done
        self._told: tuple[Finding, ...] = ()
        self._unnoted = ""
        self._next_look = 0.0  # at whether tables that were written are sound
        self._look: asyncio.Task[tuple[list[str], float]] | None = None

    def begin(self) -> bool:
        """Brings the tables in step, before anybody relies on them; whether time alone will bring
        more in force. Raises ServiceFailed if there are none in the end."""
        self._tables.begin(self._settings.hostname, version())
        self._bring()
        self._put_over()
        outcome = self._converge()
        if outcome is None and not self._tables.are_whole():
            raise ServiceFailed("there are no tables to start with")
        return outcome is not None and outcome.waits

    def compile_scripts(self) -> None:
        """Puts the Sieve scripts in force before there is mail, compiled by this Dovecot."""
        s = self._settings
        try:
            scripts = SieveScripts(s.config, self._layout, s.settle_seconds, linked=s.linked())
            scripts.converge(anew=True)
        except (Busy, ServiceFailed) as error:
            log(f"not in step: {error}")

    async def follow(self) -> None:
        """Converges whenever a file has become another, or something that is held may pass; without
        end."""
        seen: list[object] = []
        tables = (self._layout.tables, self._layout.sql)
        async for _ in hints(self._settings.config, tables, self._settings.source):
            await asyncio.to_thread(self._bring)
            await asyncio.to_thread(self._put_over)
            await asyncio.to_thread(self._settle_moves)
            broken = self._broken()
            while (found := self._identities()) != seen or broken:
                try:
                    outcome = await asyncio.to_thread(self._converge, broken)
                except Exception as error:  # noqa: BLE001 - mail goes on, and so does the next look
                    log(f"not in step: {type(error).__name__}: {error}")
                    break
                if outcome is None:
                    break
                broken = []
                if outcome.waits:
                    await asyncio.sleep(self._settings.settle_seconds / 4)
                else:
                    seen = found

    def _bring(self) -> None:
        """Takes over what is new in the source, where the folder is an overlay, and tells what
        does not come."""
        if self._overlay is None:
            return
        try:
            if not self._overlay.bring():
                return
            apart = tuple(map(str, self._overlay.findings()))
        except (Busy, Refused) as error:
            apart = (str(error),)
        for text in apart:
            if text not in self._apart:
                log(text)
        self._apart = apart

    def _settle_moves(self) -> None:
        """Mail folders that a rename has left under way."""
        config, mail = self._settings.config, self._settings.mail
        if not os.path.lexists(os.path.join(config, MOVES)):
            return
        try:
            with Record(config, 0) as record:
                settle(record, Mover(config, mail, self._layout), self._says, self._serves)
        except (Busy, Refused, OSError) as error:
            if not isinstance(error, Busy):
                log(f"a renamed mail folder is not in its place: {error}")

    def _says(self) -> Roster:
        return self._store.read().readable()

    def _serves(self) -> Roster:
        return self._tables.copies.roster()

    def _identities(self) -> list[object]:
        """Of the folder's files, of what commands left to do, and of the folders of the tables."""
        files = [self._store.path(document.format.file) for _, document in Roster().documents()]
        layout = self._layout
        paths = (*files, layout.tables, layout.sql, layout.asked)
        found = [*map(identity, paths), *self._scripts.identities()]
        return [*found, *self._pending.identities()]

    def _broken(self) -> list[str]:
        """Tables that somebody has damaged. A look takes a while: it is made now and then, and
        what it has found is told when it is over."""
        now = time.monotonic()
        if self._look is None and now >= self._next_look and (names := self._tables.suspects()):
            self._look = asyncio.create_task(asyncio.to_thread(self._looked, names))
        if self._look is None or not self._look.done():
            return []
        broken, took_s = self._look.result()
        self._look, self._next_look = None, now + max(LOOK_S, LOOK_SHARE * took_s)
        for name in broken:
            log(f"the table {name} is damaged; it is made anew")
        return broken

    def _looked(self, names: Sequence[str]) -> tuple[list[str], float]:
        """The damaged ones of some tables, and how long it took to tell."""
        began = time.monotonic()
        return damaged(self._layout, names), time.monotonic() - began

    def _put_over(self) -> None:
        """Puts into effect what has come to its end date, in the files; the next convergence sees
        it there."""
        moment = now()
        if time.monotonic() < self._next_try or not self._deadlines.due(moment):
            return
        try:
            edited = put_over(self._store, self._tables, moment)
        except (Busy, Refused, ServiceFailed) as error:
            self._next_try = time.monotonic() + TRY_AGAIN_S
            if str(error) != self._refusal:
                log(f"what has come to its end date stays in force: {error}")
            self._refusal = str(error)
            return
        self._refusal = ""
        self._deadlines.done(moment)
        for edit in edited.plan.edits:
            for key in sorted(edited.plan.keys[edit.field]):
                log(f"{edit.file}: the time of {key!r} is over")

    def _converge(self, broken: Collection[str] = ()) -> Outcome | None:
        """Converges and tells what is new about it; None if it has to be tried again."""
        try:
            self._settle_moves()
            outcome = converge(
                self._store, self._tables, self._layout, self._settling, broken=broken
            )
            scripts = self._scripts.converge()
        except (Busy, Refused, ServiceFailed) as error:
            log(f"not in step: {error}")
            return None
        held = (*outcome.held, *scripts.findings, *self._pending.findings())
        findings = tuple(dict.fromkeys((*outcome.faults, *held)))
        for finding in findings:
            if finding not in self._told:
                log(str(finding))
        self._told = findings
        if outcome.unnoted and outcome.unnoted != self._unnoted:
            log(f"edits by hand are missing in the history: {outcome.unnoted}")
            self._unnoted = outcome.unnoted
        if outcome.rows and self._settings.log_level not in _QUIET:
            log(f"{outcome.rows} rows changed")
        if scripts.changed and self._settings.log_level not in _QUIET:
            log(f"{scripts.changed} Sieve scripts changed")
        return outcome._replace(waits=outcome.waits or scripts.waits)
