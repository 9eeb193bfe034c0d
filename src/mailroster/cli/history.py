"""`setup log` and `setup undo`: what was changed, and taking it back."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from mailroster import mailstore
from mailroster.address import account, fold
from mailroster.address import split as split_at
from mailroster.cli.call import Call, print_json, warn
from mailroster.entry import Entry, FileChange, split
from mailroster.finding import Fault, NotUnderstood, Refused, printable
from mailroster.formats.accounts import ACCOUNTS
from mailroster.formats.virtual import VIRTUAL
from mailroster.plan import shown
from mailroster.resolve import Router
from mailroster.revert import (
    Changed,
    comes_back,
    goes_away,
    is_untouched,
    renaming,
    revert,
    took_away,
)
from mailroster.roster import Roster
from mailroster.services import Captures

_SHOWN = 20
_NAMED = 10
#: What may stand in an address, so that one is not found inside of another.
_CHARS = b"abcdefghijklmnopqrstuvwxyz0123456789.-_+&'~"


def log(call: Call) -> int:
    """The newest changes first: who, when, by what; on request with their lines."""
    found: Iterator[Entry] = call.store().history()
    if call.arguments:
        found = _about(found, call.arguments[0])
    count = _number(call.options.get("-n", str(_SHOWN)), "-n")
    entries = islice(found, count or None)
    patch = "--patch" in call.options
    if "--json" in call.options:
        print_json([_fields(entry, patch=patch) for entry in entries])
        return 0
    for entry in entries:
        print(_shown(entry))
        for change in entry.files:
            print(f"    {change.file}: {_counts(change)}")
            for line in _patch(change) if patch else ():
                print(f"    {line}")
    return 0


def undo(call: Call) -> int:
    """A change taken back, as a change of its own."""
    entry, later = _wanted(call)
    call = call._replace(typed=["undo", str(entry.id)])

    def verb(roster: Roster) -> Roster:
        after = revert(roster, entry)
        _expandable(call, roster, after, entry)
        return after

    renamed = renaming(entry)
    try:
        if renamed is not None:
            from mailroster.cli.renaming import edit_and_move
            from mailroster.moving import Move

            before, after = map(account, renamed)
            status = edit_and_move(call, verb, Move(after, before))
        else:
            status = call.edit(verb)
    except Changed as changed:
        raise Refused(f"{changed}{_since(later, changed)}; nothing was changed") from None
    if "--dry-run" not in call.options:
        print(f"undone: {_shown(entry)}", flush=True)  # before the warnings
        _tell_left(call, entry)
    _tell_mail(call, entry)
    return status


# -- which entry


def _wanted(call: Call) -> tuple[Entry, list[Entry]]:
    """The entry that is to be undone, and those that came later."""
    number = _number(call.arguments[0], "ID") if call.arguments else None
    later: list[Entry] = []
    for entry in call.store().history():
        if number is None or entry.id == number:
            return entry, later
        if number is not None and entry.id < number:
            break
        later.append(entry)
    if number is None:
        raise Refused("the history is empty: there is nothing to undo")
    raise Refused(f"there is no change {number} in the history; see 'setup log'")


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotUnderstood(f"{name}: {text!r} is not a number")
    return int(text)


def _about(entries: Iterable[Entry], address: str) -> Iterator[Entry]:
    """Those whose command or lines name an address, in any case."""
    words = {address.lower(), fold(address)}
    wanted = [word.encode("utf-8", "surrogateescape") for word in words if word]
    for entry in entries:
        if any(_names(text.encode(), word) for text in _all_texts(entry) for word in wanted):
            yield entry


def _all_texts(entry: Entry) -> Iterator[str]:
    """Its command and its lines, as they may be shown."""
    yield entry.command
    for change in entry.files:
        hidden = _hiding(change.file)
        for hunk in change.hunks:
            yield from _texts(hunk.gone, hidden)
            yield from _texts(hunk.come, hidden)


def _names(raw: bytes, word: bytes) -> bool:
    """Whether a word stands in some bytes, and is no part of a longer address."""
    raw = raw.lower()
    place = raw.find(word)
    while place >= 0:
        end = place + len(word)
        before = b"" if word.startswith(b"@") else raw[max(0, place - 1) : place]
        if not any(char in _CHARS for char in before + raw[end : end + 1]):
            return True
        place = raw.find(word, place + 1)
    return False


# -- what is said


def _shown(entry: Entry) -> str:
    return f"{entry.id} {entry.time} {entry.who()}: {printable(entry.command)}"


def _counts(change: FileChange) -> str:
    words = [f"{n} {what}" for n, what in ((change.gone, "removed"), (change.come, "added")) if n]
    kept = " (too many to be kept; can't be undone)" if change.short else ""
    return ", ".join(words) + kept


def _patch(change: FileChange) -> Iterator[str]:
    """The lines that went and came, as they may be shown."""
    hidden = _hiding(change.file)
    for hunk in change.hunks:
        yield f"line {hunk.line}:" if hunk.line else f"at octet {hunk.offset}:"
        for mark, raw in (("-", hunk.gone), ("+", hunk.come)):
            yield from (f"{mark}{text}" for text in _texts(raw, hidden))


def _texts(raw: bytes, hidden: Callable[[str], str]) -> list[str]:
    return [shown(hidden(line.decode("utf-8", "backslashreplace"))) for line in split(raw)]


def _hiding(file: str) -> Callable[[str], str]:
    """Hides the secrets in the lines of a file; of one that is unknown here all of it."""
    known = {document.format.file: document.format.hidden for document in Roster()}
    return known.get(file, lambda line: "…")


def _fields(entry: Entry, *, patch: bool) -> dict[str, object]:
    """An entry as --json shows it."""
    sudo_uid, _, sudo_user = entry.sudo.partition(":")
    return {
        "id": entry.id,
        "time": entry.time,
        "uid": entry.uid,
        "user": entry.user or None,
        "sudo": {"uid": int(sudo_uid), "user": sudo_user} if sudo_uid.isdecimal() else None,
        "command": None if entry.by_hand else entry.command,
        "by_hand": entry.by_hand,
        "files": [_file_fields(change, patch=patch) for change in entry.files],
    }


def _file_fields(change: FileChange, *, patch: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "file": change.file,
        "removed": change.gone,
        "added": change.come,
        "can_be_undone": not change.short,
    }
    if patch:
        hidden = _hiding(change.file)
        fields["places"] = [
            {
                "line": hunk.line or None,
                "offset": hunk.offset,
                "removed": _texts(hunk.gone, hidden),
                "added": _texts(hunk.come, hidden),
            }
            for hunk in change.hunks
        ]
    return fields


# -- what an undo says, beyond that it is done


def _expandable(call: Call, before: Roster, after: Roster, entry: Entry) -> None:
    """Refused if an alias comes back that Postfix could not follow as the others are now."""
    changes = [change for change in entry.files if change.file == VIRTUAL.file]
    if not changes or is_untouched(before.virtual, changes[0]):
        return
    captured = Captures(after.regexp)
    router = Router(after, call.settings.hostname, captured)
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


def _tell_mail(call: Call, entry: Entry) -> None:
    """What an undo can't bring back: of an account that comes again, the mail that was deleted."""
    keys = comes_back(ACCOUNTS, entry)
    without = []
    for key in keys:
        try:
            address = account(key)
        except Fault:
            continue
        if not os.path.lexists(mailstore.folder(call.settings.mail, address)):
            without.append(address)
    if without:
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        names = ", ".join(without[:_NAMED]) + more
        warn(f"there is no mail of {names}: what 'email del -y' has deleted does not come back")
