"""`up`: runs a private mail server that follows the config folder."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext, suppress
from typing import Any

from mailroster.app.adopt.environment import without_effect
from mailroster.app.home import Home
from mailroster.base.findings import Refused, ServerError, TryAgain
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons import signals
from mailroster.daemons.certificate_follower import CertificateFollower
from mailroster.daemons.filtering import Filtering
from mailroster.daemons.follower import Follower
from mailroster.daemons.healing import Displaced, Healer
from mailroster.daemons.instance_lock import single_instance
from mailroster.daemons.log_stream import streamed
from mailroster.daemons.policy.service import argv as policy_argv
from mailroster.daemons.rewriting import srs_server
from mailroster.daemons.signing import Signing
from mailroster.daemons.supervisor import STOP_S, Server, Supervisor
from mailroster.daemons.tasks import (
    Stopped,
    log_unhandled_errors,
    run_until_stopped,
    unless_stopped,
)
from mailroster.servers import families, in_force, running, spam_filter, survivors
from mailroster.servers.config.endpoints import listed
from mailroster.servers.families import Process
from mailroster.servers.folders import remove_sockets
from mailroster.servers.health import unready
from mailroster.servers.mailboxes import mail_folder
from mailroster.servers.ports import causes
from mailroster.servers.prepare import configure_signer, prepare
from mailroster.servers.prerequisites import check
from mailroster.system import sd_notify
from mailroster.system.files import Disk
from mailroster.system.log import log, open_standard_streams, words_of
from mailroster.system.programs import run
from mailroster.system.threads import in_thread

READY_S = 60.0
NO_POSTMASTER = (
    "postmaster_address is not set: mail to root, and to postmaster@ and abuse@ your domains, is "
    "refused unless an account or an alias has the address"
)


def serve(home: Home, *, adopt: bool) -> None:
    """Runs the servers of a home until a signal ends it (mailroster.daemons.signals). `adopt`: it
    may replace the servers' own folders with links. Raises as Up.run does, and OSError."""
    open_standard_streams()
    home.warn_of_folder(makes=True)
    gc.enable()  # short commands turn it off
    try:
        asyncio.run(Up(home.settings, adopt=adopt).run())
    except OSError as error:
        error.filename = error.filename or home.settings.state  # most likely
        raise


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
            check=self._check_owner,
        )
        self._srs: list[Supervisor] = []
        self._servers = [
            Supervisor(server, log, self._flush, self._check_owner)
            for server in (
                Server(
                    "dovecot",
                    ("dovecot", "-c", layout.dovecot_conf),
                    lambda: running.dovecot_pid(layout),
                    layout.dovecot_pid,
                    lambda: causes("dovecot", settings, layout),
                ),
                Server(
                    "postfix",
                    ("postfix", "-c", layout.postfix, "start"),
                    lambda: running.postfix_pid(layout),
                    causes=lambda: causes("postfix", settings, layout),
                ),
            )
        ]
        self._certificates = CertificateFollower(settings, layout, self._reload_certificates)
        if settings.enable_srs:
            server = srs_server(settings, layout, settings.hostname)
            self._srs = [Supervisor(server, log, self._flush, self._check_owner)]
        self._warnings: set[str] = set()  # of `prepare`
        self._spare = families.SpareDescriptors()
        self._healer = Healer(
            settings, layout, self._follower, self._supervisors(), self._prepare, self._flush
        )
        self._signing = Signing(
            settings, layout, lambda: configure_signer(settings, layout), self._check_owner
        )
        self._filtering = Filtering(settings, layout)
        self._is_displaced = False

    async def run(self) -> None:
        """Runs until a signal ends it (mailroster.daemons.signals). Raises Refused or ServerError
        if it can't begin, or can't go on."""
        os.umask(0o077)  # inherited by the servers
        stop = asyncio.Event()
        signals.handle(stop, self._reload)
        log_unhandled_errors()
        for line in without_effect(os.environ):
            log(line)
        try:
            check(self._settings, self._layout, adopt=self._adopt)
            if not self._settings.postmaster_address:
                log(NO_POSTMASTER)
            with ExitStack() as locks:
                locks.enter_context(single_instance(self._layout))
                self._healer.hold(locks)
                changed = await unless_stopped(stop, in_thread(self._prepare))
                await self._end_strays()
                if changed:
                    await self._stop_servers()
                    await in_thread(remove_sockets, self._layout)
                async with self._logs_shown():
                    await self._serve(stop)
        except Stopped:
            pass
        finally:
            await families.kill_descendants(os.getpid())
        log("stopped")

    async def _serve(self, stop: asyncio.Event) -> None:
        """Starts the servers and keeps them running until `stop` is set."""
        try:
            await unless_stopped(stop, in_thread(self._follower.begin))
            await self._policy.stop()  # it may be of another version
            await unless_stopped(stop, in_thread(self._follower.compile_scripts))
            await unless_stopped(stop, self._start_policy(), to_its_end=True)
            await unless_stopped(stop, in_thread(self._unlock))
            await unless_stopped(stop, in_thread(self._escape_folders))
            await unless_stopped(stop, in_thread(self._follower.finish_deletions))
            await unless_stopped(stop, in_thread(self._certificates.begin))
            # Before Dovecot: if a report finds no listener, the next ones come a minute later.
            reports = [asyncio.create_task(each) for each in self._login_reports(stop)]
            await unless_stopped(stop, self._signing.start(), to_its_end=True)
            outlived = running.dovecot_pid(self._layout) is not None
            for server in (*self._srs, *self._servers):
                await unless_stopped(stop, server.start(), to_its_end=True)
            if outlived:
                self._renew_reports()
            await self._ready(stop)
            await unless_stopped(stop, in_thread(self._flush))
            await self._healer.record()
            work: list[Coroutine[Any, Any, None]] = [
                *(each.keep(stop) for each in self._supervisors()),
                self._signing.keep(stop),
                self._filtering.keep(stop),
            ]
            if self._settings.names_certificate():
                work.append(self._certificates.follow(stop))
            work += map(_end_of, reports)
            await run_until_stopped(
                stop, [*work, self._healer.watch(stop)], self._follower.follow()
            )
        except Displaced:
            self._is_displaced = True
            raise
        finally:
            stop.set()
            with suppress(OSError):
                sd_notify.notify(sd_notify.STOPPING)
            await self._stop_servers()
            if not self._is_displaced:
                with suppress(OSError):
                    in_force.remove(self._layout)

    def _login_reports(self, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """The tasks that take Dovecot's reports of logins."""
        if not self._settings.reports_port():
            return []
        from mailroster.daemons.login_tasks import login_tasks

        return login_tasks(self._settings, self._layout, stop)

    def _renew_reports(self) -> None:
        """Makes a Dovecot that has outlived an `up` report logins at once: it waits up to a minute
        before it connects again to a listener that was away. Sessions go on."""
        dovecot, _ = self._servers
        if self._settings.reports_port():
            dovecot.signal(signal.SIGHUP)

    def _supervisors(self) -> list[Supervisor]:
        return [self._policy, *self._srs, *self._servers]

    def _check_owner(self) -> None:
        self._healer.check_owner()

    def _prepare(self) -> bool:
        """Creates missing files, and logs each warning once. Returns whether a file has changed
        that the servers read at start."""

        def warn(text: str) -> None:
            if text not in self._warnings:
                self._warnings.add(text)
                log(text)

        changed = prepare(self._settings, self._layout, warn)
        if self._settings.block_guessing:
            from mailroster.publish.block_table import BlockTable

            BlockTable(self._layout).ensure()  # Dovecot opens it at its start
        return changed

    async def _reload(self) -> None:
        """Makes the servers reload their certificates; sessions go on."""
        try:
            await in_thread(self._certificates.reload)
        except (Refused, ServerError, TryAgain, OSError) as error:
            log(f"the certificate is not reloaded: {error}")

    def _reload_certificates(self) -> list[str]:
        """Sends SIGHUP to the running servers; their names."""
        return [each.name for each in self._servers if each.signal(signal.SIGHUP)]

    def _logs_shown(self) -> AbstractAsyncContextManager[None]:
        s = self._settings
        if not s.logs_to_stdout:
            return nullcontext()
        paths = {f"{s.logs}/mail.log", self._layout.dovecot_log(s)}
        if s.enable_rspamd and s.rspamd_process:
            paths.add(spam_filter.log_path(s))
        return streamed(sorted(paths))

    def _unlock(self) -> None:
        """Removes the locks that a killed Dovecot has left, before the next one starts."""
        if running.dovecot_pid(self._layout) is not None:
            return  # it outlived the last `up`
        if os.path.lexists(self._layout.stopped):
            Disk().remove(self._layout.stopped)
            return
        try:
            if count := mail_folder(self._settings).unlock():
                log(f"mail folders that a killed Dovecot had locked are unlocked: {count}")
        except (TryAgain, Refused, OSError) as error:
            log(f"a mailbox may be locked: {error}")

    def _escape_folders(self) -> None:
        """Renames, once, the folders whose names Dovecot now escapes in a different way."""
        if os.path.exists(self._layout.escaped):
            return
        try:
            if count := mail_folder(self._settings).escape_tildes():
                log(f"mail folders with a '~' in their names were renamed on disk: {count}")
            Disk().replace(self._layout.escaped, b"")
        except (TryAgain, Refused, OSError) as error:
            log(f"mail folders with a '~' in their names may not open: {error}")

    def _flush(self) -> None:
        """Flushes the queue: mail that waited for a server is sent now."""
        try:
            code, _, output = run(["postqueue", "-c", self._layout.postfix, "-f"])
            if code:
                log(f"the queue is not flushed: {output.strip()}")
        except ServerError as error:
            log(f"the queue is not flushed: {error}")

    async def _start_policy(self) -> None:
        """Starts the policy service. If that fails, mail goes on, and it is tried again."""
        try:
            await self._policy.start()
        except ServerError as error:
            log(str(error))

    async def _stop_servers(self) -> None:
        """Ends all servers, also those without a pid file. If another process uses the state folder
        now, only the servers that this one has started."""
        is_owner = not self._is_displaced
        self._spare.release()
        dovecot, _ = self._servers
        dovecot_ran = dovecot.is_running() or running.dovecot_pid(self._layout) is not None
        last = (
            *self._srs,
            self._policy,
            *self._signing.supervisors(),
            *self._filtering.supervisors(),
        )
        for server in (*reversed(self._servers), *last):
            try:
                await server.stop(by_pid_file=is_owner)
            except OSError as error:
                log(f"{server.name} can't be stopped: {words_of(error)}")
        if not is_owner:
            return
        with suppress(OSError):
            await self._end_strays()
        if dovecot_ran and not os.path.lexists(self._layout.dovecot_pid):  # it was not killed
            with suppress(OSError):
                Disk().replace(self._layout.stopped, b"")

    async def _end_strays(self) -> None:
        """Ends servers of this instance without a pid file, whose state folder was lost; and the
        remaining processes of dead servers, such as the session of a busy client."""
        pid_files = [running.postfix_pid, running.dovecot_pid, running.policy_pid]
        if self._settings.enable_srs:
            pid_files.append(running.srs_pid)
        named = {pid(self._layout) for pid in pid_files} | self._signing.pids()
        named.add(self._filtering.pid())
        for pid, name in (await in_thread(families.servers_of, self._layout)).items():
            if pid in named:
                continue
            log(f"{name} (process {pid}) still runs without its pid file; it is stopped")
            with suppress(ProcessLookupError):
                process = Process(pid)
                try:
                    await families.end(process, STOP_S, lambda: None)
                finally:
                    process.close()
        if count := await in_thread(lambda: survivors.end(survivors.survivors(self._layout))):
            log(f"processes of a dead server were still running; stopped: {count}")

    async def _ready(self, stop: asyncio.Event) -> None:
        """Reports "ready" when SMTP and IMAP answer, and Dovecot can look up users."""
        s, deadline = self._settings, time.monotonic() + READY_S
        ports = await in_thread(in_force.ports, s, self._layout)
        while missing := await unless_stopped(stop, in_thread(unready, ports, self._layout)):
            if time.monotonic() > deadline:
                raise ServerError(f"no answer: {', '.join(missing)}; see {s.logs}")
            await asyncio.sleep(0.05)
        sd_notify.notify(sd_notify.READY)
        log(f"ready: {listed(ports)} on {s.listen}")


async def _end_of(task: asyncio.Task[None]) -> None:
    """Waits for a task that has begun earlier."""
    await task
