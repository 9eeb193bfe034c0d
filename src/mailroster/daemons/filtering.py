"""Keeps Rspamd running beside `up` or `watch`, and its overrides in step with the config folder.

Mail never waits for it: Postfix accepts mail without it while it starts, is down or hangs. So it
starts after the servers. The first start compiles its rules, which takes some seconds.
"""

import asyncio

from mailroster.base.findings import Finding, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.errands import reason_of
from mailroster.daemons.supervisor import Server, Supervisor, pause
from mailroster.servers import running, spam_filter
from mailroster.system.log import Retry, log
from mailroster.system.threads import in_thread

#: The time between two looks at the overrides, and between two questions whether it answers.
LOOK_S, QUESTION_S = 1.0, 10.0
#: It is restarted if it does not answer so often in a row.
_SILENT_MAX = 2


class Filtering:
    """The spam filter of one instance."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self._is_on = settings.enable_rspamd
        server = Server(
            "rspamd", spam_filter.argv(settings, layout), lambda: running.filter_pid(layout)
        )
        self.supervisor = Supervisor(server, log)
        self._filter = spam_filter.SpamFilter(settings, layout) if self._is_on else None
        self._retry = Retry("the overrides of Rspamd are not in step", "they are in step again")
        self._logged: tuple[Finding, ...] = ()

    def pid(self) -> int | None:
        """Its pid, by its pid file."""
        return running.filter_pid(self._layout)

    async def keep(self, stop: asyncio.Event) -> None:
        """Keeps it running, and its files in step, until `stop` is set."""
        if self._filter is None:
            await self.supervisor.stop()  # of a start with the setting
            await stop.wait()
            return
        for finding in spam_filter.without_redis(self._settings):
            log(f"{finding.message}; {finding.hint}")
        try:
            is_old = self.pid() is not None
            await self.supervisor.start()
            if is_old:  # it has outlived an `up`
                await in_thread(spam_filter.reload, self._layout)
            log("Rspamd filters incoming mail")
        except ServerError as error:
            log(str(error))
        await asyncio.gather(
            self.supervisor.keep(stop),
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
            if stop.is_set() or not self.supervisor.is_running():
                silent = 0
                continue
            silent = 0 if await in_thread(spam_filter.answers, self._layout) else silent + 1
            if silent < _SILENT_MAX:
                continue
            silent = 0
            log("Rspamd does not answer, so mail is accepted without it; it is restarted")
            try:
                async with self.supervisor.stopped() as start:
                    await start()
            except ServerError as error:
                log(str(error))
