"""The cost of a hash: as a setting asks for it, as a hash tells it, and which of two is below."""

import pytest

from mailroster.app.passwords.hashing import hash_password
from mailroster.base.findings import UsageError
from mailroster.roster.formats.hash_cost import (
    SCHEMES,
    Cost,
    cost_of,
    default_cost,
    hash_behind,
    is_below,
    parse_cost,
    scheme_of,
)

SHA, BLF, ARGON = SCHEMES


@pytest.mark.parametrize(
    ("scheme", "text", "cost"),
    [
        (SHA, "", Cost(5000)), (SHA, "1000", Cost(1000)), (SHA, " 10_000_000 ", Cost(10_000_000)),
        (BLF, "", Cost(5)), (BLF, "4", Cost(4)), (BLF, "12", Cost(12)), (BLF, "012", Cost(12)),
        (ARGON, "", Cost(3, 65536)), (ARGON, "t=2,m=19456", Cost(2, 19456)),
        (ARGON, "t=1, m=64", Cost(1, 64)), (ARGON, "t=100,m=196608", Cost(100, 196608)),
    ],
)  # fmt: skip
def test_a_cost_is_read(scheme: str, text: str, cost: Cost) -> None:
    assert parse_cost(scheme, text) == cost
    assert parse_cost(scheme, str(cost)) == cost


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (SHA, "999"), (SHA, "10000001"), (SHA, "-5000"), (SHA, "5e3"), (SHA, "t=3,m=65536"),
        (SHA, "\u0665\u0660\u0660\u0660"), (SHA, "9" * 5000),
        (BLF, "3"), (BLF, "17"), (BLF, "5.5"), (BLF, "x"),
        (ARGON, "3"), (ARGON, "t=3"), (ARGON, "m=65536,t=3"), (ARGON, "t=0,m=65536"),
        (ARGON, "t=3,m=63"), (ARGON, "t=3,m=262144"), (ARGON, "t=3,m=64M"),
    ],
)  # fmt: skip
def test_what_is_no_cost_is_refused_with_what_is_one(scheme: str, text: str) -> None:
    with pytest.raises(UsageError, match=rf"password_cost: .* not a cost of {scheme}; write"):
        parse_cost(scheme, text)


@pytest.mark.parametrize(
    ("scheme", "cost"),
    [(SHA, Cost(1000)), (SHA, Cost(5000)), (SHA, Cost(12345)), (BLF, Cost(4)), (BLF, Cost(6)),
     (ARGON, Cost(1, 64)), (ARGON, Cost(2, 1024))],
)  # fmt: skip
def test_a_hash_is_made_with_the_cost_that_it_tells(scheme: str, cost: Cost) -> None:
    hash = hash_password("secret", scheme, cost)
    assert (scheme_of(hash), cost_of(hash)) == (scheme, cost)
    assert not is_below(hash, scheme, cost)


@pytest.mark.parametrize(
    ("hash", "scheme", "cost"),
    [
        ("$6$salt$x", SHA, Cost(5000)), ("{CRYPT}$6$rounds=7000$salt$x", SHA, Cost(7000)),
        ("{sha512-crypt}!$6$salt$x", SHA, Cost(5000)), ("!$2y$07$x", BLF, Cost(7)),
        ("{CRYPT}ab1234567890.", "CRYPT", None), ("{SSHA}x", "SSHA", None), ("nothing", "", None),
        ("{SHA512-CRYPT}x", SHA, None),
        ("{ARGON2ID}$argon2id$v=19$m=8,t=2,p=1$x", ARGON, Cost(2, 8)),
    ],
)  # fmt: skip
def test_a_hash_that_others_made_tells_scheme_and_cost(
    hash: str, scheme: str, cost: Cost | None
) -> None:
    assert (scheme_of(hash), cost_of(hash)) == (scheme, cost)


@pytest.mark.parametrize(
    ("hash", "scheme", "wanted", "below"),
    [
        ("{SHA512-CRYPT}$6$s$x", SHA, Cost(5000), False),
        ("{SHA512-CRYPT}$6$s$x", SHA, Cost(5001), True),
        ("{SHA512-CRYPT}$6$rounds=9000$s$x", SHA, Cost(5001), False),
        ("{SHA512-CRYPT}$6$s$x", BLF, Cost(4), True),
        ("{ARGON2ID}$argon2id$v=19$m=64,t=9,p=1$x", ARGON, Cost(3, 65536), True),
        ("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$x", ARGON, Cost(3, 65536), False),
        ("{PLAIN}secret", SHA, Cost(1000), True),
    ],
)
def test_a_hash_is_below_a_setting(hash: str, scheme: str, wanted: Cost, below: bool) -> None:
    assert is_below(hash, scheme, wanted) == below


def test_the_mark_of_a_lock_is_no_part_of_the_hash_and_of_a_clear_password_it_is() -> None:
    assert hash_behind("{BLF-CRYPT}!$2y$05$x") == "$2y$05$x"
    assert hash_behind("{PLAIN}!secret") == "!secret"


def test_every_scheme_has_a_default_that_can_be_asked_for() -> None:
    for scheme in SCHEMES:
        assert parse_cost(scheme, str(default_cost(scheme))) == default_cost(scheme)
