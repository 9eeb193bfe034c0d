"""The state folder on a tmpfs: what a restart takes away comes from the text files."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.faulty import mount, own_mounts
from tests.support.instance import HASH, Instance, until


@pytest.fixture
def instance() -> Iterator[Instance]:
    with own_mounts():
        made = Instance()
        try:
            made.state.mkdir()
            made.state.chmod(0o755)
            mount("-t", "tmpfs", "-o", "mode=0755", "mr-state", made.state)
            yield made
        finally:
            made.close()


def empty_memory(instance: Instance) -> None:
    """As a restart of the machine does."""
    subprocess.run(["umount", instance.state], check=True)
    mount("-t", "tmpfs", "-o", "mode=0755", "mr-state", instance.state)
    assert list(instance.state.iterdir()) == []


def test_a_state_folder_in_memory_may_be_emptied(instance: Instance) -> None:
    instance.start()
    assert subprocess.run(["mountpoint", "-q", instance.state]).returncode == 0
    instance.setup("email", "add", "a@x.com", "secret")
    instance.setup("quota", "set", "a@x.com", "5G")
    instance.setup("alias", "add", "info@x.com", "a@x.com")
    with instance.file("postfix-accounts.cf").open("a") as accounts:
        accounts.write(f"hand@x.com|{HASH}\nodd@x.com|{HASH}|userdb_mail_debug=no\n")
    instance.file("postfix-regexp.cf").write_text("/^rx[0-9]+@x\\.com$/ hand@x.com\n")
    until(lambda: "in step: yes" in instance.run("status").stdout)
    serves(instance, "before")
    assert instance.stop() == 0
    instance.setup("alias", "add", "later@x.com", "hand@x.com")
    empty_memory(instance)
    instance.start()
    assert "in step: yes" in instance.setup("status")
    serves(instance, "after")
    assert instance.rcpt("later@x.com")[0] == 250
    assert instance.setup("apply", "--verify") == "0 rows changed\n"
    assert "before-a" in instance.subjects("a@x.com")
    instance.setup("email", "del", "-n", "a@x.com")
    assert not instance.can_log_in("a@x.com")


def serves(instance: Instance, subject: str) -> None:
    """Asserts that mail gets to everybody, and each way."""
    for address, user in (
        ("a@x.com", "a@x.com"),
        ("info@x.com", "a@x.com"),
        ("rx7@x.com", "hand@x.com"),
        ("odd@x.com", "odd@x.com"),
    ):
        said = f"{subject}-{address.partition('@')[0]}"
        instance.send(address, subject=said)
        instance.arrives(user, said)
    assert instance.rcpt("nobody@x.com")[0] == 550
