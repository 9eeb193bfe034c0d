"""The lookups that Postfix's cleanup(8) makes for one address, in its order.

The form of the key is the outer loop, the tables in their order are the inner one:

    user+ext@domain   aliases, regexps, mailboxes (each maps to itself), roles
    user@domain       aliases, mailboxes, roles
    user+ext, user    aliases, roles, local aliases; only in the server's own domain ($myorigin)
    @domain           aliases: the catch-all, so it never takes the mail of a mailbox

Roles are the names that the setting postmaster_address serves: `role_recipient`.

Addresses have no quotes, as cleanup(8) compares them. Not followed: the server's own address in
brackets (`postmaster@[192.0.2.1]`), comments and names (`Joe <joe@x>`) in a regexp's result.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mailroster.base.address import qualified, split, split_extension
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.memory import Memory

#: Postfix's default of virtual_alias_expansion_limit.
EXPANSION_LIMIT = 1000
#: The forms of a key, in the order of the lookups.
WHOLE, BARE, NAME, DOMAIN = "address", "without extension", "name", "domain"
#: The tables have an address of this domain in place of DISCARD; Postfix hands it to discard(8).
DISCARD_DOMAIN = "discard.mailroster.invalid"
#: Stands for the file where the setting decides.
POSTMASTER_SETTING = "postmaster_address"
#: Names that every served domain must or should have (RFC 5321 4.5.1, RFC 2142).
DOMAIN_ROLES = ("postmaster", "abuse")
#: Those of the server itself.
SERVER_ROLES = (*DOMAIN_ROLES, "mailer-daemon", "root")
#: One recipient in a lookup result: blanks, commas and, unless there is an operator between, quotes
#: set it off (tok822(3)).
_PART = r'(?:"(?:[^"\\]|\\.)*"|[^\s,".@%!]*)'
_WORD = rf"{_PART}(?:[.@%!]{_PART})*"
#: A local part that needs no quotes (RFC 5322 dot-atom, and what Postfix leaves as it is).
_DOT_ATOM = r'[^\s()<>@,;:\\".\[\]]+(\.[^\s()<>@,;:\\".\[\]]+)*'


class Match(NamedTuple):
    """A lookup that matched: the file, the key and the results."""

    file: str
    key: str
    results: list[str]


#: One lookup: the file, the form of the key, the key, and the match if there is one.
Attempt = tuple[str, str, str, Match | None]


class Lookups(NamedTuple):
    """The tables of one roster, on a server whose own domain is `origin` ($myorigin).

    `captured` gives the result of the first rule of `postfix-regexp.cf` that matches an address,
    or None. Only pcre can tell, so it is passed in.
    """

    roster: Roster
    origin: str
    captured: Callable[[str], str | None]
    memory: Memory | None = None
    #: The mail folder, in which an account may have its mail; "" where it does not matter.
    mail: str = ""
    #: The setting postmaster_address, "" for none.
    postmaster: str = ""
    #: The setting main_password_services: what the passwords of accounts open; None for everything.
    services: tuple[str, ...] | None = None
    #: Gives the recipient of a role by its key, where this roster does not decide it.
    role: Callable[[str], str | None] | None = None

    def qualified(self, address: str) -> str:
        """An address with its domain; a bare name gets the server's own."""
        return qualified(address, self.origin)

    def serves(self, domain: str) -> bool:
        """Whether the server accepts mail for a domain."""
        return domain == self.origin or self.roster.names_domain(domain)

    def is_domain_alias(self, key: str) -> bool:
        """Whether a key is that of a domain alias: `@old @new`."""
        alias = self.roster.virtual.get(key) if key[:1] == "@" else None
        return alias is not None and alias.recipients[0][0] == "@"

    def mailbox(self, address: str) -> str | None:
        """The account whose mailbox receives the mail of a final recipient, or None."""
        if address in self.roster.accounts:
            return address
        local, domain = split(address.lower())
        for user in (local, split_extension(local)[0]):
            if f"{user}@{domain}" in self.roster.accounts:
                return f"{user}@{domain}"
        return None

    def lookup(self, address: str) -> Match | None:
        """The first match for a qualified address, None if nothing matches.

        Raises ParseError where Postfix can't use the result of a rule.
        """
        for _, _, _, match in self.attempts(address):
            if match is not None:
                return match
        return None

    def attempts(self, address: str) -> Iterator[Attempt]:
        """Every lookup for a qualified address, in Postfix's order; the first match decides.
        Raises as `lookup`."""
        roster = self.roster
        virtual, accounts = roster.virtual.format.file, roster.accounts.format.file
        local_aliases = roster.local_aliases.format.file
        local, domain = split(address.lower())
        whole = f"{local}@{domain}"
        yield virtual, WHOLE, whole, self._alias(roster.virtual, whole, address, "")
        yield roster.regexp.format.file, WHOLE, quoted(address), self._rule(address)
        yield accounts, WHOLE, whole, self._account(whole, [whole])
        if role := self._role(whole, ""):
            yield POSTMASTER_SETTING, WHOLE, whole, role
        user, extension = split_extension(split(address)[0])
        user = user.lower()
        if extension:
            bare = f"{user}@{domain}"
            yield virtual, BARE, bare, self._alias(roster.virtual, bare, address, extension)
            yield accounts, BARE, bare, self._account(bare, [f"{user}{extension}@{domain}"])
            if role := self._role(bare, extension):
                yield POSTMASTER_SETTING, BARE, bare, role
        if domain == self.origin:
            for name, rest in ((local, ""), (user, extension)) if extension else ((local, ""),):
                yield virtual, NAME, name, self._alias(roster.virtual, name, address, rest)
                if role := self._role(name, rest):
                    yield POSTMASTER_SETTING, NAME, name, role
                match = self._alias(roster.local_aliases, name, address, rest)
                yield local_aliases, NAME, name, match
        catch_all = f"@{domain}"
        yield virtual, DOMAIN, catch_all, self._alias(roster.virtual, catch_all, address, "")

    def results(self, words: tuple[str, ...], address: str, extension: str) -> list[str]:
        """The addresses that a lookup result stands for: `@domain` keeps the user, names get
        $myorigin, and the extension that the key did not have is added. At most one more than
        Postfix accepts as recipients."""
        words = words[: EXPANSION_LIMIT + 1]
        if words[0][0] == "@":
            user = split(address)[0].removesuffix(extension)
            words = (user + words[0], *words[1:])
        results = []
        for word in words:
            local, domain = split(self.qualified(spelled(word)))
            results.append(f"{local}{extension}@{domain}")
        return results

    def _alias(
        self, aliases: Document[Alias], key: str, address: str, extension: str
    ) -> Match | None:
        alias = aliases.get(key)
        if alias is None:
            return None
        return Match(aliases.format.file, key, self.results(alias.recipients, address, extension))

    def _account(self, key: str, results: list[str]) -> Match | None:
        accounts = self.roster.accounts
        return Match(accounts.format.file, key, results) if key in accounts else None

    def _role(self, key: str, extension: str) -> Match | None:
        if not key.startswith(SERVER_ROLES):
            return None
        recipient = self.role(key) if self.role is not None else role_recipient(self, key)
        if recipient is None:
            return None
        local, domain = split(self.qualified(recipient))
        return Match(POSTMASTER_SETTING, key, [f"{local}{extension}@{domain}"])

    def _rule(self, address: str) -> Match | None:
        """The match of the rules by pattern. Raises ParseError if the result names no
        recipient."""
        result = self.captured(quoted(address))
        if result is None:
            return None
        words = tuple(_unquoted(word) for word in re.findall(_WORD, result) if word)
        if not words:
            message = f"the result {result!r} of a rule for {address!r} names no recipient"
            raise unreasonable(message, "give the rule a recipient")
        return Match(self.roster.regexp.format.file, address, self.results(words, address, ""))


