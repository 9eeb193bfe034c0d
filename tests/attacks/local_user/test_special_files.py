"""A file that is named is a regular file of a sensible size, or it is refused at once by its name:
no device, FIFO, socket or folder makes a command wait or fill the memory."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

#: The kinds of files, and how each is made.
KINDS: dict[str, Callable[[Path], object]] = {
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "random": lambda path: path.symlink_to("/dev/urandom"),
    "fifo": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "folder": Path.mkdir,
    "sparse": lambda path: path.open("wb").truncate(1 << 42),
    "loop": lambda path: path.symlink_to(path),
}
#: What is named, and by which command. `{}` is the file.
ENVIRONMENTS = {
    "POSTMASTER_ADDRESS__FILE": ("email", "list"),
    "LOG_LEVEL__FILE": ("check",),
    "OVERRIDE_HOSTNAME__FILE": ("email", "list"),
    "PASSWORD_REFUSED": ("email", "add", "--generate", "new@x.com"),
}
#: With it nothing can be read to its end by accident: 1 GiB.
_LIMIT = ["prlimit", "--as=1500000000", "--cpu=30"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/postfix-accounts.cf").write_text("john@x.com|{PLAIN}x\n")
    return tmp_path


def run(
    home: Path, *words: str, stdin: str = os.devnull, **environment: str
) -> subprocess.CompletedProcess[str]:
    argv = [*_LIMIT, sys.executable, "-m", "mailroster", "--home", str(home), *words]
    with open(stdin, "rb") as file:
        return subprocess.run(
            argv, stdin=file, capture_output=True, text=True, timeout=60,
            env={**os.environ, **environment},
        )  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_such_file_is_imported(home: Path, kind: str, format: str) -> None:
    path = home / "file"
    KINDS[kind](path)
    done = run(home, "import", "--format", format, str(path))
    assert done.returncode == 1, done
    assert done.stderr.startswith(f"setup: {path}: ")
    assert done.stderr.count("\n") == 1
    assert (home / "config/postfix-accounts.cf").read_text() == "john@x.com|{PLAIN}x\n"


@pytest.mark.parametrize("variable", ENVIRONMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_such_file_holds_a_setting_or_a_list(home: Path, kind: str, variable: str) -> None:
    path = home / "file"
    KINDS[kind](path)
    words = ENVIRONMENTS[variable]
    done = run(home, *words, **{variable: str(path)})
    assert done.returncode in (1, 2), done
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_such_file_is_a_file_of_the_folder(home: Path, kind: str) -> None:
    for name in ("mailroster.toml", "postfix-accounts.cf", "postfix-main.cf", "dovecot-quotas.cf"):
        path = home / "config" / name
        path.unlink(missing_ok=True)
        KINDS[kind](path)
        done = run(home, "check")
        assert done.returncode in (1, 2), (name, done)
        assert name in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if kind == "folder":
            path.rmdir()
        else:
            path.unlink()


@pytest.mark.parametrize(
    "command", ["email add --password-stdin new@x.com", "import --format csv -"]
)
def test_standard_input_without_an_end_is_refused(home: Path, command: str) -> None:
    done = run(home, *command.split(), stdin="/dev/zero")
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert (home / "config/postfix-accounts.cf").read_text() == "john@x.com|{PLAIN}x\n"


def test_a_pipe_is_imported_as_standard_input(home: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "mailroster",
        "--home",
        str(home),
        "import",
        "--format",
        "csv",
        "-",
    ]
    text = "address,password\nnew@x.com,s3cret\n"
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    assert (done.returncode, "new@x.com" in (home / "config/postfix-accounts.cf").read_text()) == (
        0, True,
    )  # fmt: skip
