"""One mail server of this machine, as a use case sees it: its settings, its config folder, what is
served of it, and the way of an edit from the folder into force."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.address import Address
from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import MOVES, Layout
from mailroster.base.settings import Settings
from mailroster.publish.published_files import PublishedFiles
from mailroster.roster.plan import Plan
from mailroster.store.config_folder import Edited, Snapshot, Store

if TYPE_CHECKING:
    from mailroster.app.pattern_matcher import PrefetchingMatcher
    from mailroster.publish.reconcile import Tables
    from mailroster.roster.roster import Roster
    from mailroster.routing.router import Router
    from mailroster.servers.mailboxes import MailFolder

#: A folder with this file is a config folder.
_USUAL_FILE = "postfix-accounts.cf"

#: A roster in, the edited roster out.
Edit = Callable[["Roster"], "Roster"]


class EditResult(NamedTuple):
    """What an edit has changed, or in a dry run would change."""

    plan: Plan
    before: "Roster"
    after: "Roster"
    history_fault: str = ""  # why the history has no entry of it


class Home:
    """`warn` gets each message that is no result, and never a secret. `words` are those of the
    command that acts, for the history."""

    def __init__(
        self, settings: Settings, warn: Callable[[str], None], words: Sequence[str] = ()
    ) -> None:
        self.settings, self.warn, self._words = settings, warn, words
        self.layout = Layout(settings.state, settings.layout)
        self.copies = PublishedFiles(self.layout.served, index_from=settings.index_from_bytes)
        self._warned: set[str] = set()  # config folders of which a warning was given

    def changed(
        self, settings: Settings | None = None, words: Sequence[str] | None = None
    ) -> "Home":
        """The home of other settings, or of a command of other words."""
        home = Home(settings or self.settings, self.warn, self._words if words is None else words)
        home._warned = self._warned
        return home

    # -- what is there

    def store(self) -> Store:
        return Store(
            self.settings.config,
            find=self.copies.current,
            history_bytes=self.settings.history_bytes,
            author=lambda: _author(self._words),
            linked=self.settings.linked(),
        )

    def tables(self) -> "Tables":
        from mailroster.publish.reconcile import Tables

        return Tables(self.layout, self.copies)

    def mail_folder(self) -> "MailFolder":
        from mailroster.servers.mailboxes import mail_folder

        return mail_folder(self.settings)

    def is_served(self) -> bool:
        """Whether there are tables of this home, so that a change can be live."""
        return os.path.isdir(self.layout.tables)

    def snapshot(self) -> Snapshot:
        """The config folder as it is, files that can't be read included."""
        self.warn_of_folder()
        return self.store().read()

    def roster(self, *fields: str) -> "Roster":
        """The config folder as it is, for use cases that only look.

        Raises Refused if the file of one of `fields` can't be read, of any field if none is given.
        A warning names each other file that can't be read; its document is empty.
        """
        snapshot = self.snapshot()
        if not fields:
            return snapshot.readable()
        for field in snapshot.unreadable:
            if field not in fields:
                self.warn(f"warning: {snapshot.fault(field)}; this command goes on without it")
        return snapshot.readable(fields)

    def live_roster(self) -> "Roster | None":
        """What is served; None if no server was ever started."""
        tables = self.tables()
        return tables.copies.roster() if tables.exist() else None

    def warn_of_folder(self, *, makes: bool = False) -> None:
        """Warns once if the config folder is probably not the one that was meant. `makes`: the
        command makes what is missing."""
        config = self.settings.config
        if config in self._warned or os.path.exists(os.path.join(config, _USUAL_FILE)):
            return
        from mailroster.app.wrong_folder import warning

        if text := warning(config, makes=makes):
            self._warned.add(config)
            self.warn(f"warning: {text}")

    def patterns(self, roster: "Roster", addresses: Iterable[str] = ()) -> "PrefetchingMatcher":
        """What the patterns of a roster make of an address, as Postfix evaluates them; it is asked
        for all of `addresses`, which may be on no route yet, at once."""
        from mailroster.app.pattern_matcher import PrefetchingMatcher

        matcher = PrefetchingMatcher(roster, self.settings.hostname)
        matcher.prefetch(addresses)
        return matcher

    def router(
        self,
        roster: "Roster",
        aliases: Iterable[str] = (),
        patterns: "PrefetchingMatcher | None" = None,
    ) -> "Router":
        """The routes of a roster by these settings. Postfix evaluates the patterns; it is asked at
        once for all that mail to `aliases`, a large part of all, is likely to need. `patterns` has
        the answers of an earlier router."""
        from mailroster.routing.router import Router
        from mailroster.servers.patterns import prefetch

        s = self.settings
        patterns = self.patterns(roster) if patterns is None else patterns
        router = Router(roster, s.hostname, patterns, postmaster=s.postmaster_address)
        prefetch(router, aliases)
        return router

    # -- edits

    def rehearse(self, edit: Edit, *, removals: bool = False, dry_run: bool = False) -> None:
        """Raises what an edit would raise, and changes nothing. `dry_run`: the edit itself will be
        one too."""
        guarded = _Guard(self, edit, removals=removals, dry_run=dry_run)
        self.store().transact(guarded, dry_run=True)

    def edit(
        self,
        edit: Edit,
        *,
        dry_run: bool = False,
        wait: bool = True,
        removals: bool = False,
        before: Callable[[], object] = lambda: None,
        written: Callable[[EditResult], object] = lambda result: None,
    ) -> EditResult:
        """Writes an edit to the config folder and puts it in force.

        `dry_run`: changes nothing. `wait`: without it the running server puts the edit in force.
        `removals`: accounts that vanished from their file may go. `before` is called with the
        folder locked when the edit is sure to be tried, perhaps again; `written` when the files are
        changed, or in a dry run would be, and the edit is not in force yet.

        Raises what the edit raises; Refused and TryAgain as a transaction does, and TryAgain if the
        files are changed but the change can't be put in force.
        """
        if not dry_run:
            self.finish_moves()
        store = self.store()
        tables = self.tables() if self.is_served() else None
        guarded = _Guard(self, edit, removals=removals, dry_run=dry_run)

        def announce(plan: Plan) -> None:
            _forget_deleted_mail(self, plan)
            before()
            if tables is not None:
                tables.announce(plan)
                if guarded.dropped:
                    tables.note({"accounts": frozenset(guarded.dropped)})

        edited = store.transact(guarded, dry_run=dry_run, announce=announce)
        result = EditResult(edited.plan, edited.before, edited.after, edited.unnoted)
        written(result)
        if edited.plan.edits and tables is not None and wait and not dry_run:
            self.finish_moves()
            _make_live(self, store, tables, edited)
            self.finish_moves()
        return result

    def finish_moves(self) -> None:
        """Mail folders that a rename has left under way, which hardly ever are any."""
        if os.path.lexists(os.path.join(self.settings.config, MOVES)):
            from mailroster.app.leftovers import finish_moves

            try:
                finish_moves(self.settings, self.layout, self.roster, self.live_roster)
            except Refused as error:
                self.warn(f"warning: {error}")


