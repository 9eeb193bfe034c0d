"""No task fails unseen, a stop interrupts every wait, and a thread that hangs holds nothing up."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from mailroster.daemons.tasks import (
    Stopped,
    log_unhandled_errors,
    run_until_stopped,
    unless_stopped,
)
from mailroster.system.threads import in_thread, patiently

FOR_EVER = threading.Event()


def test_a_thread_gives_its_result_or_raises() -> None:
    def fail() -> None:
        raise KeyError("why")

    def stop_iteration() -> None:
        raise StopIteration("end")

    async def run() -> None:
        assert await in_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(KeyError):
            await in_thread(fail)
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(in_thread(stop_iteration), 20)

    asyncio.run(run())


def test_threads_that_hang_stop_neither_others_nor_the_end() -> None:
    program = """
import asyncio, threading
from mailroster.system.threads import in_thread
async def run():
    hung = [asyncio.ensure_future(in_thread(threading.Event().wait)) for _ in range(100)]
    print(await asyncio.wait_for(in_thread(lambda: "works"), 20))
asyncio.run(run())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr


def test_work_that_takes_long_is_reported_and_waited_for() -> None:
    said: list[str] = []
    done = threading.Event()

    def slow() -> None:
        said.append("slow")
        if len(said) == 3:
            done.set()

    assert asyncio.run(patiently(slow, 0.01, done.wait))
    assert len(said) >= 3


def test_a_stop_ends_a_wait_for_a_thread_that_hangs() -> None:
    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        with pytest.raises(Stopped):
            await unless_stopped(stop, in_thread(FOR_EVER.wait))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_program_that_hangs_while_a_server_starts_is_killed_at_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailroster.daemons.tasks.END_S", 0.2)
    ended: list[int] = []

    def start() -> None:
        ended.append(subprocess.call(["sh", "-c", "sleep 600 & sleep 600"]))

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        with pytest.raises(Stopped):
            await unless_stopped(stop, in_thread(start), to_its_end=True)

    asyncio.run(asyncio.wait_for(run(), 60))
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended == [-9]


async def until_set(stop: asyncio.Event) -> None:
    await stop.wait()


async def for_ever() -> None:
    await asyncio.sleep(600)


async def fails(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


async def ends() -> None:
    """A task that should never end by itself."""


def test_a_stop_ends_the_work_and_then_the_background() -> None:
    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        await run_until_stopped(stop, [until_set(stop), until_set(stop)], for_ever())

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize("where", ["work", "background"])
def test_a_task_that_fails_ends_the_process_with_its_error(where: str) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        bad = fails(ZeroDivisionError("why"))
        other = until_set(stop) if where == "background" else for_ever()
        work, background = ([bad], other) if where == "work" else ([other], bad)
        await run_until_stopped(stop, [*work, until_set(stop)], background)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(run(), 30))


def test_a_task_that_ends_by_itself_is_an_error() -> None:
    async def run() -> None:
        stop = asyncio.Event()
        await run_until_stopped(stop, [until_set(stop)], ends())

    with pytest.raises(RuntimeError):
        asyncio.run(asyncio.wait_for(run(), 30))


def test_what_no_task_waits_for_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    def callback() -> None:
        raise KeyError("in a callback")

    async def run() -> None:
        log_unhandled_errors()
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert "unexpected: " in capfd.readouterr().err
