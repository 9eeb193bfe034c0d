"""The nodes of a map: what each address of a roster is by itself."""

from mailroster.analysis.graph import (
    ADDRESS,
    ALIAS,
    DISCARDED,
    ELSEWHERE,
    EMPTIED,
    LOOP,
    MAILBOX,
    NOWHERE,
    Node,
)
from mailroster.base.address import split, split_extension
from mailroster.base.findings import ParseError
from mailroster.roster.formats.local_aliases import DISCARD
from mailroster.routing.lookups import POSTMASTER_SETTING, role_recipient
from mailroster.routing.router import Router


class MapNodes:
    """Makes the nodes of the addresses of one roster."""

    def __init__(self, router: Router) -> None:
        self._router, self._roster = router, router.roster

    def name(self, word: str) -> str:
        """The name of the node of a recipient or key."""
        return word if word[0] == "@" or word == DISCARD else self._router.qualified(word).lower()

    def of_alias(self, key: str, where: str) -> Node:
        """The node of an alias; some loop, and some have the address of an account."""
        name = self.name(key)
        lines = (key, "catch-all", where) if key[0] == "@" else (key, where)
        domain = split(self._router.qualified(key))[1]
        if self._router.fault_of(key) is not None:
            return Node(name, LOOP, (*lines, "loop: not served"), domain)
        if name in self._roster.accounts:
            return self._mailbox(name, where)
        return Node(name, ALIAS, lines, domain)

    def of_recipient(self, word: str) -> tuple[Node, str]:
        """The node of a recipient of an alias, and the extension that the recipient has."""
        if word[0] == "@":
            key = word.lower()
            kind = ALIAS if key in self._roster.virtual else ADDRESS
            domain = key[1:] if self._router.serves(key[1:]) else ""
            return Node(key, kind, (key,), domain), ""
        name = self.name(word)
        local, domain = split(name)
        user, extension = split_extension(local)
        bare = f"{user}@{domain}"
        if extension and not self._has_entry(name) and self._has_entry(bare):
            return self.of_address(bare), extension
        return self.of_address(name), ""

    def _has_entry(self, name: str) -> bool:
        return name in self._roster.virtual or name in self._roster.accounts

    def of_address(self, name: str) -> Node:
        """The node of a whole address."""
        roster, router = self._roster, self._router
        local, domain = split(name)
        if name in roster.accounts:
            return self._mailbox(name)
        if name == DISCARD:
            return Node(name, DISCARDED, (name, "discarded"))
        if not router.serves(domain):
            return Node(name, ELSEWHERE, (name,))
        bare = local if domain == router.origin else name
        if name in roster.virtual or any(bare in document for document in roster.aliases()):
            return Node(name, ALIAS, (name,), domain)
        if role_recipient(router, bare):
            return Node(name, ADDRESS, (name, POSTMASTER_SETTING), domain)
        if self._is_unknown(name):
            return Node(name, NOWHERE, (name, "does not exist"), domain)
        return Node(name, ADDRESS, (name,), domain)

    def _mailbox(self, name: str, *more: str) -> Node:
        """The node of an account; `more` are lines of its label."""
        quota = self._roster.quotas.get(name)
        size = () if quota is None else (f"quota {quota.size}",)
        if self.is_emptied(name):
            return Node(name, EMPTIED, (name, *size, *more, "gets no mail"), split(name)[1])
        return Node(name, MAILBOX, (name, *size, *more), split(name)[1])

    def is_emptied(self, account: str) -> bool:
        """Whether an alias or a rule redirects all mail of an account."""
        try:
            recipients = self._router.expand(account)
        except ParseError:
            return True
        return not any(self._router.mailbox(recipient) == account for recipient in recipients)

    def _is_unknown(self, address: str) -> bool:
        """Whether nothing matches an address in a domain that is served."""
        try:
            return self._router.lookup(address) is None
        except ParseError:
            return False
