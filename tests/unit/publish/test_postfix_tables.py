"""Rows of Postfix's lookup tables that no golden folder shows."""

import pytest

from mailroster.publish.tables.postfix import LOCKED, REGEXP, SENDERS
from mailroster.publish.tables.table import full
from mailroster.routing.router import NotFollowed, Router
from tests.support.foreseen import roster


def router(**texts: str) -> Router:
    return Router(roster(**texts), "mail.test", lambda _: None)


def test_patterns_are_served_with_plain_line_feeds_and_without_a_byte_order_mark() -> None:
    given = router(regexp="\ufeff/^a/ b@x.com\r\n  c@x.com\r\n\r\n# d\n/\re/ f@x.com")
    expected = "/^a/ b@x.com\n  c@x.com\n\n# d\n/\re/ f@x.com"
    assert full(REGEXP, given) == {"": expected}


def test_the_locked_accounts_and_no_others_are_in_their_table() -> None:
    given = router(
        accounts="a@x.com|{SHA512-CRYPT}!$6$x\nb@x.com|{SHA512-CRYPT}$6$x|reason=no!\n"
        "c@x.com|!$6$x\nd@x.com|{SHA512-CRYPT}$6$x\n"
    )
    assert list(LOCKED.keys(given)) == ["a@x.com", "b@x.com", "c@x.com"]
    assert full(LOCKED, given) == {"a@x.com": "a@x.com", "c@x.com": "c@x.com"}


def test_an_alias_that_is_not_followed_is_owned_by_its_recipients_that_are_mailboxes() -> None:
    accounts = "".join(f"{name}@x.com|{{PLAIN}}x\n" for name in "abcd")
    virtual = "l@x.com b@x.com, a@x.com, c@x.com, d@x.com, m@x.com, far@y.org\nc@x.com far@y.org\n"

    def captured(address: str) -> str | None:
        return "far@y.org" if address == "d@x.com" else None

    given = Router(roster(accounts=accounts, virtual=virtual), "mail.test", captured)
    assert SENDERS.row(given, "l@x.com") == "a@x.com, b@x.com"
    limited = given.remembering(-1)
    with pytest.raises(NotFollowed):
        limited.follow("l@x.com")
    assert SENDERS.row(limited, "l@x.com") == "a@x.com, b@x.com"
    assert SENDERS.row(limited, "c@x.com") == "c@x.com"
    assert SENDERS.row(limited, "none@x.com") is None
