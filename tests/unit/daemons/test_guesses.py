"""Who is blocked for guessing passwords, by simulation: days of attacks in a moment."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.daemons.guesses import (
    CLIENT_GUESSES,
    FIRST_BLOCK_S,
    LONGEST_BLOCK_S,
    AccountBlock,
    ClientBlock,
    Guess,
    Guesses,
)

DAY_S = 86_400
START = 1_800_000_000.0
CLIENT, ACCOUNT = "203.0.113.9", "a@x.com"


class Gate:
    """A server that refuses what is blocked, as Dovecot does by the table."""

    def __init__(self, guesses: Guesses | None = None) -> None:
        self.guesses = guesses or Guesses()
        self.clients: dict[str, float] = {}
        self.accounts: dict[str, float] = {}
        self.checked: list[tuple[float, str, str]] = []

    def try_password(
        self, client: str, account: str, password: str, now: float, *, known: bool = False
    ) -> bool:
        """Whether the password was checked; it is always wrong."""
        if self.clients.get(client, 0) > now:
            return False
        if self.accounts.get(account, 0) > now and not known:
            return False
        self.checked.append((now, client, account))
        for block in self.guesses.take(Guess(client, account, password), now):
            if isinstance(block, ClientBlock):
                self.clients[block.client] = block.until
            else:
                self.accounts[block.account] = block.until
        return True


def test_a_client_gets_less_than_twenty_tries_on_each_day() -> None:
    gate = Gate()
    for second in range(10 * DAY_S // 5):
        now = START + second * 5
        gate.try_password(CLIENT, f"{second % 7}@x.com", str(second), now)
    for day in range(10):
        start = START + day * DAY_S
        tries = sum(start <= at < start + DAY_S for at, _, _ in gate.checked)
        assert 0 < tries < 20, (day, tries)
    later = [at for at, _, _ in gate.checked if at >= START + 3 * DAY_S]
    assert len(later) <= 7 * 6, "then five a day"


def test_an_account_gets_less_than_a_thousand_tries_a_day_from_everywhere() -> None:
    gate = Gate()
    for step in range(2 * DAY_S):  # one try a second, each from another client
        gate.try_password(f"c{step % 40_000}", ACCOUNT, str(step), START + step)
    for day in range(2):
        start = START + day * DAY_S
        assert 0 < sum(start <= at < start + DAY_S for at, _, _ in gate.checked) < 1000
    now = START + 2 * DAY_S
    assert gate.accounts[ACCOUNT] > now - 1200, "it is still under attack"
    assert gate.try_password("home", ACCOUNT, "typo", now, known=True), "its owner gets in"


def test_tries_at_one_moment_are_paid_back_later() -> None:
    gate = Gate()
    guesses = gate.guesses
    for round_number in range(24):  # each hour 500 clients at once, before any block is in force
        now = START + 3600 * round_number
        if gate.accounts.get(ACCOUNT, 0) > now:
            continue
        for number in range(500):
            for block in guesses.take(
                Guess(f"c{number}", ACCOUNT, f"{round_number}-{number}"), now
            ):
                if isinstance(block, AccountBlock):
                    gate.accounts[ACCOUNT] = block.until
        gate.checked += [(now, "", ACCOUNT)] * 500
    assert len(gate.checked) < 1500


def test_the_same_wrong_password_again_blocks_nobody() -> None:
    gate = Gate()
    for minute in range(30 * 24 * 60):
        for account in ("a@x.com", "b@x.com", "c@x.com"):
            assert gate.try_password("192.0.2.1", account, "old", START + minute * 60)
    assert not gate.clients
    assert not gate.accounts


def test_a_phone_on_many_networks_with_an_old_password_blocks_nobody() -> None:
    gate = Gate()
    for hour in range(2000):
        assert gate.try_password(f"mobile-{hour}", ACCOUNT, "old", START + hour * 3600)
    assert not gate.clients
    assert not gate.accounts


def test_typing_errors_block_nobody_for_long() -> None:
    gate = Gate()
    for number in range(CLIENT_GUESSES - 1):
        assert gate.try_password(CLIENT, ACCOUNT, f"typo{number}", START + number)
    assert not gate.clients
    gate.try_password(CLIENT, ACCOUNT, "last", START + 9)
    assert gate.clients[CLIENT] == START + 9 + FIRST_BLOCK_S
    assert gate.try_password(CLIENT, ACCOUNT, "next", START + 10 + FIRST_BLOCK_S), "it has ended"


def test_a_block_doubles_up_to_a_day_and_begins_small_again_after_days() -> None:
    gate, now, lengths = Gate(), START, []
    for number in itertools.count():
        gate.try_password(CLIENT, ACCOUNT, str(number), now)
        if (until := gate.clients.get(CLIENT, 0)) > now:
            lengths.append(until - now)
            now = until
        if len(lengths) == 10:
            break
    assert lengths[:4] == [600, 1200, 2400, 4800]
    assert lengths == sorted(lengths)
    assert lengths[-1] == LONGEST_BLOCK_S
    now += 5 * DAY_S
    for number in range(CLIENT_GUESSES):
        gate.try_password(CLIENT, ACCOUNT, f"much later {number}", now)
    assert gate.clients[CLIENT] == now + FIRST_BLOCK_S


def of_account(guesses: Guesses, count: int, now: float, name: str) -> list[AccountBlock]:
    """The blocks of the account after guesses of as many clients."""
    return [
        block
        for number in range(count)
        for block in guesses.take(Guess(f"{name}{number}", ACCOUNT, f"{name}{number}"), now)
        if isinstance(block, AccountBlock)
    ]


def test_the_hundredth_guess_closes_an_account_until_it_has_five_again() -> None:
    guesses = Guesses()
    assert of_account(guesses, 99, START, "a") == []
    (block,) = of_account(guesses, 1, START, "b")
    assert block == AccountBlock(ACCOUNT, START + 5 * 3600 / 25, True)
    (block,) = of_account(guesses, 1, START, "c")  # it was checked at the same moment
    assert block == AccountBlock(ACCOUNT, START + 6 * 3600 / 25, False)


def test_an_account_gets_25_guesses_back_each_hour() -> None:
    guesses = Guesses()
    assert of_account(guesses, 99, START, "a") == []
    assert of_account(guesses, 24, START + 3600, "b") == []
    assert of_account(guesses, 99, START + 5 * 3600, "c") == [], "never more than 100"
    assert len(of_account(guesses, 1, START + 5 * 3600, "d")) == 1


def test_a_client_gets_a_guess_back_in_a_fifth_of_a_day() -> None:
    guesses, refill_s = Guesses(), DAY_S / 5
    for number in range(CLIENT_GUESSES - 1):
        assert guesses.take(Guess(CLIENT, ACCOUNT, str(number)), START) == []
    for number in range(10):
        now = START + refill_s * (number + 1)
        assert guesses.take(Guess(CLIENT, ACCOUNT, f"n{number}"), now) == []
    assert guesses.take(Guess(CLIENT, ACCOUNT, "x"), now + refill_s - 60) != []


def test_a_guess_of_unknown_password_is_always_a_new_one() -> None:
    """Dovecot may report no hash of a password."""
    guesses = Guesses()
    blocks = [guesses.take(Guess(CLIENT, ACCOUNT, ""), START) for _ in range(CLIENT_GUESSES)]
    assert [len(each) for each in blocks] == [0, 0, 0, 0, 1]


def test_the_seventeenth_password_makes_the_first_a_new_one() -> None:
    guesses = Guesses()
    clients = [f"c{number}" for number in range(17)]
    for number, client in enumerate(clients):
        guesses.take(Guess(client, ACCOUNT, str(number)), START)
    left = of_account(guesses, 82, START, "a")
    assert left == []
    guesses.take(Guess("again", ACCOUNT, "a81"), START)  # one of the last 16: no guess
    (block,) = guesses.take(Guess("again", ACCOUNT, "0"), START)
    assert isinstance(block, AccountBlock)


def test_a_block_that_lasts_less_than_a_minute_longer_is_not_written_again() -> None:
    guesses = Guesses()
    guesses.restore([ClientBlock(CLIENT, START + LONGEST_BLOCK_S, 9)], START)
    assert guesses.take(Guess(CLIENT, "b@x.com", "1"), START + 59) == []
    (block,) = guesses.take(Guess(CLIENT, "b@x.com", "2"), START + 59 + 60)
    assert block == ClientBlock(CLIENT, START + 119 + LONGEST_BLOCK_S, 11, False)


def test_a_restart_forgets_no_block() -> None:
    guesses = Guesses()
    until = START + 1000
    guesses.restore([ClientBlock(CLIENT, until, 3), AccountBlock(ACCOUNT, until)], START)
    (block, *_) = guesses.take(Guess(CLIENT, "other@x.com", "x"), until + 1)
    assert block == ClientBlock(CLIENT, until + 1 + FIRST_BLOCK_S * 8, 4)
    blocks = [
        block
        for number in range(10)
        for block in guesses.take(Guess(f"c{number}", ACCOUNT, str(number)), until + 2)
    ]
    assert any(isinstance(block, AccountBlock) for block in blocks), "it has few guesses left"


def test_after_a_restart_a_client_has_the_guesses_of_the_days_since_its_block() -> None:
    """Its owner is not blocked by the first typing error after an update."""
    guesses = Guesses()
    guesses.restore([ClientBlock(CLIENT, START, 1)], START + DAY_S)
    for number in range(CLIENT_GUESSES - 1):
        assert guesses.take(Guess(CLIENT, ACCOUNT, str(number)), START + DAY_S) == []
    (block,) = guesses.take(Guess(CLIENT, ACCOUNT, "last"), START + DAY_S)
    assert isinstance(block, ClientBlock)
    assert block.in_a_row == 2


def test_a_forgiven_client_begins_again() -> None:
    gate = Gate()
    for number in range(CLIENT_GUESSES):
        gate.try_password(CLIENT, ACCOUNT, str(number), START)
    assert gate.clients.pop(CLIENT) > START
    gate.guesses.forget_client(CLIENT)
    assert gate.guesses.take(Guess(CLIENT, "b@x.com", "x"), START + 1) == []


def test_a_flood_of_names_does_not_make_an_account_forget_its_guesses() -> None:
    """The attacker has any number of clients, and guesses once at each of many names whenever the
    account opens again."""
    gate, numbers = Gate(Guesses(clients_max=100, accounts_max=50)), itertools.count()
    now = START
    while now < START + DAY_S:
        for number in itertools.islice(numbers, 120):
            gate.try_password(f"c{number}", f"no{number}@x.com", str(number), now)
        while gate.try_password(f"c{next(numbers)}", ACCOUNT, str(next(numbers)), now):
            pass
        now = max(now + 60, gate.accounts[ACCOUNT])
    assert sum(account == ACCOUNT for _, _, account in gate.checked) < 1000


def test_a_flood_of_clients_and_accounts_takes_bounded_memory() -> None:
    guesses = Guesses(clients_max=100, accounts_max=50)
    for number in range(5000):
        guesses.take(Guess(f"c{number}", f"{number}@x.com", str(number)), START + number)
        guesses.take(Guess(CLIENT, ACCOUNT, str(number)), START + number)
    assert guesses.size() == (100, 50)
    assert guesses.take(Guess(CLIENT, "z@x.com", "z"), START + 5001) is not None


@pytest.mark.parametrize("jump_s", [-10 * DAY_S, -1.0, 3650 * DAY_S])
def test_a_clock_that_jumps_gives_no_more_than_a_full_bucket(jump_s: float) -> None:
    gate = Gate()
    for number in range(50):
        gate.try_password(CLIENT, ACCOUNT, str(number), START)
    gate.clients.clear()
    gate.accounts.clear()
    before = len(gate.checked)
    for number in range(50):
        gate.try_password(CLIENT, ACCOUNT, f"n{number}", START + jump_s)
    assert len(gate.checked) - before <= CLIENT_GUESSES


#: Client, account, and the time since the last try in seconds.
_tries = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 1.0, 700.0, 9000.0, 2e5])
    ),
    max_size=200,
)


@given(_tries)
def test_whatever_happens_no_day_has_too_many_tries_and_every_block_ends(
    tries: list[tuple[int, int, float]],
) -> None:
    gate, now = Gate(), START
    for number, account, wait_s in tries:
        now += wait_s
        client, address = f"c{number}", f"{account}@x.com"
        end = max(gate.clients.get(client, 0), gate.accounts.get(address, 0))
        assert gate.try_password(client, address, "", now) == (now >= end), "each is a guess"
        assert all(until <= now + LONGEST_BLOCK_S for until in gate.clients.values())
    for start, client, _ in gate.checked:
        day = [at for at, other, _ in gate.checked if other == client]
        assert sum(start <= at < start + DAY_S for at in day) < 20
