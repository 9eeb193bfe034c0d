"""`email list`, `quota list` with a server, as root: `python -m benchmarks.usage [N] [MESSAGES]`.

N accounts, first without mail, then each with a mailbox of so many messages, as Dovecot 2.3 and 2.4
read it. CPU in seconds, and as a multiple of reading as many small files in the same run.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.instance import HASH, Instance
from tests.support.mailboxes import MAIL_USER

from mailroster.servers.mailboxes import MailFolder
from mailroster.servers.maildir_usage import LINES, SIZES

_DOMAINS = 100
#: Fewer arguments than a program may have.
_PART = 5000


def main(accounts: int, messages: int) -> None:
    instance = Instance()
    instance.patience_s = 600
    try:
        boxes = [f"d{n % _DOMAINS}.example/u{n}" for n in range(accounts)]
        addresses = ("@".join(reversed(box.split("/"))) for box in boxes)
        lines = "".join(f"{address}|{HASH}\n" for address in addresses)
        instance.file("postfix-accounts.cf").write_text(lines)
        instance.start(wait_s=600)
        commands(instance, "no mail")
        make(instance.mail, boxes, messages)
        yard = cpu(lambda: read_each(instance.mail, boxes))
        print(f"reading {accounts} small files  {yard:.2f} s")
        commands(instance, f"{messages} messages each", yard)
        folder = MailFolder(str(instance.mail), MAIL_USER)
        for name, method in (("by the file", SIZES), ("by the names", LINES)):
            took = cpu(lambda method=method: read_parts(folder, method, boxes))  # type: ignore[misc]
            print(f"reading alone, {name:14} {took:6.2f} s {took / yard:6.1f} x")
    finally:
        instance.close()


def read_parts(folder: MailFolder, method: str, boxes: Sequence[str]) -> None:
    """As the commands read them, in parts: this process has threads, so that the paths go to
    another program as arguments."""
    for start in range(0, len(boxes), _PART):
        folder.usage(method, boxes[start : start + _PART])


def commands(instance: Instance, what: str, yard: float = 0) -> None:
    for words in (("email", "list"), ("quota", "list")):
        since = time.monotonic()
        took = cpu(lambda words=words: instance.setup(*words))  # type: ignore[misc]
        wall = time.monotonic() - since
        ratio = f"{took / yard:6.1f} x" if yard else ""
        print(f"{' '.join(words)}, {what:20} {took:6.2f} s CPU, {wall:6.2f} s {ratio}")


def make(mail: Path, boxes: Sequence[str], messages: int) -> None:
    """Mailboxes as Dovecot leaves them, all of the mail's user."""
    for box in boxes:
        for part in ("", "new", "cur", "tmp"):
            (mail / box / part).mkdir(parents=True, exist_ok=True)
        (mail / box / "maildirsize").write_text(f"0S\n{3628 * messages} {messages}\n")
        for n in range(messages):
            (mail / box / f"cur/1796032809.M{n}P1.host,S=3628,W=3690:2,S").touch()
    for folder, _, files in os.walk(mail):
        for name in ("", *files):
            os.chown(os.path.join(folder, name), *MAIL_USER)


def read_each(mail: Path, boxes: Sequence[str]) -> None:
    for box in boxes:
        with open(f"{mail}/{box}/maildirsize", "rb") as file:
            file.read()


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU of this process and of those that it waited for."""
    before = _spent()
    work()
    return _spent() - before


def _spent() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["100000", "3"][len(sys.argv) - 1 :])))