class _Guard:
    """An edit that raises Refused where the accounts file has lost all of its accounts, they are
    still served, and the edit would make a file without them, which would remove them for good.
    With `removals` they are in `dropped` afterwards."""

    def __init__(self, home: Home, edit: Edit, *, removals: bool, dry_run: bool) -> None:
        self._home, self._edit, self._removals, self._dry_run = home, edit, removals, dry_run
        self.dropped: set[str] = set()

    def __call__(self, roster: "Roster") -> "Roster":
        after = self._edit(roster)
        if not self._dry_run:
            self._home.warn_of_folder(makes=True)
        if roster.accounts.size_hint() or not after.accounts.size_hint():
            return after
        lost = self._lost(roster, after)
        if lost and not self._removals:
            file, many = roster.accounts.format.file, len(lost)
            raise Refused(
                f"{file} has lost all of its accounts (still served: {many}); "
                "restore the file, or add --removals if they are meant to go"
            )
        self.dropped |= lost
        return after

    def _lost(self, before: "Roster", after: "Roster") -> frozenset[str]:
        from mailroster.publish.removal_guard import vanished

        if not self._home.is_served():
            return frozenset()
        tables = self._home.tables()
        if not tables.have_copy():
            return frozenset()
        asked = tables.noted()[1].get("accounts", frozenset())
        return vanished(self._home.copies.roster(), before, after, asked)


def _forget_deleted_mail(home: Home, plan: Plan) -> None:
    """An account that is added never gets the mail of one whose deletion was cut short; one that
    goes keeps its mail, unless that is to be deleted this time."""
    edit = next((edit for edit in plan.edits if edit.field == "accounts"), None)
    if edit is None or not os.path.isdir(home.settings.mail):
        return
    mail = home.mail_folder()
    keys = [Address(key) for key in plan.keys["accounts"] if "/" not in key]
    changed = [key for key in keys if (key in edit.after) != (key in edit.before)]
    if announced := [key for key in changed if mail.is_announced(key)]:
        from mailroster.app.leftovers import delete_mailboxes

        delete_mailboxes(mail, [key for key in announced if key in edit.after])
        if kept := [key for key in announced if key in edit.before]:
            mail.withdraw(kept)


def _make_live(home: Home, store: Store, tables: "Tables", edited: Edited) -> None:
    from mailroster.publish.reconcile import reconcile
    from mailroster.system.stability import Settling

    try:
        settling = Settling(home.settings.settle_seconds)
        reconcile(store, tables, home.layout, settling, edited=edited)
    except (TryAgain, Refused, ServerError, OSError) as error:
        raise TryAgain(
            f"the files are changed, but the change is not live yet: {error}; "
            "the running server will put it in force, or run 'setup apply'"
        ) from error


def _author(words: Sequence[str]) -> str:
    """Who runs a command, and which it is, as the history notes it."""
    from mailroster.store.history.log import user_name
    from mailroster.store.history.writer import author, command

    uid, of_sudo = os.getuid(), (os.environ.get("SUDO_UID"), os.environ.get("SUDO_USER"))
    sudo = ":".join(word for word in of_sudo if word) if all(of_sudo) else ""
    return author(uid, user_name(uid), sudo, command(["setup", *words]))
