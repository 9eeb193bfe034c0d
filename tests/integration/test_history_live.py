"""The history beside a running server: edits by hand appear in it, and an undo is live."""

import json
from typing import Any

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, until

ACCOUNTS, VIRTUAL, REGEXP = "postfix-accounts.cf", "postfix-virtual.cf", "postfix-regexp.cf"


@pytest.fixture(scope="module")
def live(server: Instance) -> Instance:
    for user in ("keep", "bob"):
        server.setup("email", "add", f"{user}@x.com", PASSWORD)
    server.setup("alias", "add", "info@x.com", "bob@x.com")
    return server


def newest(live: Instance) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(live.setup("log", "--json", "--patch", "-n", "1"))[0]
    return found


def lines(entry: dict[str, Any], file: str) -> tuple[list[str], list[str]]:
    (found,) = [part for part in entry["files"] if part["file"] == file]
    removed = [line for place in found["places"] for line in place["removed"]]
    return removed, [line for place in found["places"] for line in place["added"]]


def test_what_commands_do_is_noted_once_and_not_by_hand(live: Instance) -> None:
    said = live.setup("log", "-n", "0")
    assert len([line for line in said.splitlines() if line[0] != " "]) == 3
    assert "by hand" not in said
    live.setup("quota", "set", "bob@x.com", "1G", "--no-wait")
    until(lambda: live.run("status").returncode == 0)
    assert newest(live)["command"] == "setup quota set bob@x.com 1G --no-wait"


def test_an_edit_by_hand_is_noted_when_it_goes_live_and_can_be_undone(live: Instance) -> None:
    path = live.file(ACCOUNTS)
    before = path.read_bytes()
    hand = before.replace(b"bob@x.com|", b"bill@x.com|") + f"new@x.com|{HASH}\n".encode()
    path.write_bytes(hand)
    until(lambda: newest(live)["by_hand"] and not live.can_log_in("bob@x.com"))
    until(lambda: live.run("status").returncode == 0)
    entries = json.loads(live.setup("log", "--json", "--patch", "-n", "0"))
    by_hand = [entry for entry in entries if entry["by_hand"]]
    assert {entry["uid"] for entry in by_hand} == {0}
    removed = [line for entry in by_hand for line in lines(entry, ACCOUNTS)[0]]
    added = [line for entry in by_hand for line in lines(entry, ACCOUNTS)[1]]
    assert removed == ["bob@x.com|{SHA512-CRYPT}…"], "once, when it was let go"
    assert sorted(added) == ["bill@x.com|{SHA512-CRYPT}…", "new@x.com|{SHA512-CRYPT}…"]
    assert live.can_log_in("bill@x.com")
    for entry in by_hand:
        live.setup("undo", str(entry["id"]))
    assert path.read_bytes() == before
    assert live.can_log_in("bob@x.com")
    assert not live.can_log_in("bill@x.com")


def test_an_undo_is_live(live: Instance) -> None:
    live.setup("email", "del", "-n", "bob@x.com")
    assert not live.can_log_in("bob@x.com")
    assert live.rcpt("info@x.com")[0] != 250
    live.setup("undo")
    assert live.can_log_in("bob@x.com")
    assert live.rcpt("info@x.com")[0] == 250
    assert newest(live)["command"].startswith("setup undo ")
    live.setup("undo")
    assert not live.can_log_in("bob@x.com")
    live.setup("undo")
    assert live.can_log_in("bob@x.com")


def test_a_pattern_by_hand_is_undone_in_its_order(live: Instance) -> None:
    path = live.file(REGEXP)
    first, second = "/^test1@x\\.com$/ keep@x.com\n", "/^test/ bob@x.com\n"
    path.write_text(first + second)
    until(lambda: newest(live)["by_hand"] and lines(newest(live), REGEXP)[1] != [])
    path.write_text(second)
    until(lambda: lines(newest(live), REGEXP) == ([first.strip()], []))
    live.setup("undo")
    assert path.read_text() == first + second
