"""Mail from elsewhere that Rspamd takes for spam, and the processes of a test's Rspamd."""

import os
import signal
import subprocess
from pathlib import Path

from mailroster.base.layout import Layout
from mailroster.servers import running
from tests.support.instance import Clients, Instance, until
from tests.support.processes import children

_GTUBE = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
#: Texts for which Rspamd refuses a message, and marks it as spam (with TESTABLE).
REFUSED, MARKED = f"X{_GTUBE}", f"Y{_GTUBE}"
#: An options.inc with which Rspamd also knows MARKED.
TESTABLE = "enable_test_patterns = true;\n"
#: A text that is long enough to be learned.
WORDS = " ".join(f"cheap{n} watches{n} today{n}" for n in range(40))


def write_overrides(instance: Instance, **files: str) -> None:
    folder = instance.file("rspamd/override.d")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def filters(instance: Instance) -> bool:
    """Whether `up` has reported that Rspamd filters."""
    return "Rspamd filters incoming mail" in instance.log.read_text()


def wait_for_filter(instance: Instance) -> None:
    """Waits for the first start, which compiles rules."""
    until(lambda: filters(instance), 180, instance.log.read_text)


def pid(instance: Instance) -> int:
    """The main process of its Rspamd."""
    found = running.filter_pid(Layout(str(instance.state)))
    assert found is not None
    return found


def pids(instance: Instance) -> list[int]:
    """All processes of its Rspamd; the main process is the first."""
    main = pid(instance)
    return [main, *children(main)]


def stop_all(instance: Instance) -> None:
    """Stops every process, also one that has just begun: the main process begins them."""
    stopped = set[int]()
    while new := [each for each in pids(instance) if each not in stopped]:
        for each in new:
            os.kill(each, signal.SIGSTOP)
        stopped |= {*new}


def incoming(instance: Clients, to: str, subject: str, body: str = "Hello.") -> None:
    """A message from elsewhere; raises as smtplib does."""
    text = (
        f"From: friend@elsewhere.test\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.replace(' ', '-')}@elsewhere.test>\r\n"
        f"Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\n{body}\r\n"
    )
    with instance.smtp() as session:
        session.sendmail("friend@elsewhere.test", [to], text)


def in_folder(instance: Instance, user: str, folder: str) -> list[str]:
    """The subjects in a folder of a mailbox."""
    return instance.subjects(user, folder=folder)


def learned(instance: Instance) -> int:
    """How many messages the running Rspamd has learned."""
    socket = instance.state / "rspamd/control/controller"
    argv = ["rspamc", "-h", str(socket), "stat"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    lines = [line for line in done.stdout.split("\n") if line.startswith("Messages learned: ")]
    return int(lines[0].rpartition(" ")[2]) if lines else -1


def log(instance: Instance) -> Path:
    return instance.home / "mail-logs/rspamd.log"
