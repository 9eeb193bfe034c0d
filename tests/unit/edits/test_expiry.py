"""Locks and end dates as verbs: text → text."""

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import ParseError, Refused
from mailroster.edits.expiry import expire
from mailroster.edits.locks import lock, unlock
from mailroster.edits.notes import NoteChange
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from tests.support.note_lines import note

H, L = "{SHA512-CRYPT}$6$a$b", "{SHA512-CRYPT}!$6$a$b"
A = Address("a@x.com")
NOW = "2026-11-25T12:00:00"


def roster(**texts: str) -> Roster:
    empty = Roster()
    documents = {
        field: Document(document.format, texts.get(field, ""))
        for field, document in empty.documents()
    }
    return Roster(**documents)  # type: ignore[arg-type]


def rehash(clear: str) -> str:
    assert clear == "{PLAIN}secret"
    return H


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        pytest.param(f"{A}|{H}", NoteChange(), f"{A}|{L}", id="a mark is all it takes"),
        pytest.param(f"{A}|{L}", NoteChange(), f"{A}|{L}", id="once is enough"),
        pytest.param(
            f"{A}|$6$a$b|fail\r\n", NoteChange(), f"{A}|!$6$a$b|fail\r\n", id="no scheme, and CRLF"
        ),
        pytest.param(
            f"{A}|{{PLAIN}}secret", NoteChange(), f"{A}|{L}", id="a clear password is hashed"
        ),
        pytest.param(
            f"# mine\nA@x.com | {H} |fail\n", NoteChange("gone", "2027-01-01"),
            f"# mine\n{note(comment='locked: gone', until='2027-01-01')}A@x.com | {L} |fail\n",
            id="a reason and an end stand above it",
        ),
        pytest.param(
            f"{note(comment='Jane')}{A}|{H}", NoteChange("gone"),
            f"{note(comment='Jane; locked: gone')}{A}|{L}",
            id="a comment stays before the reason",
        ),
        pytest.param(
            f"{note(comment='Jane; locked: gone', until='2027-01-01')}{A}|{L}", NoteChange("", ""),
            f"{note(comment='Jane')}{A}|{L}",
            id="reason and end are taken away by nothing",
        ),
        pytest.param(
            f"{note(comment='locked: gone', until='2027-01-01')}{A}|{L}",
            NoteChange(until="2028-01-01"),
            f"{note(comment='locked: gone', until='2028-01-01')}{A}|{L}",
            id="another end of the same lock",
        ),
        pytest.param(
            f"{note(until='2027-01-01')}{A}|{H}", NoteChange(), f"{A}|{L}",
            id="the end of the account is not the end of the lock",
        ),
    ],
)  # fmt: skip
def test_lock(before: str, said: NoteChange, after: str) -> None:
    assert lock(roster(accounts=before), A, said, rehash).accounts.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(f"{A}|{L}|fail", f"{A}|{H}|fail", id="the mark goes"),
        pytest.param(f"{note(until='2027-01-01')}{A}|{H}", None, id="one that isn't locked stays"),
        pytest.param(
            f"{note(comment='Jane; locked: gone', until='2027-01-01', allow='x')}{A}|{L}",
            f"{note(comment='Jane', allow='x')}{A}|{H}",
            id="with its reason and its end, and nothing else",
        ),
    ],
)
def test_unlock(before: str, after: str | None) -> None:
    assert unlock(roster(accounts=before), A).accounts.text == (after or before)


def test_who_is_not_there_and_who_has_no_password() -> None:
    with pytest.raises(Refused, match="there is no account"):
        lock(roster(), A, NoteChange(), rehash)
    with pytest.raises(Refused, match="there is no account"):
        unlock(roster(), A)
    with pytest.raises(ParseError, match="no password is behind the lock"):
        unlock(roster(accounts=f"{A}|{{SHA512-CRYPT}}!"), A)


OVER, LATER = "2026-11-24", "2026-11-25"
P, Q = (f"{A}|{label}|{{SHA256.HEX}}{'a' * 64}" for label in "pq")


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        pytest.param(
            "accounts", f"{note(comment='locked: gone', until=OVER)}{A}|{L}\n", f"{A}|{H}\n",
            id="a lock is lifted",
        ),
        pytest.param(
            "accounts", f"{note(comment='Jane', until=OVER)}{A}|{H}\n",
            f"{note(comment=f'Jane; locked: expired on {OVER}')}{A}|{L}\n",
            id="an account is locked",
        ),
        pytest.param(
            "accounts", f"{note(until=OVER)}{A}|{{PLAIN}}secret\n",
            f"{note(comment=f'locked: expired on {OVER}')}{A}|{L}\n",
            id="an account with a password in clear too",
        ),
        pytest.param(
            "accounts", f"{note(until=OVER)}{A}|{{SSHA}}!\n", f"{A}|{{SSHA}}!\n",
            id="a lock without a password stays",
        ),
        pytest.param(
            "virtual", f"# mine\n{note(comment='fair', until=OVER)}a@x b@x\n c@x\nd@x e@x\n",
            "# mine\nd@x e@x\n", id="an alias goes with its lines",
        ),
        pytest.param(
            "virtual", f"{note(until=OVER)}a@x b@x\na@x c@x\n", "",
            id="no other line comes to count in its place",
        ),
        pytest.param(
            "virtual", f"a@x b@x\n{note(until=OVER)}a@x c@x\n", "a@x b@x\n",
            id="a line that does not count goes alone",
        ),
        pytest.param(
            "virtual", f"{note(until=OVER)}a@x b@x\n{note(until=OVER)}c@x b@x\nd@x b@x",
            "d@x b@x", id="several at once",
        ),
        pytest.param(
            "send_access", f"{note(until=NOW)}a@x REJECT\r\nb@x REJECT\r\n", "b@x REJECT\r\n",
            id="a restriction goes at its very moment",
        ),
        pytest.param("receive_access", f"{note(until=OVER)}a@x REJECT", "", id="receiving too"),
        *(
            pytest.param("virtual", f"{notes}a@x b@x\n", None, id=why)
            for notes, why in (
                (note(until=LATER), "today lasts until midnight"),
                (note(until="2026-11-25T12:00:01"), "a second to go"),
                (note(until="yesterday"), "what can't be read is never over"),
                (note(comment=f"until {OVER}"), "a comment is no end"),
                (note(until=OVER) + "\n", "a note that belongs to no entry"),
                (f"# until {OVER}\n", "a comment of the user's"),
            )
        ),
        pytest.param("virtual", f"{note(until=OVER)}a@x\n", None, id="a line that can't be read"),
        pytest.param(
            "app_passwords",
            f"{P}|until={OVER}\n{note(comment='x')}{Q}|until={OVER} services=imap\n",
            "",
            id="app passwords and their comments",
        ),
        pytest.param(
            "app_passwords",
            f"{P}|until={LATER}\n#{P}|until={OVER}\n{note(until=OVER)}{Q}\n",
            None,
            id="an app password with a later end, a comment, and a note",
        ),
        pytest.param("app_passwords", f"{P}|until=never\n", None, id="one that can't be read"),
        pytest.param("quotas", f"{note(until=OVER)}{A}:5G\n", None, id="a quota has no end"),
        pytest.param("regexp", f"{note(until=OVER)}/a/ b@x\n", None, id="a pattern has no end"),
    ],
)  # fmt: skip
def test_what_is_over(field: str, before: str, after: str | None) -> None:
    given = roster(**{field: before})
    done = expire(given, NOW, rehash)
    assert getattr(done, field).text == (before if after is None else after)
    if after is None:
        assert done is given
    else:
        assert expire(done, NOW, rehash) is done
