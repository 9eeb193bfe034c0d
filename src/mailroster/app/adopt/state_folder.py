"""The state folder of a docker-mailserver: what waits in its queue, and whether ours fits in."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from mailroster.app.adopt.remark import FIX, NOTE, Remark, named
from mailroster.base.findings import printable
from mailroster.base.layout import Layout

QUEUE = "spool-postfix"
#: Queues with mail in them (qmgr(8)); `defer`, `bounce` and `trace` hold logs.
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
#: Further than this nobody has to count.
_COUNTED_MAX = 100_000
_DEPTH_MAX = 3


class State(NamedTuple):
    """What was found: the names of docker-mailserver's own folders, and how many messages wait."""

    theirs: list[str]
    queued: dict[str, int]  # by queue; none that are empty
    remarks: list[Remark]


def looked_at(state: str, layout: Layout) -> State:
    """A state folder, and what is to be said of it."""
    try:
        names = sorted(os.listdir(state))
    except OSError as error:
        message = f"the folder can't be read ({error.strerror})"
        return State([], {}, [Remark(FIX, printable(state), message, "fix its owner or its mode")])
    theirs = [name for name in names if name.startswith(("lib-", "spool-"))]
    found = State(theirs, _queued(os.path.join(state, QUEUE)), [])
    found.remarks.extend(_of_queue(state, found.queued))
    found.remarks.extend(_of_clashes(state, layout, names))
    services = [name for name in theirs if name != QUEUE]
    if services:
        message = f"of services that are not used from here, left as they are: {named(services)}"
        found.remarks.append(Remark(NOTE, state, message))
    return found


def _queued(spool: str) -> dict[str, int]:
    counts = {queue: _messages(os.path.join(spool, queue), _DEPTH_MAX) for queue in _QUEUES}
    return {queue: count for queue, count in counts.items() if count}


def _messages(path: str, depth: int) -> int:
    """How many files a queue holds, hashed into folders or not."""
    count = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    count += _messages(entry.path, depth - 1) if depth else 0
                else:
                    count += 1
                if count >= _COUNTED_MAX:
                    break
    except OSError:
        pass
    return min(count, _COUNTED_MAX)


def _of_queue(state: str, queued: dict[str, int]) -> Iterator[Remark]:
    if not queued:
        return
    total = sum(queued.values())
    parts = ", ".join(f"{count} {queue}" for queue, count in queued.items())
    message = f"{total} message{'s' if total > 1 else ''} waiting, which would stay there ({parts})"
    hint = (
        "let the old server send them: 'postqueue -f' until 'mailq' is empty; or copy the queue "
        "(docs/guide/migrate.md)"
    )
    yield Remark(FIX, os.path.join(state, QUEUE), message, hint)


def _of_clashes(state: str, layout: Layout, names: list[str]) -> Iterator[Remark]:
    """Folders that bear a name of ours, in a state folder that is not ours."""
    if os.path.isdir(layout.tables):
        return
    ours = {
        os.path.relpath(path, layout.state).split(os.sep)[0]
        for path in vars(layout).values()
        if isinstance(path, str) and path.startswith(f"{layout.state}{os.sep}")
    }
    if clashing := sorted(ours.intersection(names)):
        message = f"there are {named(clashing)} already, and they are not ours"
        yield Remark(FIX, state, message, "use another one: --state DIR")
