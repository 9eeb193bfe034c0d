"""Runs the policy service as a daemon of its own: `python -m mailroster.daemons.policy.service
STATE LAYOUT LOGS`.

Like Postfix and Dovecot, it keeps its pid file locked and outlives a killed `up`. It creates its
socket as root, then runs as Postfix's user; no other user can open the socket.
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

#: Signals that are ignored, since they would end the service: it has nothing to reload.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
_BACKLOG = 128
#: Modules that are needed later, when the service may no longer read their files.
_LATE = ("lmdb", "asyncio.subprocess", "subprocess", "tempfile", "traceback", "idna")
#: Parsing this rule loads all that domains need (IDNA, the codec punycode).
_RULE = "/^a@x/ b@b\u00fccher.example\n"


def argv(layout: Layout, logs: str) -> tuple[str, ...]:
    """The program and its arguments."""
    return (sys.executable, "-P", "-m", POLICY_MODULE, layout.state, layout.kind, logs)


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when the service answers; it runs on in the background."""
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
    _redirect_streams(log)
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
    for number in _IGNORED:
        loop.add_signal_handler(number, lambda: None)

    def log_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Logs an error that no task handles, such as a connection without a descriptor."""
        policy.complaints.log(f"{context.get('message')}: {context.get('exception')!r}")

    loop.set_exception_handler(log_error)
    server = await loop.create_unix_server(lambda: Connection(policy.answer), sock=listening)
    await server.serve_forever()


def _listen(path: str) -> socket.socket:
    """A socket for Postfix's user only; replaces the socket of a dead service."""
    listening = socket.socket(socket.AF_UNIX)
    if os.path.lexists(path):
        os.unlink(path)
    owner = pwd.getpwnam(POLICY_USER).pw_uid
    # In a folder of Postfix's user it is created by that user, who could replace it before a chown.
    owns_folder = os.stat(os.path.dirname(path)).st_uid == owner
    umask = os.umask(0o177)
    os.seteuid(owner if owns_folder else 0)
    try:
        listening.bind(path)
    finally:
        os.seteuid(0)
        os.umask(umask)
    if not owns_folder:
        os.chown(path, owner, -1, follow_symlinks=False)
    listening.listen(_BACKLOG)
    return listening


def _redirect_streams(log: str) -> None:
    """Redirects standard error to the log, standard input and output to /dev/null."""
    null, log_fd = os.open(os.devnull, os.O_RDWR), log_file.opened(log)
    for old, new in ((null, 0), (null, 1), (log_fd, 2)):
        os.dup2(old, new)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.chdir("/")


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