def role_recipient(router: Lookups, key: str) -> str | None:
    """The postmaster, if the setting postmaster_address serves a key: `postmaster@` and `abuse@`
    every served domain, and the server's own names.

    An account, an alias or a catch-all of the roster comes first, and so does a name of
    postfix-aliases.cf, except for root.
    """
    recipient, roster = router.postmaster, router.roster
    local, domain = split(key)
    if not recipient or router.qualified(key) == recipient.lower():
        return None
    if not domain:
        has_alias = local != "root" and local in roster.local_aliases
        return recipient if local in SERVER_ROLES and not has_alias else None
    if local not in DOMAIN_ROLES or domain == router.origin or not roster.names_domain(domain):
        return None
    has_entry = key in roster.accounts or key in roster.virtual or f"@{domain}" in roster.virtual
    return None if has_entry else recipient


def spelled(recipient: str) -> str:
    """A recipient of an alias as Postfix's tables have it."""
    return f"discard@{DISCARD_DOMAIN}" if recipient == DISCARD else recipient


def quoted(address: str) -> str:
    """An address as SMTP and the tables spell it: with quotes around a local part that needs
    them."""
    local, at, domain = address.rpartition("@")
    if not at or local.isalnum() or re.fullmatch(_DOT_ATOM, local):
        return address
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + f'"@{domain}'


def _unquoted(word: str) -> str:
    """An address without its quotes and backslashes."""
    return re.sub(r'\\(.)|"', r"\1", word)


def unreasonable(message: str, hint: str) -> ParseError:
    """The error for an address whose mail Postfix refuses with 451."""
    return ParseError(
        "unreasonable-alias", f"{message}; Postfix would refuse its mail with 451", hint
    )
