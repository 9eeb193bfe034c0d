"""`up`: a private mail server that follows the config folder until it is told to stop."""

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext

from mailroster import running
from mailroster.apply import Outcome, Tables, converge
from mailroster.commit import MOVES
from mailroster.damage import damaged
from mailroster.deadlines import Deadlines, now, put_over
from mailroster.disk import identity
from mailroster.finding import Busy, Finding, Refused, ServiceFailed
from mailroster.health import silent
from mailroster.history import user_name
from mailroster.instance.layout import Layout
from mailroster.instance.postfix import needs_policy
from mailroster.log_stream import streamed
from mailroster.moving import Mover, Record, settle
from mailroster.noting import author, command
from mailroster.overrides import Pending
from mailroster.policy.service import argv as policy_argv
from mailroster.prepare import check, prepare, remove_sockets
from mailroster.roster import Roster
from mailroster.served import Served
from mailroster.settings import Settings
from mailroster.settling import Settling
from mailroster.sieve import SieveScripts
from mailroster.store import Store
from mailroster.supervise import Server, Supervisor
from mailroster.watch import hints

READY_S = 60.0
#: Tables that were written are looked through this often at the most, and in this part of the time.
LOOK_S = 2.0
LOOK_SHARE = 50
#: What is over but can't be put into effect is tried again after this time.
TRY_AGAIN_S = 60.0
_QUIET = {"error": 0, "warn": 1}


