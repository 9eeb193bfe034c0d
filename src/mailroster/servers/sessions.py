"""Ends the open sessions of accounts that are gone, which Dovecot itself would let go on.

Dovecot's anvil lists the sessions: `CONNECT-DUMP` on its socket, and an empty line at the end. In
2.3 a line is "service/ip/user", the pid and a count, and each pid gets a SIGTERM; in 2.4 it is the
pid, the user and more, and `KICK-USER` ends the sessions of a user. This is what `doveadm kick`
does, without the 50 ms that it takes to start. A process that is too busy to end is killed.

Some sessions are in no list: those that a killed master has left behind, and those that are older
than an anvil that had to start again. Nothing tells their accounts. So all of them end, whatever
account is to have none: their clients connect again.
"""

import os
from collections.abc import Collection, Iterator
from functools import partial

from mailroster.base.layout import Layout
from mailroster.servers import survivors
from mailroster.servers.running import dovecot_pid
from mailroster.servers.version import noted
from mailroster.system import processes
from mailroster.system.programs import number
from mailroster.system.sockets import connected

#: Linux gives no pid from here on (PID_MAX_LIMIT).
PID_LIMIT = 1 << 22
_TIMEOUT_S = 5.0
#: A session that does not end by itself in this time is killed.
SESSION_S = 2.0
_PROTOCOLS = ("imap", "pop3", "managesieve")
#: The programs of Dovecot in which a client has a session.
_OF_SESSIONS = frozenset(f"{protocol}{kind}" for protocol in _PROTOCOLS for kind in ("", "-login"))
#: The handshake of each version: 2.4's has a second line, empty for who is no service.
_OLD, _NEW = b"VERSION\tanvil\t1\t0\n", b"VERSION\tanvil-client\t2\t0\n\n"


def end_sessions(layout: Layout, users: Collection[str]) -> int:
    """Ends every session of some users, and each whose user can't be known; how many it were.

    When it returns their processes have ended. 0 where no session is open.
    """
    ended = survivors.end(survivors.dovecot_survivors(layout))
    path = os.path.join(layout.run, "anvil")
    if not os.path.exists(path):
        return ended
    if noted(layout) == "2.3":
        dump = _dump(path, _OLD)
        listed = {pid for pid, _ in _old_rows(dump)}
        return ended + _terminate(layout, {*pids_of(dump, users), *_unlisted(layout, listed)})
    return ended + _kick(layout, path, users)


def pids_of(dump: str, users: Collection[str]) -> Iterator[int]:
    """The processes of some users in the list of 2.3's anvil, one for each session."""
    for pid, user in _old_rows(dump):
        # 0 and 1 would be the signal of ourselves and of the whole machine.
        if user in users and 1 < pid < PID_LIMIT:
            yield pid


def users_of(dump: str) -> set[str]:
    """Who has a session in the list of 2.4's anvil."""
    return {user for _, user in _rows(dump)}


def _old_rows(dump: str) -> Iterator[tuple[int, str]]:
    """The process and the user of each session in the list of 2.3's anvil."""
    for line in dump.split("\n"):
        ident, _, rest = line.partition("\t")
        pid = number(rest.partition("\t")[0])
        if pid is not None:
            yield pid, ident.rpartition("/")[2]


def _rows(dump: str) -> Iterator[tuple[int, str]]:
    """The same of 2.4's."""
    for line in dump.split("\n"):
        words = line.split("\t")
        pid = number(words[0])
        if len(words) > 2 and pid is not None:
            yield pid, words[1]


def _terminate(layout: Layout, pids: Collection[int]) -> int:
    """Ends processes of our Dovecot; how many."""
    handles = _opened(layout, pids)
    processes.end(handles, SESSION_S)
    return len(handles)


def _opened(layout: Layout, pids: Collection[int]) -> list[int]:
    """The pidfds of those processes that are sessions of our Dovecot. The list of sessions is made
    by a process of the user `dovecot`: it has no say over the processes of others."""
    master = dovecot_pid(layout)
    if master is None:
        return []
    is_meant = partial(_is_session, master=master)
    handles = (processes.opened(pid, is_meant) for pid in pids if 1 < pid < PID_LIMIT)
    return [pidfd for pidfd in handles if pidfd is not None]


def _unlisted(layout: Layout, listed: Collection[int]) -> Iterator[int]:
    """The sessions of our Dovecot that are older than its anvil, which does not list them. Younger
    ones may be about to announce themselves."""
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
    """Whether a process is one of our Dovecot's in which a client has a session."""
    return processes.parent(pid) == master and processes.program_name(pid) in _OF_SESSIONS


def _kick(layout: Layout, path: str, users: Collection[str]) -> int:
    """Has 2.4's anvil end all sessions of some users, and ends what is left of them; how many."""
    dump = _dump(path, _NEW)
    rows = list(_rows(dump))
    others = {pid for pid, user in rows if user not in users}  # one process may serve several
    theirs = _opened(layout, {pid for pid, user in rows if user in users} - others)
    ended = _terminate(layout, set(_unlisted(layout, {pid for pid, _ in rows})))
    try:
        with connected(path, _TIMEOUT_S) as anvil:
            file = anvil.makefile("rb")
            anvil.sendall(_NEW)
            file.readline()  # its handshake
            for user in users_of(dump) & set(users):
                anvil.sendall(f"KICK-USER\t{user}\n".encode())
                ended += number(file.readline().decode("ascii", "replace").strip()) or 0
    except OSError:
        pass  # the processes are ended below
    processes.running(theirs, SESSION_S)
    processes.end(theirs, SESSION_S)
    return ended


def _dump(path: str, handshake: bytes) -> str:
    """anvil's list of sessions; empty where it does not answer."""
    said = b""
    try:
        with connected(path, _TIMEOUT_S) as anvil:
            anvil.sendall(handshake + b"CONNECT-DUMP\n")
            while not _is_whole(said, handshake):
                part = anvil.recv(65536)
                if not part:
                    break
                said += part
    except OSError:
        pass
    return said.decode("utf-8", "replace")


def _is_whole(said: bytes, handshake: bytes) -> bool:
    """Whether the empty line at the end has come; in 2.4 the list begins with one, too."""
    if handshake == _NEW:
        said = said.partition(b"\n\n")[2]
    return said.endswith(b"\n\n") or said == b"\n"
