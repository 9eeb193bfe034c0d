"""Says when the config folder may have changed. A hint, never a proof: who asks compares.

A watch on a folder sees every kind of save, but goes silent when the folder itself is replaced, and
sees nothing on network file systems: so a hint comes every second regardless. Where no watch can be
had, these are the only hints.
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

REGARDLESS_S = 1.0
#: An editor's save is several events: they are one hint.
GATHER_S = 0.01
#: Of events that never stop there is a hint after so many.
_GATHERED_MAX = 500
#: Where no watch was to be had, it is tried again after this time.
WATCH_AGAIN_S = 60.0
_MASK = (
    Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MOVE | Mask.CREATE | Mask.DELETE
    | Mask.DELETE_SELF | Mask.MOVE_SELF
)  # fmt: skip

_GONE = Mask.MOVE | Mask.DELETE
#: The limits that can be reached (inotify(7)): of instances or descriptors, and of watches.
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
    """One item for every time at which something may have changed, without end.

    `tables`: folders in which only that a file goes or is replaced is of interest. `source`: the
    folder from which an overlay takes its files. `say` gets a message when the kernel has no watch
    left, and one when it has again.
    """
    fails = ""  # why not everything is watched
    while True:
        with ExitStack() as stack:
            places, inodes, inotify, error = await in_thread(_watch, folder, tables, source)
            if inotify is not None:
                stack.enter_context(inotify)
            fails = _told(fails, error, say)
            watched_until = time.monotonic() + WATCH_AGAIN_S if error else float("inf")
            yield
            while time.monotonic() < watched_until:
                await _event(inotify)
                if (places, inodes) != await in_thread(_seen, folder, source):
                    break
                yield


async def _event(inotify: Inotify | None) -> None:
    """Until something has happened and is over, at most for REGARDLESS_S."""
    if inotify is None:
        await asyncio.sleep(REGARDLESS_S)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(inotify.get(), REGARDLESS_S)
        await asyncio.sleep(GATHER_S)
        for _ in range(_GATHERED_MAX):
            await asyncio.wait_for(inotify.get(), 0)


def _watch(
    folder: str, tables: Sequence[str], source: str
) -> tuple[list[str], list[int], Inotify | None, OSError | None]:
    """The folders to watch with their inodes, what watches them, and why not all of it does."""
    places, inodes = _seen(folder, source)
    inotify, limit = None, None
    try:
        inotify = Inotify()
        for path, mask in [(path, _MASK) for path in places] + [(path, _GONE) for path in tables]:
            try:
                inotify.add_watch(path, mask)
            except OSError as error:
                if error.errno in _LIMITS:
                    limit = error  # else it is gone again; the regular hints remain
    except OSError as error:
        limit = error
    return places, inodes, inotify, limit


def _told(before: str, error: OSError | None, say: Callable[[str], object]) -> str:
    """Says once that folders are not watched, and once that they are again."""
    if error is None:
        if before:
            say("the folders are watched by inotify again")
        return ""
    reason = os.strerror(error.errno or 0)
    if not before:
        hint = _LIMITS.get(error.errno or 0, "the limits of the system")
        say(
            f"inotify can't watch the folders ({reason}): they are looked at every second instead; "
            f"raise {hint}"
        )
    return reason


def _seen(folder: str, source: str) -> tuple[list[str], list[int]]:
    places = _places(folder, source)
    return places, [identity(path).inode for path in places]


def _places(folder: str, source: str) -> list[str]:
    """The folders to watch: those of the files, and those to which links in them lead."""
    places = set()
    for each in filter(None, (folder, source)):
        places.add(each)
        for _, document in Roster().documents():
            path = os.path.join(each, document.format.file)
            if os.path.islink(path):
                places.add(os.path.dirname(os.path.realpath(path)))
    return sorted(each for each in places if os.path.isdir(each))
