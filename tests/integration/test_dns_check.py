"""`setup dns --check` as it runs on a machine: the resolver of /etc/resolv.conf, then the domain's
own name servers, all on port 53. In a network of its own, which has only a test server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.host import propagation
from tests.support.perfect_zone import DOMAIN, FACTS, HOST, zone_of
from tests.support.project import ROOT

CODE = """\
import sys
from mailroster.cli import main
from tests.support.loopback import bring_up
from tests.support.name_server import NameServer
bring_up()
with NameServer(open(sys.argv[1]).read(), port=53).running() as server:
    status = main(sys.argv[2:])
sys.stdout.flush()
print(f"asked: {len(server.asked)}", file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = tmp_path / "config"
    keys = config / f"opendkim/keys/{DOMAIN}"
    keys.mkdir(parents=True)
    (config / "postfix-accounts.cf").write_text(f"postmaster@{DOMAIN}|{{PLAIN}}x\n")
    (config / "mailroster.toml").write_text(f'hostname = "{HOST}"\nlayout = "system"\n')
    argv = ["openssl", "genrsa", "-out", str(keys / "mail.private"), "2048"]
    subprocess.run(argv, check=True, capture_output=True)
    return tmp_path


def run_setup(home: Path, zone: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a network where the only name server is a test server with a zone."""
    (home / "zone").write_text(zone)
    (home / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    script = 'mount --bind "$1/resolv.conf" /etc/resolv.conf; shift; exec "$@"'
    code = [sys.executable, "-c", CODE, str(home / "zone"), "--home", str(home), *words]
    argv = ["unshare", "--net", "--mount", *propagation(), "sh", "-euc", script, "sh", str(home)]
    return subprocess.run(
        [*argv, *code], capture_output=True, text=True, cwd=ROOT, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def own_zone(home: Path) -> str:
    """A zone with all that `setup dns --zone` prints, and what is in other zones."""
    printed = run_setup(home, "", "dns", DOMAIN, "--zone", "--address", FACTS.machine.addresses[0])
    assert printed.returncode == 0, printed.stderr
    lines = [line.removeprefix("; in another zone: ") for line in printed.stdout.splitlines()]
    records = [line for line in lines if line and line[0] != ";"]
    names = {line.split()[0] for line in records}
    others = [line for line in zone_of().splitlines() if line.split()[0] not in names]
    return "\n".join([*records, *others, f"{DOMAIN}. SOA ns.{DOMAIN}. a. 1 2 3 4 5",
                      f"{DOMAIN}. NS ns.{DOMAIN}."])  # fmt: skip


def test_the_own_servers_are_asked_by_the_resolver_of_the_machine(home: Path) -> None:
    zone = own_zone(home)
    checked = ("dns", DOMAIN, "--check", "--address", FACTS.machine.addresses[0])
    done = run_setup(home, zone, *checked)
    assert (done.returncode, done.stdout) == (0, f"the records of {DOMAIN} are right\n"), (
        done.stderr
    )
    without = "\n".join(line for line in zone.splitlines() if " MX " not in line)
    done = run_setup(home, without, *checked)
    assert (done.returncode, "[no-mx]" in done.stdout) == (1, True), done.stderr


def test_without_any_answer_nothing_is_reported_about_the_domain(home: Path) -> None:
    done = run_setup(home, "", "dns", DOMAIN, "--check", "--server", "127.0.0.2")
    assert (done.returncode, done.stdout) == (75, "")
    assert "no answer from the name server 127.0.0.2; check the network" in done.stderr
