"""A wall clock that is set, years ahead or back, changes no waiting time of what runs on."""

import ast
import time
from pathlib import Path

import pytest

import mailroster
from mailroster.publish.targets.text_table import PasswdFile
from mailroster.system.files import ABSENT, Disk, Identity
from mailroster.system.stability import Settling

YEARS_S = 10 * 365 * 86400.0
#: What loops for as long as a server runs.
LOOPS = (
    "daemons/up", "daemons/follower", "daemons/supervisor", "daemons/file_events", "daemons/watch",
    "daemons/healing", "servers/essentials", "system/processes", "daemons/tasks", "system/threads",
    "daemons/signals", "system/log", "daemons/log_stream", "daemons/policy/service",
    "daemons/policy/decisions", "daemons/policy/quota_status", "daemons/policy/pattern_cache",
)  # fmt: skip


@pytest.mark.parametrize("module", LOOPS)
def test_no_loop_asks_the_wall_clock(module: str) -> None:
    """time.strftime, for the time in a message, is all that it may ask."""
    source = (Path(mailroster.__file__).parent / f"{module}.py").read_text()
    asked = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime")
    }
    assert asked <= {"monotonic", "strftime", "sleep"}


@pytest.mark.parametrize("step_s", [YEARS_S, -YEARS_S])
def test_a_change_of_exceptional_accounts_waits_a_second_at_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """Not until the clock is there again where it was when the table was written."""
    table = PasswdFile(str(tmp_path / "exceptions"), Disk())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    table.apply({"a@x.com": "a@x.com:x"})
    monkeypatch.setattr(time, "time", lambda: now + step_s)
    assert table.visible_at - time.monotonic() <= 1.02
    table.apply({"b@x.com": "b@x.com:x"})
    assert table.visible_at - time.monotonic() <= 1.02


@pytest.mark.parametrize("step_s", [YEARS_S, -YEARS_S])
def test_what_is_held_passes_after_its_time_whatever_the_clock_says(step_s: float) -> None:
    wall, monotonic = [0.0], [0.0]
    settling = Settling(1.0, now=lambda: wall[0], monotonic=lambda: monotonic[0], observer=True)
    for found in (Identity(1, 2, 3, 4), ABSENT):
        settling.look("accounts", found)
        wall[0] += step_s
        assert not settling.settled("accounts", 0)
        monotonic[0] += 1.0
        assert settling.settled("accounts", 0)
