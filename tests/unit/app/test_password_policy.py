"""Which passwords are taken, and those that we make."""

import math
import os
from pathlib import Path

import pytest

from mailroster.app.passwords import hashing
from mailroster.app.passwords import policy as password_policy
from mailroster.app.passwords.policy import Policy
from mailroster.base.findings import Refused
from mailroster.store.links import ConfigFolder


@pytest.fixture
def listed(tmp_path: Path) -> str:
    path = tmp_path / "refused"
    path.write_bytes("hunter2\r\nPassW0rd\n\n# no comment\nGRÜẞE\n last one ".encode())
    return str(path)


@pytest.mark.parametrize(
    "given", ["hunter2", "HUNTER2", "passw0rd", "# no comment", "grüße", " last one ", " LAST one "]
)
def test_a_refused_one_is_refused_in_any_case(listed: str, given: str) -> None:
    with pytest.raises(Refused, match="password_refused") as refused:
        Policy(1, listed).check(given)
    assert given not in str(refused.value)


@pytest.mark.parametrize(
    "given", ["hunter", "hunter22", "hunter2\r", "last one", "no comment", "x"]
)
def test_a_part_of_a_refused_one_is_taken(listed: str, given: str) -> None:
    policy = Policy(1, listed)
    policy.check(given)
    with pytest.raises(Refused, match="password_refused"):  # the same policy does refuse
        policy.check("hunter2")


def test_a_short_one_is_refused_by_its_characters() -> None:
    Policy(4).check("pässw")
    Policy(4).check("€€€€")
    with pytest.raises(Refused, match="shorter than 4"):
        Policy(4).check("€€€")
    Policy(1).check("x")


def test_a_list_is_read_in_parts_and_many_are_looked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "refused"
    path.write_bytes(b"".join(b"word%d\n" % n for n in range(1000)) + b"\xff\xfe\nl\xe4st")
    given = [f"Word{n}" for n in range(0, 2000, 100)]
    for size in (1, 7, 64, 1 << 20):
        monkeypatch.setattr(password_policy, "_PART_BYTES", size)
        found = Policy(1, str(path)).faults([*given, "l\udce4st"])
        assert sorted(found) == sorted([*given[:10], "l\udce4st"]), size


@pytest.mark.parametrize("kind", ["none", "folder", "pipe"])
def test_a_list_that_cannot_be_read_refuses_every_password(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "refused"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Refused, match="can't be read"):
        Policy(1, str(path)).check("secret")


def test_a_list_is_named_from_the_config_folder(tmp_path: Path) -> None:
    (tmp_path / "config" / "lists").mkdir(parents=True)
    folder = ConfigFolder(str(tmp_path / "config"))
    (tmp_path / "config" / "lists" / "refused").write_text("hunter2\n")
    with pytest.raises(Refused, match="password_refused"):
        Policy(1, "lists/refused", folder).check("hunter2")
    Policy(1, "", folder).check("hunter2")
    assert Policy(1, str(tmp_path / "config/lists/refused"), ConfigFolder("/")).faults(["hunter2"])


def test_a_generated_one_has_a_hundred_bits_and_no_sign_that_looks_like_another() -> None:
    made = [hashing.generate() for _ in range(300)]
    assert len(set(made)) == 300
    signs = set("".join(made)) - {"-"}
    assert signs == set("abcdefghjkmnpqrstuvwxyz23456789")
    assert len(made[0].replace("-", "")) * math.log2(len(signs)) > 118
    assert {len(one) for one in made} == {27}


def test_a_generated_one_is_as_long_as_the_policy_wants() -> None:
    for least in (0, 27, 28, 34, 100):
        assert len(hashing.generate(least)) >= least
