"""A config folder that Kubernetes mounts read-only, alone and with an overlay before it, both
followed by a running server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import mount, own_mounts
from tests.support.instance import HASH, Instance, until
from tests.support.kubelet import Volume

ACCOUNTS, VIRTUAL = "postfix-accounts.cf", "postfix-virtual.cf"
SIEVE = "bob@x.com.dovecot.sieve"


def accounts(*names: str) -> str:
    return "".join(f"{name}@x.com|{HASH}\n" for name in names)


class Mounted(Instance):
    """Its config folder is a read-only mount of a Secret."""

    def __init__(self) -> None:
        super().__init__()
        toml = (self.config / "mailroster.toml").read_text()
        self.files = {"mailroster.toml": toml, ACCOUNTS: accounts("ann")}
        self.volume = Volume(self.home / "kubelet", self.files, mode=0o400)
        mount("--bind", self.volume.folder, self.config)
        mount("-o", "remount,bind,ro", self.config)

    def put(self, **files: str) -> None:
        """Changes the Secret; the names are those of files, less what follows a dot."""
        names = {"accounts": ACCOUNTS, "virtual": VIRTUAL, "sieve": SIEVE}
        self.files |= {names[name]: text for name, text in files.items()}
        self.volume.put(self.files)

    def lines(self, words: str) -> int:
        """How many lines of the log of `up` hold some words."""
        return sum(words in line for line in self.log.read_text().splitlines())


class Overlaid(Mounted):
    """And has an overlay."""

    @property
    def overlay(self) -> Path:
        return self.home / "overlay"

    def _program(self) -> list[str]:
        return [*super()._program(), "--overlay", str(self.overlay)]

    def states(self) -> dict[str, str]:
        found = json.loads(self.setup("overlay", "list", "--json"))
        return {each["file"]: each["state"] for each in found["files"]}


@pytest.fixture(scope="module")
def mounts() -> Iterator[None]:
    with own_mounts():
        yield


@pytest.fixture(scope="module")
def mounted(mounts: None) -> Iterator[Mounted]:
    instance = Mounted()
    try:
        instance.start()
        yield instance
    finally:
        instance.close()


@pytest.fixture(scope="module")
def overlaid(mounts: None) -> Iterator[Overlaid]:
    instance = Overlaid()
    try:
        instance.start()
        yield instance
    finally:
        instance.close()


def test_a_read_only_folder_is_served_and_followed_and_commands_say_what_to_do(
    mounted: Mounted,
) -> None:
    assert mounted.can_log_in("ann@x.com")
    mounted.put(accounts=accounts("ann", "bob"), sieve="keep;\n")
    until(lambda: mounted.can_log_in("bob@x.com"))
    until(lambda: mounted.setup("sieve", "list") == "* bob@x.com, live\n")
    until(lambda: mounted.run("status").returncode == 0)
    refused = mounted.run("email", "add", "new@x.com", "secret")
    assert refused.returncode == 1
    assert "nothing was changed; the folder is mounted read-only: " in refused.stderr
    assert "name a writable folder with --overlay" in refused.stderr
    assert not mounted.can_log_in("new@x.com", "secret")
    assert "bob@x.com" in mounted.setup("email", "list")
    mounted.put(accounts=accounts("ann"))
    until(lambda: not mounted.can_log_in("bob@x.com"))


def test_what_can_not_be_written_there_is_told_once(mounted: Mounted) -> None:
    ended = f"# mailroster: until 2020-01-01\n{accounts('old')}"
    mounted.put(accounts=accounts("ann") + ended)
    words = "expired entries stay in force"
    until(lambda: mounted.lines(words) == 1)
    for name in ("one", "two"):
        mounted.put(accounts=accounts("ann", name) + ended)
        until(lambda name=name: mounted.can_log_in(f"{name}@x.com"))  # type: ignore[misc]
    assert mounted.can_log_in("old@x.com")
    assert mounted.lines(words) == 1
    assert mounted.lines("manual edits are missing in the history") == 1
    assert list(mounted.config.glob(".mailroster*")) == []


def test_with_an_overlay_a_swap_is_live_and_so_is_a_command(overlaid: Overlaid) -> None:
    assert overlaid.can_log_in("ann@x.com")
    overlaid.put(accounts=accounts("ann", "bob"), virtual="info@x.com bob@x.com\n")
    until(lambda: overlaid.can_log_in("bob@x.com"))
    overlaid.setup("email", "add", "new@x.com", "secret")
    assert overlaid.can_log_in("new@x.com", "secret")
    overlaid.send("info@x.com", subject="through the source's alias")
    overlaid.arrives("bob@x.com", "through the source's alias")
    assert overlaid.states() == {
        ACCOUNTS: "edited", VIRTUAL: "follows", "mailroster.toml": "follows",
    }  # fmt: skip
    until(lambda: overlaid.run("status").returncode == 0)


def test_a_file_that_was_changed_here_stays_and_the_others_follow(overlaid: Overlaid) -> None:
    overlaid.put(accounts=accounts("ann"), virtual="other@x.com ann@x.com\n")
    until(lambda: overlaid.rcpt("other@x.com")[0] == 250)
    until(lambda: overlaid.rcpt("info@x.com")[0] == 550)
    assert overlaid.can_log_in("bob@x.com")
    assert overlaid.can_log_in("new@x.com", "secret")
    until(lambda: overlaid.lines("[changed-in-both]") == 1)
    said = overlaid.run("status")
    assert said.returncode == 1
    assert "waiting: postfix-accounts.cf: warning: changed in the overlay and in" in said.stdout
    checked = overlaid.run("check", "--rule", "changed-in-both")
    assert "postfix-accounts.cf: warning: changed in the overlay" in checked.stdout + checked.stderr


def test_what_is_put_into_the_source_follows_it_again(overlaid: Overlaid) -> None:
    overlaid.setup("overlay", "export", str(overlaid.home / "folded"))
    for path in (overlaid.home / "folded").iterdir():
        overlaid.files[path.name] = path.read_text()
    overlaid.put()
    until(lambda: overlaid.run("status").returncode == 0)
    assert set(overlaid.states().values()) == {"follows"}
    overlaid.put(accounts=overlaid.files[ACCOUNTS] + accounts("later"))
    until(lambda: overlaid.can_log_in("later@x.com"))
    assert overlaid.can_log_in("new@x.com", "secret")


def test_what_is_dropped_is_the_sources_at_once(overlaid: Overlaid) -> None:
    overlaid.setup("email", "del", "-n", "ann@x.com")
    overlaid.setup("email", "add", "mine@x.com", "secret")
    (overlaid.overlay / SIEVE).write_text("discard;\n")
    overlaid.put(sieve="keep;\n")
    overlaid.setup("overlay", "drop", ACCOUNTS, VIRTUAL, SIEVE)
    assert overlaid.can_log_in("ann@x.com")
    assert not overlaid.can_log_in("mine@x.com", "secret")
    assert set(overlaid.states().values()) == {"follows"}
    until(lambda: overlaid.run("status").returncode == 0)


def test_a_source_that_is_gone_takes_nobody_away(overlaid: Overlaid) -> None:
    overlaid.volume.put({"mailroster.toml": overlaid.files["mailroster.toml"]})
    until(lambda: overlaid.lines("has lost this file; the copies of its files stay in use") == 1)
    assert overlaid.can_log_in("ann@x.com")
    assert overlaid.rcpt("other@x.com")[0] == 250
    overlaid.put()
    until(lambda: overlaid.run("status").returncode == 0)
