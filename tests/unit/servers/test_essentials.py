"""What is missing from a state folder, and which servers have to be restarted for it."""

import socket
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.servers.essentials import DOVECOT, POLICY, POSTFIX, Essentials


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a socket's whole path may be too long
    path = tmp_path / "mail-state"
    for folder in (
        "tables",
        "sql",
        "run/srv.imap-login",
        "spool/private",
        "served",
        "dovecot",
        "locks",
        "postmap",
        "sieve/accounts",
        "postfix",
        "lib/postfix",
        "lib/dovecot",
    ):
        (path / folder).mkdir(parents=True)
    for file in (
        "run/master.pid",
        "locks/policy.pid",
        "locks/up.pid",
        "dovecot/dovecot.conf",
        "origin",
    ):
        (path / file).touch()
    for name in ("run/lmtp", "run/policy", "run/srv.imap-login/4062", "spool/private/smtp"):
        socket.socket(socket.AF_UNIX).bind(f"mail-state/{name}")
    return path


def essentials(state: Path) -> Essentials:
    given = {"home": str(state.parent)}
    settings = load(Sources(given, {}, lambda path: b"", lambda path: False))
    found = Essentials(settings, Layout(str(state)))
    found.record()
    return found


def lost(found: Essentials, *running: str) -> dict[str, tuple[str, ...]]:
    return {Path(each.path).name: each.servers for each in found.lost(lambda name: name in running)}


def test_what_every_start_makes_is_lost_even_if_it_went_before_the_record(state: Path) -> None:
    (state / "tables").rename(state / "away")
    found = essentials(state)
    assert lost(found, *ALL) == {"tables": ()}
    (state / "tables").mkdir()
    assert lost(found, *ALL) == {"tables": ()}, "the servers had the other one"
    found.record()
    assert lost(found, *ALL) == {}


ALL = (DOVECOT, POSTFIX, POLICY)


def test_what_is_there_is_not_lost_and_what_never_was_neither(state: Path) -> None:
    assert lost(essentials(state), *ALL) == {}


def test_a_socket_of_one_process_may_go_with_it(state: Path) -> None:
    found = essentials(state)
    (state / "run/srv.imap-login/4062").unlink()
    assert lost(found, *ALL) == {}


def test_the_sockets_of_a_server_count_while_it_runs(state: Path) -> None:
    found = essentials(state)
    for name in (
        "run/lmtp",
        "run/policy",
        "spool/private/smtp",
        "run/master.pid",
        "locks/policy.pid",
    ):
        (state / name).unlink()
    assert lost(found, *ALL) == {
        "lmtp": (DOVECOT,),
        "master.pid": (DOVECOT,),
        "smtp": (POSTFIX,),
        "policy": (POLICY,),
        "policy.pid": (POLICY,),
    }
    assert lost(found) == {}


def test_a_folder_that_is_another_one_is_lost_and_a_file_is_not(state: Path) -> None:
    found = essentials(state)
    (state / "sql").rename(state / "away")
    (state / "sql").mkdir()
    (state / "origin").rename(state / "old")
    (state / "origin").touch()
    assert lost(found, *ALL) == {"sql": ()}
    found.record()
    assert lost(found, *ALL) == {}


def test_the_policy_service_is_restarted_where_the_folder_of_the_locks_is_another_one(
    state: Path,
) -> None:
    """A pid file that is there by its name may be an old one (an unmounted tmpfs)."""
    found = essentials(state)
    (state / "locks").rename(state / "away")
    (state / "locks").mkdir()
    (state / "locks/policy.pid").touch()
    (state / "away/up.pid").rename(state / "locks/up.pid")
    assert lost(found, *ALL) == {"locks": (POLICY,)}
