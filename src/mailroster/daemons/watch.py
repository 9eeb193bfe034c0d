"""`tables` and `watch`: what is served is kept in step for servers that somebody else starts."""

import asyncio
import gc
import os
import time
from contextlib import ExitStack

from mailroster.base.findings import Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import fault
from mailroster.base.settings import Settings
from mailroster.daemons import signals
from mailroster.daemons.follower import Follower, only_one
from mailroster.daemons.healing import Displaced, Healer
from mailroster.daemons.policy.service import argv as policy_argv
from mailroster.daemons.supervisor import Server, Supervisor
from mailroster.daemons.tasks import Stopped, log_the_unseen, run_until_stopped, unless_stopped
from mailroster.servers import families, in_force, running
from mailroster.servers.config.endpoints import endpoints
from mailroster.servers.prepare import check_host, prepare_host
from mailroster.system import sd_notify
from mailroster.system.files import make_folder, read
from mailroster.system.log import log, open_standard_streams
from mailroster.system.programs import run
from mailroster.system.threads import in_thread


def origin(layout: Layout) -> str:
    """What Postfix puts behind a name without a domain. Raises Refused where it can't be told."""
    code, out, err = run(["postconf", "-c", layout.postfix, "-xh", "myorigin"])
    name = out.strip()
    if code:
        raise Refused(f"Postfix does not say its $myorigin: {err.strip()}")
    if name.startswith("/"):  # Debian's /etc/mailname
        name = read(name).decode("utf-8", "replace").split("\n")[0].strip()
    if not name:
        raise Refused(f"Postfix has no $myorigin; set it in {layout.postfix}/main.cf")
    if wrong := fault("hostname", name):
        raise Refused(f"Postfix's $myorigin: {wrong}; set it in {layout.postfix}/main.cf")
    return name.lower()


def serve(settings: Settings) -> None:
    """Keeps the tables of a host in step until a signal ends it. Raises as Watch.run does."""
    open_standard_streams()
    gc.enable()  # a command turns it off; this one stays
    asyncio.run(Watch(settings).run())


class Watch:
    """The tables of a host."""

    def __init__(self, settings: Settings, *, once: bool = False) -> None:
        """Raises Refused for what a person has to fix before."""
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
        self._policy = Supervisor(server, log, check=lambda: self._healer.check_owner())
        self._healer = Healer(settings, layout, self._follower, [self._policy], self._prepare)

    def once(self) -> None:
        """Makes what is missing, and brings all in step that needs no more than time. Raises as
        `run` does."""
        self._begin()
        while self._follower.begin():
            time.sleep(self._settings.settle_seconds / 4)

    def _begin(self) -> None:
        os.umask(0o077)
        prepare_host(self._settings, self._layout)
        self._follower.begin()
        self._follower.compile_scripts()

    def _prepare(self) -> bool:
        """Makes what is missing; no file of the servers is ours."""
        prepare_host(self._settings, self._layout)
        in_force.write(self._settings, self._layout, endpoints(self._settings))
        return False

    async def run(self) -> None:
        """Until a signal ends it (mailroster.daemons.signals). Raises Refused or ServerError if
        it can't begin, or can't go on."""
        stop = asyncio.Event()
        signals.handle(stop)
        log_the_unseen()
        try:
            with ExitStack() as locks:
                locks.enter_context(only_one(self._layout))
                self._healer.hold(locks)
                await unless_stopped(stop, in_thread(self._begin))
                await self._follow(stop)
        except Stopped:
            pass
        finally:
            await families.kill_descendants(os.getpid())
        log("stopped")

    async def _follow(self, stop: asyncio.Event) -> None:
        found = True
        try:
            in_force.write(self._settings, self._layout, endpoints(self._settings))
            await self._policy.stop()  # one of another version
            await unless_stopped(stop, self._start_policy(), to_its_end=True)
            await self._healer.record()
            log(f"in step: {self._settings.config} is followed")
            sd_notify.notify(sd_notify.READY)
            work = [self._policy.keep(stop), self._healer.watch(stop)]
            await run_until_stopped(stop, work, self._follower.follow())
        except Displaced:
            found = False  # what the pid file names belongs to another process now
            raise
        finally:
            stop.set()
            sd_notify.notify(sd_notify.STOPPING)
            if found:
                in_force.remove(self._layout)
            await self._policy.stop(found=found)

    async def _start_policy(self) -> None:
        """Without it mail goes on; it is tried again."""
        try:
            make_folder(os.path.dirname(self._layout.policy))
            await self._policy.start()
        except (OSError, ServerError) as error:
            log(str(error))
