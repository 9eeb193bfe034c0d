"""`setup log`: what was changed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from mailroster.base.address import fold
from mailroster.base.findings import NotUnderstood, printable
from mailroster.cli.call import Call, print_json
from mailroster.roster.plan import shown
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import Entry, FileChange, split

_SHOWN = 20
_NAMED = 10
#: What may stand in an address, so that one is not found inside of another.
_CHARS = b"abcdefghijklmnopqrstuvwxyz0123456789.-_+&'~"


def log(call: Call) -> int:
    """The newest changes first: who, when, by what; on request with their lines."""
    found: Iterator[Entry] = call.store().history()
    if call.arguments:
        found = _about(found, call.arguments[0])
    count = number(call.options.get("-n", str(_SHOWN)), "-n")
    entries = islice(found, count or None)
    patch = "--patch" in call.options
    if "--json" in call.options:
        print_json([_fields(entry, patch=patch) for entry in entries])
        return 0
    for entry in entries:
        print(line_of(entry))
        for change in entry.files:
            print(f"    {change.file}: {_counts(change)}")
            for line in _patch(change) if patch else ():
                print(f"    {line}")
    return 0


def number(text: str, name: str) -> int:
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


def line_of(entry: Entry) -> str:
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
