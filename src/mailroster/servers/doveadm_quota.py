"""Reads the usage of mailboxes from doveadm."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.system.programs import in_memory, number, run

#: The limits: mailboxes in one call, seconds for a call, failed calls in a row.
_USERS_AT_ONCE, _QUOTAS_TIMEOUT_S, _FAILURES_MAX = 500, 60.0, 10
_FAILURES = ("Error", "Fatal", "Panic")


class Usage(NamedTuple):
    """The size of a mailbox and its limit (0 = unlimited), in bytes, and the used percentage."""

    used: int
    limit: int
    percent: int


def ask_quotas(
    layout: Layout, users: Sequence[str], progress: Callable[[int], object] = lambda done: None
) -> tuple[dict[str, Usage], str]:
    """The usage of the given users' mailboxes by `doveadm quota get`, and why some are missing, in
    doveadm's words ("" if it reports no reason).

    In parts, since doveadm stops at the first user that Dovecot can't look up: that user is left
    out. Not with `-A`: Dovecot 2.4.1 truncates a long list of all users. Raises nothing: a Dovecot
    that fails or hangs leaves the rest unknown.
    """
    usages: dict[str, Usage] = {}
    why, failures, start = "", 0, 0
    while start < len(users) and failures < _FAILURES_MAX:
        part = users[start : start + _USERS_AT_ONCE]
        try:
            code, out, err = _quota_get(layout, part)
        except ServerError as error:
            return usages, why or str(error)
        part_usages = usages_of(out)
        usages.update(part_usages)
        why = why or _reason(code, err)
        last = max((at for at, user in enumerate(part) if user in part_usages), default=-1)
        failures = failures + 1 if code and last < 0 else 0
        start += last + 2 if code else len(part)
        progress(min(start, len(users)))
    return usages, why


def _quota_get(layout: Layout, users: Iterable[str]) -> tuple[int, str, str]:
    """Runs doveadm for the given users. It reads them from a file, as a pipe may still be empty."""
    listed = in_memory("users", "".join(f"{user}\n" for user in users))
    try:
        argv = ["doveadm", "-c", layout.dovecot_conf, "-f", "tab", "quota", "get"]
        path = f"/proc/self/fd/{listed}"
        return run([*argv, "-F", path], pass_fds=[listed], timeout_s=_QUOTAS_TIMEOUT_S)
    finally:
        os.close(listed)


def _reason(code: int, stderr: str) -> str:
    """The first error of a doveadm that failed, for one user or for all; "" for none."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip()]
    errors = (line for line in lines if any(f"{word}: " in line for word in _FAILURES))
    error = next(errors, "")
    if not error and code:
        error = lines[0] if lines else f"exit code {code}"
    return printable(error if error.startswith("doveadm") or not error else f"doveadm: {error}")


def usage(dovecot_conf: str, user: str) -> Usage | None:
    """The usage of one mailbox; None if Dovecot does not know the mailbox or its usage."""
    _, out, _ = run(["doveadm", "-c", dovecot_conf, "-f", "tab", "quota", "get", "-u", user])
    # For a single user doveadm prints no column of users.
    lines = out.split("\n")
    return usages_of("\n".join(f"{user}\t{line}" for line in lines)).get(user)


def usages_of(stdout: str) -> dict[str, Usage]:
    """The output of `doveadm -f tab quota get -F -`, by user."""
    usages = {}
    lines = [line.split("\t") for line in stdout.split("\n")[1:]]
    for user, _, kind, value, limit, percent in (line for line in lines if len(line) == 6):
        used = number(value)
        if kind == "STORAGE" and used is not None:
            usages[user] = Usage(used * 1024, (number(limit) or 0) * 1024, number(percent) or 0)
    return usages
