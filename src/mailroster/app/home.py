"""One mail server of this machine for use cases: its settings, its config folder, its tables, and
edits, which change the folder and then the tables."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.address import Address
from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import MOVES, Layout
from mailroster.base.settings import Settings
from mailroster.publish.published_files import PublishedFiles
from mailroster.roster.plan import Plan
from mailroster.store.config_folder import Store, TransactionResult
from mailroster.store.reader import Snapshot

if TYPE_CHECKING:
    from mailroster.app.pattern_matcher import PrefetchingMatcher
    from mailroster.publish.live_tables import LiveTables
    from mailroster.roster.roster import Roster
    from mailroster.routing.router import Router
    from mailroster.servers.mailboxes import MailFolder

#: A folder with this file is a config folder.
_ACCOUNTS_FILE = "postfix-accounts.cf"

#: A roster in, the edited roster out.
Edit = Callable[["Roster"], "Roster"]


class EditResult(NamedTuple):
    """The changes of an edit; of a dry run, those that it would make."""

    plan: Plan
    before: "Roster"
    after: "Roster"
    history_fault: str = ""  # why the history has no entry for it


class Home:
    """One mail server. `warn` gets each message that is no result; none contains a secret. `words`
    are the command line, for the history."""

    def __init__(
        self, settings: Settings, warn: Callable[[str], None], words: Sequence[str] = ()
    ) -> None:
        self.settings, self.warn, self._words = settings, warn, words
        self.layout = Layout(settings.state, settings.layout)
        self.copies = PublishedFiles(self.layout.served, index_from=settings.index_from_bytes)
        self._warned: set[str] = set()  # config folders with a warning that was given

    def derive(
        self, settings: Settings | None = None, words: Sequence[str] | None = None
    ) -> "Home":
        """A home with other settings, or for another command."""
        home = Home(settings or self.settings, self.warn, self._words if words is None else words)
        home._warned = self._warned
        return home

    # -- the parts

    def store(self) -> Store:
        return Store(
            self.settings.config,
            find=self.copies.current,
            history_bytes=self.settings.history_bytes,
            author=lambda: _author(self._words),
            linked=self.settings.linked(),
        )

    def tables(self) -> "LiveTables":
        from mailroster.publish.destinations import targets_of
        from mailroster.publish.live_tables import LiveTables

        return LiveTables(self.layout, targets_of(self.layout), self.copies)

    def mail_folder(self) -> "MailFolder":
        from mailroster.servers.mailboxes import mail_folder

        return mail_folder(self.settings)

    def is_served(self) -> bool:
        """Whether this home has tables, so that an edit can go live."""
        return os.path.isdir(self.layout.tables)

    def snapshot(self) -> Snapshot:
        """The config folder now, including the files that can't be read."""
        self.warn_of_folder()
        return self.store().read()

    def roster(self, *fields: str) -> "Roster":
        """The config folder now, for use cases that change nothing.

        Raises Refused if a file of `fields` can't be read, or any file if no field is named. A
        warning names each other unreadable file; its document is empty.
        """
        snapshot = self.snapshot()
        if not fields:
            return snapshot.readable()
        for field in snapshot.unreadable:
            if field not in fields:
                self.warn(f"warning: {snapshot.fault(field)}; this command ignores it")
        return snapshot.readable(fields)

    def live_roster(self) -> "Roster | None":
        """The roster that is served; None if no server was ever started."""
        tables = self.tables()
        return tables.copies.roster() if tables.exist() else None

    def warn_of_folder(self, *, makes: bool = False) -> None:
        """Warns once if this is probably not the intended config folder. `makes`: the command
        creates the folder and its files if they are missing."""
        config = self.settings.config
        if config in self._warned or os.path.exists(os.path.join(config, _ACCOUNTS_FILE)):
            return
        from mailroster.app.wrong_folder import warning

        if text := warning(config, makes=makes):
            self._warned.add(config)
            self.warn(f"warning: {text}")

    def patterns(self, roster: "Roster", addresses: Iterable[str] = ()) -> "PrefetchingMatcher":
        """A matcher for the patterns of a roster, which Postfix evaluates. It evaluates all of
        `addresses` at once."""
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
        """A router for a roster and these settings. Postfix evaluates the patterns: at once for the
        addresses that mail to `aliases` is likely to need. `patterns` is the matcher of an earlier
        router, with its results."""
        from mailroster.routing.router import Router
        from mailroster.servers.patterns import prefetch

        s = self.settings
        patterns = self.patterns(roster) if patterns is None else patterns
        router = Router(roster, s.hostname, patterns, postmaster=s.postmaster_address)
        prefetch(router, aliases)
        return router

    # -- edits

    def rehearse(self, edit: Edit, *, removals: bool = False, dry_run: bool = False) -> None:
        """Raises what an edit would raise, and changes nothing. `dry_run`: that edit will be a dry
        run."""
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

        `dry_run`: change nothing. `wait`: if False, the running server puts the edit in force.
        `removals`: delete accounts that vanished from their file. `before` is called while the
        folder is locked, before each attempt to write; `written` when the files are changed (in a
        dry run: when they would be), before the edit is in force.

        Raises what the edit raises; Refused and TryAgain as a transaction does; TryAgain if the
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
                tables.intents.announce(plan)
                if guarded.dropped:
                    tables.intents.record({"accounts": frozenset(guarded.dropped)})

        edited = store.transact(guarded, dry_run=dry_run, announce=announce)
        result = EditResult(edited.plan, edited.before, edited.after, edited.history_fault)
        written(result)
        if edited.plan.edits and tables is not None and wait and not dry_run:
            self.finish_moves()
            _make_live(self, store, tables, edited)
            self.finish_moves()
        return result

    def finish_moves(self) -> None:
        """Completes renames of mail folders that a crash has interrupted."""
        if os.path.lexists(os.path.join(self.settings.config, MOVES)):
            from mailroster.app.leftovers import finish_moves

            try:
                finish_moves(self.settings, self.layout, self.roster, self.live_roster)
            except Refused as error:
                self.warn(f"warning: {error}")


