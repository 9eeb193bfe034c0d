"""Whose sessions end: what is made of anvil's list."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import sessions
from mailroster.servers.sessions import pids_of, users_of

DUMP = """\
imap/127.0.0.1/a@x.com\t1234\t1
pop3/::1/a@x.com\t99\t2
imap/127.0.0.1/b@x.com\t77\t1

"""


def test_the_processes_of_some_users_are_found() -> None:
    assert list(pids_of(DUMP, {"a@x.com", "nobody@x.com"})) == [1234, 99]
    assert list(pids_of(DUMP, ())) == []


def test_who_has_a_session_by_the_list_of_a_newer_dovecot() -> None:
    said = (
        "VERSION\tanvil-server\t2\t0\n\n212\ta@x.com\timap\t127.0.0.1\t2f86\t\n"
        "217\tb@x.com\tpop3\t::1\t1247\t\n\n"
    )
    assert users_of(said) == {"a@x.com", "b@x.com"}
    assert users_of("VERSION\tanvil-server\t2\t0\n\n\n") == set()


@pytest.mark.parametrize("pid", ["0", "1", "-1", "²", "", "99999999999", "9" * 5000, "1e3"])
def test_what_is_no_process_of_a_session_is_left_alone(pid: str) -> None:
    """0 would be ourselves, with all that we started."""
    assert list(pids_of(f"imap/::1/a@x.com\t{pid}\t1\n", {"a@x.com"})) == []


def test_a_list_that_names_the_processes_of_others_ends_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dovecot's anvil runs as the user `dovecot`, and who has that user writes the list."""
    monkeypatch.setattr(sessions, "dovecot_pid", lambda _: os.getpid())
    layout = Layout(str(tmp_path))
    Path(layout.run).mkdir()
    Path(layout.dialect).write_text("2.3\n")
    programs = {"sleep": None, "dovecot/imap": -15, "dovecot/auth": None, "imap": None}
    processes = {name: subprocess.Popen([name, "60"], executable="/bin/sleep") for name in programs}
    # Not a child of Dovecot's master: a child of a child of ours.
    program = "(exec -a dovecot/imap sleep 60 >/dev/null 2>&1) & echo $!"
    stranger = int(subprocess.run(["bash", "-c", program], capture_output=True, check=True).stdout)
    lines = [f"imap/::1/a@x.com\t{p.pid}\t1\n" for n, p in processes.items() if n != "imap"]
    lines += [
        f"imap/::1/a@x.com\t{stranger}\t1\n",
        f"imap/::1/b@x.com\t{processes['imap'].pid}\t1\n",
    ]
    try:
        with anvil(Path(layout.run, "anvil"), "".join(lines) + "\n"):
            assert sessions.end_sessions(layout, {"a@x.com"}) == 1
        assert processes["dovecot/imap"].wait(20) == programs["dovecot/imap"]
        assert {n: p.poll() for n, p in processes.items()} == programs
        os.kill(stranger, 0)
    finally:
        os.kill(stranger, signal.SIGKILL)
        for process in processes.values():
            process.kill()
            process.wait()


@contextmanager
def anvil(path: Path, dump: str) -> Iterator[None]:
    """One that answers a client with a list."""

    def answer() -> None:
        client, _ = server.accept()
        with client, client.makefile("rb") as lines:
            for line in lines:
                if line == b"CONNECT-DUMP\n":
                    client.sendall(dump.encode())

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()


def test_without_proc_there_is_nothing_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a chroot: a command must not fail for it."""

    def fail() -> None:
        raise FileNotFoundError("/proc")

    monkeypatch.setattr("mailroster.system.processes.entries", fail)
    layout = Layout(str(tmp_path))
    assert sessions.end_sessions(layout, {"a@x.com"}) == 0
    Path(layout.run).mkdir()
    Path(layout.dialect).write_text("2.3\n")
    with anvil(Path(layout.run, "anvil"), DUMP):
        assert sessions.end_sessions(layout, {"a@x.com"}) == 0
