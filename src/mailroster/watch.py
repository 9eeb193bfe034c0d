"""Says when the config folder may have changed. A hint, never a proof: who asks compares.

A watch on a folder sees every kind of save, but goes silent when the folder itself is replaced, and
sees nothing on network file systems: so a hint comes every second regardless.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from asyncinotify import Inotify, Mask

from mailroster.disk import identity
from mailroster.roster import Roster

REGARDLESS_S = 1.0
#: An editor's save is several events: they are one hint.
GATHER_S = 0.01
_MASK = (
    Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MOVE | Mask.CREATE | Mask.DELETE
    | Mask.DELETE_SELF | Mask.MOVE_SELF
)  # fmt: skip

_GONE = Mask.MOVE | Mask.DELETE


async def hints(folder: str, tables: Sequence[str] = (), source: str = "") -> AsyncIterator[None]:
    """One item for every time at which something may have changed, without end.

    `tables`: folders in which only that a file goes or is replaced is of interest. `source`: the
    folder from which an overlay takes its files.
    """
    while True:
        places = _places(folder, source)
        inodes = _inodes(places)
        watched = [(path, _MASK) for path in places] + [(path, _GONE) for path in tables]
        with Inotify() as inotify:
            for path, mask in watched:
                try:
                    inotify.add_watch(path, mask)
                except OSError:
                    pass  # gone again, or no more watches: the regular hints remain
            yield
            while places == _places(folder, source) and inodes == _inodes(places):
                try:
                    await asyncio.wait_for(inotify.get(), REGARDLESS_S)
                    await asyncio.sleep(GATHER_S)
                    while True:
                        await asyncio.wait_for(inotify.get(), 0)
                except TimeoutError:
                    yield


def _inodes(places: Sequence[str]) -> list[int]:
    return [identity(path).inode for path in places]


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
