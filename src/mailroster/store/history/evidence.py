"""Whether a change was made that was cut short: its files show it."""

from collections.abc import Callable

from mailroster.roster.roster import Roster
from mailroster.store.history.entry import FileChange, HistoryEntry

#: Gives the content of a file of the folder. Raises OSError.
Content = Callable[[str], bytes]


def was_made(entry: HistoryEntry, content: Content) -> bool:
    """Whether the change of an entry is in the files. All of these are old or all are new, except
    for what another program has saved since."""
    known = {document.format.file for document in Roster()}
    changes = [change for change in entry.files if change.file in known]
    try:
        contents = {change.file: content(change.file) for change in changes}
    except OSError:
        return False
    states = [_is_new(change, contents[change.file]) for change in changes]
    if True in states or False in states:
        return True in states
    return any(_has_lines(change, contents[change.file]) for change in changes)


def _is_new(change: FileChange, content: bytes) -> bool | None:
    """Whether a file is the new one; False for the old one, None for neither."""
    shift, old, new = 0, len(content) == change.old_size, len(content) == change.new_size
    for hunk in change.hunks:
        start = hunk.offset - shift
        old = old and content[start : start + len(hunk.removed)] == hunk.removed
        new = new and content[hunk.offset : hunk.offset + len(hunk.added)] == hunk.added
        shift += len(hunk.added) - len(hunk.removed)
    return new if new != old else None


def _has_lines(change: FileChange, content: bytes) -> bool:
    """Whether a file has the added lines; if there are none, whether it lacks the removed ones."""
    lines = set(content.split(b"\n"))
    added = {line for hunk in change.hunks for line in hunk.added.split(b"\n") if line}
    removed = {line for hunk in change.hunks for line in hunk.removed.split(b"\n") if line}
    return added <= lines if added else lines.isdisjoint(removed)
