"""Keeps Rspamd running, and its overrides in step with the config folder: beside `up` or `watch`,
or alone (`setup filter`), in a container that shares the state folder with that of `up`.

Mail never waits for it: Postfix accepts mail without it while it starts, is down or hangs. So it
starts after the servers. The first start compiles its rules, which takes some seconds.
"""

import asyncio
import gc
import os
from contextlib import AbstractAsyncContextManager, nullcontext

from mailroster.base.findings import Finding, Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons import signals
from mailroster.daemons.errands import reason_of
from mailroster.daemons.log_stream import streamed
from mailroster.daemons.supervisor import Server, Supervisor, pause
from mailroster.daemons.tasks import (
    Stopped,
    log_unhandled_errors,
    run_until_stopped,
    unless_stopped,
)
from mailroster.servers import families, running, spam_filter
from mailroster.system import pid_file
from mailroster.system.files import make_folder
from mailroster.system.log import Retry, log, open_standard_streams
from mailroster.system.threads import in_thread

#: The time between two looks at the overrides, and between two questions whether it answers.
LOOK_S, QUESTION_S = 1.0, 10.0
#: It is restarted if it does not answer so often in a row.
_SILENT_MAX = 2


class Filtering:
    """The spam filter of one instance."""

    def __init__(self, settings: Settings, layout: Layout, *, alone: bool = False) -> None:
        """`alone`: it is not beside `up` or `watch`."""
        self._settings, self._layout = settings, layout
        #: Whether another process runs Rspamd.
        self._is_elsewhere = settings.enable_rspamd and not (settings.rspamd_process or alone)
        server = Server(
            "rspamd", spam_filter.argv(settings, layout), lambda: running.filter_pid(layout)
        )
        self._supervisor = Supervisor(server, log)
        is_on = settings.enable_rspamd and not self._is_elsewhere
        self._filter = spam_filter.SpamFilter(settings, layout) if is_on else None
        self._retry = Retry("the overrides of Rspamd are not in step", "they are in step again")
        self._logged: tuple[Finding, ...] = ()

    def supervisors(self) -> list[Supervisor]:
        return [] if self._is_elsewhere else [self._supervisor]

    def pid(self) -> int | None:
        """Its pid, by its pid file."""
        return running.filter_pid(self._layout)

    async def keep(self, stop: asyncio.Event) -> None:
        """Keeps it running, and its files in step, until `stop` is set."""
        if self._filter is None:
            for each in self.supervisors():
                await each.stop()  # of a start with the setting
            await stop.wait()
            return
        for finding in spam_filter.without_redis(self._settings):
            log(f"{finding.message}; {finding.hint}")
        try:
            is_old = self.pid() is not None
            await self._supervisor.start()
            if is_old:  # it has outlived an `up`
                await in_thread(spam_filter.reload, self._layout)
            log("Rspamd filters incoming mail")
        except ServerError as error:
            log(str(error))
        await asyncio.gather(
            self._supervisor.keep(stop),
            self._look_again(self._filter, stop),
            self._question_again(stop),
        )

    async def _look_again(self, files: spam_filter.SpamFilter, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if self._retry.is_due():
                try:
                    await self._look(files)
                    self._retry.worked()
                except Exception as error:  # noqa: BLE001 - it is tried again
                    self._retry.failed(reason_of(error))
            await pause(LOOK_S, stop)

    async def _look(self, files: spam_filter.SpamFilter) -> None:
        outcome = await in_thread(files.reconcile)
        for finding in outcome.findings:
            if finding not in self._logged:
                log(str(finding))
        self._logged = outcome.findings
        if outcome.changed:
            await in_thread(spam_filter.reload, self._layout)
            log("Rspamd reads its changed configuration")

    async def _question_again(self, stop: asyncio.Event) -> None:
        """Restarts Rspamd if it hangs."""
        silent = 0
        while not stop.is_set():
            await pause(QUESTION_S, stop)
            if stop.is_set() or not self._supervisor.is_running():
                silent = 0
                continue
            silent = 0 if await in_thread(spam_filter.answers, self._layout) else silent + 1
            if silent < _SILENT_MAX:
                continue
            silent = 0
            log("Rspamd does not answer, so mail is accepted without it; it is restarted")
            try:
                async with self._supervisor.stopped() as start:
                    await start()
            except ServerError as error:
                log(str(error))


def serve(settings: Settings) -> None:
    """Runs Rspamd alone until a signal ends it. Raises Refused if it can't begin."""
    if not settings.enable_rspamd or settings.rspamd_process:
        raise Refused(
            "'setup filter' runs Rspamd for an 'up' that does not; set ENABLE_RSPAMD=1 and "
            "MAILROSTER_RSPAMD_PROCESS=0 for both"
        )
    if os.geteuid() != 0:
        raise Refused("only root can start Rspamd as its own user; run it as root (sudo)")
    spam_filter.check_installed(settings)
    open_standard_streams()
    gc.enable()  # short commands turn it off
    os.umask(0o077)
    asyncio.run(_serve(settings, Layout(settings.state, settings.layout)))


async def _serve(settings: Settings, layout: Layout) -> None:
    stop = asyncio.Event()
    signals.handle(stop)
    log_unhandled_errors()
    filtering = Filtering(settings, layout, alone=True)
    try:
        await unless_stopped(stop, in_thread(_begin, settings, layout))
        async with _logs_shown(settings):
            try:
                await run_until_stopped(stop, [filtering.keep(stop)], _wait())
            finally:
                for each in filtering.supervisors():
                    await each.stop()
    except Stopped:
        pass
    finally:
        await families.kill_descendants(os.getpid())
    log("stopped")


async def _wait() -> None:
    await asyncio.Event().wait()


def _begin(settings: Settings, layout: Layout) -> None:
    """Creates the files of Rspamd, and holds a lock until the end of this process. Raises Refused
    if another process holds it."""
    make_folder(layout.state)
    make_folder(settings.logs)
    spam_filter.SpamFilter(settings, layout).begin()
    try:
        pid_file.write(pid_file.claim(layout.filter_lock))
    except BlockingIOError:
        raise Refused("another 'setup filter' runs already for this state folder") from None


def _logs_shown(settings: Settings) -> AbstractAsyncContextManager[None]:
    if not settings.logs_to_stdout:
        return nullcontext()
    return streamed([spam_filter.log_path(settings)])
