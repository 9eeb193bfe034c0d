"""Examines the state folder of a docker-mailserver: the mail in its queue, and whether the state of
mailroster can use the same folder."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from mailroster.app.adopt.remark import FIX, NOTE, Remark, named
from mailroster.base.findings import printable
from mailroster.base.layout import Layout

QUEUE = "spool-postfix"
#: The queues with messages (qmgr(8)); `defer`, `bounce` and `trace` contain logs.
_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
#: Messages are counted up to this number.
_COUNTED_MAX = 100_000
_DEPTH_MAX = 3


class State(NamedTuple):
    """The messages of each queue that is not empty, and the remarks."""

    queued: dict[str, int]
    remarks: list[Remark]


def examine(state: str, layout: Layout) -> State:
    """Counts the messages in a state folder and collects the remarks about it."""
    try:
        names = sorted(os.listdir(state))
    except OSError as error:
        message = f"the folder can't be read ({error.strerror})"
        return State({}, [Remark(FIX, printable(state), message, "correct its owner or its mode")])
    queued = _queued(os.path.join(state, QUEUE))
    remarks = [*_queue_remarks(state, queued), *_clashes(state, layout, names)]
    services = [name for name in names if name.startswith(("lib-", "spool-")) and name != QUEUE]
    if services:
        message = f"the data of other services is not used and not changed: {named(services)}"
        remarks.append(Remark(NOTE, state, message))
    return State(queued, remarks)


def _queued(spool: str) -> dict[str, int]:
    counts = {queue: _messages(os.path.join(spool, queue), _DEPTH_MAX) for queue in _QUEUES}
    return {queue: count for queue, count in counts.items() if count}


def _messages(path: str, depth: int) -> int:
    """The number of files in a queue, which may have levels of folders."""
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


def _queue_remarks(state: str, queued: dict[str, int]) -> Iterator[Remark]:
    if not queued:
        return
    total = sum(queued.values())
    parts = ", ".join(f"{count} {queue}" for queue, count in queued.items())
    messages = "1 message" if total == 1 else f"{total} messages"
    message = f"{messages} in the old queue would not be sent ({parts})"
    hint = (
        "let the old server send them: run 'postqueue -f' until 'mailq' is empty; or copy the "
        "queue (docs/guide/migrate.md)"
    )
    yield Remark(FIX, os.path.join(state, QUEUE), message, hint)


def _clashes(state: str, layout: Layout, names: list[str]) -> Iterator[Remark]:
    """Reports names that mailroster needs itself, in a state folder that it has not made."""
    if os.path.isdir(layout.tables):
        return
    needed = {
        os.path.relpath(path, layout.state).split(os.sep)[0]
        for path in vars(layout).values()
        if isinstance(path, str) and path.startswith(f"{layout.state}{os.sep}")
    }
    if clashing := sorted(needed.intersection(names)):
        message = f"mailroster needs these names, but other files have them: {named(clashing)}"
        yield Remark(FIX, state, message, "use another folder: --state DIR")
