"""What the policy service remembers of the room of mailboxes, beside a quota-status that counts
what it is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mailroster.daemons.policy import rooms
from mailroster.daemons.policy.rooms import (
    HEADER_BYTES,
    KEEP_MESSAGES,
    KEEP_S,
    SLACKS_BYTES,
    UNKNOWN_BYTES,
    Rooms,
)

FULL = "552 5.2.2 Mailbox is full"
BOX, OTHER = "box@x.com", "other@x.com"
MIB = 1 << 20
#: Those that are tried before an exact question, for a mailbox without any slack.
ALL_SLACKS = list(SLACKS_BYTES)


class QuotaStatus:
    """A quota-status whose mailboxes have some bytes of room each, by name."""

    def __init__(self, **free: int) -> None:
        self.free = {f"{name}@x.com": room for name, room in free.items()}
        self.asked: list[tuple[str, int]] = []
        self.fits = "DUNNO"
        self.fails = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.most_at_once = self._at_once = 0

    async def action(self, mailbox: str, size: int) -> str:
        self.asked.append((mailbox, size))
        free = self.free[mailbox]
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            await self.may_answer.wait()
        finally:
            self._at_once -= 1
        if self.fails:
            raise OSError("no service")
        return self.fits if size <= free else FULL

    def sizes(self) -> list[int]:
        """The sizes that were asked about since this was called last."""
        sizes = [size for _, size in self.asked]
        self.asked.clear()
        return sizes


class Clock:
    """The clock of the event loop, put forward."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        real, self.ahead_s = loop.time, 0.0
        patch.setattr(loop, "time", lambda: real() + self.ahead_s)


async def ask(rooms: Rooms, mailbox: str, size: int) -> str:
    """The refusal, once what it asks in the background is answered, too."""
    refusal = await rooms.refusal(mailbox, size)
    await asyncio.gather(*rooms._background)
    return refusal


Play = Callable[[QuotaStatus, Rooms], Awaitable[None]]


@pytest.fixture
def limits(tmp_path: Path) -> Path:
    return tmp_path / "limits"


def play(limits: Path, scene: Play, **free: int) -> None:
    async def run() -> None:
        quota_status = QuotaStatus(**free)
        await scene(quota_status, Rooms(quota_status.action, str(limits)))

    asyncio.run(run())


def replace(limits: Path) -> None:
    """As a command does that changes a quota."""
    new = limits.with_name("new")
    new.touch()
    new.rename(limits)


def test_the_largest_slack_that_fits_is_asked_for_once(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, 1000) == ""
        assert dovecot.sizes() == [1000, 512 * MIB, 64 * MIB]
        for _ in range(KEEP_MESSAGES - 1):
            assert rooms.take([BOX], 1000)
        assert not rooms.take([BOX], 1000)
        assert await ask(rooms, BOX, 1000) == ""
        assert sorted(dovecot.sizes()) == [1000, 64 * MIB, 512 * MIB]
        assert rooms.take([BOX], 1000)

    play(limits, scene, box=64 * MIB)


