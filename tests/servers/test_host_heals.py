"""`watch` makes its state folder anew while the host's own servers run, and stops cleanly."""

from collections.abc import Iterator

import pytest

from tests.servers.host import Host
from tests.servers.instance import HASH, until

STATE = "/var/lib/mailroster"
HEALED = "what was lost is there again"


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


@pytest.mark.parametrize(
    ("number", "lose"),
    [
        pytest.param(1, f"rm -rf {STATE}/*", id="all of it"),
        pytest.param(2, f"rm -rf {STATE}/tables {STATE}/sql", id="the tables"),
        pytest.param(3, f"rm -rf {STATE}/served {STATE}/sieve", id="copies and scripts"),
        pytest.param(4, "rm /var/spool/postfix/private/mailroster-policy", id="the socket"),
        pytest.param(5, f"rm {STATE}/locks/*.pid", id="the pid files"),
        pytest.param(6, f"mount -t tmpfs -o mode=755 x {STATE}", id="something is mounted over it"),
        pytest.param(7, f"umount -l {STATE}", id="the mount goes"),
        pytest.param(8, f"mv {STATE} /var/lib/away; mkdir -m 755 {STATE}", id="it was moved"),
    ],
)
def test_what_watch_has_lost_is_made_anew(served: Host, number: int, lose: str) -> None:
    before = len(served.log.read_text())
    served.inside("sh", "-c", lose)  # `rm -rf` may fail where we make things anew meanwhile
    until(lambda: HEALED in served.log.read_text()[before:], 60)
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
