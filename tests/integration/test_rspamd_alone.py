"""The spam filter in a process of its own (`setup filter`) that shares the state folder with `up`,
as in a second container."""

import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import HASH, Instance, until
from tests.support.spam import REFUSED, incoming, pid

ALICE = "alice@own.example"


@pytest.fixture(scope="module")
def live() -> Iterator[Instance]:
    instance = Instance(enable_rspamd=True, rspamd_process=False)
    try:
        instance.file("postfix-accounts.cf").write_text(f"{ALICE}|{HASH}\n")
        yield instance
    finally:
        instance.close()


def begin(instance: Instance, log: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "mailroster", "--home", str(instance.home), "filter"]
    with log.open("ab") as output:
        return subprocess.Popen(argv, stdout=output, stderr=output)


def is_refused(instance: Instance) -> bool:
    try:
        incoming(instance, ALICE, "refused", REFUSED)
    except smtplib.SMTPDataError:
        return True
    return False


def test_it_filters_for_an_up_that_does_not(live: Instance, tmp_path: Path) -> None:
    """It may start before `up`. While it is stopped, mail is accepted."""
    log = tmp_path / "filter.log"
    process = begin(live, log)
    try:
        until(lambda: "Rspamd filters incoming mail" in log.read_text(), 180, log.read_text)
        old = pid(live)
        live.start()
        until(lambda: is_refused(live), 60)
        assert pid(live) == old
        second = live.run("filter")
        assert (second.returncode, "runs already" in second.stderr) == (1, True)
        assert "rspamd" not in live.run("status").stdout.split("note:")[0]
        live.stop()
        assert pid(live) == old
        live.start()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    until(lambda: not Path(f"/proc/{old}").exists(), 60)
    incoming(live, ALICE, "without a filter", REFUSED)
    live.arrives(ALICE, "without a filter")


def test_it_is_refused_where_up_runs_the_filter(live: Instance) -> None:
    toml = live.file("mailroster.toml")
    text = toml.read_text()
    toml.write_text(text.replace("rspamd_process = false", ""))
    done = live.run("filter")
    toml.write_text(text)
    assert done.returncode == 1
    assert "MAILROSTER_RSPAMD_PROCESS=0" in done.stderr
