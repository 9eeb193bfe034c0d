"""Waits until no session and no delivery of Dovecot uses a mailbox any more."""

import os
import time
from collections.abc import Collection, Iterator

from mailroster.base.address import Address
from mailroster.base.layout import Layout
from mailroster.servers.running import dovecot_pid
from mailroster.servers.sessions import end_sessions
from mailroster.system import processes

_STEP_S = 0.02


def wait_until_unused(
    layout: Layout, addresses: Collection[Address], live_s: float, wait_s: float
) -> bool:
    """Ends the sessions of the given addresses, and all deliveries that began before `live_s` (s
    since the machine started); returns whether all of them ended within `wait_s`."""
    deadline = time.monotonic() + wait_s
    while end_sessions(layout, addresses) or _end_deliveries(layout, live_s):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_STEP_S)
    return True


def _end_deliveries(layout: Layout, live_s: float) -> bool:
    """Ends idle processes of the LMTP service that began before a time; returns whether there were
    any such processes.

    On SIGINT, Dovecot's processes end between two clients only. A process that is still starting
    would be killed by it, and Dovecot would delay all deliveries for seconds: it gets no signal.
    """
    import signal

    master = dovecot_pid(layout)
    pids = list(_deliveries(master, live_s))
    for pid in pids:
        if processes.catches(pid, signal.SIGINT):
            processes.send(pid, signal.SIGINT, lambda pid: _is_delivery(pid, master))
    return bool(pids)


def _deliveries(master: int | None, before_s: float) -> Iterator[int]:
    """The processes of the LMTP service of a Dovecot that began before a time."""
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in processes.children(master) if master is not None else ():
        try:
            state, _, *rest = processes.stat(pid)
        except OSError:
            continue  # it has ended
        began_s = int(rest[17]) / ticks
        if state != "Z" and began_s <= before_s and _is_delivery(pid, master):
            yield pid


def _is_delivery(pid: int, master: int | None) -> bool:
    return processes.parent(pid) == master and processes.program_name(pid) == "lmtp"
