"""Whether a default folder is safe: no other user may decide what is in it.

As OpenSSH's StrictModes and git's safe.directory do, every step from `/` down to the folder is
judged: its owner, who else can write to it, and the owner of each symlink on the way.
"""

import os
import stat
from collections.abc import Collection, Mapping
from typing import NamedTuple

from mailroster.base.findings import printable

#: What only root can make, and what the engines of containers do make: Docker; Podman and CRI-O;
#: systemd-nspawn and LXC; Kubernetes, for every pod with a service account.
CONTAINER_MARKS = (
    "/.dockerenv",
    "/run/.containerenv",
    "/run/systemd/container",
    "/run/secrets/kubernetes.io",
    "/var/run/secrets/kubernetes.io",
)
_LINKS_MAX = 40


class Judgement(NamedTuple):
    """What makes a folder unsafe, with a remedy; "" if nothing does. `exists`: it is there."""

    fault: str
    exists: bool


class _Step(NamedTuple):
    """One entry on the way, with the folder that it is in resolved."""

    path: str
    status: os.stat_result


def in_container(marks: Collection[str] = CONTAINER_MARKS) -> bool:
    """Whether this system is a container. A local user of a host can't make it look like one."""
    return any(os.path.lexists(mark) for mark in marks)


def sudo_user(uid: int, environment: Mapping[str, str]) -> tuple[int, ...]:
    """The user who became root by sudo(8), as SUDO_UID says: root works for that user, as git's
    safe.directory sees it too. Empty for a caller who is not root."""
    word = environment.get("SUDO_UID", "")
    return (int(word),) if uid == 0 and word.isascii() and word.isdecimal() else ()


def judge(path: str, uid: int, *, owned: bool = True, also: Collection[int] = ()) -> Judgement:
    """Judges a folder for a user, who is the caller; `also`: other users who may own it.

    `owned=False`: the folder itself may belong to any user, such as the mail folder, which was
    given to the owner of the mail: what counts is that no other user could put it there.

    Where the folder is missing, the lowest one that is there is judged as if it were the folder:
    who can write to it could make the rest.
    """
    try:
        steps, exists = _steps(os.path.abspath(path))
    except OSError as error:
        return Judgement(f"{printable(error.filename or path)}: {error.strerror}", False)
    last = steps[-1]
    for step in steps if owned or not exists else steps[:-1]:
        if fault := _fault(step, uid, also, last=step is last):
            return Judgement(fault, exists)
    return Judgement("", exists)


def _steps(path: str) -> tuple[list[_Step], bool]:
    """Every folder and symlink from `/` to a path, in the order in which the kernel meets them, as
    far as they are there; and whether all are. Raises OSError."""
    steps = [_Step("/", os.stat("/"))]
    at, names, links = "/", [name for name in path.split("/") if name], 0
    while names:
        name = names.pop(0)
        if name == "..":
            at = os.path.dirname(at)
            continue
        entry = os.path.join(at, name)
        try:
            status = os.lstat(entry)
        except (FileNotFoundError, NotADirectoryError):
            return steps, False
        steps.append(_Step(entry, status))
        if not stat.S_ISLNK(status.st_mode):
            at = entry
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(0, "too many symlinks", path)
        target = os.readlink(entry)
        at = "/" if target.startswith("/") else at
        names = [part for part in target.split("/") if part not in ("", ".")] + names
    return steps, True


def _fault(step: _Step, uid: int, also: Collection[int], *, last: bool) -> str:
    """What is wrong with one entry on the way, with a remedy; "" if nothing is."""
    path, status = printable(step.path), step.status
    if status.st_uid not in (0, uid, *also):
        return f"{path} belongs to {_name(status.st_uid)}; chown -h {_name(uid)} {path}"
    if stat.S_ISLNK(status.st_mode):
        return ""
    # What stands in a folder with the sticky bit only its owner can exchange: that is judged next.
    if status.st_mode & stat.S_ISVTX and not last:
        return ""
    mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWOTH:
        return f"every user can write to {path} {mode}; chmod o-w {path}"
    if status.st_mode & stat.S_IWGRP and not _is_private(step):
        return f"a group can write to {path} {mode}; chmod g-w {path}"
    return ""


def _is_private(step: _Step) -> bool:
    """Whether the group of a folder has its owner as the only member, as Debian gives each user
    one (adduser(8), USERGROUPS); an access list gives rights to others too."""
    import grp
    import pwd

    uid, gid = step.status.st_uid, step.status.st_gid
    try:
        if "system.posix_acl_access" in os.listxattr(step.path):
            return False
    except OSError:
        pass  # a file system without access lists
    try:
        owner, members = pwd.getpwuid(uid), grp.getgrgid(gid).gr_mem
    except KeyError:
        return False
    others = [user for user in pwd.getpwall() if user.pw_gid == gid and user.pw_uid != uid]
    return owner.pw_gid == gid and not others and set(members) <= {owner.pw_name}


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
