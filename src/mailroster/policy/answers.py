"""What the policy service says to an smtpd."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Mapping

from mailroster.address import split, split_extension
from mailroster.finding import Fault
from mailroster.instance.layout import Layout
from mailroster.policy.quota_status import QuotaStatus
from mailroster.policy.regexp_table import Patterns
from mailroster.policy.tabled import tabled
from mailroster.resolve import Router, quoted
from mailroster.targets.lmdb_lookup import LmdbLookup

#: Postfix's restrictions name these as policy_context.
QUOTA, SENDER = "quota", "sender"
PERMIT, NO_OPINION = "OK", "DUNNO"
NOT_OWNED = "553 5.7.1 not owned by the user who is logged in"
#: Less than Postfix waits for us (mailroster.instance.postfix).
ANSWER_S = 1.5
#: Of an alias with more mailboxes the first are asked for.
MAILBOXES_MAX = 100
_COMPLAIN_S = 60.0


class Policy:
    """Answers for one instance."""

    def __init__(self, layout: Layout, origin: str) -> None:
        self._patterns = Patterns(layout)
        self._router = Router(tabled(layout), origin, self._patterns.captured)
        self._quota_status = QuotaStatus(layout.quota_status)
        self._domains = LmdbLookup(layout.table("domains"))
        self._senders = LmdbLookup(layout.table("senders"))
        self._complained: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of an smtpd, request by request, until it ends it."""
        try:
            while True:
                raw = await reader.readuntil(b"\n\n")
                lines = raw.decode("utf-8", "surrogateescape").split("\n")
                asked = dict(line.split("=", 1) for line in lines if "=" in line)
                writer.write(f"action={await self.answer(asked)}\n\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - of this connection; the others go on
            self.complain(f"{type(error).__name__}: {error}")
        finally:
            writer.close()

    async def answer(self, asked: Mapping[str, str]) -> str:
        """An action of access(5). Never raises, and takes ANSWER_S at the most.

        With a `/` and a class of restrictions behind the context it is never OK, which would end
        the list that asks; and what we can't tell is left to the class.
        """
        context, _, otherwise = asked.get("policy_context", "").partition("/")
        action = await self._judged(context, asked)
        return (
            {PERMIT: NO_OPINION, NO_OPINION: otherwise}.get(action, action) if otherwise else action
        )

    async def _judged(self, context: str, asked: Mapping[str, str]) -> str:
        judge: Awaitable[str]
        try:
            if context == SENDER:
                judge = self.sender(asked.get("sender", ""), asked.get("sasl_username", ""))
            else:
                size = asked.get("size", "")
                judge = self.quota(asked.get("recipient", ""), int(size) if size.isdecimal() else 0)
            async with asyncio.timeout(ANSWER_S):
                return await judge
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on
            self.complain(f"{type(error).__name__}: {error}")
            return NO_OPINION

    async def quota(self, recipient: str, size: int) -> str:
        """What a recipient is to be told: `552 …` if any mailbox that it leads to is full."""
        if not recipient:
            return NO_OPINION
        mailboxes = await self._mailboxes(recipient)
        if mailboxes is None:
            return NO_OPINION  # Postfix itself refuses what can't be followed
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
        return PERMIT

    async def sender(self, sender: str, user: str) -> str:
        """Whether a user may send as an address that a pattern catches; of any other the tables
        say all there is."""
        self._patterns.look()
        if not self._patterns.are_any or not sender or not user:
            return NO_OPINION
        sender, user = self._router.qualified(sender.lower()), user.lower()
        await self._patterns.learn([quoted(sender)])
        if self._patterns.captured(quoted(sender)) is None:
            return NO_OPINION
        local, domain = split(sender)
        bare = f"{split_extension(local)[0]}@{domain}"
        if user == bare:
            return PERMIT
        rows = (self._senders.get(key) for key in (sender, bare, f"@{domain}"))
        if any(user in row.split(", ") for row in rows if row):
            return PERMIT
        served = domain == self._router.origin or self._domains.get(domain) is not None
        owners = await self._mailboxes(sender) if served else []
        return PERMIT if user in (owners or []) else NOT_OWNED

    async def _mailboxes(self, address: str) -> list[str] | None:
        """The mailboxes to which an address leads, each once; None if it can't be followed."""
        self._patterns.look()
        while True:
            self._patterns.wanted()
            try:
                recipients = self._router.expand(address)
            except Fault:
                recipients = None
            if wanted := self._patterns.wanted():
                await self._patterns.learn(wanted)
                continue
            if recipients is None:
                return None
            found = (self._router.mailbox(recipient) for recipient in recipients)
            return list(dict.fromkeys(mailbox for mailbox in found if mailbox is not None))

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
