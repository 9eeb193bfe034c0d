"""The follower goes on whatever fails, tries again with a back-off, and says so once."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.daemons import damage_search, errands, follower
from mailroster.daemons.follower import Follower
from mailroster.publish.reconcile import Outcome
from mailroster.system.log import Retry

ACCOUNTS = "postfix-accounts.cf"


class World:
    """A follower over a config folder, with a clock that a test moves, and what it says."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = home / "config"
        self.config.mkdir()
        (self.config / ACCOUNTS).write_text("a@x.com|{PLAIN}x\n")
        self.now, self.lines, self.calls = 1000.0, list[str](), 0
        self.monkeypatch = monkeypatch
        for module in (follower, errands, damage_search):
            monkeypatch.setattr(module, "log", self.lines.append)
        monkeypatch.setattr(follower, "reconcile", self.reconcile)
        monkeypatch.setattr(
            follower, "Retry",
            lambda fails, works: Retry(
                fails, works, self.lines.append, monotonic=lambda: self.now
            ),
        )  # fmt: skip
        given = {"home": str(home)}
        settings = load(Sources(given, {}, lambda path: b"", lambda path: False))
        self.follower = Follower(settings, Layout(str(home / "state")))
        monkeypatch.setattr(self.follower._scripts, "reconcile", _Scripts)
        monkeypatch.setattr(self.follower._tables, "suspects", list)
        monkeypatch.setattr(self.follower._tables, "have_copies", lambda: True)
        self.error: BaseException | None = None

    def reconcile(self, *_: object, **__: object) -> Any:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Outcome(0, (), (), waits=False)

    def edit(self) -> None:
        with (self.config / ACCOUNTS).open("a") as file:
            file.write(f"n{self.calls}@x.com|{{PLAIN}}x\n")


class _Scripts:
    findings, waits = (), False

    def described(self) -> str:
        return ""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


ERRORS = [
    TryAgain("the tables can't be written (state: No space left on device)"),
    Refused("read-only"),
    ServerError("no sievec"),
    OSError(errno.ENOSPC, "No space left on device"),
    MemoryError(),
    RecursionError("too deep"),
    KeyError("a fault of ours"),
    UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogate"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_fails_is_said_once_a_minute_and_never_tried_in_a_loop(
    world: World, error: Exception
) -> None:
    world.error = error
    for _ in range(20 * 60):  # twenty wake-ups a second, for a minute
        assert world.follower.look() is False
        world.now += 0.05
    assert len(world.lines) == 1
    assert world.lines[0].startswith("not in step: ")
    assert world.calls < 15
    world.error = None
    world.now += 10
    assert world.follower.look() is False
    assert world.lines[1:] == ["in step again"]
    calls = world.calls
    world.follower.look()
    assert world.calls == calls, "what is in step is left alone"


def test_an_edit_is_tried_within_a_second_even_after_many_failures(world: World) -> None:
    world.error = TryAgain("no space")
    for _ in range(600):
        world.follower.look()
        world.now += 0.1
    world.follower.look()
    calls = world.calls
    world.error = None
    world.edit()
    world.now += 1.0
    world.follower.look()
    assert world.calls > calls
    assert world.lines[-1] == "in step again"


def test_edits_without_end_while_nothing_can_be_written_are_no_busy_loop(world: World) -> None:
    world.error = TryAgain("no space")
    for _ in range(600):
        world.edit()
        world.follower.look()
        world.now += 0.05
    assert world.calls <= 32


def test_a_convergence_that_changes_something_each_time_is_left_alone_in_the_end(
    world: World,
) -> None:
    edit = world.edit
    original = world.reconcile

    def busy(*_: object, **__: object) -> Any:
        edit()
        return original()

    world.monkeypatch.setattr(follower, "reconcile", busy)
    world.follower.look()
    assert world.calls == follower.ROUNDS_MAX


ERRANDS: list[tuple[str, Callable[[World, Callable[..., Any]], None]]] = [
    ("end dates", lambda w, f: w.monkeypatch.setattr(w.follower._end_dates._deadlines, "due", f)),
    ("identities", lambda w, f: w.monkeypatch.setattr(w.follower._pending, "identities", f)),
    ("suspects", lambda w, f: w.monkeypatch.setattr(w.follower._tables, "suspects", f)),
    ("scripts", lambda w, f: w.monkeypatch.setattr(w.follower._scripts, "reconcile", f)),
    ("findings", lambda w, f: w.monkeypatch.setattr(w.follower._pending, "findings", f)),
]


