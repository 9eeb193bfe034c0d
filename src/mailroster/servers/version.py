"""The installed version of Dovecot, and the version for which the tables of an instance are built.

Everyday commands start no process for that: `up` and `watch` record the version in the state folder
before they change a table.
"""

import os

from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.system.files import read
from mailroster.system.programs import number, program, run


def version() -> str:
    """The installed version, as the newest of VERSIONS that is not newer. Raises ServerError if
    Dovecot is missing or too old."""
    _, out, err = run(["dovecot", "--version"])
    name = version_of(out)
    if not name:
        output = printable((out or err).strip())
        raise ServerError(f"dovecot {output!r} is older than {VERSIONS[0]}; install a newer one")
    return name


def version_of(output: str) -> str:
    """The version in the output of `dovecot --version`, as `2.4.1-4 (7d8c0e5759)`; "" for one older
    than all of VERSIONS, or for other output."""
    major, _, rest = output.partition(".")
    minor = rest.partition(".")[0]
    parts = number(major), number(minor)
    if None in parts:
        return ""
    older = [name for name in VERSIONS if tuple(map(int, name.split("."))) <= parts]
    return older[-1] if older else ""


def recorded_version(layout: Layout) -> str:
    """The version for which the tables of an instance are built; "" if none is recorded."""
    name = read(layout.dialect).decode("ascii", "replace").strip()
    return name if name in VERSIONS else ""


def tables_version(layout: Layout) -> str:
    """The version for which the tables of an instance are built; the oldest if none is recorded."""
    return recorded_version(layout) or VERSIONS[0]


def current_version(layout: Layout) -> str:
    """The installed version, or that of the tables if no Dovecot is installed."""
    return version() if program("dovecot") else tables_version(layout)


def conf(layout: Layout) -> str:
    """The dovecot.conf of an instance, if it is for the installed version; else ""."""
    fits = os.path.exists(layout.dovecot_conf) and tables_version(layout) == current_version(layout)
    return layout.dovecot_conf if fits else ""
