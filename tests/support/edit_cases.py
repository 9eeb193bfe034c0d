"""Every edit of a roster, and rosters by chance."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from mailroster.base.address import Address
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import accounts, aliases, app_passwords, relays, senders
from mailroster.edits.locks import lock, unlock
from mailroster.edits.notes import NoteChange
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.app_passwords import SCHEME, AppPassword
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.relaymap import Relay
from mailroster.roster.formats.sasl_password import Login
from mailroster.roster.roster import Roster
from tests.support.texts import DIGEST, FORMATS, HASH, raw

ORIGIN = "mail.example.test"


A, B = Address("a@x.com"), Address("b@x.com")


LOGIN = Login("@x.com", "john", "se cret")


APP_PASSWORD = AppPassword("a@x.com|phone", A, "phone", DIGEST)


SENDER = {"relaymap": "@x.com", "sasl_passwords": "@x.com"}


Verb = Callable[[Roster], Roster]


class Case(NamedTuple):
    """A verb, and the keys that it may concern in each file."""

    name: str
    verb: Verb
    keys: dict[str, str]
    repeatable: bool


CASES = (
    Case("add account",
         lambda r: accounts.add_account(r, Account(A, HASH)),
         {"accounts": A, "app_passwords": APP_PASSWORD.key}, False),
    Case("update", lambda r: accounts.set_password(r, A, "{PLAIN}new"), {"accounts": A}, True),
    Case("lock", lambda r: lock(r, A, NoteChange(), lambda _: HASH), {"accounts": A}, True),
    Case("unlock", lambda r: unlock(r, A), {"accounts": A}, True),
    Case("quota set", lambda r: accounts.set_quota(r, Quota(A, "7M")), {"quotas": A}, True),
    Case("quota del", lambda r: accounts.delete_quota(r, A), {"quotas": A}, True),
    Case("alias add", lambda r: aliases.add_alias(r, A, [B], ORIGIN), {"virtual": A}, False),
    Case("alias del", lambda r: aliases.delete_alias(r, A, [B]), {"virtual": A}, True),
    Case("restrict", lambda r: accounts.restrict(r, "send_access", A), {"send_access": A}, False),
    Case("allow", lambda r: accounts.allow(r, "send_access", A), {"send_access": A}, True),
    Case("no more",
         lambda r: accounts.restrict(r, "receive_access", B), {"receive_access": B}, False),
    Case("again", lambda r: accounts.allow(r, "receive_access", B), {"receive_access": B}, True),
    Case("relay", lambda r: relays.route(r, Relay("@x.com", ("r",))), {"relaymap": "@x.com"}, True),
    Case("relay auth", lambda r: relays.log_in(r, LOGIN), {"sasl_passwords": "@x.com"}, True),
    Case("relay del", lambda r: relays.forget(r, "@x.com"), SENDER, False),
    Case("grant", lambda r: senders.grant(r, A, B), {"sender_logins": B}, False),
    Case("revoke", lambda r: senders.revoke(r, A, B), {"sender_logins": B}, True),
    Case("app password",
         lambda r: app_passwords.add(r, APP_PASSWORD), {"app_passwords": APP_PASSWORD.key}, False),
    Case("app password del",
         lambda r: app_passwords.delete(r, A, ["phone"]),
         {"app_passwords": APP_PASSWORD.key}, False),
    Case("master add", lambda r: accounts.add_master(r, "info", HASH), {"masters": "info"}, False),
    Case("master",
         lambda r: accounts.set_master_password(r, "info", HASH), {"masters": "info"}, True),
    Case("master del", lambda r: accounts.delete_masters(r, ["info"]), {"masters": "info"}, False),
)  # fmt: skip


cases = st.sampled_from(CASES)


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    """A roster in which much is broken, and where the verbs may find what they look for."""
    known = {
        "accounts": b"A@x.com | " + HASH.encode() + b" | allow_nets=10.0.0.0/8 \r\n",
        "quotas": b" a@X.com : 5g",
        "virtual": b"A@x.com b@x.com,\tc@x.com ,b@x.com",
        "send_access": b"A@x.com\tREJECT no",
        "masters": b"Info|" + HASH.encode(),
        "relaymap": b"@X.com [old.test]:587",
        "sasl_passwords": b"@x.com  user:pass",
        "sender_logins": b"B@x.com A@x.com,\tc@x.com ,a@x.com",
        "app_passwords": f"A@x.com|Phone|{SCHEME}{DIGEST.upper()}| services=imap ".encode(),
    }
    found: dict[str, Any] = {}
    for field, format in zip(Roster._fields, FORMATS, strict=True):
        parts = [draw(raw)]
        if field in known and draw(st.booleans()):
            parts += [b"\n", known[field], draw(st.sampled_from((b"", b"\n", b"\r\n"))), draw(raw)]
        found[field] = Document.from_bytes(format, b"".join(parts))
    return Roster(**found)


def done(verb: Verb, roster: Roster) -> Roster | None:
    """The roster after a verb, or None if it was refused."""
    try:
        return verb(roster)
    except (Refused, ParseError):
        return None
