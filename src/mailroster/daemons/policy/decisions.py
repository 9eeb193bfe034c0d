"""What the policy service says to an smtpd."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from mailroster.base.address import fold, split, split_extension
from mailroster.base.findings import ParseError
from mailroster.base.layout import Layout
from mailroster.daemons.policy.changes_under_way import ChangesUnderWay
from mailroster.daemons.policy.followed import Followed
from mailroster.daemons.policy.pattern_cache import Patterns
from mailroster.daemons.policy.quota_status import QuotaStatus
from mailroster.daemons.policy.rooms import Rooms
from mailroster.daemons.policy.table_roster import TABLES, tabled
from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.routing.router import Router
from mailroster.routing.trace import MAILBOX, Recipient, end_of, lead_nowhere
from mailroster.servers.config.lookups import CATCH_ALL, LOGIN, QUOTA, RECIPIENT, SENDER

T = TypeVar("T")

PERMIT, NO_OPINION = "OK", "DUNNO"
UNKNOWN = "550 5.1.1 User unknown"
NOT_OWNED = "553 5.7.1 not owned by the user who is logged in"
#: For good, as what a client tries again would stay in its outbox. The name is of the account.
SHUT = "554 5.7.1 the account {} is locked or does not exist any more"
#: Less than Postfix waits for us (mailroster.servers.config.postfix).
ANSWER_S = 1.5
#: So long a refusal waits for a change that is under way.
CHANGE_S = 1.0
#: Of an alias with more mailboxes the first are asked for.
MAILBOXES_MAX = 100
_COMPLAIN_S = 60.0
#: How many accounts that have sent mail are remembered on a host.
_KNOWN_MAX = 100_000

#: The attributes of a request (Postfix, SMTPD_POLICY_README).
Request = Mapping[str, str]
#: Finds out what an answer lacks; gives the action, or None: then the request is judged again.
FindOut = Callable[[], Awaitable[str | None]]


class _Lacks(Exception):
    """An answer needs more than the tables and what is remembered."""

    def __init__(self, find_out: FindOut) -> None:
        super().__init__()
        self.find_out = find_out


class Policy:
    """Answers for one instance."""

    def __init__(self, layout: Layout, origin: str) -> None:
        self._patterns = Patterns(layout)
        tables = {name: LmdbLookup(layout.table(name)) for name in (*TABLES, "roles")}
        # No method of this object: in a cycle of references its tables would stay open.
        self._followed = Followed(partial(_version, self._patterns, tuple(tables.values())))
        self._router = Router(
            tabled(tables), origin, self._patterns.captured, role=tables["roles"].get
        )
        self._rooms = Rooms(QuotaStatus(layout.quota_status).action, layout.limits)
        self._changes = ChangesUnderWay(layout.changing)
        self._senders = LmdbLookup(layout.table("senders"))
        self._locked = LmdbLookup(layout.table("locked"))
        self._has_other_users = layout.kind == "host"
        self._known: set[str] = set()
        self._complained: dict[str, float] = {}

    def answer(self, request: Request) -> str | Coroutine[Any, Any, str]:
        """An action of access(5): at once where the tables and what is remembered suffice, else a
        coroutine that takes ANSWER_S at the most. Neither ever raises.

        The context names the questions, with `+` between them (mailroster.servers.config.lookups).
        With a `/` and a class of restrictions behind it the action is never OK, which would end the
        list that asks; and what we can't tell is left to the class.
        """
        until = asyncio.get_running_loop().time() + CHANGE_S
        try:
            return _for_class(request, self._judged(request, until))
        except _Lacks as lacks:
            return self._later(request, until, lacks.find_out)
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on
            return _for_class(request, self._no_opinion(error))

    async def _later(self, request: Request, until: float, find_out: FindOut) -> str:
        """The action, once all is known that it depends on."""
        action: str | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                while action is None:
                    action = await find_out()
                    try:
                        action = action or self._judged(request, until)
                    except _Lacks as lacks:
                        find_out = lacks.find_out
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on
            action = self._no_opinion(error)
        return _for_class(request, action)

    def _no_opinion(self, error: Exception) -> str:
        self.complain(f"{type(error).__name__}: {error}")
        return NO_OPINION

    def _judged(self, request: Request, until: float) -> str:
        """The action; raises _Lacks. `until`, by the loop's clock, it waits for a change."""
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
        """The answer about a recipient: `550 …` if it leads only to addresses of ours that do not
        exist, `552 …` if a mailbox that it leads to is full. `exists` and `has_room` say which of
        the two is asked for. A refusal is never by what is remembered of the tables."""
        mailboxes = self._followed.get(recipient)
        if mailboxes is None:
            answer = self._follow(recipient, until, exists=exists)
            if isinstance(answer, str):
                return answer
            mailboxes = answer
        if not has_room or self._rooms.take(mailboxes, size):
            return PERMIT
        raise _Lacks(partial(self._room, mailboxes, size))

    def _follow(self, recipient: str, until: float, *, exists: bool) -> str | Sequence[str]:
        """The mailboxes of a recipient, up to MAILBOXES_MAX; or the answer about one that has none
        (`exists`: this is asked for) or can't be followed."""
        ends: list[Recipient] | None = None

        def leads_nowhere() -> bool:
            nonlocal ends
            ends = self._ends(recipient) if recipient else None
            return exists and ends is not None and lead_nowhere(ends)

        if self._is_sure(leads_nowhere, until):
            return UNKNOWN
        if ends is None:
            return NO_OPINION  # Postfix itself refuses what can't be followed
        found = dict.fromkeys(end.mailbox for end in ends if end.kind == MAILBOX)
        mailboxes = list(found)[:MAILBOXES_MAX]
        if not lead_nowhere(ends):
            self._followed.keep(recipient, mailboxes)
        return mailboxes

    async def _room(self, mailboxes: Sequence[str], size: int) -> str:
        """What the first mailbox that is full answers, PERMIT if there is room in all."""
        asked = [asyncio.ensure_future(self._rooms.refusal(mailbox, size)) for mailbox in mailboxes]
        try:
            for answer in asyncio.as_completed(asked):
                if refusal := await answer:
                    return refusal
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return PERMIT

    def _is_sure(self, seems: Callable[[], bool], until: float) -> bool:
        """Whether something is so by the tables, which a change under way may only make seem so.
        Raises _Lacks to wait for the end of a change."""
        if not seems():
            return False
        stamp = self._changes.stamp()
        if stamp is not None:
            if not seems():
                return False
            if stamp == self._changes.stamp():
                return True
        raise _Lacks(partial(self._wait, until))

    async def _wait(self, until: float) -> str | None:
        return None if await self._changes.over(until) else NO_OPINION

    def _sender(self, sender: str, user: str, catch_all: bool) -> str:
        """Whether a user may send as an address that a pattern, a domain alias or a role takes; of
        any other the tables list the senders."""
        if not sender or not user:
            return NO_OPINION
        sender, user = self._router.qualified(sender.lower()), user.lower()
        ends = self._learned(lambda: self._router.sender_ends(sender, catch_all))
        if ends is None:
            return NO_OPINION
        local, domain = split(sender)
        bare = f"{split_extension(local)[0]}@{domain}"
        if user == bare or user in ends:
            return PERMIT
        rows = (self._senders.get(key) for key in (sender, bare, f"@{domain}"))
        return PERMIT if any(user in row.split(", ") for row in rows if row) else NOT_OWNED

    def _login(self, user: str, until: float) -> str:
        """`554 …` about a session whose account is locked, or no account any more; never OK. `user`
        is what Dovecot has made of the login name; it is "" for a client that has not logged in.

        On a host, other users may log in: there an account is one of ours if its domain is served,
        or if it was an account when this service was asked before. Raises OSError.
        """
        user = fold(user)
        domain = split(user)[1]
        if not domain:
            return NO_OPINION
        if self._locked.get(user) is not None:
            return SHUT.format(user)
        roster = self._router.roster
        if user in roster.accounts:
            self._remember(user)
            return NO_OPINION
        is_other = self._has_other_users and user not in self._known
        if is_other and not roster.names_domain(domain):
            return NO_OPINION
        is_gone = self._is_sure(lambda: user not in roster.accounts, until)
        return SHUT.format(user) if is_gone else NO_OPINION

    def _remember(self, user: str) -> None:
        if self._has_other_users:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known.add(user)

    def _ends(self, address: str) -> list[Recipient] | None:
        """The final recipients of an address; None if it can't be followed. Raises _Lacks."""

        def follow() -> list[Recipient] | None:
            try:
                recipients = self._router.expand(address)
            except ParseError:
                return None
            return [end_of(self._router, recipient) for recipient in recipients]

        return self._learned(follow)

    def _learned(self, judge: Callable[[], T]) -> T:
        """What a function makes of the tables. Raises _Lacks for what it asks of the patterns and
        Postfix has not answered yet."""
        self._patterns.look()
        self._patterns.wanted()
        answer = judge()
        if wanted := self._patterns.wanted():
            raise _Lacks(partial(self._patterns.learn, wanted))
        return answer

    def complain(self, words: str) -> None:
        """A line of the log for a kind of trouble, once a minute; a full disk is no matter."""
        now = time.monotonic()
        if now - self._complained.get(words, -_COMPLAIN_S) < _COMPLAIN_S:
            return
        if len(self._complained) > 100:
            self._complained.clear()
        self._complained[words] = now
        try:
            print(f"{time.strftime('%b %d %H:%M:%S')} policy: {words}", file=sys.stderr, flush=True)
        except OSError:
            pass


def _version(patterns: Patterns, tables: Sequence[LmdbLookup]) -> tuple[object, ...]:
    """Another one whenever a table by which addresses are followed is another."""
    return (patterns.look(), *(table.version() for table in tables))


def _for_class(request: Request, action: str) -> str:
    """An action for the class of restrictions that a request names (`Policy.answer`)."""
    otherwise = request.get("policy_context", "").partition("/")[2]
    if not otherwise:
        return action
    return {PERMIT: NO_OPINION, NO_OPINION: otherwise}.get(action, action)
