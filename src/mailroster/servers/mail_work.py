"""What is done in the mail folder, by the mail's user: mailboxes are made, renamed and deleted, and
what they hold is read.

`mail_user` runs these functions, each by its name, with the descriptor of the mail folder. A
mailbox is given as `DOMAIN/USER`. No link is followed: the owner of the mail could make it lead
anywhere.

The mail of an account is deleted in these steps, so that a crash leaves nothing that an account of
the same address could find:

1. `announce` makes the file `.deleting:USER` in the folder of the domain. Then the account goes.
2. `set_aside` renames the mailbox to `.deleted:USER:…`. Mail that arrives finds no mailbox.
3. `purge` deletes what was set aside.
4. `withdraw` removes `.deleting:USER`.

No address has a colon or begins with a dot, so that none of these names is a mailbox.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from mailroster.base.findings import Refused
from mailroster.servers.config.dovecot.common import ESCAPE
from mailroster.servers.maildir_usage import usage
from mailroster.system import beneath

#: A lock of the list of a mailbox's messages; in it stands who has it, PID:HOST.
UIDLIST_LOCK = "dovecot-uidlist.lock"
#: Begins the name of a mailbox that is being deleted, and of the file that announces it.
DELETED, DELETING = ".deleted:", ".deleting:"
#: The folders of the messages themselves (maildir(5)).
_MESSAGES = {"cur", "new", "tmp"}
#: Folders below the mail folder that may hold a lock: DOMAIN/USER/FOLDER, and of other formats.
_LOCK_DEPTH = 12
_MAILBOX_MODE = 0o700
#: Mailboxes below the mail folder: DOMAIN/USER.
_MAILBOX_DEPTH = 2
#: Which folders a user has subscribed to, in a Maildir.
_SUBSCRIPTIONS, _SUBSCRIPTIONS_MAX_BYTES = "subscriptions", 1 << 24
#: `~` as Dovecot escapes it at the start of a name (instance.dovecot_common.ESCAPE).
_TILDE = f"{ESCAPE}7e"
#: How often a tree is deleted that somebody writes to, and the pause in between.
_TRIES, _STEP_S = 200, 0.01
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

#: Called again and again while something takes long. May raise to end it.
Alive = Callable[[], object]


def _parts(mailbox: str) -> tuple[str, str]:
    """Domain and user. Raises Refused for what is not two names."""
    domain, slash, user = mailbox.partition("/")
    if not slash or "/" in user or {domain, user} & {"", ".", ".."}:
        raise Refused(f"{mailbox!r} leads out of the mail folder; its mail is not touched")
    return domain, user


@contextmanager
def _domain(root: int, domain: str) -> Iterator[int]:
    """The open folder of a domain. Raises Refused for a link, FileNotFoundError for none."""
    if "/" in domain or domain in ("", ".", ".."):
        raise Refused(f"{domain!r} leads out of the mail folder; its mail is not touched")
    try:
        fd = beneath.open_folder(domain, root)
    except NotADirectoryError:
        message = f"{domain} is a link or a file, which leads out of the mail folder"
        raise Refused(f"{message}; its mail is not touched") from None
    try:
        yield fd
    finally:
        os.close(fd)


def _each(root: int, mailboxes: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The open folder of the domain of each mailbox, where there is one, and the user."""
    for mailbox in mailboxes:
        domain, user = _parts(mailbox)
        try:
            with _domain(root, domain) as fd:
                yield fd, user
        except FileNotFoundError:
            continue


# -- deletion


def announce(root: int, words: Sequence[str], alive: Alive) -> str:
    """Notes that mailboxes are about to be deleted: MAKE MAILBOX…. Raises Refused for one that is a
    link, or that another user owns; OSError where it can't be noted. Then nothing may be deleted.

    `MAKE` "yes": the folder of the domain is made, as mail may arrive before the account is gone.
    """
    make, *mailboxes = words
    for mailbox in mailboxes:
        _prove_deletable(root, mailbox)
        if make == "yes":
            _make_folder(_parts(mailbox)[0], root, os.fstat(root).st_mode)
    for fd, user in _each(root, mailboxes):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(FileExistsError):  # whatever it is: the name alone counts
            os.close(os.open(DELETING + user, flags, 0o600, dir_fd=fd))
        _sync(fd)
    return ""


