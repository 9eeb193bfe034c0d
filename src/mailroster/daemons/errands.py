"""The work that a follower does before it reconciles. One errand may fail; the others go on."""

import os
import time
from collections.abc import Callable

from mailroster.app.expire import Deadlines, clock_of, expire_entries, now
from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.publish.live_tables import LiveTables
from mailroster.store.config_folder import Store
from mailroster.store.overlay.overlay import Overlay
from mailroster.system.files import ABSENT, identity
from mailroster.system.folder_lock import FolderLock
from mailroster.system.log import Retry, log, words_of

#: Pause before the next try to apply end dates.
TRY_AGAIN_S = 60.0
#: Errors that name their reason themselves.
EXPECTED = (TryAgain, Refused, ServerError)


def reason_of(error: Exception) -> object:
    """What a log says about an error."""
    return error if isinstance(error, EXPECTED) else words_of(error)


class Errand:
    """One kind of work, tried again with back-off when it fails."""

    def __init__(self, act: Callable[[], None], retry: Retry) -> None:
        self._act, self._retry = act, retry

    def run(self) -> None:
        """Does the work if its next try is due. Never raises: a failure is logged."""
        if not self._retry.is_due():
            return
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - the other errands go on
            self._retry.failed(reason_of(error))
        else:
            self._retry.worked()


class OverlayUpdate:
    """Updates the overlay from its source, if the config folder is an overlay, and logs once why a
    file does not follow."""

    def __init__(self, settings: Settings) -> None:
        self._overlay: Overlay | None = None
        if settings.source:
            self._overlay = Overlay(settings.source, settings.config, linked=settings.linked())
        self._logged: tuple[str, ...] = ()

    def run(self) -> None:
        if self._overlay is None:
            return
        try:
            if not self._overlay.update():
                return
            messages = tuple(map(str, self._overlay.findings()))
        except (TryAgain, Refused) as error:
            messages = (str(error),)
        for message in messages:
            if message not in self._logged:
                log(message)
        self._logged = messages


class EndDates:
    """Applies end dates: edits the entries that have expired, unless the clock is in doubt."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._deadlines = Deadlines(store.path, opened=store.opened)
        self._clock = clock_of(store, layout)
        self._next_try_s = 0.0  # by the monotonic clock
        self._refusal = ""  # why the last try failed

    def run(self, store: Store, tables: LiveTables) -> None:
        moment = now()
        self._record_time()
        if time.monotonic() < self._next_try_s or not self._deadlines.due(moment):
            return
        if doubt := self._clock.doubt():
            self._refuse(f"end dates wait: {doubt}")
            return
        try:
            edited = expire_entries(store, tables, moment)
        except EXPECTED as error:
            self._next_try_s = time.monotonic() + TRY_AGAIN_S
            self._refuse(f"expired entries stay in force: {error}")
            return
        self._refusal = ""
        self._deadlines.mark_handled(moment)
        for edit in edited.plan.edits:
            for key in sorted(edited.plan.keys[edit.field]):
                log(f"{edit.file}: {key!r} has expired")

    def _refuse(self, message: str) -> None:
        if message != self._refusal:
            log(message)
        self._refusal = message

    def _record_time(self) -> None:
        """Records the time, so that the next look sees whether the clock has jumped."""
        try:
            self._clock.keep()
        except OSError:
            pass  # the state folder can't be written: the reconciliation reports it


class StaleDatabase:
    """Removes Dovecot's database if a log of it is lost that Dovecot has open. The next
    reconciliation builds a new one; until then Dovecot serves the old one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder: object = None  # as it was at the last check

    def run(self) -> None:
        folder = identity(self._layout.sql)
        if folder in (ABSENT, self._folder):
            return
        from mailroster.servers.reopen import has_lost_log

        if has_lost_log(self._layout):
            with FolderLock(self._layout.state):  # another process may be replacing it
                if has_lost_log(self._layout):
                    log("the log of Dovecot's database is lost; the database is rebuilt")
                    os.unlink(self._layout.database)
        self._folder = folder
