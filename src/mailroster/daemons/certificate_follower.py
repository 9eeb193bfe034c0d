"""Follows the TLS certificates that the settings name: puts each new pair in force.

certbot changes links, Kubernetes exchanges a folder, other programs write files in place. So the
files are compared by what their paths lead to, and read only when they have stayed the same for a
second: a pair that is being written is neither used nor reported.
"""

import asyncio
import threading
import time
from collections.abc import Callable

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.errands import reason_of
from mailroster.daemons.supervisor import pause
from mailroster.daemons.tasks import Stopped, unless_stopped
from mailroster.servers import certificates, running
from mailroster.servers.certificate_faults import DAY_S, date
from mailroster.servers.certificates import Assessment
from mailroster.system.files import Identity
from mailroster.system.log import Retry, log
from mailroster.system.threads import in_thread

#: The time between two looks, and how long files must stay the same.
LOOK_S, SETTLE_S = 0.5, 1.0


class CertificateFollower:
    """The follower of the certificates of one instance. Without certificates in the settings it
    only reloads the self-signed one.

    `reload` and `follow` may run in different threads: one works at a time.
    """

    def __init__(
        self, settings: Settings, layout: Layout, reload_servers: Callable[[], list[str]]
    ) -> None:
        """`reload_servers` makes the running servers read their certificates again; their names."""
        self._settings, self._layout = settings, layout
        self._reload_servers = reload_servers
        self._sources = certificates.sources(settings, layout)
        self._lock = threading.Lock()
        self._seen: list[Identity] = []
        self._seen_at = 0.0  # by the monotonic clock
        self._handled: list[Identity] | None = None
        self._refusals: tuple[str, ...] = ()
        self._warned_at = time.monotonic()  # a start has warned
        works = "the TLS certificate can be renewed again"
        self._retry = Retry("the TLS certificate is not renewed", works)

    def begin(self) -> None:
        """Records that servers which start from now on load the present copies."""
        if not running.is_running(self._layout):
            self._record(certificates.digest(self._sources))

    async def follow(self, stop: asyncio.Event) -> None:
        """Puts new pairs in force until `stop` is set. A failure is logged and tried again."""
        while not stop.is_set():
            await pause(LOOK_S, stop)
            try:
                await unless_stopped(stop, in_thread(self._look))
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._retry.failed(reason_of(error))

    def reload(self) -> None:
        """Puts the present files in force and makes the servers load them, even if they have not
        changed. Raises Refused for files that can't be used, and as `put_in_force` does."""
        with self._lock:
            certificates.check_new(self._settings, self._layout)
            refusals = self._renew(is_requested=True)
        if refusals:
            raise Refused("; ".join(refusals))

    def _look(self) -> None:
        now_s = time.monotonic()
        identities = certificates.identities(self._sources)
        if identities != self._seen:
            self._seen, self._seen_at = identities, now_s
        is_new = self._seen != self._handled and now_s - self._seen_at >= SETTLE_S
        is_warning_due = now_s - self._warned_at >= DAY_S
        if not (is_new or is_warning_due) or not self._retry.is_due(changed=is_new):
            return
        with self._lock:
            self._renew(is_requested=False)
        self._handled = identities
        self._retry.worked()

    def _renew(self, *, is_requested: bool) -> list[str]:
        """Puts new pairs in force; why others are not used. Logs what has changed."""
        names = certificates.server_names(self._settings, self._layout)
        assessments = [certificates.assess(source, names) for source in self._sources]
        renewed = [each for each in assessments if certificates.put_in_force(each, self._layout)]
        if is_requested or not certificates.is_loaded(self._sources, self._layout):
            checksum = certificates.digest(self._sources)
            servers = " and ".join(self._reload_servers()) or "no server: none runs"
            self._record(checksum)
            for each in renewed:
                log(_in_force(each))
            log(f"certificates are reloaded by {servers}")
        refusals = [certificates.words(each.refusal) for each in assessments if each.refusal]
        for refusal in refusals:
            if refusal not in self._refusals:
                log(f"{refusal}; the previous certificate stays in use")
        self._refusals = tuple(refusals)
        self._warn(assessments, changed=bool(renewed))
        return refusals

    def _warn(self, assessments: list[Assessment], *, changed: bool) -> None:
        """Logs the faults of certificates in force: of new ones, and once a day."""
        if not changed and time.monotonic() - self._warned_at < DAY_S:
            return
        self._warned_at = time.monotonic()
        faults = [fault for each in assessments for fault in each.verdict.faults]
        for fault in (*faults, *certificates.same_type(assessments)):
            log(f"warning: {certificates.words(fault)}")

    def _record(self, checksum: str) -> None:
        certificates.record_loaded(checksum, self._layout)


def _in_force(assessment: Assessment) -> str:
    ends = date(assessment.verdict.ends_s)
    return f"the TLS certificate {assessment.source.certificate} is in force, valid until {ends}"
