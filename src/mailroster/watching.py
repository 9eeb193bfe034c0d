"""`tables` and `watch`: what is served is kept in step for servers that somebody else starts."""

import asyncio
import os
import signal
import time

from mailroster import readiness, running
from mailroster.disk import make_folder, read
from mailroster.finding import Refused, ServiceFailed
from mailroster.follow import Follower, log, only_one
from mailroster.instance.layout import Layout
from mailroster.instance.postfix import needs_policy
from mailroster.policy.service import argv as policy_argv
from mailroster.prepare import check_host, prepare_host
from mailroster.services import run
from mailroster.setting_rules import fault
from mailroster.settings import Settings
from mailroster.supervise import Server, Supervisor


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


class Watch:
    """The tables of a host."""

    def __init__(self, settings: Settings, *, once: bool = False) -> None:
        """Raises Refused for what a person has to mend before."""
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
        self._policy = Supervisor(server, log)

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

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises Refused or ServiceFailed if it can't begin."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with only_one(self._layout):
            await asyncio.to_thread(self._begin)
            await self._policy.stop()  # one of another version
            follower = asyncio.create_task(self._follower.follow())
            has_policy = needs_policy(self._settings)
            try:
                if has_policy:
                    await self._start_policy()
                log(f"in step: {self._settings.config} is followed")
                readiness.notify(readiness.READY)
                await (self._policy.keep(stop) if has_policy else stop.wait())
            finally:
                readiness.notify(readiness.STOPPING)
                follower.cancel()
                await self._policy.stop()
            log("stopped")

    async def _start_policy(self) -> None:
        """Without it mail goes on; it is tried again."""
        try:
            make_folder(os.path.dirname(self._layout.policy))
            await self._policy.start()
        except (OSError, ServiceFailed) as error:
            log(str(error))
