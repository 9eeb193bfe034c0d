"""The mark that locks a hash."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.credentials import hidden, is_locked, locked, unlocked


@pytest.mark.parametrize(
    ("hash", "marked"),
    [
        pytest.param("{SHA512-CRYPT}$6$a$b", "{SHA512-CRYPT}!$6$a$b", id="behind the scheme"),
        pytest.param("$6$a$b", "!$6$a$b", id="without a scheme"),
        pytest.param("{SSHA.HEX}00ff", "{SSHA.HEX}!00ff", id="an encoding"),
    ],
)
def test_a_hash_is_locked_and_unlocked_again(hash: str, marked: str) -> None:
    assert not is_locked(hash)
    assert locked(hash) == locked(marked) == marked
    assert is_locked(marked)
    assert unlocked(marked) == unlocked(hash) == hash
    assert ACCOUNTS.parse(f"a@x.com|{marked}|fail=1").is_locked()


@pytest.mark.parametrize("scheme", ["PLAIN", "plain", "CLEAR", "CLEARTEXT"])
def test_a_password_in_clear_may_begin_with_the_mark(scheme: str) -> None:
    assert not is_locked(f"{{{scheme}}}!secret")
    assert not ACCOUNTS.parse(f"a@x.com|{{{scheme}}}!secret").is_locked()
    with pytest.raises(ParseError) as caught:
        locked(f"{{{scheme}}}secret")
    assert caught.value.code == "clear-password"
    assert "secret" not in str(caught.value)


def test_many_marks_are_one_lock() -> None:
    assert unlocked("{SHA512-CRYPT}!!$6$a$b") == "{SHA512-CRYPT}$6$a$b"


@pytest.mark.parametrize("hash", ["{SHA512-CRYPT}!", "{SHA512-CRYPT}!!"])
def test_a_lock_without_a_password_is_not_taken_away(hash: str) -> None:
    assert is_locked(hash)
    with pytest.raises(ParseError) as caught:
        unlocked(hash)
    assert caught.value.code == "no-password"


@pytest.mark.parametrize("hash", ["!", "!secret", "!{SHA512-CRYPT}$6$a$b", "*$6$a$b"])
def test_other_marks_are_no_hashes(hash: str) -> None:
    with pytest.raises(ParseError) as caught:
        ACCOUNTS.parse(f"a@x.com|{hash}")
    assert caught.value.code == "malformed-hash"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("a@x.com|{SHA512-CRYPT}!$6$a$b|x", "a@x.com|{SHA512-CRYPT}!…|x"),
        ("a@x.com| !$6$a$b ", "a@x.com| !…"),
        ("a@x.com|{PLAIN}!secret", "a@x.com|{PLAIN}…"),
    ],
)
def test_a_lock_is_shown_and_no_hash(line: str, shown: str) -> None:
    assert hidden(line) == shown
