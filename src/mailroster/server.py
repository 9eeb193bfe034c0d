"""`up`: a private mail server that follows the config folder until it is told to stop."""

import asyncio
import signal
import time

from mailroster import running
from mailroster.finding import ServiceFailed
from mailroster.follow import Follower, log, only_one
from mailroster.instance.layout import Layout
from mailroster.instance.postfix import needs_policy
from mailroster.policy.service import argv as policy_argv
from mailroster.prepare import check, prepare, remove_sockets
from mailroster.settings import Settings
from mailroster.supervise import Server, Supervisor

READY_S = 60.0


class Up:
    """One run of `mailroster up`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
            Supervisor(server, log)
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
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        check(self._settings, self._layout)
        with only_one(self._layout):
            if prepare(self._settings, self._layout, log):
                await self._stop_servers()
                remove_sockets(self._layout)
            self._follower.begin()
            await self._policy.stop()  # one of another version, which would do no harm either
            self._follower.compile_scripts()
            try:
                await self._start_policy()
                for server in self._servers:
                    await server.start()
                await self._ready(stop)
                follower = asyncio.create_task(self._follower.follow())
                kept = [*self._servers, *([self._policy] if self._has_policy() else [])]
                await asyncio.gather(*(server.keep(stop) for server in kept))
                follower.cancel()
            finally:
                await self._stop_servers()
            log("stopped")

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
        for server in (*reversed(self._servers), self._policy):
            await server.stop()

    async def _ready(self, stop: asyncio.Event) -> None:
        """Says "ready" when SMTP and IMAP answer."""
        s = self._settings
        for port, greeting in ((s.smtp_port, b"220 "), (s.imap_port, b"* OK")):
            if not await _answers(s.near(), port, greeting, stop):
                raise ServiceFailed(f"nothing answers on {s.listen}:{port}; see {s.logs}")
        if not stop.is_set():
            log(
                f"ready: SMTP {s.smtp_port}, submission {s.submission_port} and "
                f"{s.submissions_port}, IMAP {s.imap_port} and {s.imaps_port}, "
                f"POP3 {s.pop3_port} and {s.pop3s_port}, ManageSieve {s.sieve_port} on {s.listen}"
            )


async def _answers(host: str, port: int, greeting: bytes, stop: asyncio.Event) -> bool:
    """Whether a server greets within the time that a start may take."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection(host, port)
            line = await asyncio.wait_for(reader.readline(), 5)
            writer.write(b"QUIT\r\n" if greeting == b"220 " else b"a LOGOUT\r\n")
            writer.close()
            if line.startswith(greeting):
                return True
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(0.05)
    return stop.is_set()
