"""script/: what it says to those who can't run it, and what the demo leaves alone and behind."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

SCRIPT = ROOT / "script"
DEMO = [sys.executable, str(SCRIPT / "lib/demo.py")]


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


@pytest.mark.parametrize(
    "name",
    [
        *("bootstrap", "demo", "check", "test", "test-on-debian"),
        *("debian-rootfs", "build-test-image", "build-deb"),
    ],
)
def test_a_script_is_read_by_a_posix_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", SCRIPT / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["demo", "check", "test"])
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


@pytest.mark.parametrize(
    "words", [[], ["sid"], ["tests/integration"]], ids=["none", "sid", "a path"]
)
def test_who_names_no_debian_is_told_which_there_are(words: list[str]) -> None:
    done = subprocess.run(["sh", SCRIPT / "test-on-debian", *words], capture_output=True, text=True)
    assert done.returncode == 64
    assert "trixie|bookworm" in done.stderr


def test_nobody_but_root_enters_a_tree(bare_path: str) -> None:
    environment = {**os.environ, "PATH": bare_path}
    done = subprocess.run(
        ["sh", SCRIPT / "test-on-debian", "trixie"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "as root" in done.stderr


def test_the_demo_empties_no_folder_that_is_not_a_demos(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    done = subprocess.run(
        [*DEMO, "--once", "--home", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "is not the home of a demo" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_the_demo_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    done = subprocess.run(
        [*DEMO, "--once", "--home", tmp_path / "link"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "or is a link" in done.stderr
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


def test_the_whole_demo_passes_and_leaves_nothing() -> None:
    """Each step of it asserts what it shows."""
    demo = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, timeout=300)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    shown = demo.stdout
    for chapter, *steps in (
        ("A signature (DKIM)", "dkimpy) accepts it", "does not accept the message with one word"),
        ("A password for the phone", "it opens IMAP ", "it does not open submission: 535"),
        (
            "Somebody guesses passwords",
            *("log in with the right password either", "still logs in, from another address"),
            *("    * 127.0.0.66", "    unblocked: 127.0.0.66", "works there again"),
        ),
    ):
        text = shown.partition(f"\n{chapter}\n")[2].partition("\n\n")[0]
        places = [text.find(step) for step in steps]
        assert -1 not in places, (chapter, text)
        assert places == sorted(places)
    home = shown.partition("MAILROSTER_HOME=")[2].partition("\n")[0]
    assert f"{home}/" not in running()
    assert not Path(home).exists()


def test_the_demo_answers_the_verifier_with_the_record_that_the_command_printed() -> None:
    spec = importlib.util.spec_from_file_location("demo", SCRIPT / "lib/demo.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    answer = demo.txt_record(
        '# a comment\nmail._domainkey.a.example. IN TXT ( "v=DKIM1; p=ab" "cd" )\n# the same\n'
    )
    assert answer(b"mail._domainkey.a.example.", timeout=5) == b"v=DKIM1; p=abcd"
    assert answer(b"mail._domainkey.b.example.", timeout=5) == b""


def running() -> str:
    """The command lines of all processes."""
    done = subprocess.run(
        ["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null"], capture_output=True, text=True
    )
    return done.stdout.replace("\0", " ")


# -- script/build-deb


@pytest.fixture
def without_python(tmp_path: Path) -> Path:
    """A folder for PATH with what every Debian has, no Python, and an apt-get that notes what it is
    to install and brings Python."""
    programs = tmp_path / "bare"
    programs.mkdir()
    essential = (
        "sh sed dirname mkdir cat date sha256sum mktemp rm install find ln gzip printf du cut "
        "touch xargs md5sum sort tr tail head grep dpkg-deb git expr tar xz chmod uname id basename"
    )
    for name in essential.split():
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    apt = f'echo "$@" >>{tmp_path}/apt; ln -sf {tmp_path}/python3 {programs}/python3'
    scripts = {
        programs / "dpkg-query": "exit 1",
        programs / "apt-get": apt,
        programs / "update-rc.d": ":",
        tmp_path / "python3": f'exec {sys.executable} "$@"',  # this one, which has pip
    }
    for path, command in scripts.items():
        path.write_text(f"#!{programs}/sh\n{command}\n")
        path.chmod(0o755)
    return programs


def deb(programs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    policy = str(programs / "policy-rc.d")
    environment = {
        "PATH": str(programs), "PYTHON": "python3", "HOME": str(out), "POLICY_RC_D": policy,
    }  # fmt: skip
    return subprocess.run(
        [shutil.which("sh") or "sh", SCRIPT / "build-deb", str(out)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_package_is_made_in_a_bare_tree_which_gets_what_that_needs(
    without_python: Path, tmp_path: Path
) -> None:
    made = deb(without_python, tmp_path / "out")
    assert made.returncode == 0, made.stderr
    assert Path(made.stdout.strip()).stat().st_size > 100_000
    assert "installing Debian packages: python3 python3-pip" in made.stderr
    asked = (tmp_path / "apt").read_text().splitlines()[-1]
    assert "--no-install-recommends python3 python3-pip ca-certificates" in asked
    assert "postfix" not in asked


def test_an_ordinary_user_is_told_what_the_package_needs(
    without_python: Path, tmp_path: Path
) -> None:
    (without_python / "id").unlink()
    (without_python / "id").write_text(f"#!{without_python}/sh\necho 1000\n")
    (without_python / "id").chmod(0o755)
    made = deb(without_python, tmp_path / "out")
    assert (made.returncode, made.stdout) == (1, "")
    assert "missing: python3 python3-pip ca-certificates" in made.stderr
    assert "as root" in made.stderr
    assert "Postfix" not in made.stderr
    assert not (tmp_path / "apt").exists()
