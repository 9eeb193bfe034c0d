"""The decisions of the policy service about recipients, senders and sessions."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from mailroster.base.address import fold, split
from mailroster.base.findings import ParseError
from mailroster.base.layout import Layout
from mailroster.daemons.policy.changes_under_way import ChangesUnderWay
from mailroster.daemons.policy.complaints import Complaints
from mailroster.daemons.policy.mailbox_cache import MailboxCache
from mailroster.daemons.policy.pattern_cache import PatternCache
from mailroster.daemons.policy.quota_status import QuotaStatus
from mailroster.daemons.policy.rooms import Rooms
from mailroster.daemons.policy.table_roster import TABLES, table_roster
from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.routing import senders
from mailroster.routing.router import Router
from mailroster.routing.trace import MAILBOX, Recipient, end_of, lead_nowhere
from mailroster.servers.config.lookups import CATCH_ALL, LOGIN, QUOTA, RECIPIENT, SENDER

T = TypeVar("T")

PERMIT, NO_OPINION = "OK", "DUNNO"
UNKNOWN = "550 5.1.1 User unknown"
NOT_OWNED = "553 5.7.1 not owned by the user who is logged in"
#: Permanent, since a client would keep a deferred message in its outbox. The name is the account.
SHUT = "554 5.7.1 the account {} is locked or does not exist any more"
#: Less than Postfix waits for an answer (mailroster.servers.config.postfix).
ANSWER_S = 1.5
#: So long a rejection waits for a change that is under way.
CHANGE_S = 1.0
#: Of an alias with more mailboxes only so many are checked for room.
MAILBOXES_MAX = 100
#: On a host, so many accounts that have sent mail are remembered.
_SENDERS_MAX = 100_000

#: The attributes of a request (Postfix, SMTPD_POLICY_README).
Request = Mapping[str, str]
#: Fetches what a decision needs. Returns the action, or None if the request is to be decided again.
Fetch = Callable[[], Awaitable[str | None]]


class _NeedsFetch(Exception):
    """A decision needs more than the tables and the caches."""

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self.fetch = fetch


class Policy:
    """The decisions for one instance."""

    def __init__(self, layout: Layout, origin: str) -> None:
        self._patterns = PatternCache(layout)
        tables = {name: LmdbLookup(layout.table(name)) for name in (*TABLES, "roles")}
        # Not a method of this object: a cycle of references would keep its tables open.
        version = partial(_version, self._patterns, tuple(tables.values()))
        self._mailboxes = MailboxCache(version)
        self._router = Router(
            table_roster(tables), origin, self._patterns.captured, role=tables["roles"].get
        )
        self._rooms = Rooms(QuotaStatus(layout.quota_status).action, layout.limits)
        self._changes = ChangesUnderWay(layout.changing)
        self._senders = LmdbLookup(layout.table("senders"))
        self._locked = LmdbLookup(layout.table("locked"))
        self._has_other_users = layout.kind == "host"
        self._known_senders: set[str] = set()
        self.complaints = Complaints()

    def answer(self, request: Request) -> str | Coroutine[Any, Any, str]:
        """The action of access(5) for a request: at once if the tables and caches suffice, else as
        a coroutine that takes at most ANSWER_S. Neither raises.

        The context of the request names the questions, separated by `+`
        (mailroster.servers.config.lookups). If it ends with `/` and a class of restrictions, the
        action is never OK, which would end the list of restrictions; and it is the class instead of
        DUNNO.
        """
        until = asyncio.get_running_loop().time() + CHANGE_S
        try:
            return _for_class(request, self._decide(request, until))
        except _NeedsFetch as need:
            return self._decide_later(request, until, need.fetch)
        except Exception as error:  # noqa: BLE001 - mail goes on after any error
            return _for_class(request, self._no_opinion(error))

    async def _decide_later(self, request: Request, until: float, fetch: Fetch) -> str:
        """The action, once everything is fetched that it depends on."""
        action: str | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                while action is None:
                    action = await fetch()
                    try:
                        action = action or self._decide(request, until)
                    except _NeedsFetch as need:
                        fetch = need.fetch
        except Exception as error:  # noqa: BLE001 - mail goes on after any error
            action = self._no_opinion(error)
        return _for_class(request, action)

    def _no_opinion(self, error: Exception) -> str:
        self.complaints.log(f"{type(error).__name__}: {error}")
        return NO_OPINION

    def _decide(self, request: Request, until: float) -> str:
        """The action. `until`, by the loop's clock, it waits for a change. Raises _NeedsFetch."""
        questions = request.get("policy_context", "").partition("/")[0].split("+")
        if LOGIN in questions:
            return self._login(request.get("sasl_username", ""), until)
        if SENDER in questions:
            sender, user = request.get("sender", ""), request.get("sasl_username", "")
            return self._sender(sender, user, CATCH_ALL in questions)
        size = request.get("size", "")
        return self._recipient(
            request.get("recipient", ""),
            int(size) if size.isdecimal() else 0,
            until,
            exists=RECIPIENT in questions,
            has_room=QUOTA in questions,
        )

    def _recipient(
        self, recipient: str, size: int, until: float, *, exists: bool, has_room: bool
    ) -> str:
        """The action for a recipient: `550 …` if it leads only to local addresses that do not exist
        (checked if `exists`), `552 …` if it leads to a full mailbox (checked if `has_room`). A
        rejection never depends on cached tables."""
        mailboxes = self._mailboxes.get(recipient)
        if mailboxes is None:
            result = self._expand(recipient, until, exists=exists)
            if isinstance(result, str):
                return result
            mailboxes = result
        if not has_room or self._rooms.take(mailboxes, size):
            return PERMIT
        raise _NeedsFetch(partial(self._full, mailboxes, size))

    def _expand(self, recipient: str, until: float, *, exists: bool) -> str | Sequence[str]:
        """The mailboxes of a recipient, up to MAILBOXES_MAX; or the action for one that can't be
        expanded, or that leads nowhere (checked if `exists`)."""
        ends: list[Recipient] | None = None

        def leads_nowhere() -> bool:
            nonlocal ends
            ends = self._ends(recipient) if recipient else None
            return exists and ends is not None and lead_nowhere(ends)

        if self._is_sure(leads_nowhere, until):
            return UNKNOWN
        if ends is None:
            return NO_OPINION  # Postfix itself rejects what can't be expanded
        mailboxes = list(dict.fromkeys(end.mailbox for end in ends if end.kind == MAILBOX))
        mailboxes = mailboxes[:MAILBOXES_MAX]
        if not lead_nowhere(ends):
            self._mailboxes.keep(recipient, mailboxes)
        return mailboxes

    async def _full(self, mailboxes: Sequence[str], size: int) -> str:
        """The rejection of the first mailbox that is full; PERMIT if all have room."""
        tasks = [asyncio.ensure_future(self._rooms.refusal(mailbox, size)) for mailbox in mailboxes]
        try:
            for task in asyncio.as_completed(tasks):
                if refusal := await task:
                    return refusal
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return PERMIT

    def _is_sure(self, seems: Callable[[], bool], until: float) -> bool:
        """Whether something is true by the tables, and not only while a change is under way. Raises
        _NeedsFetch to wait for the end of a change."""
        if not seems():
            return False
        stamp = self._changes.stamp()
        if stamp is not None:
            if not seems():
                return False
            if stamp == self._changes.stamp():
                return True
        raise _NeedsFetch(partial(self._wait, until))

    async def _wait(self, until: float) -> str | None:
        return None if await self._changes.wait(until) else NO_OPINION

    def _sender(self, sender: str, user: str, catch_all: bool) -> str:
        """Whether a user may send as an address that a pattern, a domain alias or a role matches;
        NO_OPINION for any other address: the tables list its senders."""
        if not sender or not user:
            return NO_OPINION
        sender, user = self._router.qualified(sender.lower()), user.lower()
        owners = self._with_patterns(
            lambda: senders.by_route(
                self._router, sender, catch_all=catch_all, rows=self._sender_row
            )
        )
        if owners is None:
            return NO_OPINION
        # On a host, a user need not be one of our accounts.
        return PERMIT if user in owners or user == senders.without_extension(sender) else NOT_OWNED

    def _sender_row(self, key: str) -> Sequence[str]:
        row = self._senders.get(key)
        return row.split(", ") if row else ()

    def _login(self, user: str, until: float) -> str:
        """The action for a session: `554 …` if its account is locked or was deleted; never OK.
        `user` is the login name as Dovecot has normalised it, "" for a client without a login.

        On a host, other users may log in as well: there, a user was one of our accounts if the
        domain is one of ours, or if an earlier request has seen the account. Raises OSError.
        """
        user = fold(user)
        domain = split(user)[1]
        if not domain:
            return NO_OPINION
        if self._locked.get(user) is not None:
            return SHUT.format(user)
        roster = self._router.roster
        if user in roster.accounts:
            if self._has_other_users:
                if len(self._known_senders) >= _SENDERS_MAX:
                    self._known_senders.clear()
                self._known_senders.add(user)
            return NO_OPINION
        is_other = self._has_other_users and user not in self._known_senders
        if is_other and not roster.names_domain(domain):
            return NO_OPINION
        was_deleted = self._is_sure(lambda: user not in roster.accounts, until)
        return SHUT.format(user) if was_deleted else NO_OPINION

    def _ends(self, address: str) -> list[Recipient] | None:
        """The final recipients of an address; None if it can't be expanded. Raises
        _NeedsFetch."""

        def expand() -> list[Recipient] | None:
            try:
                recipients = self._router.expand(address)
            except ParseError:
                return None
            return [end_of(self._router, recipient) for recipient in recipients]

        return self._with_patterns(expand)

    def _with_patterns(self, decide: Callable[[], T]) -> T:
        """The result of a function that uses the patterns. Raises _NeedsFetch if a result of the
        patterns is not cached."""
        self._patterns.refresh()
        self._patterns.pop_missing()
        result = decide()
        if missing := self._patterns.pop_missing():
            raise _NeedsFetch(partial(self._patterns.fetch, missing))
        return result


def _version(patterns: PatternCache, tables: Sequence[LmdbLookup]) -> tuple[object, ...]:
    """A value that changes whenever a table changes on which expansions depend."""
    return (patterns.refresh(), *(table.version() for table in tables))


def _for_class(request: Request, action: str) -> str:
    """The action if a request names a class of restrictions (`Policy.answer`)."""
    restrictions = request.get("policy_context", "").partition("/")[2]
    if not restrictions:
        return action
    return {PERMIT: NO_OPINION, NO_OPINION: restrictions}.get(action, action)