@pytest.mark.parametrize("size", [1, 100_000, 3 * MIB])
def test_a_slack_lasts_until_it_is_used_up(limits: Path, size: int) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, size) == ""
        assert dovecot.sizes() == [size, 512 * MIB, 64 * MIB, 8 * MIB]
        more = 0
        while rooms.take([BOX], size):
            more += 1
        assert more == min(KEEP_MESSAGES, 8 * MIB // (size + HEADER_BYTES)) - 1

    play(limits, scene, box=8 * MIB)


def test_near_the_limit_each_message_is_asked_about(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, 5000) == ""
        assert dovecot.sizes() == [5000, *ALL_SLACKS]
        assert await ask(rooms, BOX, 5001) == FULL
        assert await ask(rooms, BOX, 4000) == ""
        assert dovecot.sizes() == [5001, 4000]
        assert not rooms.take([BOX], 1)

    play(limits, scene, box=5000)


def test_a_message_larger_than_the_slack_is_asked_about(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, MIB) == ""
        assert dovecot.sizes() == [MIB, *ALL_SLACKS]
        # It is counted, so that nothing is left of the slack that fitted.
        assert not rooms.take([BOX], 1)
        assert await ask(rooms, BOX, 2 * MIB) == FULL
        assert dovecot.sizes() == [2 * MIB]
        assert await ask(rooms, BOX, 1) == ""
        assert dovecot.sizes() == [1, *ALL_SLACKS]

    play(limits, scene, box=MIB)


def test_an_exact_question_counts_what_it_accepts(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, 1) == ""
        assert await ask(rooms, BOX, 2 * MIB) == ""  # beyond the slack of 1 MiB
        dovecot.sizes()
        assert not rooms.take([BOX], 1)

    play(limits, scene, box=3 * MIB)


def test_a_message_of_unknown_size_counts_as_the_largest(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        assert await ask(rooms, BOX, 0) == ""
        taken = 1
        while rooms.take([BOX], 0):
            taken += 1
        assert taken == 64 * MIB // (UNKNOWN_BYTES + HEADER_BYTES)
        assert dovecot.sizes() == [0, 512 * MIB, 64 * MIB]
        # The smaller slacks are no use: it is asked whether the mailbox is full already.
        dovecot.free[BOX] = 8 * MIB
        assert await ask(rooms, BOX, 0) == ""
        assert sorted(dovecot.sizes()) == [0, 8 * MIB, 64 * MIB, 512 * MIB]
        dovecot.free[BOX] = -1
        assert await ask(rooms, BOX, 0) == FULL

    play(limits, scene, box=64 * MIB)


def test_a_minute_later_it_is_asked_again(limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        clock = Clock(monkeypatch)
        await ask(rooms, BOX, 1)
        dovecot.free[BOX] = 0  # by IMAP, say
        dovecot.sizes()
        clock.ahead_s = KEEP_S
        assert not rooms.take([BOX], 1)
        assert await ask(rooms, BOX, 1) == FULL
        assert dovecot.sizes() == [1, *ALL_SLACKS]
        # And a mailbox that was emptied has a slack again.
        dovecot.free[BOX] = 600 * MIB
        clock.ahead_s += KEEP_S - 1
        assert await ask(rooms, BOX, 1) == ""
        assert dovecot.sizes() == [1]
        clock.ahead_s += 1
        assert await ask(rooms, BOX, 1) == ""
        assert dovecot.sizes() == [1, 512 * MIB]

    play(limits, scene, box=600 * MIB)


async def background(rooms: Rooms) -> None:
    """Until nothing is asked in the background."""
    await asyncio.gather(*rooms._background)


@pytest.mark.parametrize(
    ("taken", "size", "ahead_s", "is_renewed"),
    [
        pytest.param(74, 1, 0, False, id="a fourth of the messages"),
        pytest.param(75, 1, 0, True, id="less"),
        pytest.param(1, 48 * MIB - 2 * HEADER_BYTES - 1, 0, False, id="a fourth of the slack"),
        pytest.param(1, 48 * MIB - 2 * HEADER_BYTES, 0, True, id="less of it"),
        pytest.param(1, 1, KEEP_S * 3 / 4 - 1, False, id="more than a fourth of the time"),
        pytest.param(1, 1, KEEP_S * 3 / 4, True, id="less of it"),
    ],
)
def test_a_room_is_renewed_before_it_is_used_up(
    limits: Path,
    taken: int,
    size: int,
    ahead_s: float,
    is_renewed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        clock = Clock(monkeypatch)
        await ask(rooms, BOX, 1)
        dovecot.sizes()
        clock.ahead_s = ahead_s
        for _ in range(taken):
            assert rooms.take([BOX], size)
        await background(rooms)
        assert dovecot.sizes() == ([512 * MIB, 64 * MIB] if is_renewed else [])
        clock.ahead_s = KEEP_S + 1
        assert rooms.take([BOX], 1) is (ahead_s > 0 and is_renewed)

    play(limits, scene, box=64 * MIB)


def test_what_is_accepted_while_a_room_is_renewed_counts_in_both(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)
        for _ in range(KEEP_MESSAGES - 1):
            assert rooms.take([BOX], 1)
        assert not rooms.take([BOX], 1)
        await background(rooms)
        # It was begun with the 76th message, and 24 were accepted after that.
        more = 0
        while rooms.take([BOX], 1):
            more += 1
        assert more == KEEP_MESSAGES - 24

    play(limits, scene, box=600 * MIB)


def test_a_renewal_that_fails_is_tried_again(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)
        for _ in range(80):
            assert rooms.take([BOX], 1)
        dovecot.fails = True
        await background(rooms)
        dovecot.fails = False
        assert rooms.take([BOX], 1)
        await background(rooms)
        for _ in range(70):
            assert rooms.take([BOX], 1)

    play(limits, scene, box=600 * MIB)


def test_a_renewed_room_is_dropped_with_the_one_before(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)
        for _ in range(80):
            assert rooms.take([BOX], 1)
        replace(limits)
        assert not rooms.take([OTHER], 1)  # which looks at the limits
        await background(rooms)
        assert not rooms.take([BOX], 1)

    play(limits, scene, box=600 * MIB)


def test_the_minute_begins_with_the_question(limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        clock = Clock(monkeypatch)
        dovecot.may_answer.clear()
        asking = asyncio.ensure_future(ask(rooms, BOX, 1))
        while not dovecot.asked:
            await asyncio.sleep(0)
        clock.ahead_s = 1
        dovecot.may_answer.set()
        assert await asking == ""
        clock.ahead_s = KEEP_S
        assert not rooms.take([BOX], 1)

    play(limits, scene, box=600 * MIB)


def test_a_changed_limit_counts_at_once(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)
        for _ in range(2):
            assert rooms.take([BOX], 1)
            replace(limits)
            assert not rooms.take([BOX], 1)
            await ask(rooms, BOX, 1)
        dovecot.free[BOX] = 0
        replace(limits)
        assert await ask(rooms, BOX, 1) == FULL

    play(limits, scene, box=600 * MIB)


def test_a_limit_that_changes_while_dovecot_is_asked_counts(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        dovecot.may_answer.clear()
        asking = asyncio.ensure_future(ask(rooms, BOX, 1))
        while not dovecot.asked:
            await asyncio.sleep(0)
        dovecot.free[BOX] = 0  # the answer that is under way does not know it
        replace(limits)
        dovecot.may_answer.set()
        assert await asking == ""
        assert not rooms.take([BOX], 1)
        assert await ask(rooms, BOX, 1) == FULL

    play(limits, scene, box=600 * MIB)


def test_who_asks_after_a_change_does_not_get_an_answer_from_before_it(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)  # no slack fits
        dovecot.may_answer.clear()
        before = asyncio.ensure_future(ask(rooms, BOX, 10))
        while len(dovecot.asked) < 6:
            await asyncio.sleep(0)
        dovecot.free[BOX] = 0
        replace(limits)
        after = asyncio.ensure_future(ask(rooms, BOX, 10))
        while len(dovecot.asked) < 7:
            await asyncio.sleep(0)
        dovecot.may_answer.set()
        assert [await before, await after] == ["", FULL]

    play(limits, scene, box=10)


@pytest.mark.parametrize(
    ("room", "questions"),
    [
        pytest.param(600 * MIB, [10, 512 * MIB], id="with a slack"),
        pytest.param(10, [10, *ALL_SLACKS], id="near the limit"),
    ],
)
def test_many_at_once_share_one_question(limits: Path, room: int, questions: list[int]) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        said = await asyncio.gather(*(ask(rooms, BOX, 10) for _ in range(50)))
        assert said == [""] * 50
        assert dovecot.sizes() == questions
        assert dovecot.most_at_once == 2  # about a message, and a slack

    play(limits, scene, box=room)


def test_other_sizes_and_mailboxes_have_questions_of_their_own(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        asked = [(BOX, 10), (BOX, 11), (OTHER, 10), (OTHER, 9)]
        said = await asyncio.gather(*(ask(rooms, *one) for one in asked))
        assert said == ["", FULL, FULL, ""]

    play(limits, scene, box=10, other=9)


def test_what_is_accepted_while_a_slack_is_looked_for_counts(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        size = MIB - 2 * HEADER_BYTES
        assert await ask(rooms, BOX, size) == ""
        assert rooms.take([BOX], 0) is False
        assert rooms.take([BOX], 1) is False  # of 1 MiB, HEADER_BYTES are left
        await asyncio.gather(*(ask(rooms, BOX, n) for n in (1, 2, 3)))
        # Three messages of a little more than HEADER_BYTES.
        assert rooms.take([BOX], MIB - 4 * HEADER_BYTES - 5) is False
        assert rooms.take([BOX], MIB - 4 * HEADER_BYTES - 6) is True

    play(limits, scene, box=2 * MIB)


def test_a_list_is_counted_in_all_mailboxes_or_in_none(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        await ask(rooms, BOX, 1)
        for _ in range(2 * KEEP_MESSAGES):
            assert not rooms.take([BOX, OTHER], 1)  # nothing is known of the other
        await ask(rooms, OTHER, 1)
        for _ in range(KEEP_MESSAGES - 1):
            assert rooms.take([BOX, OTHER], 1)
        assert not rooms.take([BOX], 1)
        assert not rooms.take([OTHER], 1)
        assert rooms.take([], 1)

    play(limits, scene, box=600 * MIB, other=600 * MIB)


@pytest.mark.parametrize(
    ("fits", "is_remembered"),
    [("DUNNO", True), ("OK", True), ("DUNNO later", True), ("", False), ("451 later", False)],
)
def test_only_an_action_that_accepts_is_remembered(
    limits: Path, fits: str, is_remembered: bool
) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        dovecot.fits = fits
        assert await ask(rooms, BOX, 1) == ""
        assert rooms.take([BOX], 1) is is_remembered

    play(limits, scene, box=600 * MIB)


def test_memory_has_an_end(limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MAILBOXES_MAX", 3)

    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        for name in "abcd":
            await ask(rooms, f"{name}@x.com", 1)
        assert [rooms.take([f"{name}@x.com"], 1) for name in "abcd"] == [False, True, True, True]
        await ask(rooms, "a@x.com", 1)
        assert [rooms.take([f"{name}@x.com"], 1) for name in "abcd"] == [True, False, True, True]

    play(limits, scene, **dict.fromkeys("abcd", 600 * MIB))


def test_what_has_expired_is_dropped(limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        clock = Clock(monkeypatch)
        for name in "ab":
            await ask(rooms, f"{name}@x.com", 1)
        clock.ahead_s = KEEP_S
        await ask(rooms, "c@x.com", 1)
        assert list(rooms._rooms) == ["c@x.com"]

    play(limits, scene, **dict.fromkeys("abc", 600 * MIB))


def test_one_who_gives_up_takes_the_question_from_no_other(limits: Path) -> None:
    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        dovecot.may_answer.clear()
        impatient, patient = (asyncio.ensure_future(ask(rooms, BOX, 1)) for _ in range(2))
        while not dovecot.asked:
            await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        dovecot.may_answer.set()
        assert await patient == ""
        assert dovecot.sizes() == [1, 512 * MIB]

    play(limits, scene, box=600 * MIB)


def test_a_question_without_an_answer_fails_for_all_and_is_asked_anew(
    limits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "ANSWER_S", 0.05)

    async def scene(dovecot: QuotaStatus, rooms: Rooms) -> None:
        dovecot.may_answer.clear()
        said = await asyncio.gather(*(ask(rooms, BOX, 1) for _ in range(3)), return_exceptions=True)
        assert [str(one) for one in said] == ["no answer about box@x.com within 0.05 s"] * 3
        assert all(isinstance(one, OSError) for one in said)
        assert dovecot.sizes() == [1, 512 * MIB]
        dovecot.may_answer.set()
        assert await ask(rooms, BOX, 1) == ""
        assert dovecot.sizes() == [1, 512 * MIB]

    play(limits, scene, box=600 * MIB)


def test_a_failure_that_nobody_waits_for_is_no_trouble_of_the_loop(limits: Path) -> None:
    troubles: list[object] = []

    async def run() -> None:
        failing = asyncio.Event()

        async def action(mailbox: str, size: int) -> str:
            failing.set()
            await asyncio.sleep(0)
            raise OSError("no service")

        asyncio.get_running_loop().set_exception_handler(lambda _, what: troubles.append(what))
        asking = asyncio.ensure_future(Rooms(action, str(limits)).refusal(BOX, 1))
        await failing.wait()
        asking.cancel()
        await asyncio.wait([asking])
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert troubles == []
