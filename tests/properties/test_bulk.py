"""Laws of import and export: there and back again, and never half."""

from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from mailroster.analysis.left_out import left_out
from mailroster.base.address import LOCAL_CHARS
from mailroster.edits.bulk import BadRows, add_rows
from mailroster.edits.rows import AccountRow, Rows, csv, folder, jsonl
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, AppPassword
from mailroster.roster.formats.quotas import QUOTAS, Quota
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from tests.support.edit_cases import rosters
from tests.support.texts import DIGEST

FORMATS = ("csv", "jsonl", "folder")
formats = st.sampled_from(FORMATS)


class Entries(NamedTuple):
    """What an export gives out of a roster."""

    accounts: dict[str, Account]
    quotas: dict[str, Quota]
    aliases: dict[str, Alias]
    app_passwords: dict[str, AppPassword]


def entries(roster: Roster) -> Entries:
    accounts = dict(roster.accounts.items())
    quotas = {key: quota for key, quota in roster.quotas.items() if key in accounts}
    app_passwords = {
        key: entry for key, entry in roster.app_passwords.items() if entry.address in accounts
    }
    return Entries(accounts, quotas, dict(roster.virtual.items()), app_passwords)


def through(roster: Roster, format: str) -> Rows:
    """The rows that an import reads of what an export writes."""
    given = folder.entries(roster)
    if format == "csv":
        return csv.read(csv.write(given, secrets=True).encode().decode(), "x.csv")
    if format == "jsonl":
        return jsonl.read(jsonl.write(given, secrets=True).encode().decode(), "x.jsonl")
    written = folder.write(given)
    return folder.read(written, "x", left_out(written))


def route(roster: Roster) -> Router:
    return Router(roster, "mail.example.test", lambda address: None)


def can_be_followed(roster: Roster) -> bool:
    try:
        add_rows(Roster(), through(roster, "folder"), route)
    except BadRows:
        return False
    return True


words = st.text("abcDE=~:/'\"|;,\\ü{}$", min_size=1, max_size=8)
locals = st.text(LOCAL_CHARS.replace("-", "").replace("#", "").replace(".", ""), min_size=1)
logins = st.builds("{}@{}".format, locals.map(lambda text: text[:20]), st.sampled_from(
    ("x.com", "y.org", "xn--bcher-kva.de", "localhost")
))  # fmt: skip


@st.composite
def healthy(draw: st.DrawFn) -> Roster:
    """A roster of entries with all that their formats allow."""
    accounts, quotas, aliases, app_passwords = [], [], [], []
    for login in draw(st.lists(logins, max_size=6, unique=True)):
        hash = draw(st.sampled_from(("{PLAIN}", "{SHA512-CRYPT}$6$", "$2y$"))) + draw(
            words.map(lambda text: text.replace("|", "").replace(":", "") + "x")
        )
        extra = " ".join(draw(st.lists(words, max_size=2)))
        accounts.append(f"{login}|{hash}|{extra}" if extra else f"{login}|{hash}")
        for label in draw(st.lists(st.sampled_from(["pc", "phone"]), max_size=2, unique=True)):
            options = draw(st.sampled_from(["", "|services=imap,smtp until=2026-12-31"]))
            app_passwords.append(f"{login}|{label}|{{SHA256.HEX}}{DIGEST}{options}")
        if draw(st.booleans()):
            quotas.append(f"{login}:{draw(st.integers(0, 9))}G")
    for key in draw(
        st.lists(logins | st.just("info") | st.just("@y.org"), max_size=4, unique=True)
    ):
        recipients = draw(
            st.lists(logins | st.just("Joe+T@elsewhere.test"), min_size=1, max_size=4)
        )
        aliases.append(f"{key} {', '.join(recipients)}")
    return Roster(
        accounts=Document(ACCOUNTS, "".join(f"{line}\n" for line in accounts)),
        quotas=Document(QUOTAS, "".join(f"{line}\n" for line in quotas)),
        virtual=Document(VIRTUAL, "".join(f"{line}\n" for line in aliases)),
        app_passwords=Document(APP_PASSWORDS, "".join(f"{line}\n" for line in app_passwords)),
    )


@given(healthy() | rosters(), formats)
def test_what_is_exported_and_imported_is_the_same(roster: Roster, format: str) -> None:
    assume(can_be_followed(roster))
    rows = through(roster, format)
    assert [finding for finding in rows.findings if finding.severity == "error"] == []
    again = add_rows(Roster(), rows, route).roster
    assert entries(again) == entries(roster)


@given(healthy() | rosters(), formats)
def test_what_is_imported_over_itself_changes_nothing(roster: Roster, format: str) -> None:
    after = add_rows(roster, through(roster, format), route, update=True)
    assert [d.text for _, d in after.roster.documents()] == [d.text for _, d in roster.documents()]
    assert {done for _, done in after.counts} <= {"unchanged"}


@given(rosters(), healthy(), formats)
def test_an_update_brings_every_row_and_takes_nothing_away(
    roster: Roster, other: Roster, format: str
) -> None:
    try:
        after = entries(add_rows(roster, through(other, format), route, update=True).roster)
    except BadRows:
        assume(False)
    before, brought = entries(roster), entries(other)
    for login, account in brought.accounts.items():
        assert after.accounts[login].password == account.password
        assert after.accounts[login].extra in (
            account.extra,
            before.accounts.get(login, account).extra,
        )
    assert brought.quotas.items() <= after.quotas.items()
    assert brought.aliases.items() <= after.aliases.items()
    assert brought.app_passwords.items() <= after.app_passwords.items()
    assert before.accounts.keys() <= after.accounts.keys()
    assert before.aliases.keys() <= after.aliases.keys()


@given(healthy())
def test_csv_and_json_lines_without_secrets_hold_no_hash(roster: Roster) -> None:
    given = list(folder.entries(roster))
    shown = [
        entry._replace(hash="", app_passwords="") if isinstance(entry, AccountRow) else entry
        for entry in given
    ]
    for rows in (
        csv.read(csv.write(given, secrets=False), "x"),
        jsonl.read(jsonl.write(given, secrets=False), "x"),
    ):
        assert rows.findings == []
        assert [row.entry for row in rows.rows] == shown


def test_some_rosters_have_everything() -> None:
    """Else the laws would hold of nothing."""
    roster = Roster(
        accounts=Document(ACCOUNTS, "a@x.com|{PLAIN}x|allow_nets=10.0.0.0/8\n"),
        quotas=Document(QUOTAS, "a@x.com:1G\n"),
        virtual=Document(VIRTUAL, "info a@x.com\n"),
        app_passwords=Document(APP_PASSWORDS, f"a@x.com|pc|{{SHA256.HEX}}{DIGEST}\n"),
    )
    assert can_be_followed(roster)
    for format in FORMATS:
        again = add_rows(Roster(), through(roster, format), route).roster
        assert [len(part) for part in entries(again)] == [1, 1, 1, 1]
