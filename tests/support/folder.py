"""A config folder in which the tests run commands, in this process."""

import io
import os
import pty
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.base.settings import FOLDERS, SETTINGS
from mailroster.cli import main
from mailroster.system.folder_lock import LOCK_FILE

H = "{SHA512-CRYPT}$6$abc$def"


ACCOUNTS, QUOTAS, VIRTUAL = "postfix-accounts.cf", "dovecot-quotas.cf", "postfix-virtual.cf"


SEND, MASTERS = "postfix-send-access.cf", "dovecot-masters.cf"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Folder:
    """A home, and `setup` on it."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.capsys = home, capsys
        self.config, self.mail = home / "config", home / "mail-data"
        self.config.mkdir()

    def setup(self, *argv: str) -> Ran:
        code = main(["--home", str(self.home), *argv])
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)

    def write(self, file: str, text: str | bytes) -> None:
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        (self.config / file).write_bytes(content)

    def read(self, file: str) -> str:
        path = self.config / file
        return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""

    def state(self) -> dict[str, bytes]:
        files = (path for path in self.config.iterdir() if path.name != LOCK_FILE)
        return {path.name: path.read_bytes() for path in files}

    def keys(self, file: str) -> list[str]:
        """What stands before the separator of each line."""
        lines = self.read(file).splitlines()
        return [line.replace("|", " ").replace(":", " ").split()[0] for line in lines]


@pytest.fixture
def folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Folder:
    for setting in (*FOLDERS, *SETTINGS):
        monkeypatch.delenv(setting.variable or "-", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return Folder(tmp_path, capsys)


def given(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def on_a_terminal(argv: Sequence[str], *answers: bytes) -> Ran:
    """Runs a command on a terminal of its own; each answer is given to one question."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], list(argv))
    said = b""
    waiting = list(answers)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            said += os.read(fd, 1000)
        except OSError:  # the other end is closed
            break
        if waiting and said.endswith((b": ", b"] ")):
            os.write(fd, waiting.pop(0) + b"\n")
            said += b"\n"
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return Ran(os.waitstatus_to_exitcode(status), said.decode(), "")
