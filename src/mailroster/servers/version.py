"""Which Dovecot is installed, and for which one the tables of an instance are made.

Commands of every day start no process for that: `up` and `watch` note it in the state folder,
before they touch a table.
"""

import os

from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.system.files import read
from mailroster.system.programs import number, program, run


def version() -> str:
    """The version that is installed, one of VERSIONS; of what is newer than all, the newest. Raises
    ServerError if there is none, or it is older."""
    _, out, err = run(["dovecot", "--version"])
    found = version_of(out)
    if not found:
        said = printable((out or err).strip())
        raise ServerError(f"dovecot {said!r} is older than {VERSIONS[0]}; install a newer one")
    return found


def version_of(said: str) -> str:
    """The version in the words of `dovecot --version`, as `2.4.1-4 (7d8c0e5759)`; "" for one that
    is older than all of VERSIONS, or for other words."""
    major, _, rest = said.partition(".")
    minor = rest.partition(".")[0]
    parts = number(major), number(minor)
    if None in parts:
        return ""
    known = [name for name in VERSIONS if tuple(map(int, name.split("."))) <= parts]
    return known[-1] if known else ""


def noted(layout: Layout) -> str:
    """The version for which the tables of an instance are made: the oldest, if none is noted."""
    return meant(layout) or VERSIONS[0]


def meant(layout: Layout) -> str:
    """The version for which the tables of an instance are made; "" if none is noted."""
    found = read(layout.dialect).decode("ascii", "replace").strip()
    return found if found in VERSIONS else ""


def known(layout: Layout) -> str:
    """The version that is installed, if one is, else that of the tables."""
    return version() if program("dovecot") else noted(layout)


def conf(layout: Layout) -> str:
    """The configuration of an instance, if it is for the Dovecot that is installed; else ""."""
    fits = os.path.exists(layout.dovecot_conf) and noted(layout) == known(layout)
    return layout.dovecot_conf if fits else ""
