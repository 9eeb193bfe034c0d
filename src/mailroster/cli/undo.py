"""`setup undo`: a change taken back."""

import os
from itertools import islice

from mailroster.app.expire import now
from mailroster.base.address import account
from mailroster.base.address import split as split_at
from mailroster.base.findings import Fault, Refused
from mailroster.cli.call import Call, warn
from mailroster.cli.history import line_of, number
from mailroster.edits.expiry import is_over
from mailroster.roster.documents.notes import notes_of
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import ENDING, Roster
from mailroster.servers import former_owner, mailboxes
from mailroster.store.history.entry import Entry, split
from mailroster.store.history.undo import (
    Changed,
    comes_back,
    goes_away,
    is_untouched,
    renaming,
    revert,
    took_away,
)
from mailroster.system.programs import Captures

_NAMED = 10


def undo(call: Call) -> int:
    """A change taken back, as a change of its own."""
    entry, later = _wanted(call)
    call = call._replace(typed=["undo", str(entry.id)])

    def verb(roster: Roster) -> Roster:
        after = revert(roster, entry)
        _expandable(call, roster, after, entry)
        made.append(after)
        return after

    made: list[Roster] = []
    renamed = renaming(entry)
    try:
        if renamed is not None:
            from mailroster.cli.email_rename import edit_and_move
            from mailroster.servers.mailbox_moves import Move

            before, after = map(account, renamed)
            status = edit_and_move(call, verb, Move(after, before))
        else:
            status = call.edit(verb)
    except Changed as changed:
        raise Refused(f"{changed}{_since(later, changed)}; nothing was changed") from None
    if "--dry-run" not in call.options:
        print(f"undone: {line_of(entry)}", flush=True)  # before the warnings
        _tell_left(call, entry)
    _tell_over(made[-1], entry)
    if renamed is None and "--dry-run" not in call.options:
        _bring_scripts_back(call, entry)
    if renamed is None:
        _tell_mail(call, entry)
    return status


def _wanted(call: Call) -> tuple[Entry, list[Entry]]:
    """The entry that is to be undone, and those that came later."""
    wanted = number(call.arguments[0], "ID") if call.arguments else None
    later: list[Entry] = []
    for entry in call.store().history():
        if wanted is None or entry.id == wanted:
            return entry, later
        if wanted is not None and entry.id < wanted:
            break
        later.append(entry)
    if wanted is None:
        raise Refused("the history is empty: there is nothing to undo")
    raise Refused(f"there is no change {wanted} in the history; see 'setup log'")


# -- what it says, beyond that it is done


def _expandable(call: Call, before: Roster, after: Roster, entry: Entry) -> None:
    """Refused if an alias comes back that Postfix could not follow as the others are now."""
    changes = [change for change in entry.files if change.file == VIRTUAL.file]
    if not changes or is_untouched(before.virtual, changes[0]):
        return
    captured = Captures(after.regexp)
    router = call.router(after, captured)
    for key in took_away(VIRTUAL, entry):
        if (alias := after.virtual.get(key)) is not None:
            captured.prime([key, *alias.recipients])
            try:
                router.follow(key)
            except Fault as fault:
                raise Refused(f"{fault.what}; nothing was changed") from None


def _since(later: list[Entry], changed: Changed) -> str:
    """Which change has touched the lines of an older one."""
    for entry in later:  # the newest has the last word
        gone = [h.gone for c in entry.files if c.file == changed.file for h in c.hunks]
        if {line for raw in gone for line in split(raw)}.intersection(changed.lines):
            return f" since change {entry.id} ({entry.command})"
    return ""


def _tell_left(call: Call, entry: Entry) -> None:
    """What still names the accounts that an undo has taken away: it came later, or from others."""
    roster = call.roster()
    for key in islice(goes_away(ACCOUNTS, entry), _NAMED):
        left = ["its quota"] if key in roster.quotas else []
        left += [f"the alias {alias}" for alias in roster.virtual.keys_mentioning(*split_at(key))]
        if left:
            warn(f"warning: {key!r} is no account any more; {', '.join(left[:_NAMED])} stays")


def _tell_over(after: Roster, entry: Entry) -> None:
    """What comes back and ends again at once, since its date is over."""
    moment = now()
    for field in ENDING:
        document = getattr(after, field)
        for key in islice(took_away(document.format, entry), _NAMED):
            position = document.position(key)
            until = notes_of(document, position).until if position is not None else ""
            if is_over(until, moment):
                warn(f"warning: {key!r} has ended with {until}, and will again")


def _bring_scripts_back(call: Call, entry: Entry) -> None:
    """Puts the Sieve scripts back that 'email del -y' has taken away."""
    for key in comes_back(ACCOUNTS, entry):
        try:
            path = former_owner.bring_back(call.settings, account(key), entry.id)
        except Fault:
            continue
        if path:
            warn(f"{path} is back")


def _tell_mail(call: Call, entry: Entry) -> None:
    """What an undo can't bring back: of an account that comes again, the mail that was deleted."""
    keys = comes_back(ACCOUNTS, entry)
    without = []
    for key in keys:
        try:
            address = account(key)
        except Fault:
            continue
        if not os.path.lexists(mailboxes.folder(call.settings.mail, address)):
            without.append(address)
    if without:
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        names = ", ".join(without[:_NAMED]) + more
        warn(f"there is no mail of {names}: what 'email del -y' has deleted does not come back")
