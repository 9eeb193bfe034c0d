"""What a command has at hand: its arguments, the settings, the folder, and the way to make a
change live."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from mailroster.base import address
from mailroster.base.findings import Busy, Fault, NotUnderstood, Refused, ServiceFailed
from mailroster.base.layout import Layout
from mailroster.base.named_tuple import NamedTuple
from mailroster.base.settings import (
    LINKED,
    NOWHERE,
    Settings,
    Sources,
    UnsafeDefault,
    config_folders,
    linked_folders,
    load,
)
from mailroster.publish.published_files import Served
from mailroster.roster.plan import Plan
from mailroster.servers.in_force import applied
from mailroster.store.config_folder import Edited, Store
from mailroster.store.links import ConfigFolder
from mailroster.store.transaction import MOVES
from mailroster.system.files import SMALL_MAX_BYTES, read_small

if TYPE_CHECKING:
    from mailroster.base.findings import Finding
    from mailroster.cli.grammar import Invocation
    from mailroster.publish.reconcile import Tables
    from mailroster.roster.roster import Roster
    from mailroster.routing.router import Router
    from mailroster.servers.mailboxes import MailFolder


T = TypeVar("T", bound=str)
#: Commands to which the settings count that a start would have, not those of a running instance.
_STARTING = (("up",), ("watch",), ("tables",), ("integrate",), ("adopt",))
#: Where this is, nobody asks whether the folder is one of ours.
_USUAL_FILE = "postfix-accounts.cf"


class Call(NamedTuple):
    """One invocation of a command."""

    arguments: list[str]
    options: dict[str, str]
    settings: Settings
    copies: Served
    warned: set[str]  # folders of which the user has been warned
    typed: Sequence[str] = ()  # the words of the command, but for secrets

    @classmethod
    def of(cls, found: "Invocation") -> "Call":
        edits = any(option.name == "--dry-run" for option in found.command.options)
        if edits and "--json" in found.options and "--dry-run" not in found.options:
            raise NotUnderstood("--json shows what a change would do: it goes with --dry-run")
        # `--smtp-port` is the setting `smtp_port`; an option that is no setting is not looked at.
        named = {name[2:].replace("-", "_"): value for name, value in found.options.items()}
        options = {**named, **found.settings}
        settings = _settings(options, found.command.folders)
        if found.command.words not in _STARTING:
            settings = applied(settings, Layout(settings.state, settings.layout), options)
        address.use_delimiters(settings.recipient_delimiter)
        copies = Served(
            Layout(settings.state, settings.layout).served, index_from=settings.index_from_bytes
        )
        return cls(found.arguments, found.options, settings, copies, set(), found.typed)

    def store(self) -> Store:
        return Store(
            self.settings.config,
            find=self.copies.current,
            history_bytes=self.settings.history_bytes,
            author=self._author,
            linked=self.settings.linked(),
        )

    def _author(self) -> str:
        """Who runs the command, and which it is, as the history notes it."""
        from mailroster.store.history.log import user_name
        from mailroster.store.history.writer import author, command

        uid, of_sudo = os.getuid(), (os.environ.get("SUDO_UID"), os.environ.get("SUDO_USER"))
        sudo = ":".join(word for word in of_sudo if word) if all(of_sudo) else ""
        return author(uid, user_name(uid), sudo, command(["setup", *self.typed]))

    def tables(self) -> "Tables":
        from mailroster.publish.reconcile import Tables

        return Tables(self.layout(), self.copies)

    def layout(self) -> Layout:
        return Layout(self.settings.state, self.settings.layout)

    def is_served(self) -> bool:
        """Whether there are tables of this home, so that a change can be live."""
        return os.path.isdir(self.layout().tables)

    def roster(self, *fields: str) -> "Roster":
        """The folder as it stands, for commands that only look.

        Raises Refused if the file of one of `fields` can't be read, of any field if none is given.
        A warning names each other file that can't be read; its document is empty.
        """
        self.warn_of_folder()
        snapshot = self.store().read()
        if not fields:
            return snapshot.readable()
        for field in snapshot.unreadable:
            if field not in fields:
                warn(f"warning: {snapshot.fault(field)}; this command goes on without it")
        return snapshot.readable(fields)

    def warn_of_folder(self, *, makes: bool = False) -> None:
        """Prints a warning if the config folder is probably not the one that was meant; once.
        `makes`: the command makes what is missing."""
        config = self.settings.config
        if config in self.warned or os.path.exists(os.path.join(config, _USUAL_FILE)):
            return
        from mailroster.cli.wrong_folder import warning

        if text := warning(config, makes=makes):
            self.warned.add(config)
            warn(f"warning: {text}")

    def router(
        self, roster: "Roster", captured: "Callable[[str], str | None] | None" = None
    ) -> "Router":
        """The routes of a roster by these settings. `captured` says what the patterns take; without
        it Postfix is asked."""
        from mailroster.routing.router import Router
        from mailroster.system.programs import Captures

        s = self.settings
        captured = Captures(roster.regexp) if captured is None else captured
        return Router(roster, s.hostname, captured, postmaster=s.postmaster_address)

    def rehearse(self, verb: Callable[["Roster"], "Roster"]) -> None:
        """Raises what an edit would raise, and changes nothing."""
        self.store().transact(self._guarded(verb), dry_run=True)

    def edit(
        self,
        verb: Callable[["Roster"], "Roster"],
        before: Callable[[], object] = lambda: None,
        done: Callable[[], object] = lambda: None,
        deletes: Sequence[str] = (),
        *,
        judged: bool = False,
    ) -> int:
        """Puts an edit into the folder and in force; a dry run shows what it would do instead.
        Returns the exit status.

        `before` is called with the folder locked when the edit is sure to be tried, perhaps again;
        `done` once the files are changed, whether or not that goes live. `deletes`: folders that
        the caller deletes behind it. `judged`: what `check` says about the new entry is printed.
        """
        store, dry_run = self.store(), "--dry-run" in self.options
        if not dry_run:
            self.settle_moves()
        tables = self.tables() if self.is_served() else None
        dropped: set[str] = set()

        def announce(plan: Plan) -> None:
            self._forget_deleted_mail(plan)
            before()
            if tables is not None:
                tables.announce(plan)
                if dropped:
                    tables.note({"accounts": frozenset(dropped)})

        edited = store.transact(self._guarded(verb, dropped), dry_run=dry_run, announce=announce)
        if edited.plan.edits and not dry_run:
            done()
        if edited.unnoted:
            warn(f"warning: the change is made, but missing in the history: {edited.unnoted}")
        if judged and edited.plan.edits:
            from mailroster.cli.new_findings import warn_of_new

            warn_of_new(self, edited.plan, edited.before, edited.after)
        if dry_run:
            from mailroster.cli import preview

            found = preview.foreseen(self, edited.before, edited.after)
            preview.show(self, edited.plan, found, deletes=deletes)
        elif edited.plan.edits and tables is not None and "--no-wait" not in self.options:
            self.settle_moves()
            self._make_live(store, tables, edited)
            self.settle_moves()
        return 0

    def _guarded(
        self, verb: Callable[["Roster"], "Roster"], dropped: set[str] | None = None
    ) -> Callable[["Roster"], "Roster"]:
        """A verb that raises Refused where the accounts file has lost all of its accounts, they are
        still served, and the edit would make a file without them: then they would be gone for good.

        With `--removals` they go into `dropped` instead.
        """

        def guarded(roster: "Roster") -> "Roster":
            after = verb(roster)
            if "--dry-run" not in self.options:
                self.warn_of_folder(makes=True)
            if roster.accounts.size_hint() or not after.accounts.size_hint():
                return after
            lost = self._vanished(roster, after)
            if lost and "--removals" not in self.options:
                file, many = roster.accounts.format.file, len(lost)
                raise Refused(
                    f"{file} has lost all of its accounts (still served: {many}); "
                    "restore the file, or add --removals if they are meant to go"
                )
            if dropped is not None:
                dropped.update(lost)
            return after

        return guarded

    def _vanished(self, before: "Roster", after: "Roster") -> frozenset[str]:
        from mailroster.publish.removal_guard import vanished

        if not self.is_served():
            return frozenset()
        tables = self.tables()
        if not tables.have_copy():
            return frozenset()
        asked = tables.noted()[1].get("accounts", frozenset())
        return vanished(self.copies.roster(), before, after, asked)

    def says_notes(self) -> bool:
        """Whether `--comment` or `--until` says something about an entry."""
        return "--comment" in self.options or "--until" in self.options

    def annotating(
        self, verb: Callable[["Roster"], "Roster"], field: str, key: str
    ) -> Callable[["Roster"], "Roster"]:
        """A verb that also notes about the entry of a key what the options say."""
        if not self.says_notes():
            return verb
        from mailroster.cli.notes import said
        from mailroster.edits.notes import annotate

        about = said(self)
        return lambda roster: annotate(verb(roster), field, key, about)

    def settle_moves(self) -> None:
        """Mail folders that a rename has left under way, which hardly ever are any."""
        if os.path.lexists(os.path.join(self.settings.config, MOVES)):
            from mailroster.cli.email_rename import settle

            settle(self)

    def mail_folder(self) -> "MailFolder":
        from mailroster.servers.mailboxes import mail_folder

        return mail_folder(self.settings)

    def _forget_deleted_mail(self, plan: Plan) -> None:
        """An account that is added never gets the mail of one whose deletion was cut short; one
        that goes keeps its mail, unless that is to be deleted this time."""
        edit = next((edit for edit in plan.edits if edit.field == "accounts"), None)
        if edit is None or not os.path.isdir(self.settings.mail):
            return
        mail = self.mail_folder()
        keys = [address.Address(key) for key in plan.keys["accounts"] if "/" not in key]
        changed = [key for key in keys if (key in edit.after) != (key in edit.before)]
        if announced := [key for key in changed if mail.is_announced(key)]:
            from mailroster.cli.deletion import forget

            forget(self, [key for key in announced if key in edit.after])
            if kept := [key for key in announced if key in edit.before]:
                mail.withdraw(kept)

    def _make_live(self, store: Store, tables: "Tables", edited: Edited) -> None:
        from mailroster.publish.reconcile import converge
        from mailroster.system.stability import Settling

        try:
            settling = Settling(self.settings.settle_seconds)
            converge(store, tables, self.layout(), settling, edited=edited)
        except (Busy, Refused, ServiceFailed, OSError) as error:
            raise Busy(
                f"the files are changed, but the change is not live yet: {error}; "
                "the running server will put it in force, or run 'setup apply'"
            ) from error


def _settings(options: Mapping[str, str], folders: str) -> Settings:
    """The settings of a command that uses the folders in one of the ways of cli.grammar. Raises
    NotUnderstood, and Refused for a default folder that is not safe."""
    from mailroster.cli.grammar import OPTIONAL, UNUSED

    without = {**options, "home": NOWHERE}
    if folders == UNUSED:
        return load(sources_of(without, {}))
    sources = sources_of(options, os.environ)
    try:
        config, source = config_folders(sources)
        if source:
            _bring(source, config, linked_folders(sources.given(LINKED) or ""))
        return load(sources)
    except UnsafeDefault:
        if folders != OPTIONAL:
            raise
        return load(sources_of(without, os.environ))


def sources_of(options: Mapping[str, str], environment: Mapping[str, str]) -> Sources:
    """Sources of settings on this machine, for the user who runs the command."""

    def fault(path: str, owned: bool) -> tuple[str, bool]:
        from mailroster.system import folder_trust  # 1 ms: only where a folder is not named

        uid = os.geteuid()
        also = folder_trust.sudo_user(uid, environment)
        return folder_trust.judge(path, uid, owned=owned, also=also)

    def in_container() -> bool:
        from mailroster.system import folder_trust

        return folder_trust.in_container()

    path = os.path
    return Sources(
        options, environment, read_small, path.isdir, fault, in_container, path.ismount,
        path.isfile, read_there,
    )  # fmt: skip


def read_there(config: str, file: str, linked: Sequence[str]) -> bytes:
    """The bytes of a file of a config folder (Sources.read_there)."""
    return ConfigFolder(config, tuple(linked)).look(file, SMALL_MAX_BYTES)[0]


def _bring(source: str, overlay: str, linked: Sequence[str]) -> None:
    """Takes over what is new in the source of an overlay, first of all: settings are there too."""
    from mailroster.store.overlay.overlay import Overlay
    from mailroster.store.overlay.source import names

    try:
        Overlay(source, overlay, linked=linked).bring()
    except (Busy, Refused) as error:
        if not os.path.isdir(overlay) or not names(overlay):
            raise
        warn(f"warning: {error}")


def account_address(text: str) -> address.Address:
    """An account's address as typed; a warning tells if upper case was folded. Raises Fault."""
    return _told(text, address.account(text))


