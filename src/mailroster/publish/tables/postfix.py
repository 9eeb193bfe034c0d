"""Postfix's lookup tables. Keys are in lower case, as Postfix folds the keys of its lookups."""

from collections.abc import Iterable

from mailroster.base.address import is_idna
from mailroster.base.findings import ParseError
from mailroster.base.spelling import pattern
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.formats.virtual import Alias
from mailroster.routing import senders
from mailroster.routing.change import Change, domains_of
from mailroster.routing.lookups import DOMAIN_ROLES, SERVER_ROLES, role_recipient, spelled
from mailroster.routing.router import NotFollowed, Router


class Domains:
    """`virtual_mailbox_domains`: the domains that an account or an alias names."""

    name = "domains"

    def keys(self, router: Router) -> Iterable[str]:
        roster = router.roster
        return (roster.accounts.domains() | roster.virtual.domains()) - {""}

    def row(self, router: Router, key: str) -> str | None:
        return key if router.roster.names_domain(key) else None

    def affected(self, change: Change) -> Iterable[str]:
        return domains_of(change)


class Spellings:
    """A pcre table that rewrites other spellings of a served domain to its A-labels, in an address
    or in an SMTP command with one: a rule for each domain that is not ASCII."""

    name = "spellings"

    def keys(self, router: Router) -> Iterable[str]:
        return filter(is_idna, DOMAINS.keys(router))

    def row(self, router: Router, key: str) -> str | None:
        spelt = pattern(key) if router.roster.names_domain(key) else ""
        return f"/^([^>]*@)(?:{spelt})((?:[> ].*)?)$/ ${{1}}{key}${{2}}" if spelt else None

    def affected(self, change: Change) -> Iterable[str]:
        return filter(is_idna, DOMAINS.affected(change))


class Mailboxes:
    """`virtual_mailbox_maps`, and the last of `virtual_alias_maps`: each address to itself.

    As an alias it ends the search before Postfix looks up the catch-all of the domain.
    """

    name = "mailboxes"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.accounts.counted()

    def row(self, router: Router, key: str) -> str | None:
        return key if key in router.roster.accounts else None

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["accounts"]


class Locked:
    """The locked accounts, each to itself: the policy service refuses their sessions."""

    name = "locked"

    def keys(self, router: Router) -> Iterable[str]:
        accounts = router.roster.accounts
        return (key for key, at in accounts.counted().items() if "!" in accounts.line(at))

    def row(self, router: Router, key: str) -> str | None:
        account = router.roster.accounts.get(key)
        return key if account is not None and account.is_locked() else None

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["accounts"]


class Aliases:
    """`virtual_alias_maps`: the aliases of one file, except those that Postfix could not expand
    (loops)."""

    def __init__(self, name: str, field: str) -> None:
        self.name, self._field = name, field

    def keys(self, router: Router) -> Iterable[str]:
        return self._document(router).counted()

    def row(self, router: Router, key: str) -> str | None:
        alias = self._document(router).get(key)
        if alias is None or not expands(router, key):
            return None
        return ", ".join(map(spelled, alias.recipients))

    def affected(self, change: Change) -> Iterable[str]:
        return change.dependents

    def _document(self, router: Router) -> Document[Alias]:
        document: Document[Alias] = getattr(router.roster, self._field)
        return document


class Roles:
    """`virtual_alias_maps`, behind the mailboxes: the addresses that the setting postmaster_address
    adds (mailroster.routing.router.role_recipient)."""

    name = "roles"

    def keys(self, router: Router) -> Iterable[str]:
        if not router.postmaster:
            return ()
        domains = DOMAINS.keys(router)
        return (*SERVER_ROLES, *(f"{name}@{d}" for d in domains for name in DOMAIN_ROLES))

    def row(self, router: Router, key: str) -> str | None:
        return role_recipient(router, key)

    def affected(self, change: Change) -> Iterable[str]:
        keys = {key for key in SERVER_ROLES if key in change.keys["local_aliases"]}
        domains = DOMAINS.affected(change)
        return keys.union(f"{name}@{domain}" for domain in domains for name in DOMAIN_ROLES)


class Senders:
    """`smtpd_sender_login_maps` for aliases, and for the extra sender addresses of accounts."""

    name = "senders"

    def keys(self, router: Router) -> Iterable[str]:
        return {**router.roster.virtual.counted(), **router.roster.sender_logins.counted()}

    def row(self, router: Router, key: str) -> str | None:
        return ", ".join(senders.row_of(router, key)) or None

    def affected(self, change: Change) -> Iterable[str]:
        return senders.affected_keys(change)


class CatchAllSenders:
    """`smtpd_sender_login_maps` for catch-alls, which only a setting enables."""

    name = "catch_all_senders"

    def keys(self, router: Router) -> Iterable[str]:
        return (key for key in router.roster.virtual.counted() if key[0] == "@")

    def row(self, router: Router, key: str) -> str | None:
        return ", ".join(senders.of_catch_all(router, key)) or None

    def affected(self, change: Change) -> Iterable[str]:
        return (key for key in change.dependents if key[0] == "@")


class Access:
    """`check_sender_access`, `check_recipient_access`: the restrictions of accounts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def keys(self, router: Router) -> Iterable[str]:
        keys: Iterable[str] = getattr(router.roster, self.name).counted()
        return keys

    def row(self, router: Router, key: str) -> str | None:
        restriction = getattr(router.roster, self.name).get(key)
        return None if restriction is None else str(restriction.action)

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys[self.name]


class Regexp:
    """`postfix-regexp.cf` as a pcre table: one row, the file with plain line feeds and without a
    byte order mark."""

    name = "regexp"

    def keys(self, router: Router) -> Iterable[str]:
        return ("",)

    def row(self, router: Router, key: str) -> str | None:
        return router.roster.regexp.text.removeprefix(MARK).replace("\r\n", "\n")

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["regexp"]


def expands(router: Router, key: str) -> bool:
    """Whether Postfix can expand an alias. If all aliases together take too many lookups, those
    that are not followed keep their rows: Postfix limits the work for each mail itself."""
    try:
        router.follow(key)
    except NotFollowed:
        return True
    except ParseError:
        return False
    return True


ALIASES = Aliases("aliases", "virtual")
#: For the server's own domain, after all other aliases.
LOCAL_ALIASES = Aliases("local_aliases", "local_aliases")
ROLES = Roles()
MAILBOXES = Mailboxes()
LOCKED = Locked()
DOMAINS = Domains()
SPELLINGS = Spellings()
SENDERS = Senders()
CATCH_ALL_SENDERS = CatchAllSenders()
SEND_ACCESS = Access("send_access")
RECEIVE_ACCESS = Access("receive_access")
REGEXP = Regexp()
