"""A clock that jumps five years ahead, as `up` and the commands see it: no lock ends, somebody is
warned, and what ends once the clock is said to be right can be undone."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.instance import HASH, Instance, until

YEARS_S = 5 * 365 * 86_400
#: mailroster, with the clock of a file beside it, which nothing synchronises.
PROGRAM = """\
import sys, time
real = time.time
def shifted():
    with open({path!r}) as file:
        return real() + float(file.read() or 0)
time.time = shifted
from mailroster.system import clock
clock.synchronised = lambda: False
from mailroster.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Shifted(Instance):
    """An instance whose `up` and commands have a clock of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = self.home / "shift"
        self.shift.write_text("0")
        (self.home / "mailroster").write_text(PROGRAM.format(path=str(self.shift)))

    def _program(self) -> list[str]:
        return [sys.executable, str(self.home / "mailroster"), "--home", str(self.home)]

    def log_of_history(self) -> str:
        return self.run("log").stdout


@pytest.fixture(scope="module")
def shifted() -> Iterator[Shifted]:
    instance = Shifted()
    try:
        instance.start()
        for user in ("bob", "ann"):
            instance.setup("email", "add", f"{user}@x.com", "--hash", HASH)
        yield instance
    finally:
        instance.shift.write_text("0")
        instance.close()


def test_no_lock_ends_by_a_clock_that_jumped_and_it_can_be_undone_if_it_was_said_to_be_right(
    shifted: Shifted,
) -> None:
    shifted.setup("email", "lock", "bob@x.com", "--until", "7d")
    shifted.setup("alias", "add", "fair@x.com", "ann@x.com", "--until", "7d")
    assert not shifted.can_log_in("bob@x.com")

    shifted.shift.write_text(str(YEARS_S))
    until(lambda: "end dates wait: the clock says" in shifted.log.read_text())
    shifted.setup("quota", "set", "ann@x.com", "1G")  # edits go on
    applied = shifted.run("apply")
    status = shifted.run("status")
    for said in (applied.stderr, status.stdout):
        assert "end dates wait: the clock says" in said
        assert "setup apply --clock-is-right [clock-ahead]" in said
    assert status.returncode == 1
    assert not shifted.can_log_in("bob@x.com")
    assert shifted.rcpt("fair@x.com")[0] == 250

    shifted.shift.write_text("0")
    until(lambda: "in step: yes" in shifted.run("status").stdout)
    assert shifted.run("status").returncode == 0
    assert not shifted.can_log_in("bob@x.com")

    shifted.shift.write_text(str(YEARS_S))
    shifted.setup("apply", "--clock-is-right")
    until(lambda: shifted.can_log_in("bob@x.com"))
    assert shifted.rcpt("fair@x.com")[0] == 550
    newest = shifted.log_of_history().splitlines()
    assert any("setup apply" in line or "mailroster up" in line for line in newest[:3])

    shifted.shift.write_text("0")
    shifted.setup("undo")
    assert not shifted.can_log_in("bob@x.com")
    assert shifted.rcpt("fair@x.com")[0] == 250


def test_up_starts_with_a_clock_that_is_years_ahead_and_ends_nothing(shifted: Shifted) -> None:
    """As after a boot with an empty battery: the note of the clock is from the last run."""
    shifted.setup("email", "lock", "ann@x.com", "--until", "7d")
    shifted.stop()
    shifted.shift.write_text(str(2 * YEARS_S))
    shifted.start()
    assert not shifted.can_log_in("ann@x.com")
    assert "waiting: postfix-accounts.cf: warning: end dates wait" in shifted.run("status").stdout
    shifted.shift.write_text("0")