def _prove_deletable(root: int, mailbox: str) -> None:
    for fd, user in _each(root, [mailbox]):
        try:
            status = os.stat(user, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            message = f"{mailbox} is a link, which leads out of the mail folder"
            raise Refused(f"{message}; its mail is not touched")
        mine = status.st_uid == os.geteuid()
        if not mine and not os.access(user, os.W_OK, dir_fd=fd, effective_ids=True):
            message = (
                f"{mailbox} belongs to uid {status.st_uid}, and only {os.geteuid()} deletes mail"
            )
            raise Refused(f"{message}; give it to that user: chown -R {os.geteuid()}")


def set_aside(root: int, mailboxes: Sequence[str], alive: Alive) -> str:
    """Renames those mailboxes that are still announced, and there; how many that were."""
    count = 0
    for fd, user in _each(root, mailboxes):
        if not beneath.is_there(DELETING + user, fd):
            continue  # an account has the address again
        try:
            free = f"{DELETED}{user}:{os.urandom(6).hex()}"
            os.rename(user, free, src_dir_fd=fd, dst_dir_fd=fd)
            count += 1
        except FileNotFoundError:
            continue
        _sync(fd)
    return str(count)


def purge(root: int, domains: Sequence[str], alive: Alive) -> str:
    """Deletes everything that was set aside in the folders of some domains."""
    for domain in domains:
        try:
            with _domain(root, domain) as fd:
                for name in [name for name in os.listdir(fd) if name.startswith(DELETED)]:
                    _purge(name, fd, alive)
        except FileNotFoundError:
            continue
    return ""


def _purge(name: str, within: int, alive: Alive) -> None:
    """Deletes one tree. A delivery that began before may still write to it."""
    for _ in range(_TRIES):
        alive()
        beneath.remove_tree(name, within, alive)
        if not beneath.is_there(name, within):
            return
        time.sleep(_STEP_S)
    raise OSError(errno.ENOTEMPTY, "somebody goes on writing to it", name)


def withdraw(root: int, mailboxes: Sequence[str], alive: Alive) -> str:
    """Takes back that mailboxes are about to be deleted, or ends it."""
    for fd, user in _each(root, mailboxes):
        beneath.remove_tree(DELETING + user, fd, alive)
        _sync(fd)
    return ""


def unfinished(root: int, domains: Sequence[str], alive: Alive) -> str:
    """What a crash has left of deletions, in the folders of some domains, or of all if none is
    named: a line `DOMAIN/USER` for each announced mailbox, `/DOMAIN` where something is set aside.
    """
    lines = list[str]()
    for domain in filter(str.isprintable, domains or sorted(os.listdir(root))):
        alive()
        try:
            fd = beneath.open_folder(domain, root)
        except OSError:
            continue  # no domain
        try:
            names = sorted(os.listdir(fd))
        finally:
            os.close(fd)
        found = [name for name in names if name.startswith(DELETING) and name.isprintable()]
        lines += [f"{domain}/{name.removeprefix(DELETING)}" for name in found]
        if any(name.startswith(DELETED) for name in names):
            lines.append(f"/{domain}")
    return "\n".join(lines)


# -- another name


def move(root: int, words: Sequence[str], alive: Alive) -> str:
    """Gives a mailbox another name, to which its old one becomes a link: OLD NEW MAKE STEPS.

    `MAKE` "yes": a mailbox that isn't there is made. `STEPS` "yes": a file system that can't
    exchange two names may do it in steps.
    """
    (old_domain, old_user), (new_domain, new_user) = map(_parts, words[:2])
    makes, may_step = (word == "yes" for word in words[2:])
    if makes:
        _make_folder(old_domain, root, os.fstat(root).st_mode)
    try:
        with _domain(root, old_domain) as old:
            if makes:
                _make_folder(old_user, old, _MAILBOX_MODE)
            if not beneath.is_there(old_user, old):
                return ""
            _prove_folder(old_user, old, words[0])
            _make_folder(new_domain, root, os.fstat(old).st_mode)
            with _domain(root, new_domain) as new:
                os.symlink(_target(words[1]), new_user, dir_fd=new)
                _swap(old_user, old, new_user, new, may_step=may_step)
    except FileNotFoundError:
        if beneath.is_there(old_domain, root):
            raise
    return ""


def move_back(root: int, words: Sequence[str], alive: Alive) -> str:
    """Undoes `move`, as far as it got: OLD NEW STEPS. Safe to repeat."""
    (old_domain, old_user), (new_domain, new_user) = map(_parts, words[:2])
    try:
        with _domain(root, old_domain) as old, _domain(root, new_domain) as new:
            whole = beneath.is_folder(new_user, new)
            if whole and beneath.link_target(old_user, old) == _target(words[1]):
                _swap(new_user, new, old_user, old, may_step=words[2] == "yes")
            elif whole and not beneath.is_there(old_user, old):
                # between the two steps of a file system that can't exchange
                os.rename(new_user, old_user, src_dir_fd=new, dst_dir_fd=old)
            if beneath.link_target(new_user, new) == _target(words[1]):
                beneath.remove(new_user, new)
            _sync(old, new)
    except FileNotFoundError:
        pass  # it was killed before there was a folder for both
    return ""


def drop_link(root: int, words: Sequence[str], alive: Alive) -> str:
    """Takes the old name of a moved mailbox away, if it is the link to the new one: OLD NEW."""
    for fd, user in _each(root, words[:1]):
        if beneath.link_target(user, fd) == _target(words[1]):
            beneath.remove(user, fd)
            _sync(fd)
    return ""


def _swap(one: str, one_in: int, other: str, other_in: int, *, may_step: bool) -> None:
    """Exchanges a folder and a link. Where the file system can't, and nothing is delivered that
    could find one of them missing, in steps."""
    try:
        beneath.exchange(one, one_in, other, other_in)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE or not may_step:
            raise
        target = os.readlink(other, dir_fd=other_in)
        os.unlink(other, dir_fd=other_in)
        os.rename(one, other, src_dir_fd=one_in, dst_dir_fd=other_in)
        os.symlink(target, one, dir_fd=one_in)
    _sync(one_in, other_in)


def _make_folder(name: str, within: int, mode: int) -> None:
    """A folder with just this mode, unless Dovecot, which delivers meanwhile, has made it first."""
    try:
        os.mkdir(name, mode & 0o777, dir_fd=within)
    except FileExistsError:
        return
    _sync(within)


def _prove_folder(name: str, within: int, mailbox: str) -> None:
    if not beneath.is_folder(name, within):
        message = f"{mailbox} is a link or a file, which leads out of the mail folder"
        raise Refused(f"{message}; its mail is not touched")


def _target(mailbox: str) -> str:
    """What a link says that leads to a mailbox: it means the same at any other's name."""
    return f"../{mailbox}"


def _sync(*folders: int) -> None:
    """Makes new names and removals last (fsync(2))."""
    for folder in folders:
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that does this by itself
                raise


# -- locks


def unlock(root: int, words: Sequence[str], alive: Alive) -> str:
    """Removes the locks that a killed Dovecot has left, of which none may run; how many."""
    count = 0
    for fd, names in beneath.walk(root, _LOCK_DEPTH, _MESSAGES):
        alive()
        if UIDLIST_LOCK in names:
            count += beneath.remove(UIDLIST_LOCK, fd)
    return str(count)


# -- names of folders


def escape_tildes(root: int, words: Sequence[str], alive: Alive) -> str:
    """Renames the folders with a `~` at the start of a part of their names (`Lists/~x`) as Dovecot
    looks for them since dots are escaped, and their subscriptions; how many. Safe to repeat."""
    count = 0
    for fd, names in beneath.walk(root, _MAILBOX_DEPTH, with_folders=True):
        alive()
        old = [name for name in names if name[:1] == "." and ".~" in name]
        for name in old:
            new = name.replace(".~", f".{_TILDE}")
            if beneath.is_folder(name, fd) and not beneath.is_there(new, fd):
                os.rename(name, new, src_dir_fd=fd, dst_dir_fd=fd)
                count += 1
        if old and _SUBSCRIPTIONS in names:
            _escape_subscriptions(fd)
    return str(count)


def _escape_subscriptions(folder: int) -> None:
    """The file has a name in each line, its parts with tabs between them, or with dots in the files
    of Dovecot before 2.2.33."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(_SUBSCRIPTIONS, flags, dir_fd=folder)
    with open(fd, "rb") as file:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        before = file.read(_SUBSCRIPTIONS_MAX_BYTES)
    after = re.sub(rb"(?m)(^|[\t.])~", rb"\1" + _TILDE.encode(), before)
    temporary = f"{_SUBSCRIPTIONS}.mailroster"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, mode, dir_fd=folder), "wb") as file:
        file.write(after)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, _SUBSCRIPTIONS, src_dir_fd=folder, dst_dir_fd=folder)


#: Each function by the name by which another process is asked for it.
WORK: dict[str, Callable[[int, Sequence[str], Alive], str]] = {
    function.__name__: function
    for function in (
        announce, set_aside, purge, withdraw, unfinished, move, move_back, drop_link, unlock,
        escape_tildes, usage,
    )
}  # fmt: skip