def alias_key(text: str) -> str:
    return _told(text, address.alias(text))


def restriction_key(text: str) -> str:
    return _told(text, address.access(text))


def domain_key(text: str) -> str:
    """A domain as `@domain`, typed with the `@` or without it. Raises Fault."""
    domain = text.removeprefix("@")
    try:
        folded = address.fold_domain(domain)
    except Fault as fault:
        raise Fault(fault.code, fault.what, "write it as example.com") from None
    return _told(f"@{domain}", f"@{folded}")


def recipients(text: str, judge: Callable[[str], str] = address.recipient) -> list[str]:
    """`RECIPIENT[,RECIPIENT…]`, each in lower case. Raises Fault or NotUnderstood."""
    words = [word for word in text.replace(",", " ").split() if word]
    if not words:
        raise NotUnderstood("there is no recipient")
    return [_told(word, judge(word.lower())) for word in words]


def any_address(text: str, origin: str) -> str:
    """An address to which mail may be sent, with its domain. Raises Fault or NotUnderstood."""
    found = address.recipient(text)
    if found[0] == "@":
        raise NotUnderstood(f"{found!r} is a whole domain; name one address, as anybody{found}")
    return address.qualified(found, origin)


def warn(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr)


def print_list(blocks: list[str]) -> None:
    """Entries for people, an empty line between them."""
    if blocks:
        print("\n\n".join(blocks))


def finding_fields(finding: "Finding") -> dict[str, object]:
    """A finding as --json shows it."""
    return {**finding._asdict(), "where": finding.where._asdict()}


def print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def _told(text: str, folded: T) -> T:
    if text != folded and text.lower() != text:
        warn(f"warning: {text!r} is taken in lower case, as {str(folded)!r}")
    return folded
