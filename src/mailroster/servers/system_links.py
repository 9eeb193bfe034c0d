"""Links the servers' usual paths, as `/etc/postfix/main.cf`, to the state folder, in the layout
`system`: the servers' programs need no flag, and the root file system may be read-only. Files of
others stay, or are moved aside."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mailroster.base.findings import Refused
from mailroster.system.files import make_folder

#: A file that is moved aside gets this suffix, and a number if the name exists.
KEPT = ".before-mailroster"


def foreign(links: Mapping[str, str]) -> list[str]:
    """The paths with something other than our link. `links`: targets by path."""
    return [path for path, to in links.items() if os.path.lexists(path) and _target(path) != to]


def check(links: Mapping[str, str], adopt: bool) -> None:
    """Raises Refused for files of others, unless they may be moved aside (`adopt`)."""
    if not adopt and (paths := foreign(links)):
        raise Refused(
            f"not written by mailroster: {', '.join(paths)}; use --adopt to keep each as …{KEPT} "
            "and replace it"
        )


def claim(links: Mapping[str, str], report: Callable[[str], object]) -> None:
    """Creates the links. `report` receives a message for each file that is moved aside. Raises
    Refused."""
    for path in foreign(links):
        kept = _free(path + KEPT)
        with _refusing(path):
            os.rename(path, kept)
        report(f"{path} is kept as {kept}")
    for path, to in links.items():
        if not os.path.lexists(path):
            with _refusing(path):
                make_folder(os.path.dirname(path))
                os.symlink(to, path)


def _target(path: str) -> str:
    return os.readlink(path) if os.path.islink(path) else ""


def _free(path: str) -> str:
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = f"{path}.{number}"
    return free


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{path} can't be made a link: {error.strerror}") from None
