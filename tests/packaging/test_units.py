"""The units of systemd: read by systemd itself, and `watch` in the sandbox of its unit."""

import configparser
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.daemons.supervisor import STOP_S
from mailroster.system.processes import KILLED_S
from tests.support.host import Host, propagation
from tests.support.instance import until
from tests.support.pki import Authority
from tests.support.project import ROOT
from tests.support.spam import REFUSED, TESTABLE

UNITS = ROOT / "packaging/systemd"
NAMES = ("mailroster-watch", "mailroster")
_PROGRAM = "/usr/bin/mailroster"
#: Mounts of the host that a unit may not write, unless it says so (ProtectSystem=strict).
_CLOSED = ("/etc", "/var/lib", "/var/log", "/run", "/var/mail", "/var/spool/postfix")
#: Of a host with all options.
_SETTINGS = """\
enable_srs = true
block_guessing = true
never_blocked = "none"
enable_rspamd = true
tls_type = "letsencrypt"
tls_domain = "host.example.test"
"""
_LETS_ENCRYPT = "/etc/letsencrypt/live/host.example.test"


def service(name: str) -> dict[str, str]:
    """The section [Service] of a unit, each of whose settings stands once."""
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNITS / f"{name}.service")
    return dict(unit["Service"])


@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_no_complaint(name: str, tmp_path: Path) -> None:
    """About a copy whose program is there, which it wants to see."""
    text = (UNITS / f"{name}.service").read_text()
    assert f"ExecStart={_PROGRAM} " in text
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace(_PROGRAM, sys.executable))
    argv = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "tenths"), [("mailroster-watch", 35), ("mailroster", 40)], ids=NAMES
)
def test_it_is_as_closed_as_the_docs_say(name: str, tenths: int) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={tenths}"]
    done = subprocess.run([*argv, str(UNITS / f"{name}.service")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_outlives_a_stop_of_the_servers_unit() -> None:
    """`mixed`: SIGTERM to `up` alone, then SIGKILL to all that is left of it (systemd.kill(5))."""
    unit = service("mailroster")
    assert unit["KillMode"] == "mixed"
    assert unit["OOMPolicy"] == "continue"
    # Each may have to be killed: the servers, the policy service, a signer for each type of key,
    # Rspamd, and postsrsd, which only `up` runs.
    assert int(unit["TimeoutStopSec"]) >= 7 * (STOP_S + KILLED_S)
    watch = service("mailroster-watch")
    assert int(watch["TimeoutStopSec"]) >= 4 * (STOP_S + KILLED_S)
    assert "KillMode" not in watch, "by default, all are asked and killed"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()
    try:
        yield found
    finally:
        found.close()


def _renew(host: Host, authority: Authority) -> str:
    """Writes another certificate where certbot has them; the certificate."""
    issued = authority.issue("host.example.test")
    for name, text in (("fullchain", issued.chain), ("privkey", issued.key)):
        host.write(f"{_LETS_ENCRYPT}/{name}.pem", text)
        host.run("chmod", "600", f"{_LETS_ENCRYPT}/{name}.pem")
    return issued.certificate.strip()


def _shown(host: Host) -> str:
    argv = ["openssl", "s_client", "-connect", "127.0.0.1:993"]
    return host.inside(*argv).stdout


def _is_signed(host: Host) -> None:
    """Asserts that a submission is signed, with a key that is made now."""
    assert host.setup("config", "dkim").returncode == 0
    assert host.setup("integrate", "--apply", "--reload").returncode == 0
    # A submission is refused for now until the signer runs.
    login = ("--auth-user", "jane@example.com", "--auth-password", "secret")
    options = ("--from", "jane@example.com", "--port", "587", "-tls", "--auth", "PLAIN", *login)
    until(
        lambda: "queued as" in host.send("friend@elsewhere.example", *options),
        evidence=host.log.read_text,
    )
    queue = 'postqueue -j | sed \'s/.*"queue_id": "\\([^"]*\\)".*/\\1/\' | xargs -n 1 postcat -qh'
    until(lambda: "DKIM-Signature:" in host.run("sh", "-c", queue), evidence=host.evidence)


def test_watch_works_with_the_rights_and_the_folders_of_its_unit(
    host: Host, authority: Authority
) -> None:
    """Also what it does for signatures, certificates and the spam filter."""
    said = service("mailroster-watch")
    given = {
        "ConfigurationDirectory": "/etc",
        "StateDirectory": "/var/lib",
        "LogsDirectory": "/var/log",
    }
    host.run_setup("email", "add", "john@example.com", "secret")
    writable = said["ReadWritePaths"].split()
    writable += [f"{parent}/{said[name]}" for name, parent in given.items()]
    host.run("mkdir", "-p", "/var/spool/postfix/private", *writable)
    host.run("chown", "postfix", "/var/spool/postfix/private")
    # Clients of mynetworks pass no spam filter.
    host.run("postconf", "-e", "defer_transports = smtp", "mynetworks = 127.0.0.2/32")
    host.run("mkdir", "-p", "/etc/mailroster/rspamd/override.d", _LETS_ENCRYPT)
    host.write("/etc/mailroster/rspamd/override.d/options.inc", TESTABLE)
    host.write("/etc/mailroster/mailroster.toml", _SETTINGS)
    _renew(host, authority)
    drops = said["CapabilityBoundingSet"].lower().replace("cap_", "+").replace(" ", ",")
    command = said["ExecStart"].replace(_PROGRAM, f"{sys.executable} -m mailroster")
    script = [
        *(f"mount --bind {path} {path}" for path in writable),
        "mount -o bind /proc /proc",
        *(f"mount -o remount,bind,ro {path}" for path in _CLOSED if path not in writable),
        f"exec setpriv --no-new-privs --bounding-set=-all,{drops} --inh-caps=-all {command}",
    ]
    assert said.get("PrivateNetwork", "no") == "no", "Dovecot and Postfix connect to it"
    argv = ["unshare", "--mount", *propagation(), "sh", "-euc", "\n".join(script)]
    host.watch_by(argv)
    host.start()
    try:
        assert host.setup("integrate", "--apply", "--reload").returncode == 0
        done = host.setup("email", "add", "jane@example.com", "secret")
        assert (done.returncode, done.stderr) == (0, "")
        until(lambda: host.can_log_in("jane@example.com"))
        host.write("/etc/mailroster/postfix-virtual.cf", "info@example.com jane@example.com\n")
        until(lambda: "250 2.1.5" in host.send("info@example.com", "--quit-after", "RCPT"))
        _is_signed(host)
        certificate = _renew(host, authority)
        until(lambda: certificate in _shown(host), evidence=host.log.read_text)
        until(lambda: "Rspamd filters" in host.log.read_text(), 180, host.log.read_text)
        assert "554 5.7.1" in host.send("jane@example.com", "--body", REFUSED)
        for number in range(5):
            assert not host.can_log_in("jane@example.com", f"wrong {number}")
        until(lambda: "127.0.0.1" in host.run_setup("block", "list"))
        for name in ("postsrsd", "opendkim-rsa"):
            assert host.read(f"/var/lib/mailroster/locks/{name}.pid").strip() != ""
        status = host.setup("status")
        assert status.returncode == 0, status.stdout
        log = host.log.read_text()
        assert "not in step" not in log and "rror" not in log, (shlex.join(argv), log)
        assert host.stop_watch() == 0
    finally:
        host.stop()


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_starts_when_the_clock_is_set(name: str) -> None:
    """End dates stand on it (mailroster.system.clock)."""
    text = (UNITS / f"{name}.service").read_text()
    (after,) = [line for line in text.splitlines() if line.startswith("After=")]
    assert "time-sync.target" in after.split()
