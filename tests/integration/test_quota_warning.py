"""Mail to the owner of a mailbox that gets full, and what `quota list` says of it."""

import json
from pathlib import Path

from mailroster.servers.version import version
from tests.support.instance import HASH, Instance, until

SETTINGS = {"mailbox_size_limit": 102_400, "quota_warnings": "80,95"}
TEXT = "Subject: {percent} of {limit} for {address}\nBcc: b@x.com\n\n{used}\n" + 200 * "Tidy up.\n"
#: Dovecot 2.4 counts a line end as two octets, as IMAP shows it; 2.3 counts those of the file.
LINE_END = 1 if version() == "2.4" else 0


def sizes(server: Instance) -> list[int]:
    """Of each message of a@x.com, as the quota counts it."""
    files = (server.mail / "x.com/a").glob("[cn][ue][rw]/*")
    return [len(raw) + LINE_END * raw.count(b"\n") for raw in map(Path.read_bytes, files)]


def test_each_crossing_is_told_once_and_a_nearly_full_mailbox_gets_it(server: Instance) -> None:
    server.file("postfix-accounts.cf").write_text(f"a@x.com|{HASH}\nb@x.com|{HASH}\n")
    server.file("dovecot-quotas.cf").write_text("b@x.com:0\n")
    server.setup("apply")
    server.send("a@x.com", subject="half", size=50_000)
    server.arrives("a@x.com", "half")
    server.send("a@x.com", subject="crosses 80", size=34_000)
    server.arrives("a@x.com", "Your mailbox is 80 % full")
    server.file("quota-warning.txt").write_text(TEXT)
    server.send("a@x.com", subject="below 95", size=3_000)
    server.arrives("a@x.com", "below 95")
    headers = min(size for size in sizes(server) if size > 3_000) - 3_000 // 71 * 71
    room = 102_400 - sum(sizes(server)) - headers - 500
    # What is left holds this message with its headers and line ends, and not the warning of it.
    server.send("a@x.com", subject="crosses 95", size=room * 71 // (71 + LINE_END))
    server.arrives("a@x.com", "95 of 100K for a@x.com")
    server.send("b@x.com", subject="no limit", size=200_000)
    server.arrives("b@x.com", "no limit")
    assert server.subjects("b@x.com") == ["no limit"]
    assert sum(sizes(server)) > 102_400
    told = [text for text in server.subjects("a@x.com") if "a@x.com" in text or "%" in text]
    assert told == ["Your mailbox is 80 % full", "95 of 100K for a@x.com"]


def test_the_list_tells_use_limit_and_default(server: Instance) -> None:
    rows = {row["address"]: row for row in json.loads(server.setup("quota", "list", "--json"))}
    assert rows["a@x.com"]["limit"] == 102_400
    assert rows["a@x.com"]["default"] is True
    assert rows["a@x.com"]["percent"] >= 95
    assert (rows["b@x.com"]["limit"], rows["b@x.com"]["default"]) == (0, False)
    a, b = server.setup("quota", "list").splitlines()
    assert a.startswith("a@x.com ")
    assert "[###################.]" in a or "[####################]" in a
    assert a.endswith("default")
    assert "[" not in b
    by_use = server.setup("quota", "list", "--sort", "use").splitlines()
    assert by_use[0].startswith("b@x.com")
    by_percent = server.setup("quota", "list", "--sort", "percent").splitlines()
    assert by_percent[0].startswith("a@x.com")


def test_the_socket_of_the_warnings_is_closed_to_others(server: Instance) -> None:
    folder = (server.state / "run/warning").stat()
    assert (folder.st_mode & 0o777, folder.st_uid, folder.st_gid) == (0o710, 0, 5000)
    until(lambda: (server.state / "run/warning/quota-warning").exists())
