"""Ends the open sessions of deleted accounts, which Dovecot itself would not end.

Dovecot's anvil lists the sessions: `CONNECT-DUMP` on its socket; an empty line ends the list. In
2.3 a line is "service/ip/user", the pid and a count, and each pid gets a SIGTERM. In 2.4 it is the
pid, the user and more, and `KICK-USER` ends the sessions of a user. `doveadm kick` does the same,
but takes 50 ms to start. A process that is too busy to end is killed.

Some sessions are in no list: those that outlived a killed master, and those older than an anvil
that was restarted. Their accounts are unknown, so all of them end each time: their clients
reconnect.
"""

import os
from collections.abc import Collection, Iterator
from functools import partial

from mailroster.base.layout import Layout
from mailroster.servers import survivors
from mailroster.servers.running import dovecot_pid
from mailroster.servers.version import tables_version
from mailroster.system import processes
from mailroster.system.programs import number
from mailroster.system.sockets import connected

#: All pids of Linux are smaller (PID_MAX_LIMIT).
PID_LIMIT = 1 << 22
_TIMEOUT_S = 5.0
#: A session that does not end by itself in this time is killed.
SESSION_S = 2.0
_PROTOCOLS = ("imap", "pop3", "managesieve")
#: The programs of Dovecot in which a client has a session.
_OF_SESSIONS = frozenset(f"{protocol}{kind}" for protocol in _PROTOCOLS for kind in ("", "-login"))
#: The handshakes; that of 2.4 has a second line, which is empty for a client.
_HANDSHAKE_2_3, _HANDSHAKE_2_4 = b"VERSION\tanvil\t1\t0\n", b"VERSION\tanvil-client\t2\t0\n\n"


def end_sessions(layout: Layout, users: Collection[str]) -> int:
    """Ends every session of the given users, and each session whose user is unknown; returns their
    number. Their processes have ended when this returns."""
    ended = survivors.end(survivors.dovecot_survivors(layout))
    path = os.path.join(layout.run, "anvil")
    if not os.path.exists(path):
        return ended
    if tables_version(layout) == "2.3":
        dump = _dump(path, _HANDSHAKE_2_3)
        listed = {pid for pid, _ in _rows_2_3(dump)}
        return ended + _terminate(layout, {*pids_of(dump, users), *_unlisted(layout, listed)})
    return ended + _kick(layout, path, users)


def pids_of(dump: str, users: Collection[str]) -> Iterator[int]:
    """The pids of the given users in the list of 2.3's anvil, one for each session."""
    for pid, user in _rows_2_3(dump):
        # A signal to 0 or 1 would hit this process group, or the machine.
        if user in users and 1 < pid < PID_LIMIT:
            yield pid


def users_of(dump: str) -> set[str]:
    """The users in the list of 2.4's anvil."""
    return {user for _, user in _rows_2_4(dump)}


def _rows_2_3(dump: str) -> Iterator[tuple[int, str]]:
    """The pid and the user of each session in the list of 2.3's anvil."""
    for line in dump.split("\n"):
        ident, _, rest = line.partition("\t")
        pid = number(rest.partition("\t")[0])
        if pid is not None:
            yield pid, ident.rpartition("/")[2]


def _rows_2_4(dump: str) -> Iterator[tuple[int, str]]:
    """The pid and the user of each session in the list of 2.4's anvil."""
    for line in dump.split("\n"):
        words = line.split("\t")
        pid = number(words[0])
        if len(words) > 2 and pid is not None:
            yield pid, words[1]


def _terminate(layout: Layout, pids: Collection[int]) -> int:
    """Ends processes of our Dovecot; returns their number."""
    handles = _open(layout, pids)
    processes.end(handles, SESSION_S)
    return len(handles)


def _open(layout: Layout, pids: Collection[int]) -> list[int]:
    """The pidfds of those processes that are sessions of our Dovecot. The list comes from a process
    of the user `dovecot`, which must not be able to end other processes."""
    master = dovecot_pid(layout)
    if master is None:
        return []
    is_session = partial(_is_session, master=master)
    handles = (processes.open_pidfd(pid, is_session) for pid in pids if 1 < pid < PID_LIMIT)
    return [pidfd for pidfd in handles if pidfd is not None]


def _unlisted(layout: Layout, listed: Collection[int]) -> Iterator[int]:
    """The sessions of our Dovecot that its anvil does not list because they are older. Newer ones
    may be about to register."""
    master = dovecot_pid(layout)
    if master is None:
        return
    entries = [each for each in processes.entries().values() if each.parent == master]
    names = {each.pid: processes.program_name(each.pid) for each in entries}
    anvils = [each.started for each in entries if names[each.pid] == "anvil"]
    for each in entries:
        is_older = each.started < max(anvils, default=0)
        if names[each.pid] in _PROTOCOLS and is_older and each.pid not in listed:
            yield each.pid


def _is_session(pid: int, master: int) -> bool:
    """Whether a process of our Dovecot serves a client."""
    return processes.parent(pid) == master and processes.program_name(pid) in _OF_SESSIONS


def _kick(layout: Layout, path: str, users: Collection[str]) -> int:
    """Ends all sessions of the given users through 2.4's anvil, and the processes that remain;
    returns their number."""
    dump = _dump(path, _HANDSHAKE_2_4)
    rows = list(_rows_2_4(dump))
    others = {pid for pid, user in rows if user not in users}  # one process may serve several
    handles = _open(layout, {pid for pid, user in rows if user in users} - others)
    ended = _terminate(layout, set(_unlisted(layout, {pid for pid, _ in rows})))
    try:
        with connected(path, _TIMEOUT_S) as anvil:
            file = anvil.makefile("rb")
            anvil.sendall(_HANDSHAKE_2_4)
            file.readline()  # the handshake of anvil
            for user in users_of(dump) & set(users):
                anvil.sendall(f"KICK-USER\t{user}\n".encode())
                ended += number(file.readline().decode("ascii", "replace").strip()) or 0
    except OSError:
        pass  # the processes are ended below
    processes.still_running(handles, SESSION_S)
    processes.end(handles, SESSION_S)
    return ended


def _dump(path: str, handshake: bytes) -> str:
    """anvil's list of sessions; empty if it does not answer."""
    received = b""
    try:
        with connected(path, _TIMEOUT_S) as anvil:
            anvil.sendall(handshake + b"CONNECT-DUMP\n")
            while not _is_complete(received, handshake):
                part = anvil.recv(65536)
                if not part:
                    break
                received += part
    except OSError:
        pass
    return received.decode("utf-8", "replace")


def _is_complete(received: bytes, handshake: bytes) -> bool:
    """Whether the list has its final empty line; in 2.4 it also begins with an empty line."""
    if handshake == _HANDSHAKE_2_4:
        received = received.partition(b"\n\n")[2]
    return received.endswith(b"\n\n") or received == b"\n"
