"""Follows the config folder: keeps the tables and Sieve scripts of an instance in step with it.

`up` runs a follower beside its own servers, `watch` for the servers of a host.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Collection

from mailroster.app import leftovers
from mailroster.base.findings import Finding, Refused, ServerError, TryAgain
from mailroster.base.layout import MOVES, Layout
from mailroster.base.settings import Settings
from mailroster.daemons.damage_search import DamageSearch
from mailroster.daemons.errands import (
    EXPECTED,
    EndDates,
    Errand,
    OverlayUpdate,
    StaleDatabase,
    reason_of,
)
from mailroster.daemons.file_events import hints
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.reconcile import Outcome, reconcile
from mailroster.roster.roster import Roster
from mailroster.servers.overrides import PendingChanges, ignored
from mailroster.servers.sieve import SieveScripts
from mailroster.servers.version import version
from mailroster.store.config_folder import Store
from mailroster.store.history.log import user_name
from mailroster.store.history.writer import author, command
from mailroster.system.files import identity
from mailroster.system.log import Retry, log, words_of
from mailroster.system.stability import Settling
from mailroster.system.threads import patiently

#: If each reconciliation sees new changes, the rest waits for the next hint after so many.
ROUNDS_MAX = 20
#: A look at the config folder that takes longer is reported.
SLOW_S = 60.0
#: With these levels no changes are logged.
_QUIET_LEVELS = ("error", "warn")


def _author(name: str) -> str:
    """The author of the edits of expired entries, for the history."""
    uid = os.getuid()
    return author(uid, user_name(uid), "", command(["mailroster", name]))


def _errand(name: str, act: Callable[[], None]) -> Errand:
    return Errand(act, Retry(f"{name} failed", f"{name} works again"))


class Follower:
    """The follower of one config folder.

    `renew` and `look` may be called from different threads: only one of them works at a time.
    """

    def __init__(
        self, settings: Settings, layout: Layout, name: str = "up", *, observer: bool = True
    ) -> None:
        """`name`: the command that follows, for the history. `observer`: it looks repeatedly, and
        so sees by itself how long a file stays unchanged."""
        self._settings, self._layout = settings, layout
        self._name, self._observer = name, observer
        self._settling = Settling(settings.settle_seconds, observer=observer)
        self._open()
        self._end_dates = EndDates(self._store, layout)
        self._overlay = OverlayUpdate(settings)
        self._moves = _errand("moving renamed mailboxes", self._finish_moves)
        self._errands = (
            _errand("updating the overlay", self._overlay.run),
            _errand("applying end dates", lambda: self._end_dates.run(self._store, self._tables)),
            self._moves,
            _errand("rebuilding Dovecot's database", StaleDatabase(layout).run),
        )
        self._damage_search = DamageSearch(layout)
        self._lock = threading.Lock()  # of the tables
        self._retry = Retry("not in step", "in step again")
        self._had_accounts = False  # whether there was a file of accounts
        self._in_step: list[object] = []  # the identities at the last success
        self._failed: list[object] = []  # those of the config folder at the last failure
        self._logged: tuple[Finding, ...] = ()
        self._history_fault = ""

    def _open(self) -> None:
        """Creates all objects that remember something of the state folder."""
        settings, layout = self._settings, self._layout
        copies = PublishedFiles(layout.served, index_from=settings.index_from_bytes)
        self._store = Store(
            settings.config, find=copies.current, history_bytes=settings.history_bytes,
            author=lambda: _author(self._name), linked=settings.linked(),
        )  # fmt: skip
        self._tables = LiveTables(layout, targets_of(layout), copies)
        self._pending = PendingChanges(settings, layout)
        self._scripts = SieveScripts(
            settings.config, layout, settings.settle_seconds, observer=self._observer,
            linked=settings.linked(),
        )  # fmt: skip

    def begin(self) -> bool:
        """Reconciles for the first time. Returns whether something waits that time alone will put
        in force. Raises ServerError if there are no tables in the end."""
        for line in ignored(self._settings):
            log(line)
        s = self._settings
        services = s.main_password_services
        self._tables.begin(s.hostname, version(), s.mail, s.postmaster_address, services)
        self._overlay.run()
        self._end_dates.run(self._store, self._tables)
        try:
            return self._reconcile().waits
        except EXPECTED as error:
            log(f"not in step: {error}")
            if not self._tables.can_serve():
                message = f"no server can be started without tables: {error}"
                raise ServerError(message) from None
        return False

    def renew(self) -> None:
        """Rebuilds the tables and the scripts after the state folder was lost, or a part of it.
        Raises as `begin` does, and Refused if the accounts are lost as well."""
        with self._lock:
            self._check_accounts()
            self._open()
            self._in_step = []
            self.begin()
            self.compile_scripts()

    def compile_scripts(self) -> None:
        """Compiles the Sieve scripts with this version of Dovecot, before mail is delivered."""
        s = self._settings
        try:
            scripts = SieveScripts(s.config, self._layout, s.settle_seconds, linked=s.linked())
            scripts.reconcile(recompile=True)
        except (TryAgain, ServerError) as error:
            log(f"not in step: {error}")

    def finish_deletions(self) -> None:
        """Deletes the mail that a killed 'setup email del' has left."""
        try:
            count = leftovers.finish_deletions(
                self._settings, self._folder_roster(), self._tables.copies.roster()
            )
            if count:
                log(f"mail of deleted accounts was left, and is deleted now: {count}")
        except (TryAgain, Refused, OSError) as error:
            log(f"mail of deleted accounts is left: {error}")

    async def follow(self) -> None:
        """Reconciles whenever a file has changed, or time may release a change that waits; without
        end. A failure is logged, and the next look tries again."""

        def report_slow_look() -> None:
            log(
                f"reading {self._settings.config} takes more than {SLOW_S:g} s; changes wait: does "
                "a file system not answer?"
            )

        tables = (self._layout.tables, self._layout.sql)
        retry = Retry("the config folder can't be followed", "the config folder is followed again")
        while True:
            try:
                async for _ in hints(self._settings.config, tables, self._settings.source):
                    while await patiently(report_slow_look, SLOW_S, self.look):
                        await asyncio.sleep(self._settings.settle_seconds / 4)
                    retry.worked()
            except Exception as error:  # noqa: BLE001 - mail goes on, and the next look follows
                retry.failed(words_of(error))
            while not retry.is_due():
                await asyncio.sleep(0.2)

    def look(self) -> bool:
        """Reconciles what has changed since the last look. Returns whether to look again soon, for
        a change that time alone releases. Never raises."""
        with self._lock:
            try:
                return self._look()
            except Exception as error:  # noqa: BLE001 - mail goes on, and the next look follows
                self._retry.failed(words_of(error))
                return False

    def _look(self) -> bool:
        for errand in self._errands:
            errand.run()
        broken = self._damage_search.damaged(self._tables)
        for _ in range(ROUNDS_MAX):
            if (identities := self._identities()) == self._in_step and not broken:
                break
            folder = self._folder_identities()
            if not self._retry.is_due(changed=folder != self._failed):
                return False
            try:
                outcome = self._reconcile(broken)
            except Exception as error:  # noqa: BLE001 - mail goes on, and the next look follows
                self._failed = folder
                self._retry.failed(reason_of(error))
                return False
            self._retry.worked()
            broken = []
            if outcome.waits:
                return True
            self._in_step = identities
        return False

    def _reconcile(self, broken: Collection[str] = ()) -> Outcome:
        """Reconciles, and logs new results. Raises as `reconcile` does."""
        self._moves.run()
        self._check_accounts()
        outcome = reconcile(self._store, self._tables, self._layout, self._settling, broken=broken)
        scripts = self._scripts.reconcile()
        waiting = (*outcome.pending, *scripts.findings, *self._pending.findings())
        findings = tuple(dict.fromkeys((*outcome.faults, *waiting)))
        for finding in findings:
            if finding not in self._logged:
                log(str(finding))
        self._logged = findings
        if outcome.history_fault and outcome.history_fault != self._history_fault:
            log(f"manual edits are missing in the history: {outcome.history_fault}")
            self._history_fault = outcome.history_fault
        if self._settings.log_level not in _QUIET_LEVELS:
            for changes in filter(None, (outcome.described(), scripts.described())):
                log(changes)
        return outcome._replace(waits=outcome.waits or scripts.waits)

    def _check_accounts(self) -> None:
        """Raises Refused if both the accounts file and its published copy are lost: then no file
        has the accounts, and their mail would be rejected."""
        file = Roster().accounts.format.file
        exists = os.path.exists(self._store.path(file))
        self._had_accounts = self._had_accounts or exists
        if self._had_accounts and not exists and not self._tables.have_copies():
            hint = f"restore it, or restart '{self._name}' to go on without accounts"
            raise Refused(f"{file} is missing, and so is its published copy; {hint}")

    def _finish_moves(self) -> None:
        """Completes or rolls back the moves of mailboxes that a rename has left."""
        if os.path.lexists(os.path.join(self._settings.config, MOVES)):
            leftovers.finish_moves(
                self._settings, self._layout, self._folder_roster, self._tables.copies.roster
            )

    def _folder_roster(self) -> Roster:
        return self._store.read().readable()

    def _identities(self) -> list[object]:
        """The identities of the config files, of the intents of commands, and of the folders of the
        tables."""
        layout = self._layout
        folders = (layout.tables, layout.sql, layout.sieve, layout.sieve_accounts, layout.intents)
        return [*self._folder_identities(), *map(identity, folders)]

    def _folder_identities(self) -> list[object]:
        """The identities of the config files."""
        files = [self._store.path(document.format.file) for _, document in Roster().documents()]
        scripts, pending = self._scripts.identities(), self._pending.identities()
        return [*map(identity, files), *scripts, *pending]
