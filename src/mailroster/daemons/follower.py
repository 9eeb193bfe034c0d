"""Follows the config folder: keeps the tables and the Sieve scripts of an instance in step with it.

What runs on does this beside servers (`up`), or for servers of somebody else (`watch`).
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from mailroster.app import leftovers
from mailroster.app.expire import Deadlines, clock_of, now, put_over
from mailroster.base.findings import Finding, Refused, ServerError, TryAgain
from mailroster.base.layout import MOVES, Layout
from mailroster.base.settings import Settings
from mailroster.daemons.file_events import hints
from mailroster.publish.damage import damaged
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.reconcile import Outcome, Tables, reconcile
from mailroster.roster.roster import Roster
from mailroster.servers import running
from mailroster.servers.overrides import Pending, ignored
from mailroster.servers.sieve import SieveScripts
from mailroster.servers.version import version
from mailroster.store.config_folder import Store
from mailroster.store.history.log import user_name
from mailroster.store.history.writer import author, command
from mailroster.store.overlay.overlay import Overlay
from mailroster.system import pid_file
from mailroster.system.files import ABSENT, identity, make_folder
from mailroster.system.folder_lock import FolderLock
from mailroster.system.log import Retry, log, words_of
from mailroster.system.stability import Settling
from mailroster.system.threads import patiently

#: Tables that were written are looked through this often at the most, and in this part of the time.
LOOK_S = 2.0
LOOK_SHARE = 50
#: What is over but can't be put into effect is tried again after this time.
TRY_AGAIN_S = 60.0
#: What changes at each reconciliation is left alone until the next hint after so many.
ROUNDS_MAX = 20
#: A look at the folders that takes longer is reported.
SLOW_S = 60.0
_QUIET = {"error": 0, "warn": 1}


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """The lock of the one `up` or `watch` of an instance; its file says which process that is."""
    make_folder(layout.state)
    if (pid := running.up_pid(layout)) is not None:
        raise Refused(_runs_already(layout, pid))
    try:
        fd = pid_file.claim(layout.up_pid)
    except BlockingIOError:
        raise Refused(_runs_already(layout, running.up_pid(layout))) from None
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    try:
        pid_file.write(fd)
        with suppress(FileNotFoundError):
            os.unlink(layout.old_up_pid)
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _runs_already(layout: Layout, pid: int | None) -> str:
    name = "watch" if layout.kind == "host" else "up"
    if pid is None:
        return f"another process keeps {layout.up_pid} locked; end it, then start again"
    return f"'mailroster {name}' runs here already, as process {pid}"


def _author(name: str) -> str:
    """Who changes what has come to its end date, as the history notes it."""
    uid = os.getuid()
    return author(uid, user_name(uid), "", command(["mailroster", name]))


class Follower:
    """What one process knows of a config folder, and of what is in force of it.

    `renew` and `follow` may be called from different threads: one of them works at a time.
    """

    def __init__(
        self, settings: Settings, layout: Layout, name: str = "up", *, observer: bool = True
    ) -> None:
        """`name`: the command that follows, as the history notes what it changes. `observer`: it
        looks again and again, and so sees itself how long a file stays as it is."""
        self._settings, self._layout, self._observer = settings, layout, observer
        self._open(name)
        self._name = name
        self._settling = Settling(settings.settle_seconds, observer=observer)
        self._overlay = Overlay(settings.source, settings.config) if settings.source else None
        self._apart: tuple[str, ...] = ()  # what of the source was told
        self._deadlines = Deadlines(self._store.path, opened=self._store.opened)
        self._clock = clock_of(self._store, layout)
        self._next_try = 0.0  # to put into effect what is over
        self._refusal = ""  # why that could not be done
        self._told: tuple[Finding, ...] = ()
        self._unnoted = ""
        self._turn = threading.Lock()  # whoever has it works on the tables
        self._had_accounts = False  # whether there was a file of accounts
        self._seen: list[object] = []  # what was in step when it was looked at last
        self._retry = Retry("not in step", "in step again")
        self._failed_at: list[object] = []  # the config folder at the last failure
        self._errands = {
            act: Retry(f"{what} failed", f"{what} works again")
            for act, what in (
                (self._bring, "bringing the overlay in step with its source"),
                (self._put_over, "putting end dates into effect"),
                (self._settle_moves, "moving renamed mail folders"),
                (self._drop_stale_database, "making Dovecot's database anew"),
            )
        }
        self._database_folder: object = None  # as it was when its log was looked at last
        self._next_look = 0.0  # at whether tables that were written are sound
        self._look_at_tables: _Look | None = None

    def _open(self, name: str) -> None:
        """Knows nothing yet of what is in the state folder."""
        self._fault = ""  # why the last reconciliation failed
        settings, layout, observer = self._settings, self._layout, self._observer
        copies = PublishedFiles(layout.served, index_from=settings.index_from_bytes)
        self._store = Store(
            settings.config, find=copies.current, history_bytes=settings.history_bytes,
            author=lambda: _author(name), linked=settings.linked(),
        )  # fmt: skip
        self._tables = Tables(layout, copies)
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

    def begin(self) -> bool:
        """Brings the tables in step, before anybody relies on them; whether time alone will bring
        more in force. Raises ServerError if there are none in the end."""
        for line in ignored(self._settings):
            log(line)
        s = self._settings
        self._tables.begin(s.hostname, version(), s.mail, s.postmaster_address)
        self._bring()
        self._put_over()
        outcome = self._reconcile()
        if outcome is None and not self._tables.can_serve():
            raise ServerError(f"no server can be started without tables: {self._fault}")
        return outcome is not None and outcome.waits

    def renew(self) -> None:
        """Makes the tables and the scripts anew after the state folder was lost, or a part of it.
        Raises as `begin` does, and Refused if the accounts are lost as well."""
        with self._turn:
            self._check_accounts()
            self._open(self._name)
            self._seen = []
            self.begin()
            self.compile_scripts()

    def _check_accounts(self) -> None:
        """Raises Refused if both the file of accounts and the copies of what is served are lost:
        nothing remembers the accounts then, and their mail would be refused for good."""
        file = Roster().accounts.format.file
        is_there = os.path.exists(self._store.path(file))
        self._had_accounts = self._had_accounts or is_there
        if self._had_accounts and not is_there and not self._tables.have_copy():
            hint = f"restore it, or start '{self._name}' anew if it is meant"
            raise Refused(f"{file} is gone, and so are the copies of what is served; {hint}")

    def compile_scripts(self) -> None:
        """Puts the Sieve scripts in force before there is mail, compiled by this Dovecot."""
        s = self._settings
        try:
            scripts = SieveScripts(s.config, self._layout, s.settle_seconds, linked=s.linked())
            scripts.reconcile(anew=True)
        except (TryAgain, ServerError) as error:
            log(f"not in step: {error}")

    async def follow(self) -> None:
        """Reconciles whenever a file has become another, or something that is held may pass;
        without end. Whatever fails is logged, and tried again later."""
        tables = (self._layout.tables, self._layout.sql)
        retry = Retry("the config folder can't be followed", "the config folder is followed again")
        while True:
            try:
                async for _ in hints(self._settings.config, tables, self._settings.source):
                    while await patiently(self._slow, SLOW_S, self.look):
                        await asyncio.sleep(self._settings.settle_seconds / 4)
                    retry.worked()
            except Exception as error:  # noqa: BLE001 - mail goes on, and so does the next look
                retry.failed(words_of(error))
            while not retry.is_due():
                await asyncio.sleep(0.2)

    def _slow(self) -> None:
        log(
            f"a look at {self._settings.config} takes more than {SLOW_S:g} s; changes wait: does a "
            f"file system not answer?"
        )

    def look(self) -> bool:
        """Brings in step what has changed since the last look; whether to look again soon, as
        something is held that time alone releases. Never raises."""
        with self._turn:
            try:
                return self._looked_at_all()
            except Exception as error:  # noqa: BLE001 - mail goes on, and so does the next look
                self._retry.failed(words_of(error))
                return False

    def _looked_at_all(self) -> bool:
        for act, retry in self._errands.items():
            _try(act, retry)
        broken = self._broken()
        for _ in range(ROUNDS_MAX):
            if (found := self._identities()) == self._seen and not broken:
                break
            folder = self._of_folder()
            if not self._retry.is_due(changed=folder != self._failed_at):
                return False
            try:
                outcome = self._reconciled(broken)
            except Exception as error:  # noqa: BLE001 - mail goes on, and so does the next look
                self._failed_at = folder
                self._retry.failed(error if isinstance(error, _EXPECTED) else words_of(error))
                return False
            self._retry.worked()
            broken = []
            if outcome.waits:
                return True
            self._seen = found
        return False

    def _bring(self) -> None:
        """Takes over what is new in the source, where the folder is an overlay, and tells what
        does not come."""
        if self._overlay is None:
            return
        try:
            if not self._overlay.bring():
                return
            apart = tuple(map(str, self._overlay.findings()))
        except (TryAgain, Refused) as error:
            apart = (str(error),)
        for text in apart:
            if text not in self._apart:
                log(text)
        self._apart = apart

    def _settle_moves(self) -> None:
        """Mail folders that a rename has left under way."""
        if os.path.lexists(os.path.join(self._settings.config, MOVES)):
            leftovers.finish_moves(self._settings, self._layout, self._says, self._serves)

    def _drop_stale_database(self) -> None:
        """Removes Dovecot's database if a log of it is lost that Dovecot has open: the next
        reconciliation makes a new one, and Dovecot serves the old one until then."""
        folder = identity(self._layout.sql)
        if folder in (ABSENT, self._database_folder):
            return
        from mailroster.servers.reopen import has_lost_log

        if has_lost_log(self._layout):
            with FolderLock(self._layout.state):  # another process may be replacing it
                if has_lost_log(self._layout):
                    log("the log of Dovecot's database is lost; the database is made anew")
                    os.unlink(self._layout.database)
        self._database_folder = folder

    def finish_deletions(self) -> None:
        """Deletes the mail that a killed 'setup email del' has left."""
        try:
            count = leftovers.finish_deletions(self._settings, self._says(), self._serves())
            if count:
                log(f"mail of deleted accounts that was left is deleted: {count}")
        except (TryAgain, Refused, OSError) as error:
            log(f"mail of deleted accounts is left: {error}")

    def _says(self) -> Roster:
        return self._store.read().readable()

    def _serves(self) -> Roster:
        return self._tables.copies.roster()

    def _identities(self) -> list[object]:
        """Of the folder's files, of what commands left to do, and of the folders of the tables."""
        layout = self._layout
        folders = (layout.tables, layout.sql, layout.sieve, layout.sieve_accounts, layout.asked)
        return [*self._of_folder(), *map(identity, folders)]

    def _of_folder(self) -> list[object]:
        """Of the files of the config folder."""
        files = [self._store.path(document.format.file) for _, document in Roster().documents()]
        found = [*map(identity, files), *self._scripts.identities()]
        return [*found, *self._pending.identities()]

    def _broken(self) -> list[str]:
        """Tables that somebody has damaged. A look takes a while: it is made now and then, and
        what it has found is told when it is over."""
        now = time.monotonic()
        look = self._look_at_tables
        if look is None and now >= self._next_look and (names := self._tables.suspects()):
            look = self._look_at_tables = _Look(lambda: damaged(self._layout, names))
        if look is None or look.is_alive():
            return []
        self._look_at_tables, self._next_look = None, now + max(LOOK_S, LOOK_SHARE * look.took_s)
        for name in look.found:
            log(f"the table {name} is damaged; it is made anew")
        return look.found

    def _put_over(self) -> None:
        """Puts into effect what has come to its end date, in the files; the next reconciliation
        sees it there."""
        moment = now()
        self._keep_clock()
        if time.monotonic() < self._next_try or not self._deadlines.due(moment):
            return
        if doubt := self._clock.doubt():
            if doubt != self._refusal:
                log(f"end dates wait: {doubt}")
            self._refusal = doubt
            return
        try:
            edited = put_over(self._store, self._tables, moment)
        except (TryAgain, Refused, ServerError) as error:
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

    def _keep_clock(self) -> None:
        """Notes the time, so that the next look knows whether the clock has jumped."""
        try:
            self._clock.keep()
        except OSError:
            pass  # the state folder can't be written: the reconciliation reports that

    def _reconcile(self) -> Outcome | None:
        """Reconciles; None if it has to be tried again."""
        try:
            return self._reconciled()
        except _EXPECTED as error:
            self._fault = str(error)
            log(f"not in step: {self._fault}")
            return None

    def _reconciled(self, broken: Collection[str] = ()) -> Outcome:
        """Reconciles and logs what is new about it. Raises as `reconcile` does."""
        _try(self._settle_moves, self._errands[self._settle_moves])
        self._check_accounts()
        outcome = reconcile(self._store, self._tables, self._layout, self._settling, broken=broken)
        scripts = self._scripts.reconcile()
        held = (*outcome.held, *scripts.findings, *self._pending.findings())
        findings = tuple(dict.fromkeys((*outcome.faults, *held)))
        for finding in findings:
            if finding not in self._told:
                log(str(finding))
        self._told = findings
        if outcome.unnoted and outcome.unnoted != self._unnoted:
            log(f"edits by hand are missing in the history: {outcome.unnoted}")
            self._unnoted = outcome.unnoted
        if self._settings.log_level not in _QUIET:
            for changes in filter(None, (outcome.described(), scripts.described())):
                log(changes)
        return outcome._replace(waits=outcome.waits or scripts.waits)


#: What a reconciliation raises for reasons that it names itself.
_EXPECTED = (TryAgain, Refused, ServerError)


def _try(act: Callable[[], None], retry: Retry) -> None:
    """Does something if its next try is due. Never raises: a failure is logged."""
    if not retry.is_due():
        return
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the rest goes on
        retry.failed(error if isinstance(error, _EXPECTED) else words_of(error))
    else:
        retry.worked()


class _Look(threading.Thread):
    """One search for damaged tables, in a thread that starts at once. A search that fails has
    found nothing: the next one is made all the same."""

    def __init__(self, search: Callable[[], list[str]]) -> None:
        super().__init__(name="look at tables", daemon=True)
        self._search = search
        self.found: list[str] = []
        self.took_s = 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self.found = self._search()
        except Exception as error:  # noqa: BLE001 - in a thread that nobody waits for
            log(f"the tables can't be searched for damage: {words_of(error)}")
        self.took_s = time.monotonic() - began
