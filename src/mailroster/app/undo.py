"""Undoes a change of the config folder with a new change."""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from mailroster.app.expire import now
from mailroster.app.home import Edit, EditResult, Home
from mailroster.base.address import Address, account
from mailroster.base.address import split as split_at
from mailroster.base.findings import ParseError, Refused
from mailroster.edits.expiry import has_expired
from mailroster.roster.documents.notes import notes_of
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import ENDING, Roster
from mailroster.servers import former_owner, mailboxes
from mailroster.store.history.entry import HistoryEntry, split
from mailroster.store.history.undo import (
    LinesChanged,
    added_keys,
    is_untouched,
    keys_of_removed_lines,
    removed_keys,
    renamed_account,
    revert,
)

#: The number of entries that are named in a message.
_NAMED = 10


class Undo(NamedTuple):
    """The change to be undone, and the later changes, the newest first."""

    entry: HistoryEntry
    later: list[HistoryEntry]

    def is_rename(self) -> bool:
        """Whether the change has renamed a mailbox, which moves back."""
        return renamed_account(self.entry) is not None


def find(home: Home, id: int | None) -> Undo:
    """The change with an ID, or the newest change. Raises Refused if there is none."""
    later: list[HistoryEntry] = []
    for entry in home.store().history():
        if id is None or entry.id == id:
            if not entry.files:
                raise Refused(
                    f"change {entry.id} ({entry.command}) has changed no config file; undo it by "
                    "'setup block add' or 'del', or give the ID of another change"
                )
            return Undo(entry, later)
        if entry.id < id:
            break
        later.append(entry)
    if id is None:
        raise Refused("the history is empty: there is nothing to undo")
    raise Refused(f"there is no change {id} in the history; see 'setup log'")


def edit_of(home: Home, undo: Undo) -> Edit:
    """The edit that undoes a change."""

    def edit(roster: Roster) -> Roster:
        after = revert(roster, undo.entry)
        _check_aliases(home, roster, after, undo.entry)
        return after

    return edit


def perform(
    home: Home,
    undo: Undo,
    edit: Edit,
    *,
    dry_run: bool,
    wait: bool,
    removals: bool,
    written: Callable[[EditResult], object],
) -> EditResult:
    """`Home.edit` for the edit of an undo; a renamed mailbox gets its old name. Raises Refused if
    later changes have touched the same lines."""
    home = home.derive(words=["undo", str(undo.entry.id)])
    renamed = renamed_account(undo.entry)
    try:
        if renamed is None:
            return home.edit(edit, dry_run=dry_run, wait=wait, removals=removals, written=written)
        from mailroster.app.rename import edit_and_move

        before, after = map(account, renamed)
        return edit_and_move(
            home, edit, after, before,
            dry_run=dry_run, wait=wait, removals=removals, written=written,
        )  # fmt: skip
    except LinesChanged as changed:
        raise Refused(f"{changed}{_since(undo.later, changed)}; nothing was changed") from None


def _check_aliases(home: Home, before: Roster, after: Roster, entry: HistoryEntry) -> None:
    """Raises Refused for a restored alias that Postfix could not expand now."""
    changes = [change for change in entry.files if change.file == VIRTUAL.file]
    if not changes or is_untouched(before.virtual, changes[0]):
        return
    router = home.router(after)
    for key in keys_of_removed_lines(VIRTUAL, entry):
        if key in after.virtual:
            try:
                router.follow(key)
            except ParseError as fault:
                raise Refused(f"{fault.message}; nothing was changed") from None


def _since(later: list[HistoryEntry], changed: LinesChanged) -> str:
    """The newest change that has touched the same lines, as ` since change ID (COMMAND)`."""
    for entry in later:
        removed = [h.removed for c in entry.files if c.file == changed.file for h in c.hunks]
        if {line for raw in removed for line in split(raw)}.intersection(changed.lines):
            return f" since change {entry.id} ({entry.command})"
    return ""


def moved_mailbox(home: Home, undo: Undo) -> tuple[str, str] | None:
    """The present and the future folder of a mailbox that moves back; None if there is none."""
    from mailroster.app.rename import folders

    renamed = renamed_account(undo.entry)
    return folders(home, account(renamed[1]), account(renamed[0])) if renamed else None


# -- what an undo does not remove, and what it can't restore


def entries_left(home: Home, undo: Undo) -> Iterator[tuple[str, list[str]]]:
    """Yields accounts that an undo has removed, and the entries that still name them, which other
    changes have added."""
    roster = home.roster()
    for key in islice(added_keys(ACCOUNTS, undo.entry), _NAMED):
        left = ["its quota"] if key in roster.quotas else []
        left += [f"the alias {alias}" for alias in roster.virtual.keys_mentioning(*split_at(key))]
        if left:
            yield key, left[:_NAMED]


def expired_entries(undo: Undo, after: Roster) -> Iterator[tuple[str, str]]:
    """Yields restored entries that expire again at once, since their end date is past."""
    moment = now()
    for field in ENDING:
        document = getattr(after, field)
        for key in islice(keys_of_removed_lines(document.format, undo.entry), _NAMED):
            position = document.position(key)
            until = notes_of(document, position).until if position is not None else ""
            if has_expired(until, moment):
                yield key, until
    for key in islice(keys_of_removed_lines(after.app_passwords.format, undo.entry), _NAMED):
        entry = after.app_passwords.get(key)
        if entry is not None and has_expired(entry.until, moment):
            yield key, entry.until


def restore_scripts(home: Home, undo: Undo) -> Iterator[str]:
    """Restores the Sieve scripts that 'email del -y' has removed, and yields their paths."""
    for address in _restored_accounts(undo):
        if path := former_owner.restore_script(home.settings, address, undo.entry.id):
            yield path


def without_mail(home: Home, undo: Undo) -> list[Address]:
    """The restored accounts whose mail 'email del -y' has deleted."""
    mail = home.settings.mail
    return [
        address
        for address in _restored_accounts(undo)
        if not os.path.lexists(mailboxes.folder(mail, address))
    ]


def _restored_accounts(undo: Undo) -> Iterator[Address]:
    for key in removed_keys(ACCOUNTS, undo.entry):
        try:
            yield account(key)
        except ParseError:
            continue
