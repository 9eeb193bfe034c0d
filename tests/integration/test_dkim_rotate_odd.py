"""Rotations of DKIM keys that go wrong: two at once, lost or damaged files, more keys than two."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dns import Dns
from tests.support.instance import HASH, Instance
from tests.support.signed import publish

DOMAIN, DAY_S = "own.example", 24 * 3600


class Home(Instance):
    """A home whose config folder becomes the source of an overlay, if `overlay` is set."""

    overlay: Path | None = None

    def _program(self) -> list[str]:
        more = ["--overlay", str(self.overlay)] if self.overlay else []
        return [*super()._program(), *more]


@pytest.fixture
def home(dns: Dns) -> Iterator[Home]:
    """A home with a key that is published. Its servers do not run."""
    dns.texts.clear()
    instance = Home(dns_server=dns.place, hostname=f"mail.{DOMAIN}")
    try:
        instance.file("postfix-accounts.cf").write_text(f"alice@{DOMAIN}|{HASH}\n")
        publish(instance, dns)
        yield instance
    finally:
        instance.close()


def keys(home: Home) -> Path:
    return (home.overlay or home.config) / "opendkim/keys" / DOMAIN


def rotation(home: Home, days: float, new: str = "next") -> None:
    """A rotation whose new key signs for so many days."""
    home.setup("dkim", "rotate", DOMAIN, "--selector", new)
    text = (keys(home) / "rotation").read_text()
    since = int(time.time() - days * DAY_S)
    (keys(home) / "rotation").write_text(text.replace("since 0", f"since {since}"))


def signing(home: Home) -> str:
    """The selector that signs, as a start sets it up."""
    shown = home.setup("config", "dkim")
    return shown.split("._domainkey.")[0].split("\n")[-1]


def test_of_several_at_once_one_begins(home: Home) -> None:
    begun = [home.begin("dkim", "rotate", DOMAIN, "--selector", name) for name in "abcdef"]
    assert sorted(each.wait() for each in begun) == [0, 1, 1, 1, 1, 1]
    assert len([*keys(home).glob("*.private")]) == 2


@pytest.mark.parametrize("place", ["rspamd", "source", "spare"])
def test_after_the_end_the_new_key_signs_whatever_else_is_there(home: Home, place: str) -> None:
    """Another copy of the old key, of which an overlay's source stays as it is, and a key that
    precedes the new one in the alphabet and has no record in DNS."""
    old = keys(home) / "mail.private"
    if place == "rspamd":
        home.file("rspamd/dkim").mkdir(parents=True)
        shutil.copy(old, home.file(f"rspamd/dkim/rsa-2048-mail-{DOMAIN}.private.txt"))
    elif place == "source":
        home.overlay = home.home / "overlay"
    else:
        other = Instance()
        other.setup("config", "dkim", "domain", DOMAIN, "selector", "backup")
        shutil.copy(other.file(f"opendkim/keys/{DOMAIN}/backup.private"), keys(home))
        other.close()
    rotation(home, 8)
    assert "is complete" in home.setup("dkim", "rotate", DOMAIN)
    assert signing(home) == "next"
    assert old.exists() is (place == "source")
    assert not [*home.config.rglob("*-mail-*")]
    home.setup("dkim", "rotate", DOMAIN, "--selector", "third")  # the next one begins
    assert signing(home) == "next"


def test_a_rotation_without_any_key_is_refused_with_the_way_out(home: Home) -> None:
    rotation(home, 1)
    for path in keys(home).glob("*.private"):
        path.unlink()
    done = home.run("dkim", "rotate", DOMAIN)
    assert (done.returncode, "restore opendkim/keys" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("kind", ["text", "year 30 million", "folder", "fifo", "link"])
def test_a_file_that_is_no_rotation_is_named_and_stays(home: Home, kind: str) -> None:
    path = keys(home) / "rotation"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.write_text("new next\nold mail\nsince 999999999999999\n" if kind != "text" else "x\n")
    done = home.run("dkim", "rotate", DOMAIN)
    assert done.returncode == 1
    assert f"opendkim/keys/{DOMAIN}/rotation is not a rotation" in done.stderr
    assert os.path.lexists(path)
    assert [each.name for each in keys(home).glob("*.private")] == ["mail.private"]


def test_a_beginning_in_the_future_is_corrected(home: Home) -> None:
    rotation(home, -400)
    home.setup("dkim", "rotate", DOMAIN)
    since = int((keys(home) / "rotation").read_text().split()[-1])
    assert abs(since - time.time()) < 3600


def test_of_two_types_the_named_key_is_replaced_and_rsa_by_default(home: Home) -> None:
    home.setup("config", "dkim", "keytype", "ed25519")
    shown = home.setup("dkim", "rotate", DOMAIN)
    assert "mail signs until" in shown and "k=rsa" in shown
    done = home.run("dkim", "rotate", DOMAIN, "--keytype", "ed25519")
    assert (done.returncode, "of the rsa key" in done.stderr) == (1, True), done.stderr
    (keys(home) / "rotation").unlink()
    shown = home.setup("dkim", "rotate", DOMAIN, "--keytype", "ed25519")
    assert "mail-ed25519 signs until" in shown and "k=ed25519" in shown


def test_a_type_without_a_key_is_refused_with_the_command_that_creates_one(home: Home) -> None:
    done = home.run("dkim", "rotate", DOMAIN, "--keytype", "ed25519")
    assert done.returncode == 1
    assert f"setup config dkim keytype ed25519 domain {DOMAIN}" in done.stderr


@pytest.mark.parametrize("step", ["only the file", "old key gone", "new key without record"])
def test_a_rotation_that_was_killed_goes_on(home: Home, step: str) -> None:
    if step == "old key gone":
        rotation(home, 8)
        (keys(home) / "mail.private").unlink()
        assert "is complete" in home.setup("dkim", "rotate", DOMAIN)
        assert not (keys(home) / "rotation").exists()
        assert signing(home) == "next"
        return
    home.setup("dkim", "rotate", DOMAIN, "--selector", "next")
    (keys(home) / "next.txt").unlink()
    if step == "only the file":
        (keys(home) / "next.private").unlink()
    assert signing(home) == "mail"
    assert "mail signs until" in home.setup("dkim", "rotate", DOMAIN)
    assert (keys(home) / "next.private").exists()
