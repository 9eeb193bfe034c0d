"""How much room mailboxes have at least: quota-status answers once, and its answer is remembered
for a minute at most.

quota-status says only whether a message of some size fits. So it is asked about a large one, a
*slack*: if that fits, smaller messages fit until they are as large together, and no question is
necessary for each of them. Near the limit, where the smallest slack does not fit, there is a
question for each message. What is remembered never refuses a message.

Mail that reaches a mailbox by other ways (IMAP APPEND, a program of the administrator) does not
count here until the answer expires.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from mailroster.system.files import ABSENT, Identity, identity

#: Slacks, the largest first. Any that fits is safe; a larger one lasts longer.
SLACKS_BYTES = (512 << 20, 64 << 20, 8 << 20, 1 << 20)
#: An answer is remembered for so long, and for so many messages: there are limits by number, too.
KEEP_S = 60.0
KEEP_MESSAGES = 100
#: With a fourth of it left, quota-status is asked anew, so that no message waits for that.
_RENEW = 4
#: So many mailboxes are remembered; the oldest answers are dropped first.
MAILBOXES_MAX = 20_000
#: A message without SIZE counts as so large: Postfix's own default of message_size_limit.
UNKNOWN_BYTES = 10_240_000
#: What the servers add to the header of a message (Received, Delivered-To, Return-Path).
HEADER_BYTES = 2048
#: A question to quota-status that takes longer has failed.
ANSWER_S = 1.5

#: Actions of quota-status for a message that fits.
_FITS = ("DUNNO", "OK")

#: Asks quota-status about a mailbox and a size in bytes; gives its action. Raises OSError.
Ask = Callable[[str, int], Awaitable[str]]


class Room:
    """What is known of one mailbox: the slack that fitted, and what is left of it. The slack is 0
    if none fitted, None while quota-status is asked; what is accepted meanwhile counts as well."""

    __slots__ = ("expires_at", "left_bytes", "left_messages", "next", "slack_bytes")

    def __init__(self, now: float) -> None:
        self.slack_bytes: int | None = None
        self.left_bytes = 0
        self.left_messages = KEEP_MESSAGES
        self.expires_at = now + KEEP_S  # by the clock of the event loop
        self.next: Room | None = None  # for which quota-status is asked, to take the place of this

    def fill(self, slack_bytes: int) -> None:
        """Remembers the slack that fits."""
        self.slack_bytes = slack_bytes
        self.left_bytes += slack_bytes

    def holds(self, charge_bytes: int) -> bool:
        """Whether a message surely fits, while this has not expired."""
        return self.left_messages > 0 and self.left_bytes >= charge_bytes

    def take(self, charge_bytes: int) -> None:
        """Counts a message that is accepted."""
        self.left_messages -= 1
        self.left_bytes -= charge_bytes
        if self.next is not None:
            self.next.take(charge_bytes)

    def is_used_up(self, charge_bytes: int) -> bool:
        """Whether a message of this size does not fit any more, and would into another slack."""
        return self.slack_bytes is not None and self.slack_bytes >= charge_bytes

    def is_low(self, now: float) -> bool:
        """Whether little of it is left."""
        return (
            _RENEW * self.left_bytes < (self.slack_bytes or 0)
            or _RENEW * self.left_messages < KEEP_MESSAGES
            or _RENEW * (self.expires_at - now) < KEEP_S
        )


class Rooms:
    """The rooms of the mailboxes of one instance. `limits` is a file that is replaced whenever the
    limit of a mailbox may have changed: then everything that is remembered is dropped."""

    def __init__(self, ask: Ask, limits: str) -> None:
        self._ask, self._limits = ask, limits
        self._seen: Identity = ABSENT
        self._rooms: OrderedDict[str, Room] = OrderedDict()  # in the order in which they expire
        #: Questions in flight, by mailbox, size, and the limits in force.
        self._in_flight: dict[tuple[str, int, Identity], asyncio.Task[str]] = {}
        self._background: set[asyncio.Task[None]] = set()

    def take(self, mailboxes: Sequence[str], size_bytes: int) -> bool:
        """Whether a message surely fits into each of some mailboxes. If so, it counts in each of
        them, else in none. `size_bytes` is 0 if the sender has not declared it."""
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
        """What a mailbox answers that has no room for a message, `552 …`; "" if it has room, and
        then the message counts. Raises OSError if quota-status does not answer, or nonsense.

        Where nothing is remembered, the mailbox is asked about this very message, so that a slow
        quota-status delays it by one question; slacks are tried in the background.
        """
        if self.take((mailbox,), size_bytes):
            return ""
        charge = _charge(size_bytes)
        question = self._shared(mailbox, size_bytes)
        room = self._rooms.get(mailbox)
        if room is None or room.expires_at <= self._now():
            room = self._begin(mailbox)
        elif room.is_used_up(charge):
            self._renew(mailbox, room)
        action = await asyncio.shield(question)
        if action.startswith("552 "):
            return action
        room.take(charge)
        return ""

    def _now(self) -> float:
        """The time, once what a change has made wrong is dropped."""
        found = identity(self._limits)
        if found != self._seen:
            self._seen = found
            self._rooms.clear()
        return asyncio.get_running_loop().time()

    def _shared(self, mailbox: str, size_bytes: int) -> asyncio.Task[str]:
        """The question about a message: one in flight for all who ask it at the same time."""
        key = (mailbox, size_bytes, self._seen)
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.ensure_future(self._bounded(mailbox, size_bytes))
            task.add_done_callback(lambda _: self._in_flight.pop(key))
        return task

    async def _bounded(self, mailbox: str, size_bytes: int) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._ask(mailbox, size_bytes)
        except TimeoutError:
            raise OSError(f"no answer about {mailbox} within {ANSWER_S} s") from None

    def _begin(self, mailbox: str) -> Room:
        """A room that has no slack until quota-status has answered in the background."""
        now = self._now()
        room = self._rooms[mailbox] = Room(now)
        self._rooms.move_to_end(mailbox)
        self._drop(now)
        self._fill_later(mailbox, room, None)
        return room

    def _renew(self, mailbox: str, room: Room) -> None:
        """Has quota-status asked for a room that will take the place of one."""
        if room.next is None:
            room.next = Room(self._now())
            self._fill_later(mailbox, room.next, room)

    def _fill_later(self, mailbox: str, room: Room, before: Room | None) -> None:
        task = asyncio.ensure_future(self._fill(mailbox, room, before))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _fill(self, mailbox: str, room: Room, before: Room | None) -> None:
        """Remembers the first slack that fits. A room that was dropped meanwhile, or is to follow
        such a room, is lost: Dovecot may have answered by a limit that has changed."""
        try:
            room.fill(await self._slack(mailbox))
        except OSError:  # a question about a message complains
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
        """Drops what has expired, and the oldest if there are too many."""
        while self._rooms:
            oldest = next(iter(self._rooms))
            if self._rooms[oldest].expires_at > now and len(self._rooms) <= MAILBOXES_MAX:
                return
            del self._rooms[oldest]


def _charge(size_bytes: int) -> int:
    """How much of a mailbox a message may take; 0 is a size that the sender has not declared."""
    return (size_bytes or UNKNOWN_BYTES) + HEADER_BYTES
