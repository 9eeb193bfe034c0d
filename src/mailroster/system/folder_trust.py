"""Checks that a default folder is safe: no other user can control its content.

Like OpenSSH's StrictModes and git's safe.directory, this checks each folder and symlink from `/` to
the folder: its owner, and which other users can write to it.
"""

import os
import stat
from collections.abc import Collection, Mapping
from typing import NamedTuple

from mailroster.base.findings import printable

#: Files that container engines create, and that only root can create: Docker; Podman and CRI-O;
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
    """Why a folder is unsafe, and a remedy, or ""; whether the folder exists."""

    fault: str
    exists: bool


class _Step(NamedTuple):
    """A folder or symlink of a path; symlinks in its parent path are resolved."""

    path: str
    status: os.stat_result


def in_container(marks: Collection[str] = CONTAINER_MARKS) -> bool:
    """Whether this system is a container. A local user of a host can't fake that."""
    return any(os.path.lexists(mark) for mark in marks)


def sudo_user(uid: int, environment: Mapping[str, str]) -> tuple[int, ...]:
    """The user who became root by sudo(8), from SUDO_UID: root trusts that user, as in git's
    safe.directory. Empty for a caller who is not root."""
    word = environment.get("SUDO_UID", "")
    return (int(word),) if uid == 0 and word.isascii() and word.isdecimal() else ()


def judge(path: str, uid: int, *, owned: bool = True, also: Collection[int] = ()) -> Judgement:
    """Checks a folder for a user, the caller. `also`: other users who may own it.

    `owned=False`: the folder itself may belong to any user, such as the mail folder, which belongs
    to the owner of the mail: it counts only that no other user could create it.

    If the folder does not exist, its lowest existing parent is checked in its place, since users
    with write access to that could create the folder.
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
    """The existing folders and symlinks from `/` to a path, in the order of the kernel; whether all
    exist. Raises OSError."""
    steps = [_Step("/", os.stat("/"))]
    folder, names, links = "/", [name for name in path.split("/") if name], 0
    while names:
        name = names.pop(0)
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        entry = os.path.join(folder, name)
        try:
            status = os.lstat(entry)
        except (FileNotFoundError, NotADirectoryError):
            return steps, False
        steps.append(_Step(entry, status))
        if not stat.S_ISLNK(status.st_mode):
            folder = entry
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(0, "too many symlinks", path)
        target = os.readlink(entry)
        folder = "/" if target.startswith("/") else folder
        names = [part for part in target.split("/") if part not in ("", ".")] + names
    return steps, True


def _fault(step: _Step, uid: int, also: Collection[int], *, last: bool) -> str:
    """What is wrong with a step, and a remedy; "" if nothing is."""
    path, status = printable(step.path), step.status
    if status.st_uid not in (0, uid, *also):
        return f"{path} belongs to {_name(status.st_uid)}; chown -h {_name(uid)} {path}"
    if stat.S_ISLNK(status.st_mode):
        return ""
    # In a folder with the sticky bit, only its owner can replace the next step, which is checked.
    if status.st_mode & stat.S_ISVTX and not last:
        return ""
    mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWOTH:
        return f"every user can write to {path} {mode}; chmod o-w {path}"
    if status.st_mode & stat.S_IWGRP and not _is_private(step):
        return f"a group can write to {path} {mode}; chmod g-w {path}"
    return ""


def _is_private(step: _Step) -> bool:
    """Whether the owner of a folder is the only member of its group, like Debian's group for each
    user (adduser(8), USERGROUPS), and no access list gives rights to others."""
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
