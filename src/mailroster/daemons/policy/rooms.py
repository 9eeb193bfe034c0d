"""The minimum free room of mailboxes: an answer of quota-status is used again for up to a minute.

quota-status decides only whether a message of some size fits. So it is queried with a large size, a
*slack*: if that fits, smaller messages fit until their sum reaches it, without a query for each of
them. Near the limit, where the smallest slack does not fit, each message needs a query. A cached
answer never rejects a message.

Mail that is not delivered by Postfix (IMAP APPEND, a program of the administrator) does not count
until the answer expires.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from mailroster.system.files import ABSENT, Identity, identity

#: The slacks, the largest first. Each one that fits is safe; a larger one lasts longer.
SLACKS_BYTES = (512 << 20, 64 << 20, 8 << 20, 1 << 20)
#: An answer expires after this time, and after so many messages: a quota may limit their number.
KEEP_S = 60.0
KEEP_MESSAGES = 100
#: With a fourth of it left, the next query starts, so that no message waits for it.
_RENEW = 4
#: With more mailboxes, the oldest answers are dropped.
MAILBOXES_MAX = 20_000
#: The assumed size of a message without SIZE: the default of Postfix's message_size_limit.
UNKNOWN_BYTES = 10_240_000
#: The maximum that the servers add to a header (Received, Delivered-To, Return-Path).
HEADER_BYTES = 2048
#: A query that takes longer has failed.
ANSWER_S = 1.5

#: The actions of quota-status for a message that fits.
_FITS = ("DUNNO", "OK")

#: Queries quota-status with a mailbox and a size in bytes. Returns its action. Raises OSError.
Query = Callable[[str, int], Awaitable[str]]


class Room:
    """The free room of one mailbox: the slack that fitted, and the rest of it. The slack is 0 if
    none fitted, None until quota-status has answered; messages that are accepted before that count
    as well."""

    __slots__ = ("expires_at", "left_bytes", "left_messages", "next", "slack_bytes")

    def __init__(self, now: float) -> None:
        self.slack_bytes: int | None = None
        self.left_bytes = 0
        self.left_messages = KEEP_MESSAGES
        self.expires_at = now + KEEP_S  # by the clock of the event loop
        self.next: Room | None = None  # its successor, while quota-status is queried for it

    def fill(self, slack_bytes: int) -> None:
        """Adds the slack that fits."""
        self.slack_bytes = slack_bytes
        self.left_bytes += slack_bytes

    def holds(self, charge_bytes: int) -> bool:
        """Whether a message surely fits, if this has not expired."""
        return self.left_messages > 0 and self.left_bytes >= charge_bytes

    def take(self, charge_bytes: int) -> None:
        """Counts an accepted message."""
        self.left_messages -= 1
        self.left_bytes -= charge_bytes
        if self.next is not None:
            self.next.take(charge_bytes)

    def is_used_up(self, charge_bytes: int) -> bool:
        """Whether a message of this size would fit only into a new slack."""
        return self.slack_bytes is not None and self.slack_bytes >= charge_bytes

    def is_low(self, now: float) -> bool:
        """Whether it will soon be used up or expire."""
        return (
            _RENEW * self.left_bytes < (self.slack_bytes or 0)
            or _RENEW * self.left_messages < KEEP_MESSAGES
            or _RENEW * (self.expires_at - now) < KEEP_S
        )


class Rooms:
    """The free room of the mailboxes of one instance. `limits` is a file that is replaced whenever
    the limit of a mailbox may have changed: then all rooms are dropped."""

    def __init__(self, query: Query, limits: str) -> None:
        self._query, self._limits_path = query, limits
        self._limits: Identity = ABSENT  # the file that the rooms are of
        self._rooms: OrderedDict[str, Room] = OrderedDict()  # in the order in which they expire
        #: The running queries, by mailbox, size, and limits.
        self._in_flight: dict[tuple[str, int, Identity], asyncio.Task[str]] = {}
        self._background: set[asyncio.Task[None]] = set()

    def take(self, mailboxes: Sequence[str], size_bytes: int) -> bool:
        """Whether a message surely fits into all of some mailboxes. If so, it counts in each of
        them, else in none. `size_bytes` is 0 if the client has not declared it."""
        now, charge = self._now(), _charge(size_bytes)
        rooms = [self._rooms.get(mailbox) for mailbox in mailboxes]
        for room in rooms:
            if room is None or room.expires_at <= now or not room.holds(charge):
                return False
        for mailbox, room in zip(mailboxes, rooms, strict=True):
            if room is not None:
                room.take(charge)
                if room.is_low(now):
                    self._renew(mailbox, room)
        return True

    async def refusal(self, mailbox: str, size_bytes: int) -> str:
        """The rejection `552 …` if a mailbox has no room for a message; "" if it has room, and then
        the message counts. Raises OSError if quota-status gives no valid answer.

        Without a cached answer the query has the size of this message, so that a slow quota-status
        delays it by one query only; slacks are tried in the background.
        """
        if self.take((mailbox,), size_bytes):
            return ""
        charge = _charge(size_bytes)
        query = self._shared_query(mailbox, size_bytes)
        room = self._rooms.get(mailbox)
        if room is None or room.expires_at <= self._now():
            room = self._begin(mailbox)
        elif room.is_used_up(charge):
            self._renew(mailbox, room)
        action = await asyncio.shield(query)
        if action.startswith("552 "):
            return action
        room.take(charge)
        return ""

    def _now(self) -> float:
        """The time by the event loop's clock; drops all rooms first if a limit may have changed."""
        limits = identity(self._limits_path)
        if limits != self._limits:
            self._limits = limits
            self._rooms.clear()
        return asyncio.get_running_loop().time()

    def _shared_query(self, mailbox: str, size_bytes: int) -> asyncio.Task[str]:
        """The query for a message; simultaneous equal queries are one."""
        key = (mailbox, size_bytes, self._limits)
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.ensure_future(self._bounded(mailbox, size_bytes))
            task.add_done_callback(lambda _: self._in_flight.pop(key))
        return task

    async def _bounded(self, mailbox: str, size_bytes: int) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._query(mailbox, size_bytes)
        except TimeoutError:
            raise OSError(f"no answer about {mailbox} within {ANSWER_S} s") from None

    def _begin(self, mailbox: str) -> Room:
        """A new room, without a slack until quota-status has answered in the background."""
        now = self._now()
        room = self._rooms[mailbox] = Room(now)
        self._rooms.move_to_end(mailbox)
        self._drop(now)
        self._fill_later(mailbox, room, None)
        return room

    def _renew(self, mailbox: str, room: Room) -> None:
        """Starts the query for the successor of a room."""
        if room.next is None:
            room.next = Room(self._now())
            self._fill_later(mailbox, room.next, room)

    def _fill_later(self, mailbox: str, room: Room, before: Room | None) -> None:
        task = asyncio.ensure_future(self._fill(mailbox, room, before))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _fill(self, mailbox: str, room: Room, before: Room | None) -> None:
        """Adds the largest slack that fits. A room that was dropped meanwhile, or the successor of
        one, is discarded: Dovecot may have answered by an old limit."""
        try:
            room.fill(await self._slack(mailbox))
        except OSError:  # the query for a message reports it
            if before is not None:
                before.next = None
            elif self._rooms.get(mailbox) is room:
                del self._rooms[mailbox]
            return
        if before is not None and self._rooms.get(mailbox) is before:
            self._rooms[mailbox] = room
            self._rooms.move_to_end(mailbox)

    async def _slack(self, mailbox: str) -> int:
        """The largest slack that fits, 0 if none does. Raises OSError."""
        for slack in SLACKS_BYTES:
            if (await self._bounded(mailbox, slack)).partition(" ")[0] in _FITS:
                return slack
        return 0

    def _drop(self, now: float) -> None:
        """Drops expired rooms, and the oldest if there are too many."""
        while self._rooms:
            oldest = next(iter(self._rooms))
            if self._rooms[oldest].expires_at > now and len(self._rooms) <= MAILBOXES_MAX:
                return
            del self._rooms[oldest]


def _charge(size_bytes: int) -> int:
    """The room that a message may need; 0 is a size that the client has not declared."""
    return (size_bytes or UNKNOWN_BYTES) + HEADER_BYTES
