"""Decides which clients and accounts are blocked because somebody guesses passwords. Pure: the time
comes in as an argument.

A *guess* is a wrong password that this client has not tried lately. The same wrong password again
is no guess: a phone with an old password tries it every few minutes.

A client has `CLIENT_GUESSES`, and gets one back in a few hours. Without any it is blocked: for ten
minutes, and twice as long each time, up to a day. A client is an IPv4 address or an IPv6 /64.

An account has `ACCOUNT_GUESSES`, from all clients together, and gets `ACCOUNT_PER_HOUR` back.
Without any it is closed to clients that have never logged in to it, until it has a few again.

States of a client or an account: unknown, with guesses left, blocked until a time, and blocked
before. If there are too many, the oldest are forgotten, but first those that have most of their
guesses left: one guess at each of many names makes no account forget how often it was guessed.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

_DAY_S = 86_400
CLIENT_GUESSES, CLIENT_REFILL_S = 5, _DAY_S / 5
FIRST_BLOCK_S, LONGEST_BLOCK_S = 600, _DAY_S
#: A client that was not blocked for so long after the end of a block begins with a short one.
FORGIVEN_S = 2 * _DAY_S
ACCOUNT_GUESSES, ACCOUNT_PER_HOUR = 100, 25
#: A closed account opens again when it has so many guesses.
ACCOUNT_REOPENS_AT = 5
#: Wrong passwords that are remembered for a client or an account. Dovecot reports 12 bits of each:
#: with more of them, other passwords would often look like one of them.
REMEMBERED = 16
#: A block that becomes longer by less is not written again.
_LONGER_S = 60
CLIENTS_MAX, ACCOUNTS_MAX = 100_000, 50_000
#: How many of the oldest may stay because they have few guesses left.
_KEPT_MAX = 64


class Guess(NamedTuple):
    """A password that was checked and was wrong."""

    client: str  # as client_network.network writes it
    account: str
    password_hash: str  # "" = unknown


class ClientBlock(NamedTuple):
    """A client is blocked until a time, in seconds. `in_a_row`: how many blocks it had so far.
    `is_new`: it was not blocked before."""

    client: str  # as client_network.network writes it
    until: float
    in_a_row: int
    is_new: bool = True


class AccountBlock(NamedTuple):
    """An account is closed to unknown clients until a time, in seconds."""

    account: str
    until: float
    is_new: bool = True


Block = ClientBlock | AccountBlock


class _Bucket:
    """Guesses that are left, and the wrong passwords that were tried lately."""

    __slots__ = ("_hashes", "in_a_row", "left", "time", "until")

    def __init__(self, left: float, time: float) -> None:
        self.left, self.time = left, time
        self.until = 0.0  # the end of the last block
        self.in_a_row = 0  # blocks in a row
        self._hashes: OrderedDict[str, None] = OrderedDict()

    def refill(self, most: float, per_second: float, now: float) -> None:
        """Gives guesses back for the time since the last call; none if the clock went back."""
        self.left = min(most, self.left + max(0.0, now - self.time) * per_second)
        self.time = now

    def is_new(self, password: str) -> bool:
        """Whether a wrong password is none of the last ones; remembers it."""
        is_new = password not in self._hashes
        self._hashes[password] = None
        self._hashes.move_to_end(password)
        if len(self._hashes) > REMEMBERED:
            self._hashes.popitem(last=False)
        return is_new


_K = TypeVar("_K")


class _Recent(OrderedDict[_K, _Bucket], Generic[_K]):
    """Buckets by key, the one that was not used for the longest time first. There are `most` of
    them; each has `guesses` when it is full, and gets back `per_second`."""

    def __init__(self, most: int, guesses: float, per_second: float) -> None:
        super().__init__()
        self._most, self._guesses, self._per_second = most, guesses, per_second

    def bucket(self, key: _K, left: float, now: float) -> _Bucket:
        if (bucket := self.get(key)) is None:
            if len(self) >= self._most:
                self._forget_one(now)
            bucket = self[key] = _Bucket(left, now)
        self.move_to_end(key)
        return bucket

    def _forget_one(self, now: float) -> None:
        for _ in range(_KEPT_MAX):
            key, bucket = next(iter(self.items()))
            if bucket.left + (now - bucket.time) * self._per_second >= self._guesses / 2:
                break
            self.move_to_end(key)
        self.popitem(last=False)


class Guesses:
    """What is known of clients and accounts."""

    def __init__(self, clients_max: int = CLIENTS_MAX, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._clients: _Recent[str] = _Recent(clients_max, CLIENT_GUESSES, 1 / CLIENT_REFILL_S)
        self._accounts: _Recent[str] = _Recent(
            accounts_max, ACCOUNT_GUESSES, ACCOUNT_PER_HOUR / 3600
        )

    def restore(self, blocks: Iterable[Block], now: float) -> None:
        """Continues with blocks of an earlier run, also those that have ended. A client has the
        guesses that it got back since the end of its block."""
        for block in blocks:
            if isinstance(block, ClientBlock):
                left = max(0.0, now - block.until) / CLIENT_REFILL_S
                bucket = self._clients.bucket(block.client, min(left, CLIENT_GUESSES), now)
                bucket.in_a_row = block.in_a_row
            else:
                wait_s = max(0.0, block.until - now)
                left = ACCOUNT_REOPENS_AT - wait_s * ACCOUNT_PER_HOUR / 3600
                bucket = self._accounts.bucket(block.account, left, now)
            bucket.until = block.until

    def take(self, guess: Guess, now: float) -> list[Block]:
        """Counts a guess, and returns the blocks that begin or last longer because of it."""
        blocks = (self._of_client(guess, now), self._of_account(guess, now))
        return [block for block in blocks if block is not None]

    def forget_client(self, client: str) -> None:
        """Begins with a client as if it had never guessed: an administrator has unblocked it."""
        self._clients.pop(client, None)

    def size(self) -> tuple[int, int]:
        """The numbers of clients and accounts that are remembered."""
        return len(self._clients), len(self._accounts)

    def _of_client(self, guess: Guess, now: float) -> ClientBlock | None:
        bucket = self._clients.bucket(guess.client, CLIENT_GUESSES, now)
        if guess.password_hash and not bucket.is_new(f"{guess.account}|{guess.password_hash}"):
            return None
        bucket.refill(CLIENT_GUESSES, 1 / CLIENT_REFILL_S, now)
        bucket.left = max(0.0, bucket.left - 1)
        if bucket.left >= 1:
            return None
        if now > bucket.until + FORGIVEN_S:
            bucket.in_a_row = 0
        bucket.in_a_row += 1
        before = _possible(bucket.until, now)
        length_s = min(LONGEST_BLOCK_S, FIRST_BLOCK_S * 2 ** min(bucket.in_a_row - 1, 20))
        bucket.until = max(before, now + length_s)
        if bucket.until < before + _LONGER_S:
            return None
        return ClientBlock(guess.client, bucket.until, bucket.in_a_row, before <= now)

    def _of_account(self, guess: Guess, now: float) -> AccountBlock | None:
        bucket = self._accounts.bucket(guess.account, ACCOUNT_GUESSES, now)
        if guess.password_hash and not bucket.is_new(guess.password_hash):
            return None
        bucket.refill(ACCOUNT_GUESSES, ACCOUNT_PER_HOUR / 3600, now)
        bucket.left -= 1
        if bucket.left >= 1:
            return None
        missing = max(0.0, ACCOUNT_REOPENS_AT - bucket.left)
        before = _possible(bucket.until, now)
        length_s = min(LONGEST_BLOCK_S, missing * 3600 / ACCOUNT_PER_HOUR)
        bucket.until = max(before, now + length_s)
        return AccountBlock(guess.account, bucket.until, before <= now)


def _possible(until: float, now: float) -> float:
    """The end of a block; 0 for one so late that the clock must have gone back since."""
    return until if until <= now + LONGEST_BLOCK_S else 0.0
