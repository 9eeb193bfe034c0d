"""The order in which Postfix's tables change: at no moment does a row lead to what is not there.

Mail to a domain that Postfix doesn't know yet, or no more, would leave for another server.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mailroster import address
from mailroster.address import split
from mailroster.apply import Tables
from mailroster.document import Document
from mailroster.formats.accounts import ACCOUNTS
from mailroster.formats.virtual import VIRTUAL
from mailroster.indexed import Indexed
from mailroster.instance.layout import Layout
from mailroster.resolve import Router
from mailroster.roster import Roster
from mailroster.served import Served
from mailroster.services import Captures
from mailroster.tables import Changes, Row
from mailroster.targets import Filled


def of(accounts: str, virtual: str) -> Router:
    roster = Roster(accounts=Document(ACCOUNTS, accounts), virtual=Document(VIRTUAL, virtual))
    return Router(roster, "host.test", Captures(roster.regexp))


ONE = of("a@x.com|{PLAIN}x\n", "crowd@x.com a@x.com\n")
OTHER = of(
    "b@new.org|{PLAIN}x\nc@x.com|{PLAIN}x\n",
    "crowd@x.com b@new.org,info@late.net\na@x.com b@new.org\ninfo@late.net c@x.com\n",
)


class Seen:
    """A table that lets somebody look after each change."""

    def __init__(self, target: Any, look: Callable[[], None]) -> None:
        self._target, self._look = target, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def apply(self, changes: Changes) -> None:
        self._target.apply(changes)
        self._look()

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> Filled:
        filled: Filled = self._target.fill(rows, is_sorted=is_sorted)
        self._look()
        return filled


@pytest.mark.parametrize("whole", [False, True], ids=["what differs", "all rows"])
@pytest.mark.parametrize(("old", "new"), [(ONE, OTHER), (OTHER, ONE)], ids=["forth", "back"])
def test_no_row_leads_to_what_is_not_there(
    tmp_path: Path, old: Router, new: Router, whole: bool
) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    tables = Tables(layout)
    tables.begin("host.test", "2.3", "/srv/mail")
    tables.put_all(old)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        rows = {name: tables.targets[name].read() for name in ("aliases", "mailboxes", "domains")}
        for recipients in rows["aliases"].values():
            for recipient in str(recipients).split(", "):
                assert recipient in rows["mailboxes"] or recipient in rows["aliases"]
                assert split(recipient)[1] in rows["domains"]

    tables.targets = {name: Seen(target, look) for name, target in tables.targets.items()}
    if whole:
        tables.put_all(new)
    else:
        tables.put(old, new)
    assert looks > 3


def test_another_delimiter_makes_every_row_and_the_index_anew(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    copies = Served(layout.served, index_from=1)
    tables = Tables(layout, copies)
    try:
        for delimiters, is_other in (("+", True), ("+", False), ("-", True), ("", True)):
            address.use_delimiters(delimiters)
            tables.begin("host.test", "2.3", "/srv/mail")
            assert Path(layout.unfinished).exists() is is_other
            # No line is looked up by an index that was made for other extensions.
            assert isinstance(copies.roster().virtual, Indexed) is not is_other
            tables.put_all(ONE)
            assert isinstance(copies.roster().virtual, Indexed)
    finally:
        address.use_delimiters("+")
