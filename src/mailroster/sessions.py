"""Ends the open sessions of accounts that are gone, which Dovecot itself would let go on.

Dovecot's anvil knows every session: `CONNECT-DUMP` on its socket lists them, and an empty line at
the end. In 2.3 a line is "service/ip/user", the pid and a count, and each pid gets a SIGTERM; in
2.4 it is the pid, the user and more, and `KICK-USER` ends what a user has. This is what `doveadm
kick` does, without the 50 ms that it takes to start.
"""

import os
from collections.abc import Collection, Iterator
from functools import partial

from mailroster import processes
from mailroster.installed import noted
from mailroster.instance.layout import Layout
from mailroster.running import dovecot_pid
from mailroster.services import number
from mailroster.sockets import connected

#: Linux gives no pid from here on (PID_MAX_LIMIT).
PID_LIMIT = 1 << 22
_TIMEOUT_S = 5.0
#: The programs of Dovecot in which a client has a session.
_OF_SESSIONS = frozenset(
    f"{protocol}{kind}" for protocol in ("imap", "pop3", "managesieve") for kind in ("", "-login")
)
#: The handshake of each version: 2.4's has a second line, empty for who is no service.
_OLD, _NEW = b"VERSION\tanvil\t1\t0\n", b"VERSION\tanvil-client\t2\t0\n\n"


def end_sessions(layout: Layout, users: Collection[str]) -> int:
    """Ends every session of some users; how many it were. 0 where no Dovecot runs."""
    path = os.path.join(layout.run, "anvil")
    if not os.path.exists(path):
        return 0
    if noted(layout) == "2.3":
        return _terminate(layout, pids_of(_dump(path, _OLD), users))
    return _kick(path, users_of(_dump(path, _NEW)) & set(users))


def pids_of(dump: str, users: Collection[str]) -> Iterator[int]:
    """The processes of some users in the list of 2.3's anvil, one for each session."""
    for line in dump.split("\n"):
        ident, _, rest = line.partition("\t")
        pid = number(rest.partition("\t")[0])
        # 0 and 1 would be the signal of ourselves and of the whole machine.
        if ident.rpartition("/")[2] in users and pid is not None and 1 < pid < PID_LIMIT:
            yield pid


def users_of(dump: str) -> set[str]:
    """Who has a session in the list of 2.4's anvil."""
    lines = (line.split("\t") for line in dump.split("\n"))
    return {words[1] for words in lines if len(words) > 2 and number(words[0]) is not None}


def _terminate(layout: Layout, pids: Iterator[int]) -> int:
    """Ends processes of our Dovecot; how many. The list of sessions is made by a process of the
    user `dovecot`: it has no say over the processes of others."""
    import signal

    master = dovecot_pid(layout)
    if master is None:
        return 0
    is_meant = partial(_is_session, master=master)
    return sum(processes.send(pid, signal.SIGTERM, is_meant) for pid in pids)


def _is_session(pid: int, master: int) -> bool:
    """Whether a process is one of our Dovecot's in which a client has a session."""
    return processes.parent(pid) == master and processes.program_name(pid) in _OF_SESSIONS


def _kick(path: str, users: Collection[str]) -> int:
    """Has 2.4's anvil end all sessions of some users; it answers how many when they are ended."""
    ended = 0
    try:
        with connected(path, _TIMEOUT_S) as anvil:
            file = anvil.makefile("rb")
            anvil.sendall(_NEW)
            file.readline()  # its handshake
            for user in users:
                anvil.sendall(f"KICK-USER\t{user}\n".encode())
                ended += number(file.readline().decode("ascii", "replace").strip()) or 0
    except OSError:
        pass
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
