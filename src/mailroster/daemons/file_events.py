"""Gives hints that the config folder may have changed. A hint is no proof: the caller compares.

A watch on a folder reports every kind of save, but nothing after the folder itself was replaced,
and nothing on network file systems. So there is a hint every second anyway; if no watch is
possible, there are no other hints.
"""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, suppress

from asyncinotify import Inotify, Mask

from mailroster.roster.roster import Roster
from mailroster.system.files import identity
from mailroster.system.log import log
from mailroster.system.threads import in_thread

#: The longest time between two hints.
INTERVAL_S = 1.0
#: Debounce: the events of one save are one hint.
GATHER_S = 0.01
#: If events never stop, there is a hint after so many.
_GATHERED_MAX = 500
#: If no watch was possible, the next try follows after this time.
WATCH_AGAIN_S = 60.0
_MASK = (
    Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MOVE | Mask.CREATE | Mask.DELETE
    | Mask.DELETE_SELF | Mask.MOVE_SELF
)  # fmt: skip

_REMOVED = Mask.MOVE | Mask.DELETE
#: The limits that may be reached (inotify(7)): of instances or descriptors, and of watches.
_LIMITS = {
    errno.EMFILE: "fs.inotify.max_user_instances, or the limit of open files",
    errno.ENFILE: "fs.file-max",
    errno.ENOSPC: "fs.inotify.max_user_watches",
    errno.ENOMEM: "the limit of memory",
}


async def hints(
    folder: str,
    tables: Sequence[str] = (),
    source: str = "",
    say: Callable[[str], object] = log,
) -> AsyncIterator[None]:
    """Yields whenever something may have changed, without end.

    `tables`: folders in which only the removal or replacement of a file matters. `source`: the
    source of an overlay. `say` gets a message when the kernel has no watch left, and another when
    it has again.
    """
    fault = ""  # why some folders are not watched
    while True:
        with ExitStack() as stack:
            folders, inodes, inotify, error = await in_thread(_watch, folder, tables, source)
            if inotify is not None:
                stack.enter_context(inotify)
            fault = _report(fault, error, say)
            watched_until = time.monotonic() + WATCH_AGAIN_S if error else float("inf")
            yield
            while time.monotonic() < watched_until:
                await _event(inotify)
                if (folders, inodes) != await in_thread(_folders, folder, source):
                    break
                yield


async def _event(inotify: Inotify | None) -> None:
    """Waits for a burst of events to end, at most for INTERVAL_S."""
    if inotify is None:
        await asyncio.sleep(INTERVAL_S)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(inotify.get(), INTERVAL_S)
        await asyncio.sleep(GATHER_S)
        for _ in range(_GATHERED_MAX):
            await asyncio.wait_for(inotify.get(), 0)


def _watch(
    folder: str, tables: Sequence[str], source: str
) -> tuple[list[str], list[int], Inotify | None, OSError | None]:
    """Watches folders. Returns them, their inodes, the watch, and why it lacks a folder."""
    folders, inodes = _folders(folder, source)
    inotify, limit = None, None
    try:
        inotify = Inotify()
        for path, mask in [(f, _MASK) for f in folders] + [(f, _REMOVED) for f in tables]:
            try:
                inotify.add_watch(path, mask)
            except OSError as error:
                if error.errno in _LIMITS:
                    limit = error  # else it was removed meanwhile; the regular hints remain
    except OSError as error:
        limit = error
    return folders, inodes, inotify, limit


def _report(before: str, error: OSError | None, say: Callable[[str], object]) -> str:
    """Reports once that folders are not watched, and once that they are again. Returns why they are
    not."""
    if error is None:
        if before:
            say("the folders are watched by inotify again")
        return ""
    reason = os.strerror(error.errno or 0)
    if not before:
        hint = _LIMITS.get(error.errno or 0, "the limits of the system")
        say(
            f"inotify can't watch the folders ({reason}): they are checked every second instead; "
            f"raise {hint}"
        )
    return reason


def _folders(folder: str, source: str) -> tuple[list[str], list[int]]:
    """The folders to watch, with their inodes: those of the files, and of the targets of links."""
    folders = set()
    for each in filter(None, (folder, source)):
        folders.add(each)
        for _, document in Roster().documents():
            path = os.path.join(each, document.format.file)
            if os.path.islink(path):
                folders.add(os.path.dirname(os.path.realpath(path)))
    existing = sorted(each for each in folders if os.path.isdir(each))
    return existing, [identity(path).inode for path in existing]
