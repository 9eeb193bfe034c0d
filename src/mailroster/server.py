"""`up`: a private mail server that follows the config folder until it is told to stop."""

import asyncio
import os
import signal
import time
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from mailroster import readiness, running
from mailroster.disk import Disk
from mailroster.finding import Busy, Refused, ServiceFailed
from mailroster.follow import Follower, log, only_one
from mailroster.health import silent
from mailroster.instance.layout import Layout
from mailroster.instance.postfix import needs_policy
from mailroster.log_stream import streamed
from mailroster.mailstore import mail_folder
from mailroster.policy.service import argv as policy_argv
from mailroster.prepare import check, prepare, remove_sockets
from mailroster.services import run
from mailroster.settings import Settings
from mailroster.supervise import Server, Supervisor

READY_S = 60.0


class Up:
    """One run of `mailroster up`."""

    def __init__(self, settings: Settings, *, adopt: bool = False) -> None:
        self._settings, self._adopt = settings, adopt
        self._layout = layout = Layout(settings.state, settings.layout)
        self._follower = Follower(settings, layout)
        self._policy = Supervisor(
            Server(
                "policy service",
                policy_argv(layout, settings.logs),
                lambda: running.policy_pid(layout),
            ),
            log,
        )
        self._servers = [
            Supervisor(server, log, self._flush)
            for server in (
                Server(
                    "dovecot",
                    ("dovecot", "-c", layout.dovecot_conf),
                    lambda: running.dovecot_pid(layout),
                    layout.dovecot_pid,
                ),
                Server(
                    "postfix",
                    ("postfix", "-c", layout.postfix, "start"),
                    lambda: running.postfix_pid(layout),
                ),
            )
        ]

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises Refused or ServiceFailed if it can't begin."""
        os.umask(0o077)  # also of the daemons that it starts
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        check(self._settings, self._layout, adopt=self._adopt)
        with only_one(self._layout):
            if prepare(self._settings, self._layout, log):
                await self._stop_servers()
                remove_sockets(self._layout)
            async with self._logs_shown():
                await self._serve(stop)
            log("stopped")

    async def _serve(self, stop: asyncio.Event) -> None:
        """Starts the servers and keeps them until `stop` is set."""
        self._follower.begin()
        await self._policy.stop()  # one of another version, which would do no harm either
        self._follower.compile_scripts()
        try:
            await self._start_policy()
            await asyncio.to_thread(self._unlock)
            await asyncio.to_thread(self._follower.finish_deletions)
            for server in self._servers:
                await server.start()
            await self._ready(stop)
            await asyncio.to_thread(self._flush)
            follower = asyncio.create_task(self._follower.follow())
            kept = [*self._servers, *([self._policy] if self._has_policy() else [])]
            await asyncio.gather(*(server.keep(stop) for server in kept))
            follower.cancel()
        finally:
            readiness.notify(readiness.STOPPING)
            await self._stop_servers()

    def _logs_shown(self) -> AbstractAsyncContextManager[None]:
        s = self._settings
        if not s.logs_to_stdout:
            return nullcontext()
        return streamed(sorted({f"{s.logs}/mail.log", self._layout.dovecot_log(s)}))

    def _unlock(self) -> None:
        """Takes away what a killed Dovecot has left locked, before the next one is there."""
        if running.dovecot_pid(self._layout) is not None:
            return  # it outlived the last `up`
        if os.path.lexists(self._layout.stopped):
            Disk().remove(self._layout.stopped)
            return
        try:
            if count := mail_folder(self._settings).unlock():
                log(f"folders of mail that a killed Dovecot had left locked are open: {count}")
        except (Busy, Refused, OSError) as error:
            log(f"a mailbox may be locked: {error}")

    def _flush(self) -> None:
        """What waits for a server that was down goes out now, not when its next try is due."""
        try:
            code, _, words = run(["postqueue", "-c", self._layout.postfix, "-f"])
            if code:
                log(f"the queue is not flushed: {words.strip()}")
        except ServiceFailed as error:
            log(f"the queue is not flushed: {error}")

    def _has_policy(self) -> bool:
        return needs_policy(self._settings)

    async def _start_policy(self) -> None:
        """Without it mail goes on, and so does `up`, which tries again."""
        try:
            if self._has_policy():
                await self._policy.start()
        except ServiceFailed as error:
            log(str(error))

    async def _stop_servers(self) -> None:
        ran = running.dovecot_pid(self._layout) is not None
        for server in (*reversed(self._servers), self._policy):
            await server.stop()
        if ran and not os.path.lexists(self._layout.dovecot_pid):  # which a killed one leaves
            with suppress(OSError):
                Disk().replace(self._layout.stopped, b"")

    async def _ready(self, stop: asyncio.Event) -> None:
        """Says "ready" when SMTP and IMAP answer."""
        s, deadline = self._settings, time.monotonic() + READY_S
        while (found := await asyncio.to_thread(silent, s)) and not stop.is_set():
            if time.monotonic() > deadline:
                raise ServiceFailed(f"no answer: {', '.join(found)}; see {s.logs}")
            await asyncio.sleep(0.05)
        if not stop.is_set():
            readiness.notify(readiness.READY)
            log(
                f"ready: SMTP {s.smtp_port}, submission {s.submission_port} and "
                f"{s.submissions_port}, IMAP {s.imap_port} and {s.imaps_port}, "
                f"POP3 {s.pop3_port} and {s.pop3s_port}, ManageSieve {s.sieve_port} on {s.listen}"
            )
