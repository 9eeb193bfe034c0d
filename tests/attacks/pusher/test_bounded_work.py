"""Who can push to the folder can't make `check` and `explain` run without end.

The folders are smaller than an attacker's would be, and their work is counted where it can be: what
grows with the square of their size does not pass.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster.document import Document
from mailroster.finding import Fault
from mailroster.formats.virtual import VIRTUAL
from mailroster.resolve import NOT_FOLLOWED, RECURSION_LIMIT, Router
from mailroster.roster import Roster

ACCOUNT = "a@x.com|{SHA512-CRYPT}$6$abc$def\n"
#: For a loaded machine; without the limits of the work it would be hours.
PATIENCE_S = 240


def setup(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mailroster", "--config", str(folder)]
    argv += ["--state", str(folder / "none"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)


def write(folder: Path, **texts: str) -> Path:
    for name, text in {"accounts": ACCOUNT, **texts}.items():
        path = folder / f"postfix-{name}.cf"
        path.write_text(text)
        os.chmod(path, 0o600)
    return folder


def router(virtual: str, lookups_max: int | None = None) -> Router:
    roster = Roster(virtual=Document(VIRTUAL, virtual))
    return Router(roster, "mail.x.com", lambda _: None).remembering(lookups_max)


def follow_all(asked: Router) -> list[Fault]:
    """The faults of all aliases, in the order of the file."""
    faults = []
    for key in asked.roster.virtual.counted():
        try:
            asked.follow(key)
        except Fault as fault:
            faults.append(fault)
    return faults


def lookups(asked: Router) -> int:
    assert asked.memory is not None
    return asked.memory.lookups


@pytest.mark.parametrize("size", [2000, 20_000])
def test_a_chain_of_aliases_is_followed_once(size: int) -> None:
    asked = router("".join(f"c{n}@x.com c{n + 1}@x.com\n" for n in range(size)))
    assert len(follow_all(asked)) == size - RECURSION_LIMIT + 1
    assert lookups(asked) < 4 * size


@pytest.mark.parametrize("size", [1500, 20_000])
def test_a_circle_of_aliases_is_followed_once(size: int) -> None:
    asked = router("".join(f"c{n}@x.com c{(n + 1) % size}@x.com\n" for n in range(size)))
    assert len(follow_all(asked)) == size
    assert lookups(asked) < 4 * size


def test_aliases_that_lead_to_one_another_are_followed_up_to_a_limit() -> None:
    each = " ".join(f"m{n}@x.com" for n in range(800))
    asked = router("".join(f"k{n}@x.com {each}\n" for n in range(2000)), 100_000)
    faults = follow_all(asked)
    assert faults[-1].code == NOT_FOLLOWED
    assert lookups(asked) < 110_000


@pytest.mark.parametrize("hops", [1, 500, 998, 999, 1000, 1001, 1500])
@pytest.mark.parametrize(
    "end",
    ["a@x.com\n", "z@x.com\n", "t1@x.com, t2@x.com\n", "t1@x.com\nt1@x.com t2@x.com, t3@x.com\n",
     "+x@x.com\n", "e@x.com\ne@x.com e@x.com, a@x.com\n", "n\n", "c0@x.com\n", "@y.com\n",
     "t1@x.com, t2@x.com\nt1@x.com u1@x.com\nu1@x.com u2@x.com, u3@x.com\n"],
)  # fmt: skip
def test_a_chain_that_is_remembered_ends_as_postfix_has_it(hops: int, end: str) -> None:
    """What is worked out once for all links is what each of them gives by itself."""
    chain = "".join(f"c{n}@x.com C{n + 1}@x.com\n" for n in range(hops - 1))
    asked = router(f"{chain}c{hops - 1}@x.com {end}")
    plain = asked._replace(memory=None)
    for key in ("c0@x.com", f"c{hops // 2}@x.com", f"c{hops - 1}@x.com"):
        answers = []
        for one in (asked, plain):
            try:
                answers.append((one.expand(key), ""))
            except Fault as fault:
                answers.append(([], fault.what))
        assert answers[0] == answers[1], key


def test_check_says_what_it_left_out_of_aliases(tmp_path: Path) -> None:
    each = " ".join(f"m{n}@y.com" for n in range(900))
    text = "".join(f"k{n}@x.com {each}\n" for n in range(1500))
    done = setup(write(tmp_path, virtual=text), "check", "--rule", "not-followed")
    assert done.stdout.count("[not-followed]") == 1, done.stderr


def test_patterns_that_take_too_long_are_found_and_left_out(tmp_path: Path) -> None:
    rules = "".join(f"/^([a-z]+\\.?)+{n}@y\\.com$/ a@x.com\n" for n in range(200))
    people = "".join(f"{'a' * 30}{n}@x.com|{{SHA512-CRYPT}}$6$abc$def\n" for n in range(30))
    folder = write(tmp_path, regexp=rules, accounts=ACCOUNT + people)
    done = setup(folder, "check")
    assert done.stdout.count("[regexp-backtracking]") == 200
    done = setup(folder, "explain", f"{'a' * 40}!@y.com")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr


def test_an_alias_that_postfix_refuses_is_not_judged_further(tmp_path: Path) -> None:
    text = "all@x.com " + ", ".join(f"m{n % 50_000}@y.com" for n in range(100_000)) + "\n"
    done = setup(write(tmp_path, virtual=text), "check", "--info")
    assert "[duplicate-recipient]" not in done.stdout
    assert "[unreasonable-alias]" in done.stdout