def log(text: str) -> None:
    """One line on stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """The lock of the one `up` of an instance; its file says which process that is."""
    os.makedirs(layout.state, exist_ok=True)
    fd = os.open(layout.up_pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 20).decode().strip()
            raise Refused(f"'mailroster up' runs here already, as process {pid}") from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _author() -> str:
    """Who changes what has come to its end date, as the history notes it."""
    uid = os.getuid()
    return author(uid, user_name(uid), "", command(["mailroster", "up"]))


class Up:
    """One run of `mailroster up`."""

    def __init__(self, settings: Settings, *, adopt: bool = False) -> None:
        self._settings, self._adopt = settings, adopt
        self._layout = Layout(settings.state, settings.layout)
        copies = Served(self._layout.served, index_from=settings.index_from_bytes)
        self._store = Store(
            settings.config, find=copies.current, history_bytes=settings.history_bytes,
            author=_author,
        )  # fmt: skip
        self._tables = Tables(self._layout, copies)
        self._settling = Settling(settings.settle_seconds, observer=True)
        self._pending = Pending(settings, self._layout)
        self._scripts = SieveScripts(
            settings.config, self._layout, settings.settle_seconds, observer=True
        )
        layout = self._layout
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
        self._deadlines = Deadlines(self._store.path)
        self._next_try = 0.0  # to put into effect what is over
        self._refusal = ""  # why that could not be done
        self._told: tuple[Finding, ...] = ()
        self._unnoted = ""
        self._next_look = 0.0  # at whether tables that were written are sound
        self._look: asyncio.Task[tuple[list[str], float]] | None = None

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises Refused or ServiceFailed if it can't begin."""
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
        self._tables.begin(self._settings.hostname)
        self._put_over()
        if self._converge() is None and not self._tables.are_whole():
            raise ServiceFailed("there are no tables to start with")
        await self._policy.stop()  # one of another version, which would do no harm either
        self._compile_scripts()
        try:
            await self._start_policy()
            for server in self._servers:
                await server.start()
            await self._ready(stop)
            follower = asyncio.create_task(self._follow())
            kept = [*self._servers, *([self._policy] if self._has_policy() else [])]
            await asyncio.gather(*(server.keep(stop) for server in kept))
            follower.cancel()
        finally:
            await self._stop_servers()

    def _logs_shown(self) -> AbstractAsyncContextManager[None]:
        s = self._settings
        if not s.logs_to_stdout:
            return nullcontext()
        return streamed(sorted({f"{s.logs}/mail.log", self._layout.dovecot_log(s)}))

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
        s, deadline = self._settings, time.monotonic() + READY_S
        while (found := await asyncio.to_thread(silent, s)) and not stop.is_set():
            if time.monotonic() > deadline:
                raise ServiceFailed(f"no answer: {', '.join(found)}; see {s.logs}")
            await asyncio.sleep(0.05)
        if not stop.is_set():
            log(
                f"ready: SMTP {s.smtp_port}, submission {s.submission_port} and "
                f"{s.submissions_port}, IMAP {s.imap_port} and {s.imaps_port}, "
                f"POP3 {s.pop3_port} and {s.pop3s_port}, ManageSieve {s.sieve_port} on {s.listen}"
            )

    def _compile_scripts(self) -> None:
        """Puts the Sieve scripts in force before there is mail, compiled by this Dovecot."""
        s = self._settings
        try:
            SieveScripts(s.config, self._layout, s.settle_seconds).converge(anew=True)
        except (Busy, ServiceFailed) as error:
            log(f"not in step: {error}")

    async def _follow(self) -> None:
        """Converges whenever a file has become another, or something that is held may pass."""
        seen: list[object] = []
        tables = (self._layout.tables, self._layout.sql)
        async for _ in hints(self._settings.config, tables):
            await asyncio.to_thread(self._put_over)
            await asyncio.to_thread(self._settle_moves)
            broken = self._broken()
            while (found := self._identities()) != seen or broken:
                try:
                    outcome = await asyncio.to_thread(self._converge, broken)
                except Exception as error:  # noqa: BLE001 - mail goes on, and so does the next look
                    log(f"not in step: {type(error).__name__}: {error}")
                    break
                if outcome is None:
                    break
                broken = []
                if outcome.waits:
                    await asyncio.sleep(self._settings.settle_seconds / 4)
                else:
                    seen = found

    def _settle_moves(self) -> None:
        """Mail folders that a rename has left under way."""
        config, mail = self._settings.config, self._settings.mail
        if not os.path.lexists(os.path.join(config, MOVES)):
            return
        try:
            with Record(config, 0) as record:
                settle(record, Mover(config, mail, self._layout), self._says, self._serves)
        except (Busy, Refused, OSError) as error:
            if not isinstance(error, Busy):
                log(f"a renamed mail folder is not in its place: {error}")

    def _says(self) -> Roster:
        return self._store.read().readable()

    def _serves(self) -> Roster:
        return self._tables.copies.roster()

    def _identities(self) -> list[object]:
        """Of the folder's files, of what commands left to do, and of the folders of the tables."""
        files = [self._store.path(document.format.file) for _, document in Roster().documents()]
        layout = self._layout
        paths = (*files, layout.tables, layout.sql, layout.asked)
        found = [*map(identity, paths), *self._scripts.identities()]
        return [*found, *self._pending.identities()]

    def _broken(self) -> list[str]:
        """Tables that somebody has damaged. A look takes a while: it is made now and then, and
        what it has found is told when it is over."""
        now = time.monotonic()
        if self._look is None and now >= self._next_look and (names := self._tables.suspects()):
            self._look = asyncio.create_task(asyncio.to_thread(self._looked, names))
        if self._look is None or not self._look.done():
            return []
        broken, took_s = self._look.result()
        self._look, self._next_look = None, now + max(LOOK_S, LOOK_SHARE * took_s)
        for name in broken:
            log(f"the table {name} is damaged; it is made anew")
        return broken

    def _looked(self, names: Sequence[str]) -> tuple[list[str], float]:
        """The damaged ones of some tables, and how long it took to tell."""
        began = time.monotonic()
        return damaged(self._layout, names), time.monotonic() - began

    def _put_over(self) -> None:
        """Puts into effect what has come to its end date, in the files; the next convergence sees
        it there."""
        moment = now()
        if time.monotonic() < self._next_try or not self._deadlines.due(moment):
            return
        try:
            edited = put_over(self._store, self._tables, moment)
        except (Busy, Refused, ServiceFailed) as error:
            self._next_try = time.monotonic() + TRY_AGAIN_S
            if str(error) != self._refusal:
                log(f"what has come to its end date stays in force: {error}")
            self._refusal = str(error)
            return
        self._refusal = ""
        self._deadlines.done(moment)
        for edit in edited.plan.edits:
            for key in sorted(edited.plan.keys[edit.field]):
                log(f"{edit.file}: the time of {key!r} is over")

    def _converge(self, broken: Collection[str] = ()) -> Outcome | None:
        """Converges and tells what is new about it; None if it has to be tried again."""
        try:
            self._settle_moves()
            outcome = converge(
                self._store, self._tables, self._layout, self._settling, broken=broken
            )
            scripts = self._scripts.converge()
        except (Busy, Refused, ServiceFailed) as error:
            log(f"not in step: {error}")
            return None
        held = (*outcome.held, *scripts.findings, *self._pending.findings())
        findings = tuple(dict.fromkeys((*outcome.faults, *held)))
        for finding in findings:
            if finding not in self._told:
                log(str(finding))
        self._told = findings
        if outcome.unnoted and outcome.unnoted != self._unnoted:
            log(f"edits by hand are missing in the history: {outcome.unnoted}")
        self._unnoted = outcome.unnoted
        if outcome.rows and self._settings.log_level not in _QUIET:
            log(f"{outcome.rows} rows changed")
        if scripts.changed and self._settings.log_level not in _QUIET:
            log(f"{scripts.changed} Sieve scripts changed")
        return outcome._replace(waits=outcome.waits or scripts.waits)
