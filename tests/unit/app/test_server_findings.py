"""What `check` says of a folder that has no postmaster."""

import os

import pytest

from mailroster.app.server_findings import without_postmaster
from mailroster.base.settings import Sources, load
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

BOX = "box@a.test|{PLAIN}x\n"


def missing(setting: str = "", virtual: str = "", local: str = "", regexp: str = "") -> str:
    """What the finding says, "" without one."""
    given = {"hostname": "mail.test", "home": "/srv"}
    given |= {"postmaster_address": setting} if setting else {}
    settings = load(Sources(given, {}, lambda path: b"", os.path.isdir))
    roster = Roster(
        accounts=Document(ACCOUNTS, BOX),
        virtual=Document(VIRTUAL, virtual),
        regexp=Document(REGEXP, regexp),
        local_aliases=Document(LOCAL_ALIASES, local),
    )
    return " ".join(finding.message for finding in without_postmaster(settings, roster))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param({}, ["root@mail.test", "postmaster@a.test"], id="nothing"),
        pytest.param({"setting": "box@a.test"}, [], id="the setting"),
        pytest.param({"setting": "far@else.where"}, [], id="one elsewhere"),
        pytest.param(
            {"setting": "gone@a.test"}, ["root@mail.test", "postmaster@a.test", "'gone@a.test'"],
            id="the setting leads nowhere",
        ),
        pytest.param({"local": "root: box@a.test\n"}, ["postmaster@a.test"], id="root alone"),
        pytest.param(
            {"virtual": "postmaster@a.test box@a.test\nroot box@a.test\n"}, [], id="aliases"
        ),
        pytest.param(
            {"virtual": "postmaster@a.test gone@a.test\nroot box@a.test\n"}, ["postmaster@a.test"],
            id="an alias that leads nowhere",
        ),
        pytest.param(
            {"virtual": "@a.test box@a.test\n", "local": "root: /dev/null\n"}, [], id="a catch-all"
        ),
        pytest.param({"regexp": "/^(postmaster|root)@/ box@a.test\n"}, [], id="a pattern"),
    ],
)  # fmt: skip
def test_a_missing_postmaster_is_named(given: dict[str, str], names: list[str]) -> None:
    found = missing(**given)
    assert bool(found) == bool(names)
    assert all(name in found for name in names)


def test_of_many_domains_some_are_named() -> None:
    virtual = "".join(f"x@d{n}.test box@a.test\n" for n in range(100))
    assert missing(virtual=virtual).count("postmaster@") == 4
