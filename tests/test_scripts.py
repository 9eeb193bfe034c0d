"""script/: what it says to those who can't run it, and what the demo leaves alone and behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "script"
DEMO = [sys.executable, str(SCRIPT / "demo.py")]


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH on which the user is an ordinary one and no Debian package is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, does in (("id", "echo 1000"), ("dpkg-query", "exit 1"), ("apt-get", "touch $0.ran")):
        program = programs / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


@pytest.mark.parametrize("name", ["prepare", "demo", "test", "test-in", "root", "image"])
def test_a_script_is_read_by_a_posix_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", SCRIPT / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["demo", "test"])
def test_an_ordinary_user_is_told_what_is_missing_and_nothing_is_installed(
    name: str, bare_path: str
) -> None:
    environment = {**os.environ, "PATH": bare_path}
    done = subprocess.run(
        ["sh", SCRIPT / name], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends postfix postfix-lmdb" in done.stderr
    for package in ("dovecot-sqlite", "dovecot-managesieved", "dovecot-f", "swaks", "openssl"):
        assert f" {package}" in done.stderr
    assert "as root" in done.stderr
    assert not Path(bare_path.partition(":")[0], "apt-get.ran").exists()


@pytest.mark.parametrize(("name", "is_said"), [("demo", False), ("test", True)])
def test_only_the_tests_want_what_makes_trees_and_images(
    name: str, is_said: bool, bare_path: str
) -> None:
    environment = {**os.environ, "PATH": bare_path}
    done = subprocess.run(
        ["sh", SCRIPT / name], env=environment, capture_output=True, text=True, timeout=60
    )
    for package in ("mmdebstrap", "podman", "isync", "sieve-connect"):
        assert (f" {package}" in done.stderr) == is_said, package


@pytest.mark.parametrize("words", [[], ["sid"], ["tests/servers"]], ids=["none", "sid", "a path"])
def test_who_names_no_debian_is_told_which_there_are(words: list[str]) -> None:
    done = subprocess.run(["sh", SCRIPT / "test-in", *words], capture_output=True, text=True)
    assert done.returncode == 64
    assert "trixie|bookworm" in done.stderr


def test_nobody_but_root_enters_a_tree(bare_path: str) -> None:
    environment = {**os.environ, "PATH": bare_path}
    done = subprocess.run(
        ["sh", SCRIPT / "test-in", "trixie"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "as root" in done.stderr


def test_the_demo_empties_no_folder_that_is_not_a_demos(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    done = subprocess.run(
        [*DEMO, "--once", "--home", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "is not a demo's" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_the_demo_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    done = subprocess.run(
        [*DEMO, "--once", "--home", tmp_path / "link"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "is not ours" in done.stderr
    assert list((tmp_path / "real").iterdir()) == []


def test_a_demo_that_is_told_to_stop_leaves_no_server_and_no_home() -> None:
    demo = subprocess.Popen([*DEMO, "--once"], stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    home = ""
    for line in demo.stdout:
        if "MAILROSTER_HOME=" in line:
            home = line.rstrip().partition("=")[2]
        if "$ setup email add" in line:
            break
    assert home
    assert f"{home}/" in running()
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=120)
    assert demo.returncode == 128 + signal.SIGTERM
    assert f"{home}/" not in running()
    assert not Path(home).exists()


def running() -> str:
    """The command lines of all processes."""
    done = subprocess.run(
        ["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null"], capture_output=True, text=True
    )
    return done.stdout.replace("\0", " ")
