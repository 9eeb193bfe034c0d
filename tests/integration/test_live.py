"""A change is live when the command returns, or soon after a save by hand."""

import imaplib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from mailroster.servers.version import version
from tests.support.instance import HASH, PASSWORD, Instance, until

ACCOUNTS = "postfix-accounts.cf"


def write_slowly(path: Path, text: str, pieces: int, pause_s: float) -> None:
    """As an editor that truncates and then takes its time."""
    with path.open("w") as file:
        for start in range(0, len(text), -(-len(text) // pieces)):
            file.write(text[start : start + -(-len(text) // pieces)])
            file.flush()
            time.sleep(pause_s)


def settle(live: Instance, began: float) -> None:
    """Until `up` has looked at the files again, more than the settle time after a moment."""
    until(lambda: time.monotonic() > began + SETTLE_S)
    line, quotas = f"marker@x.com:{next(_markers)}M\n", live.file("dovecot-quotas.cf")
    with quotas.open("a") as file:
        file.write(line)
    copy = live.state / "served/dovecot-quotas.cf"
    until(lambda: line in copy.read_text())


SETTLE_S = 1.2  # the setting settle_seconds is 1
_markers = count(1)


@pytest.fixture(scope="module")
def live(server: Instance) -> Instance:
    for user in ("keep", "bob", "carol"):
        server.setup("email", "add", f"{user}@x.com", PASSWORD)
    return server


def test_the_next_login_and_rcpt_see_a_change_a_hundred_times_in_a_row(live: Instance) -> None:
    with live.smtp() as session:
        for round in range(25):
            user, domain = f"u{round}@d{round}.com", f"d{round}.com"
            live.setup("email", "add", user, "first", "--scheme", "BLF-CRYPT")
            assert live.can_log_in(user, "first"), round
            assert live.rcpt(user)[0] == 250, round
            live.setup("email", "update", user, "second")
            assert live.can_log_in(user, "second"), round
            live.setup("alias", "add", f"alias@{domain}", user)
            assert live.rcpt(f"alias@{domain}")[0] == 250, round
            live.setup("alias", "del", f"alias@{domain}", user)
            assert live.rcpt(f"alias@{domain}")[0] == 550, round
            # In a session that was open all the while, for a domain that it had not asked for.
            session.mail("a@elsewhere.test")
            assert session.rcpt(user)[0] == 250, round
            session.rset()
            if round % 5 == 0:
                assert not live.can_log_in(user, "first"), round
                live.setup("email", "del", "-y", user)
                assert not live.can_log_in(user, "second"), round
                assert live.rcpt(user)[0] == 554, round


def test_an_open_session_sees_every_kind_of_change_in_a_domain_it_knows(live: Instance) -> None:
    with live.smtp() as session:

        def code(address: str) -> int:
            session.rset()
            session.mail("a@elsewhere.test")
            return session.rcpt(address)[0]

        assert code("keep@x.com") == 250
        for round in range(3):  # Postfix hangs up after twenty refusals
            user, alias = f"open{round}@x.com", f"way{round}@x.com"
            live.setup("email", "add", user, "--hash", HASH)
            assert code(user) == 250
            live.setup("alias", "add", alias, user)
            assert code(alias) == 250
            live.setup("email", "restrict", "add", "receive", user)
            assert code(user) == 554
            live.setup("email", "restrict", "del", "receive", user)
            assert code(user) == 250
            live.setup("email", "del", "-n", user)
            assert code(user) == 550
            assert code(alias) == 550


def test_no_server_is_reloaded_or_restarted_by_changes(live: Instance) -> None:
    pids = live.run("status", "--json").stdout
    log = live.home / "mail-logs/mail.log"
    reloads = log.read_text().count("reload")
    live.setup("email", "add", "quiet@quiet.com", PASSWORD)
    live.setup("email", "del", "-y", "quiet@quiet.com")
    assert live.run("status", "--json").stdout.split('"live"')[0] == pids.split('"live"')[0]
    assert log.read_text().count("reload") == reloads


def test_commands_make_their_change_live_without_up(live: Instance) -> None:
    live.kill()
    live.setup("email", "add", "noup@x.com", PASSWORD)
    assert live.can_log_in("noup@x.com")
    live.setup("email", "del", "-y", "noup@x.com")
    assert not live.can_log_in("noup@x.com")
    assert live.rcpt("keep@x.com")[0] == 250
    live.start()


def test_the_open_sessions_of_a_deleted_account_end_and_no_others(live: Instance) -> None:
    live.setup("email", "add", "leaver@x.com", PASSWORD)
    with live.imap("keep@x.com") as stays, live.imap("leaver@x.com") as goes:
        live.setup("email", "del", "-y", "leaver@x.com")
        with pytest.raises(imaplib.IMAP4.abort):
            for _ in range(100):
                goes.noop()
        assert stays.noop()[0] == "OK"


def test_of_many_edits_of_one_alias_at_once_none_is_lost(live: Instance) -> None:
    recipients = [f"friend{n}@elsewhere.test" for n in range(25)]
    live.setup("alias", "add", "all@x.com", "keep@x.com")
    commands = [live.begin("alias", "add", "all@x.com", friend) for friend in recipients]
    assert [command.wait(60) for command in commands] == [0] * 25
    live.send("all@x.com", subject="to all of them")
    live.arrives("keep@x.com", "to all of them")
    until(lambda: {r for taken in live.sink.taken for r in taken.recipients} >= set(recipients))


def by_sed(path: Path, old: str, new: str) -> None:
    subprocess.run(["sed", "-i", f"s|{old}|{new}|", path], check=True)


def by_rename(path: Path, old: str, new: str) -> None:
    """As vim does: the old file moves away, a new one takes its name."""
    text = path.read_text().replace(old, new)
    path.rename(f"{path}~")
    path.write_text(text)
    os.chmod(path, 0o600)
    Path(f"{path}~").unlink()


def by_truncation(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("save", [by_sed, by_rename, by_truncation])
def test_a_hand_edit_is_seen_however_it_is_saved(
    live: Instance, save: Callable[[Path, str, str], None]
) -> None:
    path, name = live.file(ACCOUNTS), f"{save.__name__}@x.com"
    save(path, "carol@x.com", name)
    until(lambda: live.rcpt(name)[0] == 250)
    assert live.can_log_in(name)
    until(lambda: live.rcpt("carol@x.com")[0] == 550)
    save(path, name, "carol@x.com")
    until(lambda: live.rcpt(name)[0] == 550)
    assert live.can_log_in("carol@x.com")


def test_an_append_is_seen(live: Instance) -> None:
    with live.file(ACCOUNTS).open("a") as file:
        file.write(f"appended@x.com|{HASH}\n")
    until(lambda: live.can_log_in("appended@x.com"))


def test_a_rewritten_regexp_file_is_seen_and_a_bad_one_stays_out(live: Instance) -> None:
    path = live.file("postfix-regexp.cf")
    path.write_text(r"/^rx[0-9]+@x\.com$/ keep@x.com" + "\n")
    until(lambda: live.rcpt("rx1@x.com")[0] == 250)
    for bad in (
        "/^rx[0-9+@x\\.com$/ keep@x.com\n",
        "/^rx[0-9]+@x\\.com$/ $2@x.com\n",
        "if /^a/\n/^rx[0-9]+@x\\.com$/ keep@x.com\n",
    ):
        path.write_text(bad)
        until(lambda: "waiting: postfix-regexp.cf:1: error" in live.run("status").stdout)
        until(lambda: "postfix-regexp.cf:1: error" in live.log.read_text())
        assert live.rcpt("rx2@x.com")[0] == 250
    path.unlink()
    until(lambda: live.rcpt("rx1@x.com")[0] == 550)


def test_a_hand_edit_that_makes_a_loop_stays_out_and_the_alias_as_it_was(live: Instance) -> None:
    live.setup("alias", "add", "first@x.com", "second@x.com")
    live.setup("alias", "add", "second@x.com", "keep@x.com")
    path = live.file("postfix-virtual.cf")
    good = path.read_text()
    path.write_text(good.replace("second@x.com keep@x.com", "second@x.com first@x.com"))
    line = 1 + path.read_text().splitlines().index("second@x.com first@x.com")
    told = f"postfix-virtual.cf:{line}: error: 'second@x.com' leads to a loop"
    until(lambda: told in live.log.read_text())
    assert told in live.run("status").stdout
    settle(live, time.monotonic())
    live.send("first@x.com", subject="no loop")
    live.arrives("keep@x.com", "no loop")
    path.write_text(good)
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_an_alias_that_would_loop_through_a_regexp_is_refused(live: Instance) -> None:
    path = live.file("postfix-regexp.cf")
    path.write_text("/^round[0-9]@x\\.com$/ back@x.com\n")
    refused = live.run("alias", "add", "back@x.com", "round1@x.com")
    assert refused.returncode == 1
    assert "loop" in refused.stderr
    assert "back@x.com" not in live.file("postfix-virtual.cf").read_text()
    path.unlink()
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_a_password_of_the_same_size_in_the_same_second_is_in_force(live: Instance) -> None:
    path = live.file(ACCOUNTS)
    text = path.read_text()
    for round in range(5):
        live.setup("email", "update", "bob@x.com", f"secret-{round}")
    new = path.read_text()
    stat = path.stat()
    live.setup("email", "update", "bob@x.com", "other")
    with path.open("r+") as file:  # in place, and as old as before
        file.write(new)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    until(lambda: live.can_log_in("bob@x.com", "secret-4"))
    assert not live.can_log_in("bob@x.com", "other")
    path.write_text(text)


def test_a_file_written_slowly_takes_nobody_away(live: Instance) -> None:
    path = live.file(ACCOUNTS)
    text = path.read_text()
    lost: list[str] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            for user in ("keep@x.com", "bob@x.com", "carol@x.com"):
                if live.rcpt(user)[0] != 250 or not live.can_log_in(user, PASSWORD):
                    lost.append(user)

    live.setup("email", "update", "bob@x.com", PASSWORD)
    text = path.read_text()
    prober = threading.Thread(target=probe)
    prober.start()
    try:
        write_slowly(path, text, pieces=20, pause_s=0.15)
        path.write_text("")
        until(lambda: "has lost all" in live.run("status").stdout)
        path.write_text(text)
        path.unlink()
        settle(live, time.monotonic())
        assert "the file is missing" in live.run("status").stdout
        path.write_text(text)
    finally:
        done.set()
        prober.join()
    assert lost == []
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_all_accounts_gone_stay_until_somebody_says_so(live: Instance) -> None:
    path = live.file(ACCOUNTS)
    text = path.read_text()
    path.write_text("# nobody\n")
    until(lambda: "has lost all" in live.run("status").stdout)
    settle(live, time.monotonic())
    assert live.rcpt("keep@x.com")[0] == 250
    path.write_text(text)
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_what_a_command_deletes_is_no_accident_even_if_it_does_not_wait(live: Instance) -> None:
    users = [f"class{n}@school.com" for n in range(30)]
    with live.file(ACCOUNTS).open("a") as file:
        file.write("".join(f"{user}|{HASH}\n" for user in users))
    until(lambda: live.rcpt(users[-1])[0] == 250)
    live.setup("email", "del", "-n", "--no-wait", *users)
    until(lambda: live.rcpt(users[0])[0] == 554)
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_a_config_folder_removed_and_put_back_is_followed_again(live: Instance) -> None:
    away, before = live.home / "config-away", len(live.log.read_text())
    live.config.rename(away)
    until(lambda: "not in step: " in live.log.read_text()[before:])
    assert live.rcpt("keep@x.com")[0] == 250
    away.rename(live.config)
    live.setup("alias", "add", "back@x.com", "keep@x.com")
    with live.file(ACCOUNTS).open("a") as file:
        file.write(f"returned@x.com|{HASH}\n")
    until(lambda: live.can_log_in("returned@x.com"))


def test_extra_fields_with_and_without_a_column_are_served(live: Instance) -> None:
    with live.file(ACCOUNTS).open("a") as file:
        file.write(f"locked@x.com|{HASH}|nologin\n")
        file.write(f"far@x.com|{HASH}|allow_nets=10.9.8.0/24\n")
        file.write(f"odd@x.com|{HASH}|userdb_mail_max_userip_connections=3\n")
        file.write(f"mbox@x.com|{HASH}|userdb_mail=mbox:~/mail:INBOX=~/inbox\n")
    until(lambda: live.can_log_in("odd@x.com"))
    assert not live.can_log_in("locked@x.com")
    assert not live.can_log_in("far@x.com")
    assert "mail_max_userip_connections\t3" in live.doveadm("user", "odd@x.com")
    place = {"2.3": "mail\tmbox:~/mail:INBOX=~/inbox", "2.4": "mail_inbox_path\t~/inbox"}[version()]
    assert place in live.doveadm("user", "mbox@x.com")
    live.send("mbox@x.com", subject="in an mbox")
    live.arrives("mbox@x.com", "in an mbox")
    live.setup("email", "update", "odd@x.com", "another")
    assert live.can_log_in("odd@x.com", "another")
    assert not live.can_log_in("odd@x.com", PASSWORD)
    live.setup("email", "del", "-y", "odd@x.com")
    assert not live.can_log_in("odd@x.com", "another")
    assert "far@x.com" in live.doveadm("user", "*").split()


@pytest.mark.parametrize(
    "password",
    [
        "it's", 'say "hi"', "back\\slash", "a|b", " blanks ", "pässwörd☃", "-dash", "--help-me",
        "$HOME", "%d%u", "{PLAIN}x", "a" * 511, "b" * 1000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_any_password_logs_in_with_exactly_that(live: Instance, password: str) -> None:
    live.setup("email", "update", "carol@x.com", password)
    assert live.can_log_in("carol@x.com", password)
    live.setup("email", "update", "carol@x.com", "--password-stdin", stdin=password + "\n")
    assert live.can_log_in("carol@x.com", password)
    assert password not in live.log.read_text()


def test_hostile_local_parts_that_are_allowed_log_in_and_get_mail(live: Instance) -> None:
    for user in ("o'neil", "a&b", "x=y", "q?", "{z}", "~t", "b`t", "c^d", "$h", "x#y", "_u"):
        address = f"{user}@x.com"
        live.setup("email", "add", address, PASSWORD)
        assert live.can_log_in(address), user
        live.send(address, subject="odd name")
        live.arrives(address, "odd name")


def test_a_config_map_swap_is_seen() -> None:
    instance = Instance()
    try:
        for version, users in (("v1", ("a", "b")), ("v2", ("a", "c"))):
            folder = instance.config / f"..{version}"
            folder.mkdir()
            lines = [f"{user}@x.com|{HASH}\n" for user in users]
            (folder / ACCOUNTS).write_text("".join(lines))
        data = instance.config / "..data"
        data.symlink_to("..v1")
        instance.file(ACCOUNTS).symlink_to(f"..data/{ACCOUNTS}")
        instance.start()
        assert instance.rcpt("b@x.com")[0] == 250
        (instance.config / "..new").symlink_to("..v2")
        (instance.config / "..new").rename(data)
        until(lambda: instance.rcpt("c@x.com")[0] == 250)
        until(lambda: instance.rcpt("b@x.com")[0] == 550)
    finally:
        instance.close()


def test_up_starts_without_any_file_and_stops_cleanly() -> None:
    instance = Instance()
    try:
        instance.start()
        assert instance.rcpt("a@x.com")[0] == 554
        instance.setup("email", "add", "a@x.com", PASSWORD)
        assert instance.can_log_in("a@x.com")
        before = (instance.state / "postfix/master.cf").read_bytes()
        second = instance.run("up", "--smtp-port", "10026")
        assert second.returncode == 1
        assert "already" in second.stderr
        assert (instance.state / "postfix/master.cf").read_bytes() == before
        assert instance.stop() == 0
        status = instance.run("status")
        assert status.returncode == 1
        assert "postfix: not running" in status.stdout
        assert "dovecot: not running" in status.stdout
    finally:
        instance.close()


@pytest.mark.parametrize("name", ["postfix", "dovecot"])
def test_a_server_that_dies_is_started_again(live: Instance, name: str) -> None:
    def pid() -> int | None:
        found = json.loads(live.run("status", "--json").stdout)["running"][name]
        return int(found) if found else None

    before = pid()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: pid() not in (None, before))
    until(lambda: live.can_log_in("keep@x.com"))

    def accepted() -> bool:
        try:
            return live.rcpt("keep@x.com")[0] == 250
        except OSError:
            return False

    until(accepted)


def test_without_its_copies_the_next_change_is_live_all_the_same(live: Instance) -> None:
    shutil.rmtree(live.state / "served")
    live.setup("email", "add", "after@x.com", PASSWORD)
    assert live.can_log_in("after@x.com")
    assert live.rcpt("keep@x.com")[0] == 250
    until(lambda: "in step: yes" in live.run("status").stdout)


def test_after_all_this_every_row_is_what_a_full_build_would_make(live: Instance) -> None:
    until(lambda: "in step: yes" in live.run("status").stdout)
    assert live.setup("apply", "--verify") == "0 rows changed\n"
