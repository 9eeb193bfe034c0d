"""Runs the policy service as a daemon of its own: `python -m mailroster.daemons.policy.service
STATE LAYOUT LOGS`.

Like Postfix and Dovecot it is found by its pid file, which it keeps locked, and outlives a killed
`up`. It makes its socket as root and then becomes Postfix's user; the socket is closed to others.
"""

import asyncio
import os
import pwd
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mailroster.base import address
from mailroster.base.layout import Layout
from mailroster.daemons.policy.connection import Connection
from mailroster.daemons.policy.decisions import Policy
from mailroster.daemons.policy.pattern_literals import PatternLiterals
from mailroster.servers.running import POLICY_MODULE, POLICY_USER
from mailroster.system import log_file, pid_file
from mailroster.system.files import read

#: Signals that would end the service, which is to go on: it has nothing to reload.
_WITHOUT_MEANING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
_BACKLOG = 128
#: Modules that are first needed when their files can't be read any more.
_LATE = ("lmdb", "asyncio.subprocess", "subprocess", "tempfile", "traceback", "idna")
#: A rule whose recipient takes all that reading a domain needs (IDNA, the codec punycode).
_RULE = "/^a@x/ b@b\u00fccher.example\n"


def argv(layout: Layout, logs: str) -> tuple[str, ...]:
    """The program and its arguments."""
    return (sys.executable, "-P", "-m", POLICY_MODULE, layout.state, layout.kind, logs)


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when the service answers; it goes on in the background."""
    state, kind, logs = arguments
    layout, log = Layout(state, kind), os.path.join(logs, "policy.log")
    os.umask(0o077)
    try:
        pid = pid_file.claim(layout.policy_pid)
    except BlockingIOError:
        print("the policy service runs already", file=sys.stderr)
        return 1
    with suppress(FileNotFoundError):
        os.unlink(layout.old_policy_pid)
    from importlib import import_module

    for name in _LATE:
        import_module(name)
    PatternLiterals(_RULE)
    listening = _listen(layout.policy)
    if os.fork():
        return 0
    os.setsid()
    _speak_to(log)
    pid_file.write(pid)
    origin = read(layout.origin).decode().strip()
    if os.path.exists(layout.delimiters):
        address.use_delimiters(read(layout.delimiters).decode().strip())
    _become(POLICY_USER)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(layout, origin, listening))
    return 0


async def _serve(layout: Layout, origin: str, listening: socket.socket) -> None:
    loop, policy = asyncio.get_running_loop(), Policy(layout, origin)
    for number in _WITHOUT_MEANING:
        loop.add_signal_handler(number, lambda: None)

    def unseen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What no task waits for, such as a connection that there is no descriptor for."""
        policy.complain(f"{context.get('message')}: {context.get('exception')!r}")

    loop.set_exception_handler(unseen)
    server = await loop.create_unix_server(lambda: Connection(policy.answer), sock=listening)
    await server.serve_forever()


def _listen(path: str) -> socket.socket:
    """A socket for Postfix's user alone; one that a dead service has left goes."""
    listening = socket.socket(socket.AF_UNIX)
    if os.path.lexists(path):
        os.unlink(path)
    owner = pwd.getpwnam(POLICY_USER).pw_uid
    # In a folder of Postfix's own user, who could replace the socket before it is given away.
    theirs = os.stat(os.path.dirname(path)).st_uid == owner
    umask = os.umask(0o177)
    os.seteuid(owner if theirs else 0)
    try:
        listening.bind(path)
    finally:
        os.seteuid(0)
        os.umask(umask)
    if not theirs:
        os.chown(path, owner, -1, follow_symlinks=False)
    listening.listen(_BACKLOG)
    return listening


def _speak_to(log: str) -> None:
    """Standard error goes to a file; nothing else is read or said."""
    nothing = os.open(os.devnull, os.O_RDWR)
    said = log_file.opened(log)
    for old, new in ((nothing, 0), (nothing, 1), (said, 2)):
        os.dup2(old, new)


def _become(user: str) -> None:
    found = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
    os.chdir("/")


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
