"""The Debian package, installed, removed and purged by apt in a Debian 12 and a Debian 13."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host import propagation
from tests.support.project import ROOT

PACKAGE = "mailroster"


def done(argv: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable, **more}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=900, env=environment, cwd=ROOT
    )


def built(folder: Path) -> Path:
    made = done(["sh", str(ROOT / "script/build-deb"), str(folder)], SOURCE_DATE_EPOCH="1700000000")
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("deb"))


class Tree:
    """The root file system of a Debian that has what the package depends on, and no network."""

    def __init__(self, suite: str, deb: Path) -> None:
        fields = done(["dpkg-deb", "-f", str(deb), "Depends"]).stdout
        needs = sorted(field.split()[0] for field in fields.split(","))
        made = done(["sh", str(ROOT / "script/debian-rootfs"), suite, *needs])
        assert made.returncode == 0, made.stderr
        self.path = Path(tempfile.mkdtemp(prefix="mr-deb-", dir="/var/tmp"))
        self.path.chmod(0o755)
        subprocess.run(["tar", "-C", self.path, "-xf", made.stdout.strip()], check=True)
        shutil.copy(deb, self.path / "srv/mailroster.deb")

    def run(self, *argv: str) -> str:
        """A program there, as root; it must succeed. What it prints, and says on standard error."""
        script = (
            'tree=$1; shift; "$PYTHON" -m tests.support.loopback; '
            'mount -t proc proc "$tree/proc"; mount --rbind /dev "$tree/dev"; '
            'exec chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root '
            'DEBIAN_FRONTEND=noninteractive "$@"'
        )
        spaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        ran = done([*spaces, *propagation(), "sh", "-euc", script, "sh", str(self.path), *argv])
        assert ran.returncode == 0, (argv, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def files(self) -> set[str]:
        """What stands in the places that a package of ours could have touched."""
        tops = ("etc", "usr/bin", "usr/share", "usr/lib/systemd", "var/lib/mailroster", "var/log")
        found = (path for top in tops for path in (self.path / top).rglob("*"))
        return {str(path.relative_to(self.path)) for path in found if PACKAGE in str(path)}


@pytest.fixture(params=["bookworm", "trixie"])
def tree(request: pytest.FixtureRequest, deb: Path) -> Iterator[Tree]:
    made = Tree(request.param, deb)
    try:
        yield made
    finally:
        shutil.rmtree(made.path)


def test_the_same_source_makes_the_same_package(deb: Path, tmp_path: Path) -> None:
    assert built(tmp_path).read_bytes() == deb.read_bytes()


def test_lintian_finds_nothing(deb: Path) -> None:
    found = done(["lintian", "--fail-on", "error,warning", str(deb)])
    assert (found.returncode, found.stdout) == (0, ""), found.stdout


def test_it_recommends_what_ordinary_mail_needs_and_suggests_the_options(deb: Path) -> None:
    def packages(field: str) -> set[str]:
        names = done(["dpkg-deb", "-f", str(deb), field]).stdout.replace("|", ",")
        return {name.split()[0] for name in names.split(",")}

    assert {"opendkim", "openssl", "python3-dnspython"} <= packages("Recommends")
    assert {"postsrsd", "rspamd", "certbot", "dehydrated", "python3-yaml"} <= packages("Suggests")


def test_it_is_installed_used_removed_and_purged(tree: Tree) -> None:
    before = tree.files()
    tree.run("apt-get", "install", "-qy", "--no-install-recommends", "/srv/mailroster.deb")
    assert tree.run("mailroster", "--version").startswith("mailroster ")
    assert not [path for path in tree.files() if ".wants/" in path], "a unit was enabled"
    assert not (tree.path / "var/lib/mailroster").exists(), "something ran"

    tree.run("setup", "--config", "/srv/config", "email", "add", "a@example.com", "secret")
    assert (tree.path / "srv/config/postfix-accounts.cf").read_text().startswith("a@example.com|")
    tree.run("setup", "email", "add", "--scheme", "ARGON2ID", "john@bücher.example", "secret")
    check = 'echo secret | setup email password-check --password-stdin "$0"'
    tree.run("sh", "-c", check, "john@bücher.example")
    assert tree.run("setup", "check", "--explain", "malformed-login")
    # Only recommended, so not installed in this tree.
    refused = tree.run(
        "sh",
        "-c",
        "! setup --config /srv/config dns example.com --check --hostname mail.example.com 2>&1",
    )
    assert "install Debian's package python3-dnspython" in refused
    zone = tree.run("setup", "dns", "example.com", "--zone", "--hostname", "mail.example.com")
    assert "IN MX" in zone
    said = tree.run("mailroster", "adopt", "/srv/config")
    assert "The pages docs/… are in /usr/share/doc/mailroster\n" in said
    for page in (
        *("guide/migrate.md", "guide/operations.md"),
        *("reference/formats/postfix-virtual.md", "reference/checks/README.md"),
        "reference/dns/README.md",
    ):
        assert (tree.path / "usr/share/doc/mailroster" / page).exists(), page
    said = tree.run("mailroster", "tables")
    assert "are up to date with /etc/mailroster\n" in said
    key = "john@xn--bcher-kva.example"
    assert key in tree.run("postmap", "-q", key, "lmdb:/var/lib/mailroster/tables/mailboxes")
    # What Python needs of ours is there for `watch` and its policy service as well.
    socket = "/var/spool/postfix/private/mailroster-policy"
    waits = f"mailroster watch & until test -S {socket}; do sleep 0.05; kill -0 $!; done"
    tree.run("sh", "-euc", f"{waits}; kill -TERM $!; wait $!")

    tree.run("apt-get", "remove", "-qy", PACKAGE)
    assert not (tree.path / "usr/bin/setup").exists()
    assert not (tree.path / "usr/share/mailroster").exists()
    assert (tree.path / "var/lib/mailroster/tables").is_dir(), "servers may read them"
    mail = tree.path / "var/mail/vhosts/example.com/john/cur/1"
    mail.parent.mkdir(parents=True)
    mail.write_text("Subject: kept\n")
    tree.run("apt-get", "purge", "-qy", PACKAGE)
    assert mail.exists()
    left = {path for path in tree.files() - before if not path.startswith("etc/mailroster")}
    assert left == set()
    assert (tree.path / "etc/mailroster/postfix-accounts.cf").exists()


def test_a_purge_keeps_what_servers_still_need(tree: Tree) -> None:
    tree.run("apt-get", "install", "-qy", "--no-install-recommends", "/srv/mailroster.deb")
    kept = tree.path / "var/lib/mailroster/integration/files"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    said = tree.run("apt-get", "purge", "-qy", PACKAGE)
    assert "integrate --undo" in said and "/var/lib/mailroster stays" in said
    assert kept.exists()
