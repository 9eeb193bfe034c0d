"""What the policy service says to an smtpd."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from mailroster.address import fold, split, split_extension
from mailroster.finding import Fault
from mailroster.instance.layout import Layout
from mailroster.instance.lookups import CATCH_ALL, LOGIN, QUOTA, RECIPIENT, SENDER
from mailroster.paths import MAILBOX, Recipient, end_of, lead_nowhere
from mailroster.policy.quota_status import QuotaStatus
from mailroster.policy.regexp_table import Patterns
from mailroster.policy.tabled import tabled
from mailroster.resolve import Router
from mailroster.targets.lmdb_lookup import LmdbLookup

T = TypeVar("T")

PERMIT, NO_OPINION = "OK", "DUNNO"
UNKNOWN = "550 5.1.1 User unknown"
NOT_OWNED = "553 5.7.1 not owned by the user who is logged in"
#: For good, as what a client tries again would stay in its outbox. The name is of the account.
SHUT = "554 5.7.1 the account {} is locked or does not exist any more"
#: Less than Postfix waits for us (mailroster.instance.postfix).
ANSWER_S = 1.5
#: Of an alias with more mailboxes the first are asked for.
MAILBOXES_MAX = 100
_COMPLAIN_S = 60.0
#: How many accounts that have sent mail are remembered on a host.
_KNOWN_MAX = 100_000


class Policy:
    """Answers for one instance."""

    def __init__(self, layout: Layout, origin: str) -> None:
        self._patterns = Patterns(layout)
        roles = LmdbLookup(layout.table("roles"))
        self._router = Router(tabled(layout), origin, self._patterns.captured, role=roles.get)
        self._quota_status = QuotaStatus(layout.quota_status)
        self._changing = layout.changing
        self._senders = LmdbLookup(layout.table("senders"))
        self._locked = LmdbLookup(layout.table("locked"))
        self._has_other_users = layout.kind == "host"
        self._known: set[str] = set()
        self._complained: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of an smtpd, request by request, until it ends it."""
        try:
            while True:
                raw = await reader.readuntil(b"\n\n")
                lines = raw.decode("utf-8", "surrogateescape").split("\n")
                asked = dict(line.split("=", 1) for line in lines if "=" in line)
                action = await self.answer(asked)
                writer.write(f"action={action}\n\n".encode("ascii", "replace"))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - of this connection; the others go on
            self.complain(f"{type(error).__name__}: {error}")
        finally:
            writer.close()

    async def answer(self, asked: Mapping[str, str]) -> str:
        """An action of access(5). Never raises, and takes ANSWER_S at the most.

        The context names the questions, with `+` between them (mailroster.instance.lookups). With
        a `/` and a class of restrictions behind it the action is never OK, which would end the list
        that asks; and what we can't tell is left to the class.
        """
        context, _, otherwise = asked.get("policy_context", "").partition("/")
        action = await self._judged(context.split("+"), asked)
        return (
            {PERMIT: NO_OPINION, NO_OPINION: otherwise}.get(action, action) if otherwise else action
        )

    async def _judged(self, questions: Collection[str], asked: Mapping[str, str]) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                if LOGIN in questions:
                    return self.login(asked.get("sasl_username", ""))
                if SENDER in questions:
                    sender, user = asked.get("sender", ""), asked.get("sasl_username", "")
                    return await self.sender(sender, user, CATCH_ALL in questions)
                size = asked.get("size", "")
                return await self.recipient(
                    asked.get("recipient", ""),
                    int(size) if size.isdecimal() else 0,
                    exists=RECIPIENT in questions,
                    has_room=QUOTA in questions,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on
            self.complain(f"{type(error).__name__}: {error}")
            return NO_OPINION

    async def recipient(self, recipient: str, size: int, *, exists: bool, has_room: bool) -> str:
        """The answer about a recipient: `550 …` if it leads only to addresses of ours that do not
        exist, `552 …` if a mailbox that it leads to is full. `exists` and `has_room` say which of
        the two is asked for."""
        ends = await self._ends(recipient) if recipient else None
        if ends is None:
            return NO_OPINION  # Postfix itself refuses what can't be followed
        if exists and lead_nowhere(ends):
            # A change may have come between two lookups, or be under way.
            ends = await self._ends(recipient)
            is_sure = ends is not None and lead_nowhere(ends)
            return UNKNOWN if is_sure and not os.path.exists(self._changing) else NO_OPINION
        mailboxes = dict.fromkeys(end.mailbox for end in ends if end.kind == MAILBOX)
        refusal = await self._refusal(list(mailboxes), size) if has_room else ""
        return refusal or PERMIT

    async def _refusal(self, mailboxes: Sequence[str], size: int) -> str:
        """What the first mailbox that is full answers, "" if there is room in all."""
        asked = [
            asyncio.ensure_future(self._quota_status.refuses(mailbox, size))
            for mailbox in mailboxes[:MAILBOXES_MAX]
        ]
        try:
            for answer in asyncio.as_completed(asked):
                if refusal := await answer:
                    return refusal
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return ""

    async def sender(self, sender: str, user: str, catch_all: bool) -> str:
        """Whether a user may send as an address that a pattern, a domain alias or a role takes; of
        any other the tables list the senders."""
        if not sender or not user:
            return NO_OPINION
        sender, user = self._router.qualified(sender.lower()), user.lower()
        ends = await self._learned(lambda: self._router.sender_ends(sender, catch_all))
        if ends is None:
            return NO_OPINION
        local, domain = split(sender)
        bare = f"{split_extension(local)[0]}@{domain}"
        if user == bare or user in ends:
            return PERMIT
        rows = (self._senders.get(key) for key in (sender, bare, f"@{domain}"))
        return PERMIT if any(user in row.split(", ") for row in rows if row) else NOT_OWNED

    def login(self, user: str) -> str:
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
        # The mark is looked for first: an account is there when it is removed.
        is_changing = os.path.exists(self._changing)
        return NO_OPINION if is_changing or user in roster.accounts else SHUT.format(user)

    def _remember(self, user: str) -> None:
        if self._has_other_users:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known.add(user)

    async def _ends(self, address: str) -> list[Recipient] | None:
        """The final recipients of an address; None if it can't be followed."""

        def follow() -> list[Recipient] | None:
            try:
                recipients = self._router.expand(address)
            except Fault:
                return None
            return [end_of(self._router, recipient) for recipient in recipients]

        return await self._learned(follow)

    async def _learned(self, judge: Callable[[], T]) -> T:
        """What a function makes of the tables, once all is known that it asks of the patterns."""
        self._patterns.look()
        while True:
            self._patterns.wanted()
            answer = judge()
            wanted = self._patterns.wanted()
            if not wanted:
                return answer
            await self._patterns.learn(wanted)

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