@pytest.mark.parametrize(("what", "break_it"), ERRANDS, ids=[what for what, _ in ERRANDS])
def test_each_part_of_a_look_may_fail_and_the_next_look_comes(
    world: World, what: str, break_it: Callable[[World, Callable[..., Any]], None]
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise ZeroDivisionError(what)

    with pytest.MonkeyPatch.context():
        break_it(world, fail)
        for _ in range(200):
            world.follower.look()
            world.now += 0.05
        assert [line for line in world.lines if what in line] == world.lines
        assert len(world.lines) == 1


def test_the_overlay_may_fail_and_the_rest_goes_on(world: World) -> None:
    class Overlay:
        def update(self) -> bool:
            raise ZeroDivisionError("overlay")

    world.follower._overlay._overlay = Overlay()  # type: ignore[assignment]
    world.follower.look()
    assert world.calls == 1
    assert len(world.lines) == 1


def test_the_overlay_is_updated_from_linked_folders(tmp_path: Path) -> None:
    for name in ("config", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked" / ACCOUNTS).write_text("a@x.com|{PLAIN}x\n")
    (tmp_path / "config" / ACCOUNTS).symlink_to(tmp_path / "linked" / ACCOUNTS)
    given = {"home": str(tmp_path), "overlay": str(tmp_path / "overlay")}
    linked = {"MAILROSTER_LINKED_FOLDERS": str(tmp_path / "linked")}
    settings = load(Sources(given, linked, lambda path: b"", lambda path: False))
    Follower(settings, Layout(str(tmp_path / "state")))._overlay.run()
    assert (tmp_path / "overlay" / ACCOUNTS).read_text() == "a@x.com|{PLAIN}x\n"


def test_a_search_for_damage_that_fails_is_said_and_made_again(world: World) -> None:
    def fail(*_: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    world.monkeypatch.setattr(damage_search, "damaged", fail)
    world.monkeypatch.setattr(world.follower._tables, "suspects", lambda: ["aliases"])
    for _ in range(3):
        world.follower.look()
        search = world.follower._damage_search
        if search._search is not None:
            search._search.join(20)
            world.follower.look()
        search._next_s = 0.0
    assert any("can't be searched for damage" in line for line in world.lines)


def test_follow_goes_on_when_the_hints_fail(world: World) -> None:
    tries = 0
    looked = asyncio.Event()

    async def hints(*_: object) -> Any:
        nonlocal tries
        tries += 1
        world.now += 1000
        if tries == 1:
            raise OSError(errno.EIO, "Input/output error")
        yield None
        looked.set()
        await asyncio.sleep(600)

    async def run() -> None:
        task = asyncio.create_task(world.follower.follow())
        await asyncio.wait_for(looked.wait(), 30)
        task.cancel()

    world.monkeypatch.setattr(follower, "hints", hints)
    world.monkeypatch.setattr(
        follower, "Retry",
        lambda fails, works: Retry(fails, works, world.lines.append, back_off_s=(0.0,)),
    )  # fmt: skip
    asyncio.run(run())
    assert world.calls == 1
    assert "the config folder can't be followed: OSError: [Errno 5] Input/output error" in (
        world.lines
    )


def test_a_look_that_hangs_is_said_and_does_not_stop_the_loop(world: World) -> None:
    """A file system that does not answer: the event loop goes on, and so a stop works."""
    import threading

    hung = threading.Event()
    world.monkeypatch.setattr(follower, "SLOW_S", 0.05)
    world.monkeypatch.setattr(world.follower, "_look", hung.wait)

    async def run() -> None:
        task = asyncio.create_task(world.follower.follow())
        async with asyncio.timeout(30):
            while not any("a file system not answer" in line for line in world.lines):
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    hung.set()


def test_lost_accounts_without_copies_change_nothing(world: World) -> None:
    world.follower.look()
    world.monkeypatch.setattr(world.follower._tables, "have_copies", lambda: False)
    (world.config / ACCOUNTS).unlink()
    calls = world.calls
    world.follower.look()
    assert world.calls == calls
    assert "restore it" in world.lines[-1]
    with pytest.raises(Refused, match="restore it"):
        world.follower.renew()
