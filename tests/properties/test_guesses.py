"""Laws of blocks: whatever clients try, and whenever, the limits hold, and owners get in."""

import ipaddress
import sqlite3
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mailroster.base.client_network import Networks, network
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.daemons.blocker import Blocker
from mailroster.daemons.guesses import (
    CLIENT_GUESSES,
    LONGEST_BLOCK_S,
    Block,
    ClientBlock,
    Guess,
    Guesses,
)
from mailroster.daemons.login_reports import LoginReport
from mailroster.publish.block_table import BlockRow, BlockTable, ClosedRow, Login, text_of
from mailroster.servers.config.dovecot.blocks import query

DAY_S = 86_400
START = 1_800_000_000.0
#: Seconds between tries: at once, within a block, to the end of each block, for guesses to come
#: back, and until an earlier block is forgiven.
_WAITS = (0.0, 0.1, 1.0, 599.0, 600.0, 1200.0, 3600.0, 9000.0, 17_280.0, 86_400.0, 172_801.0)
#: Client, account and password of a try, and the time since the last one.
_TRY = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 40), st.sampled_from(_WAITS))
_tries = st.lists(_TRY, max_size=250)


class Door:
    """Refuses what is blocked, as Dovecot does by the table, and counts what is checked."""

    def __init__(self) -> None:
        self.guesses = Guesses()
        self.blocks: dict[str, Block] = {}
        self.checked: dict[str, list[float]] = defaultdict(list)

    def is_open(self, name: str, now: float) -> bool:
        return name not in self.blocks or self.blocks[name].until <= now

    def try_password(self, client: str, account: str, password: str, now: float) -> bool:
        """Whether the password, which is wrong, was checked."""
        if not (self.is_open(client, now) and self.is_open(account, now)):
            return False
        self.checked[client].append(now)
        self.checked[account].append(now)
        for block in self.guesses.take(Guess(client, account, password), now):
            name = block.client if isinstance(block, ClientBlock) else block.account
            before = self.blocks.get(name)
            assert now < block.until <= now + LONGEST_BLOCK_S, "it ends by itself, within a day"
            assert before is None or block.until >= before.until, "a block is never shortened"
            assert block.is_new == (before is None or before.until <= now)
            self.blocks[name] = block
        return True

    def most_in_a_day(self, name: str) -> int:
        """The most passwords that were checked within any 24 hours."""
        times = self.checked[name]
        return max((sum(start <= at < start + DAY_S for at in times) for start in times), default=0)


@given(_tries)
def test_a_client_has_less_than_twenty_guesses_in_any_day(
    tries: list[tuple[int, int, int, float]],
) -> None:
    """Every password is another one, and the client waits as it likes."""
    door, now = Door(), START
    for number, (client, account, _, wait_s) in enumerate(tries):
        now += wait_s
        door.try_password(f"c{client}", f"{account}@x.com", str(number), now)
    assert all(door.most_in_a_day(f"c{client}") < 20 for client in range(3))


@given(st.lists(st.sampled_from(_WAITS), min_size=1, max_size=300))
def test_a_client_that_tries_whenever_it_is_let_in_gains_nothing(waits: list[float]) -> None:
    """It knows the end of each block, and tries at that moment or some time later."""
    door, now = Door(), START
    for number, wait_s in enumerate(waits):
        if block := door.blocks.get("c"):
            now = max(now, block.until)
        now += wait_s
        assert door.try_password("c", f"{number % 7}@x.com", str(number), now)
    assert door.most_in_a_day("c") < 20


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(_WAITS)), min_size=20, max_size=40),
    st.integers(1, 40_000),
)
def test_an_account_has_less_than_a_thousand_guesses_in_any_day(
    rounds: list[tuple[int, float]], clients: int
) -> None:
    """Many clients, in rounds of their own choice, each with new passwords."""
    door, now, number = Door(), START, 0
    for size, wait_s in rounds:
        now += min(wait_s, 3600.0)
        for _ in range(size * 5):
            number += 1
            door.try_password(f"c{number % clients}", "a@x.com", str(number), now + number * 1e-4)
    assert door.most_in_a_day("a@x.com") < 1000


