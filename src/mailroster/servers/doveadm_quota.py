"""What doveadm reports of the use of mailboxes."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.system.programs import in_memory, number, run

#: doveadm is asked for so many mailboxes at a time, for so long; so often in a row in vain.
_USERS_AT_ONCE, _QUOTAS_TIMEOUT_S, _FAILURES_MAX = 500, 60.0, 10
_FAILURES = ("Error", "Fatal", "Panic")


class Usage(NamedTuple):
    """What a mailbox holds, and may hold (0 = unlimited), in bytes, and the part used of it."""

    used: int
    limit: int
    percent: int


def ask_quotas(
    layout: Layout, users: Sequence[str], progress: Callable[[int], object] = lambda done: None
) -> tuple[dict[str, Usage], str]:
    """Use and limit of the mailboxes of some users, by `doveadm quota get`; and why some are
    missing, in the words of doveadm, "" if it said none.

    Some users at a time, since doveadm stops at the first whom Dovecot can't look up: that one is
    left out. Not `-A`: Dovecot 2.4.1 cuts a long list of all users short. Raises nothing: a Dovecot
    that fails or hangs leaves the rest unknown.
    """
    found: dict[str, Usage] = {}
    why, failures, start = "", 0, 0
    while start < len(users) and failures < _FAILURES_MAX:
        part = users[start : start + _USERS_AT_ONCE]
        try:
            code, out, err = _quota_get(layout, part)
        except ServerError as error:
            return found, why or str(error)
        its = usages_of(out)
        found.update(its)
        why = why or _reason(code, err)
        last = max((place for place, user in enumerate(part) if user in its), default=-1)
        failures = failures + 1 if code and last < 0 else 0
        start += last + 2 if code else len(part)
        progress(min(start, len(users)))
    return found, why


def _quota_get(layout: Layout, users: Iterable[str]) -> tuple[int, str, str]:
    """What one doveadm says of some users. It reads them from a file: a pipe may still be empty."""
    listed = in_memory("users", "".join(f"{user}\n" for user in users))
    try:
        argv = ["doveadm", "-c", layout.dovecot_conf, "-f", "tab", "quota", "get"]
        path = f"/proc/self/fd/{listed}"
        return run([*argv, "-F", path], pass_fds=[listed], timeout_s=_QUOTAS_TIMEOUT_S)
    finally:
        os.close(listed)


def _reason(code: int, stderr: str) -> str:
    """Why a doveadm failed, for one user or for all: its first error; "" if it did not."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip()]
    errors = (line for line in lines if any(f"{word}: " in line for word in _FAILURES))
    if found := next(errors, ""):
        return printable(found if found.startswith("doveadm") else f"doveadm: {found}")
    return f"doveadm: {printable(lines[0]) if lines else f'exit code {code}'}" if code else ""


def usage(dovecot_conf: str, user: str) -> Usage | None:
    """Use and limit of one mailbox; None if Dovecot does not know it, or not its use."""
    _, out, _ = run(["doveadm", "-c", dovecot_conf, "-f", "tab", "quota", "get", "-u", user])
    # For one user doveadm prints no column of users.
    lines = out.split("\n")
    return usages_of("\n".join(f"{user}\t{line}" for line in lines)).get(user)


def usages_of(stdout: str) -> dict[str, Usage]:
    """What `doveadm -f tab quota get -F -` prints, as user -> use and limit."""
    found = {}
    lines = [line.split("\t") for line in stdout.split("\n")[1:]]
    for user, _, kind, value, limit, percent in (line for line in lines if len(line) == 6):
        used = number(value)
        if kind == "STORAGE" and used is not None:
            found[user] = Usage(used * 1024, (number(limit) or 0) * 1024, number(percent) or 0)
    return found
