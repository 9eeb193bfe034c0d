"""Hints: soon after every kind of save, and again and again regardless."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from asyncinotify import Inotify

from mailroster.daemons import file_events
from tests.support.kubelet import Volume

ACCOUNTS = "postfix-accounts.cf"
#: Far longer than a test waits for a hint.
NEVER_S = 600.0
WAIT_S = 30.0


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hint comes but of an event."""
    monkeypatch.setattr(file_events, "INTERVAL_S", NEVER_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.mkdir()
    (path / ACCOUNTS).write_text("one\n")
    return path


def hint_after(folder: Path, change: Callable[[], object], source: str = "") -> None:
    """Asserts that a hint comes of a change."""

    async def first() -> None:
        stream = file_events.hints(str(folder), (), source)
        await anext(stream)  # the one that comes at once: from now on the folder is watched
        change()
        await asyncio.wait_for(anext(stream), WAIT_S)

    asyncio.run(first())


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more\n")


def rename_over(path: Path) -> None:
    path.with_suffix(".new").write_text("two\n")
    path.with_suffix(".new").replace(path)


def recreate(path: Path) -> None:
    path.unlink()
    path.write_text("three\n")


def truncate(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("save", [append, rename_over, recreate, truncate])
def test_every_kind_of_save_gives_a_hint(
    folder: Path, save: Callable[[Path], None], only_events: None
) -> None:
    hint_after(folder, lambda: save(folder / ACCOUNTS))


def test_a_file_made_later_gives_a_hint(folder: Path, only_events: None) -> None:
    hint_after(folder, lambda: (folder / "later.cf").write_text("x"))


def test_the_swap_of_a_folder_behind_links_gives_a_hint(folder: Path, only_events: None) -> None:
    (folder / ACCOUNTS).unlink()
    for version in ("v1", "v2"):
        (folder / version).mkdir()
        (folder / version / ACCOUNTS).write_text(version)
    (folder / "..data").symlink_to("v1")
    (folder / ACCOUNTS).symlink_to(f"..data/{ACCOUNTS}")

    def swap() -> None:
        (folder / "..new").symlink_to("v2")
        os.replace(folder / "..new", folder / "..data")

    hint_after(folder, swap)


def test_whatever_happens_to_the_source_of_an_overlay_gives_a_hint(
    folder: Path, tmp_path: Path, only_events: None
) -> None:
    volume = Volume(tmp_path / "source", {"mailroster.toml": ""})
    git = tmp_path / "git"
    git.mkdir()
    (git / "a.dovecot.sieve").write_text("keep;\n")
    for source, change in (
        (volume.folder, lambda: volume.swap(volume.write({"mailroster.toml": "# more\n"}))),
        (git, lambda: append(git / "a.dovecot.sieve")),
    ):
        hint_after(folder, change, str(source))


def test_a_file_behind_a_link_is_watched_where_it_is(
    folder: Path, tmp_path: Path, only_events: None
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ACCOUNTS).rename(elsewhere / ACCOUNTS)
    (folder / ACCOUNTS).symlink_to(elsewhere / ACCOUNTS)
    hint_after(folder, lambda: append(elsewhere / ACCOUNTS))


def test_hints_come_regardless_even_where_there_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_events, "INTERVAL_S", 0.05)

    async def three() -> int:
        count = 0
        async for _ in file_events.hints(str(tmp_path / "not there")):
            count += 1
            if count == 3:
                break
        return count

    assert asyncio.run(asyncio.wait_for(three(), 30)) == 3


def test_a_folder_that_was_replaced_is_watched_again(folder: Path, only_events: None) -> None:
    async def replaced() -> None:
        stream = file_events.hints(str(folder))
        await anext(stream)
        folder.rename(folder.with_name("away"))
        folder.mkdir()
        await asyncio.wait_for(anext(stream), WAIT_S)  # from now on the new one is watched
        (folder / ACCOUNTS).write_text("new\n")
        await asyncio.wait_for(anext(stream), WAIT_S)

    asyncio.run(replaced())


def hints_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, which: str
) -> list[str]:
    """What is said while inotify fails with a code, and after that; hints come all the time."""
    said: list[str] = []
    monkeypatch.setattr(file_events, "INTERVAL_S", 0.01)
    monkeypatch.setattr(file_events, "WATCH_AGAIN_S", 0.05)

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    async def run() -> None:
        stream = file_events.hints(str(folder), (), "", said.append)
        with monkeypatch.context() as broken:
            if which == "instance":
                broken.setattr(file_events, "Inotify", fail)
            else:
                broken.setattr(Inotify, "add_watch", fail)
            for _ in range(50):
                await asyncio.wait_for(anext(stream), WAIT_S)
        while len(said) < 2:
            await asyncio.wait_for(anext(stream), WAIT_S)

    asyncio.run(run())
    return said


@pytest.mark.parametrize("which", ["instance", "watch"])
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM])
def test_without_inotify_hints_come_regardless_and_it_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, which: str
) -> None:
    said = hints_without(folder, monkeypatch, code, which)
    assert len(said) == 2
    assert os.strerror(code) in said[0]
    assert "every second instead; raise " in said[0]
    assert said[1] == "the folders are watched by inotify again"


def test_a_real_limit_of_inotify_is_said_and_hints_come(folder: Path) -> None:
    """In a user namespace of its own, whose limit is 0 (user_namespaces(7))."""
    program = f"""
import asyncio
from mailroster.daemons import file_events
async def run():
    said, count = [], 0
    async for _ in file_events.hints({str(folder)!r}, (), "", said.append):
        count += 1
        if count == 3: break
    print(said)
asyncio.run(run())
"""
    inside = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", inside, "sh",
         sys.executable, "-c", program],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Too many open files" in done.stdout


def test_events_without_end_do_not_hold_hints_up(folder: Path) -> None:
    async def run() -> None:
        stream = file_events.hints(str(folder))
        await anext(stream)

        async def get(_: object) -> None:
            """Something happens all the time."""

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Inotify, "get", get)
            for _ in range(3):
                await asyncio.wait_for(anext(stream), WAIT_S)

    asyncio.run(run())
