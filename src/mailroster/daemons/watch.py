"""`tables` and `watch`: keep the tables in step for the servers of a host."""

import asyncio
import gc
import os
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons import signals
from mailroster.daemons.certificate_follower import CertificateFollower
from mailroster.daemons.filtering import Filtering
from mailroster.daemons.follower import Follower
from mailroster.daemons.healing import Displaced, Healer
from mailroster.daemons.instance_lock import single_instance
from mailroster.daemons.policy.service import argv as policy_argv
from mailroster.daemons.rewriting import srs_server
from mailroster.daemons.signing import Signing
from mailroster.daemons.supervisor import Server, Supervisor
from mailroster.daemons.tasks import (
    Stopped,
    log_unhandled_errors,
    run_until_stopped,
    unless_stopped,
)
from mailroster.servers import families, in_force, running
from mailroster.servers.config.endpoints import endpoints
from mailroster.servers.host_postfix import host_postfix
from mailroster.servers.prepare import prepare_host
from mailroster.servers.prerequisites import check_host, origin
from mailroster.servers.reopen import reload_servers
from mailroster.system import sd_notify
from mailroster.system.files import make_folder
from mailroster.system.log import log, open_standard_streams
from mailroster.system.threads import in_thread

NO_REPORTS = (
    "Dovecot does not report logins yet (login_reports_port, block_guessing); let it do so: setup "
    "integrate --apply --reload"
)


def serve(settings: Settings) -> None:
    """Runs Watch until a signal ends it. Raises as Watch.run does."""
    open_standard_streams()
    gc.enable()  # short commands turn it off
    asyncio.run(Watch(settings).run())


class Watch:
    """Keeps the tables of a host in step."""

    def __init__(self, settings: Settings, *, once: bool = False) -> None:
        """Raises Refused if the host has to be changed first. `once`: without a daemon."""
        self._layout = layout = Layout(settings.state, settings.layout)
        check_host(settings, layout)
        self._settings = settings = settings._replace(hostname=origin(layout))
        self._follower = Follower(
            settings, layout, "tables" if once else "watch", observer=not once
        )
        server = Server(
            "policy service",
            policy_argv(layout, settings.logs),
            lambda: running.policy_pid(layout),
        )
        self._policy = Supervisor(server, log, check=self._check_owner)
        self._certificates = CertificateFollower(settings, layout, lambda: reload_servers(layout))
        self._healer = Healer(settings, layout, self._follower, [self._policy], self._prepare)
        name = host_postfix(layout).myhostname if settings.enable_srs else ""
        server = srs_server(settings, layout, name)
        self._srs = Supervisor(server, log, check=self._check_owner)
        self._signing = Signing(settings, layout, self._prepare, self._check_owner)
        self._filtering = Filtering(settings, layout)

    def _check_owner(self) -> None:
        self._healer.check_owner()

    def once(self) -> None:
        """Creates missing files, and reconciles until no change waits for time to pass. Raises as
        `run` does."""
        self._begin()
        while self._follower.begin():
            time.sleep(self._settings.settle_seconds / 4)

    def _begin(self) -> None:
        os.umask(0o077)
        self._prepare_files()
        self._follower.begin()
        self._follower.compile_scripts()

    def _prepare(self) -> bool:
        """Creates missing files. False: none of them is read by the servers at start."""
        self._prepare_files()
        in_force.write(self._settings, self._layout, endpoints(self._settings))
        return False

    def _prepare_files(self) -> None:
        prepare_host(self._settings, self._layout, log)
        if self._settings.block_guessing:
            from mailroster.publish.block_table import BlockTable

            BlockTable(self._layout).ensure()

    async def run(self) -> None:
        """Runs until a signal ends it (mailroster.daemons.signals). Raises Refused or ServerError
        if it can't begin, or can't go on."""
        stop = asyncio.Event()
        signals.handle(stop)
        log_unhandled_errors()
        try:
            with ExitStack() as locks:
                locks.enter_context(single_instance(self._layout))
                self._healer.hold(locks)
                await unless_stopped(stop, in_thread(self._begin))
                await self._follow(stop)
        except Stopped:
            pass
        finally:
            await families.kill_descendants(os.getpid())
        log("stopped")

    async def _follow(self, stop: asyncio.Event) -> None:
        is_owner = True
        try:
            in_force.write(self._settings, self._layout, endpoints(self._settings))
            await self._policy.stop()  # it may be of another version
            await unless_stopped(stop, self._start_policy(), to_its_end=True)
            await unless_stopped(stop, self._signing.start(), to_its_end=True)
            await unless_stopped(stop, self._start_srs(), to_its_end=True)
            await self._healer.record()
            log(f"in step: {self._settings.config} is followed")
            sd_notify.notify(sd_notify.READY)
            work = [self._policy.keep(stop), self._signing.keep(stop), self._filtering.keep(stop)]
            work.append(self._healer.watch(stop))
            if self._settings.names_certificate():
                work.append(self._certificates.follow(stop))
            work += self._login_reports(stop)
            if self._settings.enable_srs:
                work.append(self._srs.keep(stop))
            await run_until_stopped(stop, work, self._follower.follow())
        except Displaced:
            is_owner = False  # the server of the pid file belongs to another process now
            raise
        finally:
            stop.set()
            sd_notify.notify(sd_notify.STOPPING)
            if is_owner:
                in_force.remove(self._layout)
            await self._policy.stop(by_pid_file=is_owner)
            signers, filters = self._signing.supervisors(), self._filtering.supervisors()
            for each in (*signers, *filters, self._srs):
                await each.stop(by_pid_file=is_owner)

    def _login_reports(self, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """The tasks that take Dovecot's reports of logins."""
        if not self._settings.reports_port():
            return []
        from mailroster.daemons.login_tasks import login_tasks
        from mailroster.servers import host_logins

        tasks = login_tasks(self._settings, self._layout, stop)
        if not host_logins.are_reported(self._settings, self._layout):
            log(NO_REPORTS)
        return tasks

    async def _start_srs(self) -> None:
        """Starts postsrsd. If that fails, mail of senders elsewhere waits, and it is tried
        again."""
        if not self._settings.enable_srs:
            await self._srs.stop()  # of a start with the setting
            return
        try:
            await self._srs.start()
        except (OSError, ServerError) as error:
            log(str(error))

    async def _start_policy(self) -> None:
        """Starts the policy service. If that fails, mail goes on, and it is tried again."""
        try:
            make_folder(os.path.dirname(self._layout.policy))
            await self._policy.start()
        except (OSError, ServerError) as error:
            log(str(error))