@given(
    st.lists(st.tuples(st.integers(0, CLIENT_GUESSES - 2), st.sampled_from(_WAITS)), max_size=300),
    st.integers(1, 30),
)
def test_a_client_with_few_wrong_passwords_is_never_blocked(
    tries: list[tuple[int, float]], devices: int
) -> None:
    """A phone and a program with old passwords, on many networks, for as long as they like."""
    door, now = Door(), START
    for number, (password, wait_s) in enumerate(tries):
        now += wait_s
        client = f"c{number % devices}"
        assert door.try_password(client, "a@x.com", f"old {password}", now)
    assert not door.blocks


@given(_tries, st.sampled_from(_WAITS))
def test_every_block_ends_and_then_the_next_try_is_checked(
    tries: list[tuple[int, int, int, float]], later_s: float
) -> None:
    door, now = Door(), START
    for client, account, password, wait_s in tries:
        now += wait_s
        door.try_password(f"c{client}", f"{account}@x.com", str(password), now)
    end = now + LONGEST_BLOCK_S + later_s
    for name in ("c0", "c1", "c2", "new"):
        assert door.try_password(name, "other@x.com", "x", end)
    assert door.try_password("new", "0@x.com", "y", end)


@given(_tries, st.sampled_from(_WAITS))
def test_after_a_restart_a_client_has_what_it_got_back_since_its_block(
    tries: list[tuple[int, int, int, float]], later_s: float
) -> None:
    """None if the block is new, all of them after a day."""
    door, now = Door(), START
    for number, (client, account, _, wait_s) in enumerate(tries):
        now += wait_s
        door.try_password(f"c{client}", f"{account}@x.com", str(number), now)
    blocks = [block for block in door.blocks.values() if isinstance(block, ClientBlock)]
    now += later_s
    restored, rested = Guesses(), Guesses()
    restored.restore(blocks, now)
    rested.restore(blocks, now + LONGEST_BLOCK_S + DAY_S)
    for block in blocks:
        first = max(now, block.until)
        given_back = min(CLIENT_GUESSES, (first - min(now, block.until)) / (DAY_S / CLIENT_GUESSES))
        left = guesses_left(restored, block.client, first)
        assert left <= given_back <= left + 2
        full = guesses_left(rested, block.client, now + LONGEST_BLOCK_S + DAY_S)
        assert full == CLIENT_GUESSES - 1


def guesses_left(guesses: Guesses, client: str, now: float) -> int:
    """How many guesses a client has before the one that blocks it."""
    for number in range(CLIENT_GUESSES + 1):
        blocks = guesses.take(Guess(client, f"{number}@new.test", f"new {number}"), now)
        if any(isinstance(block, ClientBlock) for block in blocks):
            return number
    raise AssertionError("it is never blocked")


_ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.sampled_from(("127.0.0.1", "::1", "10.0.0.1", "fe80::1%eth0", "192.0.2.255", "0.0.0.0")),
)


def _network(pair: tuple[int, int], bits: int) -> str:
    number, prefix = pair
    return str(ipaddress.ip_network((number >> bits - prefix << bits - prefix, prefix)))


