"""Where an address goes, step by step, as Postfix's cleanup(8) works it out.

The form of the key is the outer loop, the tables in their order are the inner one:

    user+ext@domain   aliases, then regexps, then mailboxes (each maps to itself)
    user@domain       aliases, then mailboxes
    user+ext, user    aliases, where the domain is the server's own ($myorigin)
    @domain           aliases: the catch-all, so it never takes the mail of a mailbox

A match replaces the address and starts over; an address that maps to itself stops there.
"""

from collections.abc import Callable
from typing import NamedTuple

from mailroster.address import split
from mailroster.finding import Fault
from mailroster.roster import Roster

#: Postfix's defaults: virtual_alias_recursion_limit, _expansion_limit, _address_length_limit.
RECURSION_LIMIT = 1000
EXPANSION_LIMIT = 1000
ADDRESS_LENGTH_LIMIT = 1000
#: split_addr(3): these are never cut at the recipient delimiter.
_WHOLE = ("postmaster", "mailer-daemon", "double-bounce")


class Match(NamedTuple):
    """One lookup that found something: in which file, under which key, and what came out."""

    file: str
    key: str
    results: list[str]


class Router(NamedTuple):
    """Answers for one roster on a server whose own domain is `origin` ($myorigin).

    `captured` gives what the first rule of `postfix-regexp.cf` that matches a whole address makes
    of it, or None; only pcre itself can tell, so it is handed in.
    """

    roster: Roster
    origin: str
    captured: Callable[[str], str | None]

    def qualified(self, address: str) -> str:
        """An address with its domain; a bare name is one of the server's own domain."""
        return address if "@" in address else f"{address}@{self.origin}"

    def lookup(self, address: str) -> Match | None:
        """The first match for a qualified address, or None if it stands as it is."""
        roster = self.roster
        local, domain = split(address.lower())
        user, extension = split_extension(address.rpartition("@")[0])
        alias = roster.virtual.get(f"{local}@{domain}")
        if alias:
            return self._match(alias.key, alias.recipients, address, "")
        result = self.captured(address)
        if result:
            words = tuple(result.replace(",", " ").split())
            return Match(roster.regexp.format.file, address, self._results(words, address, ""))
        if f"{local}@{domain}" in roster.accounts:
            return Match(roster.accounts.format.file, address, [address])
        if extension:
            bare = f"{user.lower()}@{domain}"
            alias = roster.virtual.get(bare)
            if alias:
                return self._match(alias.key, alias.recipients, address, extension)
            if bare in roster.accounts:
                return Match(roster.accounts.format.file, bare, [address])
        if domain == self.origin:
            for key, rest in ((local, ""), (user.lower(), extension)):
                alias = roster.virtual.get(key)
                if alias:
                    return self._match(key, alias.recipients, address, rest)
        alias = roster.virtual.get(f"@{domain}")
        return self._match(alias.key, alias.recipients, address, "") if alias else None

    def expand(self, address: str) -> list[str]:
        """Final recipients, each once, in Postfix's order. Raises Fault where Postfix says 451."""
        queue, done = [self.qualified(address)], set()
        place = 0
        while place < len(queue):
            if len(queue) > EXPANSION_LIMIT:
                raise _unreasonable(address, f"more than {EXPANSION_LIMIT} recipients", "fewer")
            nesting = 0
            while (current := queue[place]).lower() not in done:
                match = self.lookup(current)
                if match is None:
                    break
                if nesting >= RECURSION_LIMIT:
                    raise _unreasonable(address, "a loop or an endless chain of aliases", "an end")
                nesting += 1
                for result in match.results:
                    if len(result) > ADDRESS_LENGTH_LIMIT:
                        raise _unreasonable(address, "an address that grows without end", "an end")
                    if result.lower() == current.lower():
                        done.add(current.lower())
                queue[place] = match.results[0]
                queue += match.results[1:]
            place += 1
        recipients: dict[str, str] = {}
        for recipient in queue:
            recipients.setdefault(recipient.lower(), recipient)
        return list(recipients.values())

    def mailbox(self, address: str) -> str | None:
        """The account in whose mailbox mail to a final recipient lands, or None."""
        local, domain = split(address.lower())
        for user in (local, split_extension(local)[0]):
            if f"{user}@{domain}" in self.roster.accounts:
                return f"{user}@{domain}"
        return None

    def _match(self, key: str, words: tuple[str, ...], address: str, extension: str) -> Match:
        return Match(self.roster.virtual.format.file, key, self._results(words, address, extension))

    def _results(self, words: tuple[str, ...], address: str, extension: str) -> list[str]:
        """Addresses that a lookup result stands for: `@domain` keeps the user, names get $myorigin,
        and the extension that the key did not have is carried over."""
        if words[0][0] == "@":
            words = (address.rpartition("@")[0] + words[0], *words[1:])
        results = []
        for word in words:
            local, domain = split(self.qualified(word))
            results.append(f"{local}{extension}@{domain}")
        return results


def split_extension(local: str, delimiter: str = "+") -> tuple[str, str]:
    """User and extension (with its delimiter) of what stands before the `@` (split_addr(3))."""
    place = local.find(delimiter)
    if place <= 0 or local.lower() in _WHOLE:
        return local, ""
    return local[:place], local[place:]


def _unreasonable(address: str, what: str, mend: str) -> Fault:
    return Fault(
        "unreasonable-alias",
        f"{address!r} leads to {what}; Postfix would refuse its mail with 451",
        f"give it {mend}",
    )
