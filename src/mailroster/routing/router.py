"""Where mail to an address goes, as Postfix's cleanup(8) works it out.

A match of `Lookups` replaces the address, and the lookups start again. The route ends at an
address that nothing matches, or that is one of its own results.
"""

from collections.abc import Callable

from mailroster.base.address import example
from mailroster.base.findings import ParseError
from mailroster.routing.lookups import EXPANSION_LIMIT, Lookups, Match, quoted, unreasonable
from mailroster.routing.memory import Memory, Walk

#: Postfix's defaults of virtual_alias_recursion_limit and _address_length_limit.
RECURSION_LIMIT = 1000
ADDRESS_LENGTH_LIMIT = 1000
#: The code of an alias that is not followed to its end, since it takes too many lookups.
NOT_FOLLOWED = "not-followed"
#: The most lookups for one address. Postfix makes up to a million: a thousand addresses, each
#: behind a thousand aliases. Twenty for each address suffice for any alias of a person.
WALK_MAX = 20 * EXPANSION_LIMIT
#: This many results of a lookup cost as much as the lookup.
_RESULTS = 8


class NotFollowed(ParseError):
    """An alias is not followed, since all of them together took too many lookups. Postfix may well
    be able to follow it."""


class Router(Lookups):
    """Follows addresses to their final recipients."""

    __slots__ = ()

    def remembering(self, lookups_max: int | None = None) -> "Router":
        """The same router, which works out each answer once. `lookups_max` is Memory's."""
        return self._replace(memory=Memory(self.roster, lookups_max))

    def expand(self, address: str) -> list[str]:
        """Final recipients, each once, in Postfix's order. Raises ParseError where Postfix would
        answer 451."""
        memory = self.memory
        if memory is None:
            account = self._direct_account(address)
            return self.walk(address) if account is None else [account]
        result = memory.results.get(address)
        if result is None:
            try:
                result = self._expand(address, memory)
            except ParseError as fault:
                # A copy: the traceback of this one would keep a kilobyte for each alias.
                memory.results[address] = fault.again()
                raise
            memory.results[address] = result
        if isinstance(result, ParseError):
            raise result.again()
        return result

    def follow(self, key: str) -> list[str]:
        """Final recipients of an alias; of a catch-all, those of an address that only it matches.
        Raises as `expand`."""
        if key[0] != "@":
            return self.expand(key)
        try:
            return self.expand(example(key))
        except ParseError as fault:
            message = fault.message.replace(example(key), key)
            raise type(fault)(fault.code, message, fault.hint) from None

    def fault_of(self, key: str) -> ParseError | None:
        """Why Postfix can't follow an alias to its end; None if it can."""
        try:
            self.follow(key)
        except ParseError as fault:
            return fault
        return None

    def walk(self, address: str, look: Callable[[str], Match | None] | None = None) -> list[str]:
        """As `expand`, without short cuts. `look` takes the place of `lookup`, for a caller that
        records the steps."""
        return self._walk(address, look or self.lookup).recipients

    def _direct_account(self, address: str) -> str | None:
        """The account that is the only recipient of an alias; None in any less simple case. Nearly
        all aliases are like this, and it takes a third of the time of a walk."""
        roster = self.roster
        alias = roster.virtual.get(address) if "@" in address else None
        if alias is None or len(alias.recipients) > 1 or address[0] == "@":
            return None
        (recipient,) = alias.recipients
        if recipient not in roster.accounts or recipient in roster.virtual:
            return None
        return recipient if self.captured(quoted(recipient)) is None else None

    def _expand(self, address: str, memory: Memory) -> list[str]:
        """As `expand`. A chain of aliases is followed once, not once from each of its links."""
        if (account := self._direct_account(address)) is not None:
            return [account]
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
        walk = memory.walks[address] = self._walk(address, self.lookup)
        return walk.recipients

    def _chain(self, address: str, memory: Memory) -> tuple[int, str]:
        """The number of aliases with one recipient each that follow one another from an address,
        and the address behind the last one; RECURSION_LIMIT or more for a loop."""
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
        """The one result of the alias of an address; None if there is no such alias, if it has more
        results, and in the cases that only `_walk` decides."""
        alias = self.roster.virtual.get(address.lower()) if address.find("@") > 0 else None
        if alias is None or len(alias.recipients) != 1:
            return None
        (result,) = self.results(alias.recipients, address, "")
        if result.lower() == address.lower() or _length(result) > ADDRESS_LENGTH_LIMIT:
            return None
        return result

    def _walk(self, address: str, look: Callable[[str], Match | None]) -> Walk:
        """As `walk`. It stops at more recipients than Postfix accepts, and after WALK_MAX lookups:
        Postfix would not deliver the mail whatever comes later."""
        queue, ends = [self.qualified(address)], set()
        place = nesting_of_first = lookups = 0
        while place < len(queue):
            nesting = 0
            while (current := queue[place]).lower() not in ends:
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
                _check_results(address, match.results, len(queue) - 1)
                if current.lower() in map(str.lower, match.results):
                    ends.add(current.lower())
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


def _check_results(address: str, results: list[str], others: int) -> None:
    """Raises ParseError if a lookup gives more recipients than Postfix accepts besides the others,
    or one that is too long."""
    if others + len(results) > EXPANSION_LIMIT:
        message = f"{address!r} leads to more than {EXPANSION_LIMIT} recipients"
        raise unreasonable(message, "give it fewer recipients")
    if any(_length(result) > ADDRESS_LENGTH_LIMIT for result in results):
        message = f"{address!r} leads to an address that grows without end"
        raise unreasonable(message, "change one of the aliases so that it leads to an account")


def _length(address: str) -> int:
    """The length of an address as Postfix spells it; quotes and backslashes at most double it."""
    length = 2 * len(address) + 2
    return length if length <= ADDRESS_LENGTH_LIMIT else len(quoted(address))


def _endless(address: str) -> ParseError:
    message = f"{address!r} leads to a loop or an endless chain of aliases"
    return unreasonable(message, "change one of the aliases so that it leads to an account")


def _too_long(address: str) -> ParseError:
    message = f"{address!r} takes more than {WALK_MAX:,} lookups to be followed to its end"
    hint = "give the aliases that it leads to fewer recipients"
    return ParseError("unreasonable-alias", message, hint)


def _not_followed(address: str) -> NotFollowed:
    message = f"{address!r} is not followed to its end: all aliases together take too many lookups"
    return NotFollowed(NOT_FOLLOWED, message, "give the aliases before it fewer recipients")