_NETWORKS = st.one_of(
    st.sampled_from(("10.0.0.0/8", "192.0.2.17", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1")),
    st.tuples(st.integers(1 << 24, (1 << 32) - 1), st.integers(1, 32)).map(
        lambda pair: _network(pair, 32)
    ),
    st.tuples(st.integers(1 << 112, (1 << 128) - 1), st.integers(1, 128)).map(
        lambda pair: _network(pair, 128)
    ),
)


def made(never: str) -> Settings:
    options = {"home": "/s", "block_guessing": "1", "never_blocked": never}
    return load(Sources(options, {}, lambda path: b"", lambda path: False, node="mail.x.test"))


@given(_ADDRESSES, st.lists(_NETWORKS, max_size=4))
def test_an_address_of_a_network_is_in_it(address: str, networks: list[str]) -> None:
    """An IPv6 client is a /64, so it is excepted if any address of it is."""
    client = ipaddress.ip_network(network(address))
    expected = any(
        client.version == each.version and client.overlaps(each)
        for each in map(ipaddress.ip_network, networks)
    )
    assert Networks(networks).contain(str(client)) is expected
    plain = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(plain, "ipv4_mapped", None) or plain
    if any(mapped in ipaddress.ip_network(each) for each in networks):
        assert expected, "and so is each address of these networks"


@given(
    st.lists(_NETWORKS, min_size=1, max_size=4),
    st.lists(_ADDRESSES, min_size=1, max_size=3),
    st.integers(1, 40),
)
def test_a_network_that_is_never_blocked_is_never_blocked(
    networks: list[str], addresses: list[str], tries: int
) -> None:
    blocker = Blocker(made(", ".join(networks)), Layout("/s"))
    report = LoginReport("a@x.com", "imap", "", False, "", "")
    for number in range(tries):
        for address in addresses:
            blocker.take(report._replace(remote=address, password_hash=f"{number:03x}"))
    blocked = {b.client for b in blocker._blocks.values() if isinstance(b, ClientBlock)}
    clients = {network(address) for address in addresses}
    never = {client for client in clients if Networks(networks).contain(client)}
    assert not blocked & never
    assert blocked == (clients - never if tries >= CLIENT_GUESSES else set())


#: Clients: two of one /64, one of another, and IPv4 addresses of which one begins as another.
_CLIENTS = ("192.0.2.1", "192.0.2.10", "192.0.2.100", "2001:db8:0:1::1", "2001:db8:0:1::2",
            "2001:db8:0:10::1", "::ffff:192.0.2.1")  # fmt: skip
_ACCOUNTS = ("a@x.com", "b@x.com")
_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("block", "close", "login", "unblock")),
        st.sampled_from(_CLIENTS),
        st.sampled_from(_ACCOUNTS),
        st.sampled_from((-3600, 3600)),
    ),
    max_size=12,
)


@given(_EVENTS)
def test_the_table_refuses_blocked_clients_and_strangers_at_a_closed_account(
    events: list[tuple[str, str, str, int]],
) -> None:
    """Dovecot's query against a plain account of what is blocked, closed and known."""
    now = time.time()
    blocked: dict[str, int] = {}
    closed: dict[str, int] = {}
    known: set[tuple[str, str]] = set()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sql").mkdir()
        layout = Layout(folder)
        table = BlockTable(layout)
        table.ensure()
        for kind, address, account, left_s in events:
            client, until = network(address), text_of(now + left_s)
            if kind == "block":
                table.write(now, [BlockRow(client, text_of(now), until, "", 1)])
                blocked[client] = max(blocked.get(client, left_s), left_s)
            elif kind == "close":
                table.write(now, closed=[ClosedRow(account, text_of(now), until)])
                closed[account] = left_s
            elif kind == "login":
                table.write(now, logins=[Login(account, client)])
                known.add((account, client))
            else:
                assert table.remove(client) is (blocked.get(client, 0) > 0)
                if blocked.get(client, 0) > 0:
                    blocked[client] = -1
        with sqlite3.connect(layout.blocks) as connection:
            for address in _CLIENTS:
                for account in _ACCOUNTS:
                    client = network(address)
                    user, _, domain = account.partition("@")
                    seen = address.removeprefix("::ffff:")
                    sql = query(seen, account, user, domain)
                    is_refused = connection.execute(sql).fetchone() is not None
                    is_stranger = closed.get(account, 0) > 0 and (account, client) not in known
                    assert is_refused is (blocked.get(client, 0) > 0 or is_stranger)
