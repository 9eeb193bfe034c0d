"""The network that stands for a client, and how SQLite finds it."""

import ipaddress
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.base.client_network import Networks, expanded_sql, key, network


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.17", "192.0.2.17"), ("::ffff:192.0.2.17", "192.0.2.17"),
        ("2001:db8::17", "2001:db8::/64"), ("2001:DB8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)  # fmt: skip
def test_a_client_is_an_ipv4_address_or_a_64(address: str, client: str) -> None:
    assert network(address) == client


@pytest.mark.parametrize("text", ["", "x", "192.0.2", "192.0.2.0/24", "1:2", "127.1"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        network(text)


def expanded(address: str) -> str:
    query = f"SELECT {expanded_sql(address)}"
    with sqlite3.connect(":memory:") as connection:
        return str(connection.execute(query).fetchone()[0])


groups = st.lists(
    st.sampled_from([0, 0, 0, 1, 0x10, 0xDB8]) | st.integers(0, 0xFFFF), min_size=8, max_size=8
)


@given(groups, groups)
def test_sqlite_sees_the_64_in_every_address_as_inet_ntop_writes_it(
    one: list[int], other: list[int]
) -> None:
    one[0] = one[0] or 0x2001  # ::/16 has no clients
    other = one[:4] + other[4:]
    address, neighbour = (
        str(ipaddress.IPv6Address(b"".join(group.to_bytes(2) for group in each)))
        for each in (one, other)
    )
    assert expanded(address).startswith(key(network(neighbour)))
    stranger = ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) ^ 1 << 64)
    if stranger.exploded[:4] != "0000":
        assert not expanded(str(stranger)).startswith(key(network(neighbour)))


def test_no_ipv4_address_begins_with_another() -> None:
    assert expanded("192.0.2.1") == key("192.0.2.1")
    assert not expanded("192.0.2.10").startswith(key("192.0.2.1"))


def test_an_ipv4_address_in_an_ipv6_address_is_that_address() -> None:
    for address in ("::ffff:192.0.2.1", "192.0.2.1"):
        assert expanded(address) == key(network(address)) == "192.0.2.1:"
    assert expanded("2001::ffff:c000:201") == "2001:0:0:0:0:ffff:c000:201:"


def test_networks_of_a_setting() -> None:
    networks = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.5"])
    for client in ("10.2.3.4", "192.0.2.5", "2001:db8:1::/64"):
        assert networks.contain(client)
    for client in ("11.2.3.4", "192.0.2.6", "2001:db9::/64"):
        assert not networks.contain(client)
    assert not Networks([]).contain("127.0.0.1")
