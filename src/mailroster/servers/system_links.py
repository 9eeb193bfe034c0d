"""The servers' own places, `/etc/postfix/main.cf` and the like, in the layout `system`: links that
lead below the state folder, so that a server's programs need no flag, and a read-only root file
system no write. What somebody else has put there stays, or is kept beside its place."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mailroster.base.findings import Refused
from mailroster.system.files import make_folder

#: What is kept has this behind its name; a second one a number as well.
KEPT = ".before-mailroster"


def foreign(links: Mapping[str, str]) -> list[str]:
    """The places at which something stands that is not our link. `links` are targets by place."""
    return [place for place, to in links.items() if os.path.lexists(place) and _leads(place) != to]


def check(links: Mapping[str, str], adopt: bool) -> None:
    """Raises Refused where something would be replaced that nobody has said to adopt."""
    if not adopt and (found := foreign(links)):
        raise Refused(
            f"not written by mailroster: {', '.join(found)}; with --adopt each is kept as "
            f"…{KEPT}, and ours takes its place"
        )


def claim(links: Mapping[str, str], tell: Callable[[str], object]) -> None:
    """Makes every place lead to ours; `tell` hears what was kept, and where. Raises Refused."""
    for place in foreign(links):
        kept = _free(place + KEPT)
        with _refusing(place):
            os.rename(place, kept)
        tell(f"{place} is kept as {kept}")
    for place, to in links.items():
        if not os.path.lexists(place):
            with _refusing(place):
                make_folder(os.path.dirname(place))
                os.symlink(to, place)


def _leads(place: str) -> str:
    return os.readlink(place) if os.path.islink(place) else ""


def _free(path: str) -> str:
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = f"{path}.{number}"
    return free


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{place} can't be made to lead to ours: {error.strerror}") from None
