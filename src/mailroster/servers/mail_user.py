"""Runs the functions of `mail_work` as the mail's user, in a process without other rights.

The mail's user can write to every folder in the mail folder. If root renamed or deleted mail there,
a link that appears at the right moment could redirect it to a file of root. So root opens the mail
folder, and a child that has dropped root's rights works below it: it can do no more than a
delivery. A caller that is not root does the work itself.

The mail's user can stop or kill such a child. So a child that sends nothing for a while is killed,
and its work is reported as not done.
"""

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mailroster.base.findings import Refused, TryAgain
from mailroster.servers import mail_work
from mailroster.system.programs import is_single_threaded

#: A child sends a sign of life this often; one that is silent for `_SILENT_S` is killed.
_ALIVE_S, _SILENT_S = 0.5, 30.0
#: The limit for any work: files may be created as fast as they are deleted.
_WORK_S = 600.0
_SET_PDEATHSIG = 1  # linux/prctl.h
_FDS_MAX = 1 << 30
#: What a child sends: signs of life, then one of the outcomes, followed by a text.
_ALIVE, _DONE, _REFUSED, _ERROR = b".", b"=done\n", b"=refused\n", b"=error\n"

#: Kills a child and reaps it.
Reap = Callable[[], None]


class MailUser(NamedTuple):
    """The uid and gid of the mail's owner: the settings `vmail_uid` and `vmail_gid`."""

    uid: int
    gid: int


def work(mail: str, user: MailUser, name: str, words: Sequence[str]) -> str:
    """Calls a function of `mail_work` as a user, below a mail folder, and returns its result.

    Raises Refused and OSError as the function does, and TryAgain if the process does not answer.
    """
    root = os.open(mail, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.geteuid() != 0:
            return _in_process(mail, root, name, words)
        if not user.uid or not user.gid:
            raise Refused("the mail can't belong to root: set vmail_uid and vmail_gid")
        start = _fork if is_single_threaded() else _start_program
        return _result(mail, user, _answer(*start(root, user, name, words)))
    finally:
        os.close(root)


def _in_process(mail: str, root: int, name: str, words: Sequence[str]) -> str:
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    umask = os.umask(0)
    try:
        return mail_work.WORK[name](folder, words, _alive(lambda: None))
    except OSError as error:
        raise OSError(error.errno, error.strerror, _path(mail, error)) from error
    finally:
        os.umask(umask)
        os.close(folder)


# -- the child


def _fork(root: int, user: MailUser, name: str, words: Sequence[str]) -> tuple[int, Reap]:
    """Starts a child that does the work; returns the descriptor of its answer, and its Reap."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # An inherited lock would stay locked while the mail's user keeps the child stopped.
            first, second = sorted((root, writer))
            os.closerange(3, first)
            os.closerange(first + 1, second)
            os.closerange(second + 1, _FDS_MAX)
            _serve(root, writer, user, name, words)
        finally:
            os._exit(0)
    os.close(writer)

    def reap() -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    return reader, reap


def _start_program(root: int, user: MailUser, name: str, words: Sequence[str]) -> tuple[int, Reap]:
    """As `_fork`, for a process with threads, which can't be forked safely: starts this module as a
    program. It starts as root, since other users may not be able to read it."""
    import subprocess

    reader, writer = os.pipe()
    argv = [sys.executable, "-P", "-m", __name__]
    argv += [str(number) for number in (root, writer, *user)]
    try:
        process = subprocess.Popen(
            [*argv, name, *words], stdin=subprocess.DEVNULL, pass_fds=(root, writer)
        )
    finally:
        os.close(writer)

    def reap() -> None:
        process.kill()
        process.wait()

    return reader, reap


def _serve(root: int, writer: int, user: MailUser, name: str, words: Sequence[str]) -> None:
    """Drops root's rights, does the work, and sends the answer."""
    import ctypes  # while still root: other users may not be able to read it

    library = ctypes.CDLL(None)
    become(user)
    library.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # the parent has the locks
    os.umask(0)
    try:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        beat = _alive(lambda: os.write(writer, _ALIVE))
        answer = _DONE + os.fsencode(mail_work.WORK[name](folder, words, beat))
    except Refused as refused:
        answer = _REFUSED + os.fsencode(str(refused))
    except OSError as error:
        answer = _ERROR + os.fsencode(f"{error.errno}\n{error.strerror}\n{error.filename or ''}")
    except Exception as error:  # noqa: BLE001 - the caller reports it
        words = f"{type(error).__name__}: {error}".replace("\n", " ")
        answer = _ERROR + os.fsencode(f"{errno.EIO}\n{words}\n")
    while answer:
        answer = answer[os.write(writer, answer) :]


def become(user: MailUser) -> None:
    """Makes this process run as another user, for good."""
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def _alive(send: Callable[[], object]) -> Callable[[], None]:
    """The `Alive` of some work: sends a sign of life now and then, and raises OSError once the work
    has exceeded its time limit."""
    began = last = time.monotonic()

    def alive() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _ALIVE_S:
            last = now
            send()
        if now - began > _WORK_S:
            raise TimeoutError(errno.ETIMEDOUT, "files are created as fast as they are deleted")

    return alive


# -- the parent


def _answer(reader: int, reap: Reap) -> bytes:
    """The answer of a child; empty if it was killed, by others or here because it was silent."""
    answer = bytearray()
    try:
        waiting = select.poll()
        waiting.register(reader, select.POLLIN)
        while waiting.poll(_SILENT_S * 1000):
            part = os.read(reader, 1 << 16)
            if not part:
                break
            answer += part
        else:
            answer.clear()
    finally:
        os.close(reader)
        reap()
    return bytes(answer).lstrip(_ALIVE)


def _result(mail: str, user: MailUser, answer: bytes) -> str:
    kind, _, words = answer.partition(b"\n")
    text = os.fsdecode(words)
    if kind + b"\n" == _DONE:
        return text
    if kind + b"\n" == _REFUSED:
        raise Refused(f"{mail}/{text}" if not text.startswith(("'", "/")) else text)
    if kind + b"\n" == _ERROR:
        number, message, name = text.split("\n", 2)
        if int(number) == errno.EACCES:
            owner = f"{user.uid}:{user.gid}"
            message += f" for the mail's user; give it the mail: chown -R {owner} {mail}"
        raise OSError(int(number), message, os.path.join(mail, name))
    raise TryAgain(f"the work in {mail} was interrupted; repeat the command")


def _path(mail: str, error: OSError) -> str:
    return os.path.join(mail, os.fsdecode(error.filename or ""))


def main(argv: Sequence[str]) -> int:
    """The program: ROOT WRITER UID GID NAME WORD…"""
    root, writer, uid, gid = map(int, argv[:4])
    _serve(root, writer, MailUser(uid, gid), argv[4], argv[5:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
