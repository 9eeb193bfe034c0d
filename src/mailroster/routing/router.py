"""Where an address goes, step by step, as Postfix's cleanup(8) works it out.

The form of the key is the outer loop, the tables in their order are the inner one:

    user+ext@domain   aliases, regexps, mailboxes (each maps to itself), roles
    user@domain       aliases, mailboxes, roles
    user+ext, user    aliases, roles, local aliases; only in the server's own domain ($myorigin)
    @domain           aliases: the catch-all, so it never takes the mail of a mailbox

Roles are the names that the setting postmaster_address serves: `role_recipient`.

A match replaces the address and starts over; an address that maps to itself stops there.

Addresses are bare of quotes, as cleanup(8) compares them. Not followed: the server's own address
in brackets (`postmaster@[192.0.2.1]`), comments and names (`Joe <joe@x>`) in a regexp's result.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mailroster.base.address import example, qualified, split, split_extension
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster

#: Postfix's defaults: virtual_alias_recursion_limit, _expansion_limit, _address_length_limit.
RECURSION_LIMIT = 1000
EXPANSION_LIMIT = 1000
ADDRESS_LENGTH_LIMIT = 1000
#: One recipient in a lookup result: blanks, commas and, unless there is an operator between, quotes
#: set it off (tok822(3)).
_PART = r'(?:"(?:[^"\\]|\\.)*"|[^\s,".@%!]*)'
_WORD = rf"{_PART}(?:[.@%!]{_PART})*"
#: What stands before the `@` without quotes (RFC 5322 dot-atom, and what Postfix leaves as it is).
_DOT_ATOM = r'[^\s()<>@,;:\\".\[\]]+(\.[^\s()<>@,;:\\".\[\]]+)*'


#: The code of an alias that is not followed to its end, as it takes too many lookups.
NOT_FOLLOWED = "not-followed"
#: Lookups for one address. Postfix makes up to a million: so many addresses, each behind so many
#: aliases. With twenty for each address that it delivers to, no alias of a person needs more.
WALK_MAX = 20 * EXPANSION_LIMIT
#: Lookups for all aliases together: so many, and a few for each alias, which need no more if they
#: don't lead to one another.
_ALL_MAX, _EACH_MAX = 1_000_000, 10
#: So many results of a lookup cost as much as the lookup.
_RESULTS = 8
#: The forms of a key, in the order in which they are asked for.
WHOLE, BARE, NAME, DOMAIN = "address", "without extension", "name", "domain"
#: The tables have an address of this domain in place of DISCARD; Postfix hands it to discard(8).
DISCARD_DOMAIN = "discard.mailroster.invalid"
#: In place of a file, for what this setting leads to the postmaster.
POSTMASTER_SETTING = "postmaster_address"
#: Names that every served domain must or should have (RFC 5321 4.5.1, RFC 2142).
DOMAIN_ROLES = ("postmaster", "abuse")
#: Those of the server itself.
SERVER_ROLES = (*DOMAIN_ROLES, "mailer-daemon", "root")


class Match(NamedTuple):
    """One lookup that found something: in which file, under which key, and what came out."""

    file: str
    key: str
    results: list[str]


class NotFollowed(ParseError):
    """An alias is not followed since all of them together took too many lookups. Postfix may well
    be able to follow it."""


class Memory:
    """What `Router.expand` has worked out, for callers that ask for all there is.

    `lookups_max`: after so many lookups `expand` gives up and raises NotFollowed. Without it the
    limit is _ALL_MAX, and _EACH_MAX for each alias of the roster.
    """

    def __init__(self, roster: Roster, lookups_max: int | None = None) -> None:
        self.lookups, self._lookups_max, self._roster = 0, lookups_max, roster
        #: By address: its recipients, or why it has none.
        self.results: dict[str, list[str] | ParseError] = {}
        #: By address: through how many aliases with one recipient each it leads, and to where.
        self.chains: dict[str, tuple[int, str]] = {}
        #: By address: how it was followed to its end.
        self.walks: dict[str, Walk] = {}

    def is_exhausted(self) -> bool:
        if self._lookups_max is None:
            if self.lookups <= _ALL_MAX:
                return False  # no need to count the aliases, which a large file takes a while for
            aliases = sum(len(document.index) for document in self._roster.aliases())
            self._lookups_max = _ALL_MAX + _EACH_MAX * aliases
        return self.lookups > self._lookups_max


class Walk(NamedTuple):
    """An address followed to its end: the recipients, how many aliases the first of them has behind
    it, and how many lookups it took."""

    recipients: list[str]
    nesting: int
    lookups: int


#: One lookup of an address: in which file, the form of the key, the key, and what it found.
Try = tuple[str, str, str, Match | None]
#: One that matched.
Taken = tuple[str, str, str, Match]


class Router(NamedTuple):
    """Answers for one roster on a server whose own domain is `origin` ($myorigin).

    `captured` gives what the first rule of `postfix-regexp.cf` that matches a whole address makes
    of it, or None; only pcre itself can tell, so it is handed in.
    """

    roster: Roster
    origin: str
    captured: Callable[[str], str | None]
    memory: Memory | None = None
    #: The mail folder, in which an account may have its mail; "" where it does not matter.
    mail: str = ""
    #: The setting postmaster_address, "" for none.
    postmaster: str = ""
    #: The recipient of a role by its key, where something else than this roster decides it.
    role: Callable[[str], str | None] | None = None

    def remembering(self, lookups_max: int | None = None) -> "Router":
        """The same, but what is asked twice is worked out once. `lookups_max` is Memory's."""
        return self._replace(memory=Memory(self.roster, lookups_max))

    def qualified(self, address: str) -> str:
        """An address with its domain, the server's own for a bare name."""
        return qualified(address, self.origin)

    def lookup(self, address: str) -> Match | None:
        """The first match for a qualified address, or None if it stands as it is.

        Raises ParseError where Postfix can't use what the regexps make of it.
        """
        for _, _, _, match in self.tries(address):
            if match is not None:
                return match
        return None

    def tries(self, address: str) -> Iterator[Try]:
        """Every lookup for a qualified address in Postfix's order; the first that has a match is
        the one that counts. Raises as `lookup`."""
        roster = self.roster
        virtual, accounts = roster.virtual.format.file, roster.accounts.format.file
        names = roster.local_aliases.format.file
        local, domain = split(address.lower())
        whole = f"{local}@{domain}"
        yield virtual, WHOLE, whole, self._alias(whole, address, "")
        yield roster.regexp.format.file, WHOLE, quoted(address), self._capture(address)
        found = [whole]
        yield accounts, WHOLE, whole, self._account(whole, found)
        if role := self._role(whole, ""):
            yield POSTMASTER_SETTING, WHOLE, whole, role
        user, extension = split_extension(split(address)[0])
        user = user.lower()
        if extension:
            bare = f"{user}@{domain}"
            yield virtual, BARE, bare, self._alias(bare, address, extension)
            found = [f"{user}{extension}@{domain}"]
            yield accounts, BARE, bare, self._account(bare, found)
            if role := self._role(bare, extension):
                yield POSTMASTER_SETTING, BARE, bare, role
        if domain == self.origin:
            yield virtual, NAME, local, self._alias(local, address, "")
            if role := self._role(local, ""):
                yield POSTMASTER_SETTING, NAME, local, role
            yield names, NAME, local, self._local_alias(local, address, "")
            if extension:
                yield virtual, NAME, user, self._alias(user, address, extension)
                if role := self._role(user, extension):
                    yield POSTMASTER_SETTING, NAME, user, role
                yield names, NAME, user, self._local_alias(user, address, extension)
        yield virtual, DOMAIN, f"@{domain}", self._alias(f"@{domain}", address, "")

    def expand(self, address: str) -> list[str]:
        """Final recipients, each once, in Postfix's order. Raises ParseError where Postfix says
        451."""
        memory = self.memory
        if memory is None:
            straight = self._straight(address)
            return self.walk(address) if straight is None else [straight]
        found = memory.results.get(address)
        if found is None:
            try:
                found = self._expand(address, memory)
            except ParseError as fault:
                # Without what it was raised from: that would keep a kilobyte for each alias.
                memory.results[address] = fault.again()
                raise
            memory.results[address] = found
        if isinstance(found, ParseError):
            raise found.again()
        return found

    def _expand(self, address: str, memory: Memory) -> list[str]:
        """As `expand`. A chain of aliases is followed once, not once from each of its links."""
        if (straight := self._straight(address)) is not None:
            return [straight]
        if memory.is_exhausted():
            raise _not_followed(address)
        hops, end = self._chain(address, memory)
        if hops >= RECURSION_LIMIT:
            raise _endless(address)
        if hops:
            try:
                recipients = self.expand(end)
            except ParseError as fault:
                message = fault.message.replace(repr(end), repr(address), 1)
                raise type(fault)(fault.code, message, fault.hint) from None
            walk = memory.walks.get(end)
            if walk is not None and hops + walk.nesting <= RECURSION_LIMIT:
                if hops + walk.lookups > WALK_MAX:
                    raise _too_long(address)
                return recipients
        walk = memory.walks[address] = self._walked(address, self.lookup)
        return walk.recipients

    def _chain(self, address: str, memory: Memory) -> tuple[int, str]:
        """How many aliases with one recipient each lead from an address to one that is none, and
        to which; RECURSION_LIMIT or more for a circle."""
        path: dict[str, None] = {}
        current = address
        while current not in memory.chains:
            memory.lookups += 1
            following = self._only_recipient(current)
            if following is None:
                memory.chains[current] = (0, current)
                break
            path[current] = None
            if following in path:
                memory.chains[current] = (RECURSION_LIMIT, current)
                break
            current = following
        hops, end = memory.chains[current]
        for link in reversed(path):
            if link not in memory.chains:
                hops += 1
                memory.chains[link] = (hops, end)
        return memory.chains[address]

    def _only_recipient(self, address: str) -> str | None:
        """The one address that the alias of a whole address leads to; None if there is no such
        alias, if it has more, and for what `walk` looks at more closely."""
        alias = self.roster.virtual.get(address.lower()) if address.find("@") > 0 else None
        if alias is None or len(alias.recipients) != 1:
            return None
        (result,) = self._results(alias.recipients, address, "")
        if result.lower() == address.lower() or _length(result) > ADDRESS_LENGTH_LIMIT:
            return None
        return result

    def _straight(self, address: str) -> str | None:
        """The account to which an alias leads that has just this one recipient; None if it isn't
        as simple as that. Nearly all are, and this takes a third of the time."""
        roster = self.roster
        alias = roster.virtual.get(address) if "@" in address else None
        if alias is None or len(alias.recipients) > 1 or address[0] == "@":
            return None
        (recipient,) = alias.recipients
        if recipient not in roster.accounts or recipient in roster.virtual:
            return None
        return recipient if self.captured(quoted(recipient)) is None else None

    def walk(self, address: str, look: Callable[[str], Match | None] | None = None) -> list[str]:
        """As `expand`, step by step; `look` stands in for `lookup`, for who wants to see them."""
        return self._walked(address, look or self.lookup).recipients

    def _walked(self, address: str, look: Callable[[str], Match | None]) -> Walk:
        """As `walk`. Work has a limit: once there are more recipients than Postfix accepts, or
        WALK_MAX lookups, nothing that comes later makes it deliver."""
        queue, done = [self.qualified(address)], set()
        place = nesting_of_first = lookups = 0
        while place < len(queue):
            nesting = 0
            while (current := queue[place]).lower() not in done:
                if nesting >= RECURSION_LIMIT:
                    raise _endless(address)
                if lookups >= WALK_MAX:
                    raise _too_long(address)
                nesting += 1
                lookups += 1
                match = look(current)
                if self.memory is not None:
                    self.memory.lookups += 1 + (len(match.results) // _RESULTS if match else 0)
                if match is None:
                    break
                if len(queue) + len(match.results) - 1 > EXPANSION_LIMIT:
                    message = f"{address!r} leads to more than {EXPANSION_LIMIT} recipients"
                    raise _unreasonable(message, "give it fewer")
                for result in match.results:
                    if _length(result) > ADDRESS_LENGTH_LIMIT:
                        message = f"{address!r} leads to an address that grows without end"
                        raise _unreasonable(message, "give it an end")
                    if result.lower() == current.lower():
                        done.add(current.lower())
                queue[place] = match.results[0]
                queue += match.results[1:]
            nesting_of_first = nesting if place == 0 else nesting_of_first
            place += 1
        if len(queue) == 1:
            return Walk(queue, nesting_of_first, lookups)
        recipients: dict[str, str] = {}
        for recipient in queue:
            recipients.setdefault(recipient.lower(), recipient)
        return Walk(list(recipients.values()), nesting_of_first, lookups)

    def follow(self, key: str) -> list[str]:
        """Final recipients of an alias; of a catch-all, as its default. Raises ParseError."""
        if key[0] != "@":
            return self.expand(key)
        try:
            return self.expand(example(key))
        except ParseError as fault:
            message = fault.message.replace(example(key), key)
            raise type(fault)(fault.code, message, fault.hint) from None

    def mailbox(self, address: str) -> str | None:
        """The account in whose mailbox mail to a final recipient lands, or None."""
        if address in self.roster.accounts:
            return address
        local, domain = split(address.lower())
        for user in (local, split_extension(local)[0]):
            if f"{user}@{domain}" in self.roster.accounts:
                return f"{user}@{domain}"
        return None

    def sender_ends(self, address: str, catch_all: bool) -> list[str] | None:
        """The accounts in whose mailboxes mail to an address ends, where no table can list who may
        send as it: a pattern, a domain alias (`@old @new`) or a role takes the address.

        None for any other address: the tables list its senders. `catch_all`: whether accounts may
        send as what a catch-all with a recipient of its own leads to them.
        """
        if self.captured(quoted(address)) is not None:
            if not self.serves(split(address)[1]):
                return []  # whatever the pattern makes of it
        else:
            try:
                steps, taken = self._behind_domain_aliases(address)
            except ParseError:
                return []
            is_role = taken is not None and taken[0] == POSTMASTER_SETTING
            if not steps and not is_role:
                return None
            is_catch_all = taken is not None and not is_role and taken[1] == DOMAIN
            if is_catch_all and not catch_all:
                return []
        try:
            ends = self.expand(address)
        except ParseError:
            return []
        mailboxes = (self.mailbox(end) for end in ends)
        return list(dict.fromkeys(mailbox for mailbox in mailboxes if mailbox is not None))

    def _behind_domain_aliases(self, address: str) -> "tuple[int, Taken | None]":
        """How many domain aliases an address goes through at first, and the lookup that decides
        about what it is then. Raises as `lookup`."""
        taken = self._first(address)
        steps = 0
        while taken is not None and steps < RECURSION_LIMIT and self._keeps_user(taken):
            steps += 1
            taken = self._first(taken[3].results[0])
        return steps, taken

    def serves(self, domain: str) -> bool:
        """Whether mail for a domain is accepted from anybody."""
        return domain == self.origin or self.roster.names_domain(domain)

    def _first(self, address: str) -> "Taken | None":
        """The lookup that decides about an address."""
        for file, form, key, match in self.tries(address):
            if match is not None:
                return file, form, key, match
        return None

    def _keeps_user(self, taken: "Taken") -> bool:
        """Whether a lookup that matched is a domain alias: `@old @new`."""
        if taken[1] != DOMAIN:
            return False
        alias = self.roster.virtual.get(taken[2])
        return alias is not None and alias.recipients[0][0] == "@"

    def _role(self, key: str, extension: str) -> Match | None:
        if not key.startswith(SERVER_ROLES):
            return None
        found = self.role(key) if self.role is not None else role_recipient(self, key)
        if found is None:
            return None
        local, domain = split(self.qualified(found))
        return Match(POSTMASTER_SETTING, key, [f"{local}{extension}@{domain}"])

    def _alias(self, key: str, address: str, extension: str) -> Match | None:
        return self._redirect(self.roster.virtual, key, address, extension)

    def _local_alias(self, key: str, address: str, extension: str) -> Match | None:
        return self._redirect(self.roster.local_aliases, key, address, extension)

    def _redirect(
        self, aliases: Document[Alias], key: str, address: str, extension: str
    ) -> Match | None:
        alias = aliases.get(key)
        if alias is None:
            return None
        return Match(aliases.format.file, key, self._results(alias.recipients, address, extension))

    def _capture(self, address: str) -> Match | None:
        """What the regexps make of a whole address. Raises ParseError if it names no recipient."""
        result = self.captured(quoted(address))
        if result is None:
            return None
        words = tuple(_unquoted(word) for word in re.findall(_WORD, result) if word)
        if not words:
            message = f"the result {result!r} of a rule for {address!r} names no recipient"
            raise _unreasonable(message, "give the rule a recipient")
        return Match(self.roster.regexp.format.file, address, self._results(words, address, ""))

    def _account(self, key: str, results: list[str]) -> Match | None:
        accounts = self.roster.accounts
        return Match(accounts.format.file, key, results) if key in accounts else None

    def _results(self, words: tuple[str, ...], address: str, extension: str) -> list[str]:
        """Addresses that a lookup result stands for: `@domain` keeps the user, names get $myorigin,
        and the extension that the key did not have is carried over. Of more words than Postfix
        accepts as recipients there are one too many."""
        words = words[: EXPANSION_LIMIT + 1]
        if words[0][0] == "@":
            user = split(address)[0].removesuffix(extension)
            words = (user + words[0], *words[1:])
        results = []
        for word in words:
            local, domain = split(self.qualified(spelled(word)))
            results.append(f"{local}{extension}@{domain}")
        return results


def spelled(recipient: str) -> str:
    """A recipient of an alias as Postfix's tables have it."""
    return f"discard@{DISCARD_DOMAIN}" if recipient == DISCARD else recipient


def role_recipient(router: Router, key: str) -> str | None:
    """The postmaster, if the setting postmaster_address leads a key there: `postmaster@` and
    `abuse@` every served domain, and the server's own names.

    An account, an alias or a catch-all of the roster comes first, and so does a name of
    postfix-aliases.cf, except for root.
    """
    recipient, roster = router.postmaster, router.roster
    local, domain = split(key)
    if not recipient or router.qualified(key) == recipient.lower():
        return None
    if not domain:
        is_taken = local != "root" and local in roster.local_aliases
        return recipient if local in SERVER_ROLES and not is_taken else None
    if local not in DOMAIN_ROLES or domain == router.origin or not roster.names_domain(domain):
        return None
    is_taken = key in roster.accounts or key in roster.virtual or f"@{domain}" in roster.virtual
    return None if is_taken else recipient


def _length(address: str) -> int:
    """Of an address as it is spelled; quotes and backslashes at most double it."""
    length = 2 * len(address) + 2
    return length if length <= ADDRESS_LENGTH_LIMIT else len(quoted(address))


def quoted(address: str) -> str:
    """An address as SMTP and the tables spell it: in quotes what needs them before the `@`."""
    local, at, domain = address.rpartition("@")
    if not at or local.isalnum() or re.fullmatch(_DOT_ATOM, local):
        return address
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + f'"@{domain}'


def _unquoted(word: str) -> str:
    """An address without its quotes and backslashes."""
    return re.sub(r'\\(.)|"', r"\1", word)


def _endless(address: str) -> ParseError:
    message = f"{address!r} leads to a loop or an endless chain of aliases"
    return _unreasonable(message, "give it an end")


def _too_long(address: str) -> ParseError:
    message = f"{address!r} takes more than {WALK_MAX:,} lookups to be followed to its end"
    return ParseError(
        "unreasonable-alias", message, "give the aliases that it leads to fewer recipients"
    )


def _not_followed(address: str) -> NotFollowed:
    message = f"{address!r} is not followed to its end: all aliases together take too many lookups"
    return NotFollowed(NOT_FOLLOWED, message, "give the aliases before it fewer recipients")


def _unreasonable(message: str, hint: str) -> ParseError:
    return ParseError(
        "unreasonable-alias", f"{message}; Postfix would refuse its mail with 451", hint
    )
