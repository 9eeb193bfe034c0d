"""Keeps OpenDKIM running beside `up` or `watch`, and its keys in step with the config folder.

It starts with the first key, also while the servers run. It is not one of the servers of the
healer: it restores its own files. Mail from other servers never passes it, so its faults delay only
mail that must not leave without a signature.
"""

import asyncio
import os
import time
from collections.abc import Callable

from mailroster.app import dkim
from mailroster.base.findings import Finding, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.errands import reason_of
from mailroster.daemons.supervisor import Server, Supervisor, pause
from mailroster.servers import dkim_keys, running, signer
from mailroster.servers.config.dkim import KINDS
from mailroster.servers.reopen import reload_postfix
from mailroster.system.log import Retry, log
from mailroster.system.threads import in_thread

#: The time between two looks at the keys, and at the rotations, for which DNS is asked.
LOOK_S, ROTATE_S = 1.0, 60.0
#: The most keys that a line of the log names.
_NAMED_MAX = 100
#: A look at many keys is followed by a pause that is so many times as long.
_PAUSE_FACTOR = 20


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
        self._supervisors = {
            kind: Supervisor(self._server(kind), log, check=check) for kind in KINDS
        }
        self._retry = Retry("the DKIM keys are not in step", "the DKIM keys are in step again")
        self._logged: tuple[Finding, ...] = ()
        self._was_missing = False

    def _server(self, kind: str) -> Server:
        layout = self._layout
        return Server(
            signer.process_name(kind),
            signer.argv(layout, kind),
            lambda: running.signer_pid(layout, kind),
            layout.signer(kind).pid,
        )

    def supervisors(self) -> list[Supervisor]:
        return [*self._supervisors.values()]

    def pids(self) -> set[int | None]:
        """The pids of the signers, by their pid files."""
        return {running.signer_pid(self._layout, kind) for kind in KINDS}

    def _is_active(self, kind: str) -> bool:
        return kind in signer.active(self._layout)

    async def start(self) -> None:
        """Starts the signers for which there are keys. If one fails, mail waits, and it is tried
        again."""
        for kind, supervisor in self._supervisors.items():
            if not self._is_active(kind):
                await supervisor.stop()  # of a start with keys
                continue
            try:
                await supervisor.start()
                await in_thread(signer.reload, self._layout, kind)  # it may have outlived an `up`
            except ServerError as error:
                log(str(error))

    async def keep(self, stop: asyncio.Event) -> None:
        """Keeps the signers running, and their files in step, until `stop` is set."""
        await asyncio.gather(
            self._look_again(stop),
            self._rotate_again(stop),
            *(self._keep(kind, stop) for kind in KINDS),
        )

    async def _keep(self, kind: str, stop: asyncio.Event) -> None:
        while not stop.is_set() and not self._is_active(kind):
            await pause(LOOK_S, stop)
        if not stop.is_set():
            await self._supervisors[kind].keep(stop)

    async def _look_again(self, stop: asyncio.Event) -> None:
        took_s = 0.0
        while not stop.is_set():
            await pause(max(LOOK_S, _PAUSE_FACTOR * took_s), stop)
            if stop.is_set() or not self._retry.is_due():
                continue
            began = time.monotonic()
            try:
                await self._look(stop)
                self._retry.worked()
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._retry.failed(reason_of(error))
            took_s = time.monotonic() - began

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
        settings, layout = self._settings, self._layout
        if not signer.active(layout):
            if settings.signs() and await in_thread(dkim_keys.has_keys, settings):
                await self._begin(stop)
            return
        outcome = await in_thread(self._signer.reconcile)
        for finding in outcome.findings:
            if finding not in self._logged:
                log(str(finding))
        self._logged = outcome.findings
        if outcome.changed:
            names, more = outcome.signs[:_NAMED_MAX], len(outcome.signs) - _NAMED_MAX
            others = f", and {more} others" if more > 0 else ""
            log(f"DKIM keys that sign: {', '.join(names) or 'none'}{others}")
        if outcome.new_kinds:
            await self._begin(stop)
        for kind, supervisor in self._supervisors.items():
            if supervisor.is_running() and not os.path.exists(layout.signer(kind).socket):
                async with supervisor.stopped() as start:
                    await start()

    async def _begin(self, stop: asyncio.Event) -> None:
        """Begins to sign with the first key of a kind."""
        if not signer.is_installed():
            if not self._was_missing:
                self._was_missing = True
                log("there are DKIM keys, but OpenDKIM is not installed: nothing is signed")
            return
        await in_thread(self._prepare)
        for kind in signer.active(self._layout):
            if not stop.is_set():
                await self._supervisors[kind].start()
        if self._layout.kind == "host":
            log("OpenDKIM is ready to sign; make Postfix use it: setup integrate --apply --reload")
            return
        await in_thread(reload_postfix, self._layout)
        log("OpenDKIM signs outgoing mail")
