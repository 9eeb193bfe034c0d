"""Keeps OpenDKIM running beside `up` or `watch`, and its keys in step with the config folder.

It starts with the first key, also while the servers run. It is not one of the servers of the
healer: it restores its own files. Mail from other servers never passes it, so its faults delay only
mail that must not leave without a signature.
"""

import asyncio
import os
from collections.abc import Callable

from mailroster.app import dkim
from mailroster.base.findings import Finding, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.errands import reason_of
from mailroster.daemons.supervisor import Server, Supervisor, pause
from mailroster.servers import dkim_keys, running, signer
from mailroster.servers.reopen import reload_postfix
from mailroster.system.log import Retry, log
from mailroster.system.threads import in_thread

#: The time between two looks at the keys, and at the rotations, for which DNS is asked.
LOOK_S, ROTATE_S = 1.0, 60.0


class Signing:
    """The signer of one instance."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        prepare: Callable[[], object],
        check: Callable[[], object],
    ) -> None:
        """`prepare` is called when the first key appears: it writes the configuration of OpenDKIM
        and Postfix. `check`: see Supervisor."""
        self._settings, self._layout, self._prepare = settings, layout, prepare
        self._signer = signer.Signer(settings, layout, observer=True)
        self._supervisor = Supervisor(
            Server(
                "opendkim",
                signer.argv(layout),
                lambda: running.signer_pid(layout),
                layout.signer_pid,
            ),
            log,
            check=check,
        )
        self._retry = Retry("the DKIM keys are not in step", "the DKIM keys are in step again")
        self._logged: tuple[Finding, ...] = ()
        self._was_missing = False

    def is_active(self) -> bool:
        return signer.is_active(self._layout)

    async def start(self) -> None:
        """Starts the signer if there are keys. If that fails, mail waits, and it is tried again."""
        if not self.is_active():
            await self._supervisor.stop()  # of a start with keys
            return
        try:
            await self._supervisor.start()
            await in_thread(signer.reload, self._layout)  # it may have outlived the last `up`
        except ServerError as error:
            log(str(error))

    @property
    def name(self) -> str:
        return self._supervisor.name

    async def stop(self, *, by_pid_file: bool) -> None:
        await self._supervisor.stop(by_pid_file=by_pid_file)

    async def keep(self, stop: asyncio.Event) -> None:
        """Keeps the signer running, and its files in step, until `stop` is set."""
        looking = asyncio.gather(self._look_again(stop), self._rotate_again(stop))
        try:
            while not stop.is_set() and not self.is_active():
                await pause(LOOK_S, stop)
            if not stop.is_set():
                await self._supervisor.keep(stop)
        finally:
            if stop.is_set():
                await looking
            else:
                looking.cancel()

    async def _look_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await pause(LOOK_S, stop)
            if stop.is_set() or not self._retry.is_due():
                continue
            try:
                await self._look(stop)
                self._retry.worked()
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._retry.failed(reason_of(error))

    async def _rotate_again(self, stop: asyncio.Event) -> None:
        """Continues the rotations. DNS may answer late, so it is a task of its own."""
        logged: set[str] = set()
        while not stop.is_set():
            await pause(ROTATE_S, stop)
            if stop.is_set():
                return
            try:
                messages = {*await in_thread(dkim.advance, self._settings, self._layout)}
            except Exception as error:  # noqa: BLE001 - it is tried again
                messages = {f"the rotations of DKIM keys wait: {reason_of(error)}"}
            for message in sorted(messages - logged):
                log(message)
            logged = messages

    async def _look(self, stop: asyncio.Event) -> None:
        if not self.is_active():
            await self._activate(stop)
            return
        outcome = await in_thread(self._signer.reconcile)
        if outcome.findings != self._logged:
            for finding in outcome.findings:
                if finding not in self._logged:
                    log(str(finding))
            self._logged = outcome.findings
        if outcome.changed:
            log(f"DKIM keys that sign: {', '.join(outcome.signs) or 'none'}")
        if await in_thread(self._has_no_socket):
            async with self._supervisor.stopped() as start:
                await start()

    async def _activate(self, stop: asyncio.Event) -> None:
        """Begins to sign when the first key appears."""
        settings = self._settings
        if not settings.enable_opendkim or not await in_thread(dkim_keys.has_keys, settings):
            return
        if not signer.is_installed():
            if not self._was_missing:
                self._was_missing = True
                log("there are DKIM keys, but OpenDKIM is not installed: nothing is signed")
            return
        await in_thread(self._prepare)
        if not self.is_active() or stop.is_set():
            return
        await self._supervisor.start()
        if self._layout.kind == "host":
            log("OpenDKIM is ready to sign; make Postfix use it: setup integrate --apply --reload")
            return
        await in_thread(reload_postfix, self._layout)
        log("OpenDKIM signs outgoing mail")

    def _has_no_socket(self) -> bool:
        """Whether the running signer has lost its socket, so that no milter reaches it."""
        return self._supervisor.is_running() and not os.path.exists(self._layout.signer)
