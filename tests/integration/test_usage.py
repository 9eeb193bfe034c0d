"""What mailboxes hold and may hold, and where they are: every command says what Dovecot says."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailroster.app.comparison.dovecot import place_of, same_place
from mailroster.servers.version import version
from tests.support.instance import HASH, Instance, save, until

SETTINGS = {"mailbox_size_limit": 10_000_000, "quota_warnings": "none"}

#: Accounts by their extra fields, in the words of both Dovecots, alone and together.
ODD = {
    "plain": "",
    "sized": "nologin",
    "mbox": "userdb_mail=mbox:~/mail:INBOX=~/inbox",
    "below": "userdb_mail=maildir:~/Maildir",
    "path": "userdb_mail_path=~/E userdb_mail_driver=maildir",
    "vars": "userdb_mail=maildir:MAIL/own/%d/%n",
    "newvars": "userdb_mail_path=MAIL/new/%{user|domain}/%{user|username}",
    "home": "userdb_home=MAIL/homes/%n",
    "homed": "userdb_home=MAIL/homes/d userdb_mail=maildir:~/m",
    "sdbox": "userdb_mail=sdbox:~/sdbox",
    "split": "userdb_mail=maildir:~/m:CONTROL=~/control:INDEX=~/index:LAYOUT=fs",
    "hashed": "userdb_mail=maildir:~/%4n",
    "homeless": "userdb_mail=maildir:~/M-%n",
    "rule": "userdb_quota_rule=*:storage=3M:messages=20",
    "bytes": "userdb_quota_rule=*:bytes=3000000",
    "plugin": "userdb_plugin/quota_rule=*:storage=6M",
    "trash": "userdb_quota_rule=Trash:storage=+1M",
    "second": "userdb_quota_rule2=*:storage=1M",
    "messages": "userdb_quota_rule=*:messages=50",
    "ignored": "userdb_quota_rule2=Trash:ignore",
    "maybe": "userdb_quota_rule=?:storage=2M",
    "size": "userdb_quota_storage_size=4M",
    "named": "userdb_quota/user/storage_size=5M",
    "both": "userdb_quota_rule=*:storage=1M userdb_quota/user/storage_size=2M",
    "sizes": "userdb_quota_storage_size=4M userdb_quota/user/storage_size=2M",
    "count": "userdb_quota/user/message_count=70",
}
USERS = [f"{name}@x.com" for name in ODD]
#: Of these only Dovecot can tell the limit, and only once there is a mailbox.
BY_DOVECOT = {"maybe@x.com"} if version() == "2.3" else set()


@pytest.fixture(scope="module")
def odd(server: Instance) -> Iterator[Instance]:
    """The server with those accounts, of which each but the plain ones has a quota as well."""
    fields = {name: extra.replace("MAIL", str(server.mail)) for name, extra in ODD.items()}
    lines = [f"{name}@x.com|{HASH}{'|' * bool(its)}{its}\n" for name, its in fields.items()]
    save(server.file("dovecot-quotas.cf"), "".join(f"{u}:8M\n" for u in USERS[1:8]))
    save(server.file("postfix-accounts.cf"), "".join(lines))
    server.setup("apply")
    yield server


def listed(server: Instance, *words: str) -> dict[str, Any]:
    return {row["address"]: row for row in json.loads(server.setup(*words, "--json"))}


def in_mail(server: Instance) -> list[str]:
    return sorted(str(path) for path in server.mail.rglob("*"))


def by_dovecot(server: Instance, user: str) -> dict[str, int]:
    """What doveadm says of a mailbox: in kibibytes, 0 = unlimited, and the percentage."""
    rows = [
        line.split("\t")
        for line in server.doveadm("-f", "tab", "quota", "get", "-u", user).split("\n")
        if "\tSTORAGE\t" in line
    ]
    _, _, used, limit, percent = rows[0]
    return {"used": int(used), "limit": int(limit.replace("-", "0")), "percent": int(percent)}


def of(usage: dict[str, Any]) -> dict[str, int]:
    """The same of what a command says in bytes."""
    return {**usage, "used": usage["used"] // 1024, "limit": -(-usage["limit"] // 1024)}


def agree(server: Instance, *users: str) -> None:
    """Asserts that the lists, `email show` and `explain` say what Dovecot says."""
    quotas, emails = listed(server, "quota", "list"), listed(server, "email", "list")
    for user in users:
        shown = json.loads(server.setup("email", "show", user, "--json"))
        explained = json.loads(server.run("explain", user, "--json").stdout)
        box = next(end["mailbox"] for end in explained["recipients"])
        theirs = by_dovecot(server, user)
        for usage in (emails[user]["quota"], shown["quota"]["use"], box["quota"]):
            assert of(usage) == theirs, user
        row = {name: quotas[user][name] for name in theirs}
        assert of(row) == theirs, user
        assert explained["disagreements"] == [], user
        assert explained["silent"] == [], user


def test_looking_makes_nothing_in_the_mail_folder(odd: Instance) -> None:
    before = in_mail(odd)
    for words in (("email", "list"), ("quota", "list"), ("check",)):
        done = odd.run(*words)
        assert done.returncode == 0, done.stderr
    for user in USERS:
        odd.setup("email", "show", user)
    odd.setup("quota", "set", "--dry-run", "plain@x.com", "1M")
    assert in_mail(odd) == before
    usages = listed(odd, "quota", "list")
    for user in USERS:
        known = user not in BY_DOVECOT
        assert usages[user]["used"] == (0 if known else None), user
        assert (usages[user]["limit"] is not None) == known, user


def test_every_answer_about_a_quota_is_that_of_dovecot(odd: Instance) -> None:
    for user in USERS:
        odd.send(user, size=3000)
    for user in USERS:
        until(lambda user=user: by_messages(odd, user) == 1)  # type: ignore[misc]
    agree(odd, *USERS)


def by_messages(server: Instance, user: str) -> int:
    return int(
        server.doveadm("mailbox", "status", "-u", user, "messages", "INBOX").split("messages=")[-1]
    )


def test_every_answer_about_the_place_of_mail_is_that_of_dovecot(odd: Instance) -> None:
    for user in USERS:
        rows = (line.partition("\t") for line in odd.doveadm("user", user).splitlines()[1:])
        theirs = place_of({name: value for name, _, value in rows})
        shown = json.loads(odd.setup("email", "show", user, "--json"))["mailbox"]
        explained = json.loads(odd.setup("explain", user, "--json"))
        places = {shown["location"], explained["recipients"][0]["mailbox"]["place"]}
        if user == "hashed@x.com":
            assert places == {None}
        else:
            assert len(places) == 1, user
            place = str(*places)
            assert not theirs or same_place(theirs, place), (theirs, place)
            assert shown["exists"], user


def test_the_figures_follow_every_change_of_a_mailbox(odd: Instance) -> None:
    user = "plain@x.com"
    odd.send(user, size=50_000, subject="second")
    odd.arrives(user, "second")
    agree(odd, user)
    with odd.imap(user) as session:
        session.create("Work")
        session.select("INBOX")
        assert session.copy("1:*", "Work")[0] == "OK"
        agree(odd, user)
        session.store("1", "+FLAGS", "\\Deleted")
        session.expunge()
        agree(odd, user)
        session.append("Work", "", "", b"Subject: own\r\n\r\nwith LF\nand CRLF\r\n")
        session.select("Work")
        session.store("1:*", "+FLAGS", "\\Seen \\Flagged")
    agree(odd, user)
    odd.setup("quota", "set", user, "100k")
    agree(odd, user)
    odd.setup("quota", "set", user, "0")
    agree(odd, user)
    with odd.imap(user) as session:
        session.delete("Work")
    agree(odd, user)


def test_mail_that_another_program_has_put_there_counts_as_dovecot_counts_it(
    odd: Instance,
) -> None:
    """Names without a size, as other programs write them, before Dovecot has seen the mailbox."""
    folder = odd.mail / "x.com/sized"
    for name in ("cur/1.a:2,S", "new/2.a", ".Old/cur/3.a:2,", ".Old/new/4.a,S=7,W=9"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Subject: x\n\n" + 100 * b"line\n")
    (folder / ".Old/tmp").mkdir()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 5000, 5000)
    (folder / "maildirsize").unlink(missing_ok=True)
    agree(odd, "sized@x.com")


def test_a_mailbox_that_is_not_there_is_empty_also_after_a_rename(odd: Instance) -> None:
    odd.setup("email", "add", "fresh@x.com", "secret")
    odd.send("fresh@x.com", size=2000, subject="hello")
    odd.arrives("fresh@x.com", "hello", "secret")
    odd.setup("email", "rename", "fresh@x.com", "other@x.com")
    agree(odd, "other@x.com")
    odd.setup("email", "del", "-y", "other@x.com")
    odd.setup("email", "add", "other@x.com", "secret")
    assert listed(odd, "email", "list")["other@x.com"]["quota"]["used"] == 0


def test_what_the_owner_of_the_mail_puts_there_is_not_waited_for(odd: Instance) -> None:
    """A FIFO, a link and a folder in place of what is read; the others are counted all the same."""
    server, users = odd, [f"bad{n}@x.com" for n in range(4)]
    for user in users:
        server.setup("email", "add", user, "secret")
    folders = [server.mail / "x.com" / user.partition("@")[0] for user in users]
    for folder in folders:
        (folder / "cur").mkdir(parents=True)
    if version() == "2.3":
        os.mkfifo(folders[0] / "maildirsize")
        (folders[1] / "maildirsize").symlink_to("/etc/passwd")
        (folders[2] / "maildirsize").mkdir()
    else:
        os.mkfifo(folders[0] / "cur/1.a")
        (folders[1] / "cur/1.a").symlink_to("/etc/passwd")
        (folders[2] / "cur/1.a").mkdir()
    os.mkfifo(folders[3] / "cur/1.b")
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 5000, 5000, follow_symlinks=False)
    done = server.run("quota", "list", "--json")
    assert done.returncode == 0
    usages = {row["address"]: row for row in json.loads(done.stdout)}
    assert [usages[user]["used"] for user in users] == [None] * 4
    assert usages["plain@x.com"]["used"] > 0
    assert done.stderr.count("\n") == 1
    assert "the use of 4 mailboxes is not known" in done.stderr
    assert "* bad0@x.com ( ? / 9.6M ) [?%]" in server.setup("email", "list")
    assert "? / 9.6M" in server.setup("quota", "list")
    for user in users:
        server.setup("email", "del", "-y", user)


def test_where_dovecot_fails_the_accounts_are_listed_all_the_same(
    odd: Instance, tmp_path: Path
) -> None:
    """Of those that only Dovecot can read the use is not known: with one warning, and exit 0."""
    for words in ("echo 'doveadm: Fatal: Unknown command quota' >&2; exit 64", "kill -9 $$"):
        (tmp_path / "doveadm").write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / "doveadm").chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        for command in ("email", "quota"):
            argv = [*odd._program(), command, "list", "--json"]
            done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60)
            assert done.returncode == 0, done.stderr
            rows = {row["address"]: row for row in json.loads(done.stdout)}
            assert set(rows) >= set(USERS)
            usages = {user: row.get("quota", row) for user, row in rows.items()}
            assert usages["mbox@x.com"]["used"] is None
            assert usages["mbox@x.com"]["limit"] == 8 << 20
            assert usages["below@x.com"]["used"] > 0
            assert done.stderr.count("\n") == 1
            assert "is not known" in done.stderr


def test_the_default_is_that_of_the_server_that_runs(odd: Instance) -> None:
    """Not that of this shell's environment, and with somebody's own settings of Dovecot."""
    argv = [*odd._program(), "quota", "list", "--json"]
    environment = {**os.environ, "POSTFIX_MAILBOX_SIZE_LIMIT": "5"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60)
    rows = {row["address"]: row for row in json.loads(done.stdout)}
    assert rows["below@x.com"]["limit"] == 8 << 20
    assert rows["home@x.com"]["limit"] == 8 << 20
    assert rows["homed@x.com"]["limit"] == 10_000_000


def test_a_dovecot_that_does_not_count_leaves_the_use_unknown() -> None:
    """As that of a host before it is integrated: its plugin is not loaded."""
    instance = Instance(**SETTINGS)
    try:
        off = "mail_plugins =\n" if version() == "2.3" else "mail_plugins {\n  quota = no\n}\n"
        instance.file("dovecot.cf").write_text(off)
        save(instance.file("postfix-accounts.cf"), f"a@x.com|{HASH}\nb@x.com|{HASH}\n")
        instance.start()
        box = instance.mail / "x.com/a"
        for folder in (box.parent, box, box / "cur"):
            folder.mkdir(exist_ok=True)
            os.chown(folder, 5000, 5000)
        for command in ("email", "quota"):
            done = instance.run(command, "list")
            assert done.returncode == 0, done.stderr
            assert "? / 9.6M" in done.stdout
            assert done.stderr.count("\n") == 1, done.stderr
            assert "the use of one mailbox is not known" in done.stderr
            assert "quota" in done.stderr.partition("shown as '?'")[2]
    finally:
        instance.close()