class _Guard:
    """An edit with a guard. It raises Refused if the accounts file has lost all of its accounts
    while they are still served: the new file would remove them for good. With `removals` it allows
    this, and `dropped` contains the accounts afterwards."""

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
            file, count = roster.accounts.format.file, len(lost)
            raise Refused(
                f"{file} has lost all of its accounts (still served: {count}); "
                "restore the file, or add --removals to delete the accounts"
            )
        self.dropped |= lost
        return after

    def _lost(self, before: "Roster", after: "Roster") -> frozenset[str]:
        from mailroster.publish.removal_guard import lost_by_edit

        if not self._home.is_served():
            return frozenset()
        tables = self._home.tables()
        if not tables.have_copies():
            return frozenset()
        intended = tables.intents.keys().get("accounts", frozenset())
        return lost_by_edit(self._home.copies.roster(), before, after, intended)


def _forget_deleted_mail(home: Home, plan: Plan) -> None:
    """Completes interrupted deletions of mailboxes whose accounts are added again: a new account
    never gets the old mail. Withdraws those of accounts that are removed now: they keep their mail,
    unless this edit deletes it, too."""
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


def _make_live(home: Home, store: Store, tables: "LiveTables", edited: TransactionResult) -> None:
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
    """The user and the command line for the history entry."""
    from mailroster.store.history.log import user_name
    from mailroster.store.history.writer import author, command

    uid, of_sudo = os.getuid(), (os.environ.get("SUDO_UID"), os.environ.get("SUDO_USER"))
    sudo = ":".join(word for word in of_sudo if word) if all(of_sudo) else ""
    return author(uid, user_name(uid), sudo, command(["setup", *words]))
