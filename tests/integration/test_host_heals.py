"""`watch` makes its state folder anew while the host's own servers run, and stops cleanly."""

from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import HASH, until

STATE = "/var/lib/mailroster"
HEALED = "the state folder is complete again"


@pytest.fixture(scope="module")
def served() -> Iterator[Host]:
    host = Host()
    try:
        done = host.setup("integrate", "--apply")
        assert done.returncode == 0, done.stderr
        host.start()
        host.watch()
        assert host.setup("email", "add", "john@example.com", "secret").returncode == 0
        yield host
        host.stop()
    finally:
        host.close()


def removed(paths: str) -> str:
    """Shell commands that remove folders, each in one step; `rm -rf` removes file by file, and
    what is made anew meanwhile keeps the folder. The folders stay elsewhere, without their files:
    else the file system may give their inodes to the new ones."""
    trash = "/var/lib/trash"
    move = f'mkdir -p {trash}; for path in {paths}; do mv "$path" $(mktemp -d {trash}/XXXXXX); done'
    return f"{move}; find {trash} -mindepth 3 -delete"


@pytest.mark.parametrize(
    ("number", "lose"),
    [
        pytest.param(1, removed(f"{STATE}/*"), id="all of it"),
        pytest.param(2, removed(f"{STATE}/tables {STATE}/sql"), id="the tables"),
        pytest.param(3, removed(f"{STATE}/served {STATE}/sieve"), id="copies and scripts"),
        pytest.param(4, "rm /var/spool/postfix/private/mailroster-policy", id="the socket"),
        pytest.param(5, f"rm {STATE}/locks/*.pid", id="the pid files"),
        pytest.param(6, f"mount -t tmpfs -o mode=755 x {STATE}", id="something is mounted over it"),
        pytest.param(7, f"umount -l {STATE}", id="the mount goes"),
        pytest.param(8, f"mv {STATE} /var/lib/away; mkdir -m 755 {STATE}", id="it was moved"),
    ],
)
def test_what_watch_has_lost_is_made_anew(served: Host, number: int, lose: str) -> None:
    before = len(served.log.read_text())
    assert served.inside("sh", "-c", lose).returncode == 0
    until(lambda: HEALED in served.log.read_text()[before:], 60)
    works(served, number)


def test_an_rm_again_and_again_beside_the_repair_does_no_harm(served: Host) -> None:
    """It may fail, where files are made anew meanwhile, and then no folder is lost."""
    folders = f"{STATE}/tables {STATE}/sql {STATE}/served {STATE}/sieve"
    served.inside("sh", "-c", f"for n in 1 2 3 4 5; do rm -rf {folders}; done")
    works(served, 9)


def works(served: Host, number: int) -> None:
    """Asserts that logins, edits by commands and by hand, and mail work."""
    until(lambda: served.setup("status").returncode == 0, 60)
    until(lambda: served.can_log_in("john@example.com"))
    assert served.setup("email", "add", f"c{number}@example.com", "secret").returncode == 0
    until(lambda: served.can_log_in(f"c{number}@example.com"))
    served.run(
        "sh", "-c", f"echo 'h{number}@example.com|{HASH}' >>/etc/mailroster/postfix-accounts.cf"
    )
    until(lambda: served.can_log_in(f"h{number}@example.com"))
    assert "250 " in served.send(f"h{number}@example.com")


def test_it_stops_although_everything_is_lost(served: Host) -> None:
    pid = served.read(f"{STATE}/locks/up.pid").strip()
    served.run("sh", "-c", f"rm -rf {STATE}/*; kill -TERM {pid}")
    assert served._watch is not None
    assert served._watch.wait(60) == 0
    served._watch = None
    left = served.inside("pgrep", "-f", "mailroster[.]policy|[m]ailroster watch").stdout
    assert left == ""
