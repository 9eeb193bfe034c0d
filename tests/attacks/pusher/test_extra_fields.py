"""Who can write a line of postfix-accounts.cf runs no program, reads no file and gets no password.

The lines are in the folder of a running server, as a push puts them there; Dovecot itself is asked.
"""

import os
import socket
import subprocess
import threading
import time
from itertools import count
from pathlib import Path
from subprocess import PIPE

import pytest

from mailroster.servers.version import version
from tests.support.attacks.parties import MAIL_UID
from tests.support.instance import HASH, PASSWORD, Instance, until

#: Loads the plugin that runs programs, in the words of both versions of Dovecot.
PROGRAM = {
    "2.3": "userdb_sieve_plugins=sieve_extprograms userdb_sieve_extensions=+vnd.dovecot.pipe "
    "userdb_sieve_pipe_bin_dir=/bin",
    "2.4": "userdb_sieve_plugins/sieve_extprograms=yes "
    "userdb_sieve_extensions/vnd.dovecot.pipe=yes userdb_sieve_pipe_bin_dir=/bin",
}[version()]
SCRIPT = 'require ["vnd.dovecot.pipe", "copy"];\npipe :copy "touch" ["{}"];\n'

_pushes = count()


def push(server: Instance, *lines: str) -> None:
    """Replaces the accounts by some lines and two that are always there, and waits until the
    server has looked at them."""
    seen = f"seen{next(_pushes)}@x.com"
    text = "".join(f"{line}\n" for line in (f"keep@x.com|{HASH}", *lines, f"{seen}|{HASH}"))
    server.file("postfix-accounts.cf").write_text(text)
    until(lambda: server.can_log_in(seen))
    time.sleep(1.2)  # Dovecot looks at a passwd-file once a second


def write_script(server: Instance, user: str, text: str) -> None:
    """The Sieve script of a user, as ManageSieve would store it."""
    home = server.mail / "x.com" / user / "home"
    home.mkdir(parents=True, exist_ok=True)
    (home / ".dovecot.sieve").write_text(text)
    for path in (home.parent.parent, home.parent, home, home / ".dovecot.sieve"):
        os.chown(path, MAIL_UID, MAIL_UID)


def test_no_line_runs_a_program(server: Instance) -> None:
    mark = server.mail / "x.com" / "ext" / "program-ran"
    write_script(server, "ext", SCRIPT.format(mark))
    push(server, f"ext@x.com|{HASH}")
    assert server.can_log_in("ext@x.com")
    push(server, f"ext@x.com|{HASH}|{PROGRAM}", f"new@x.com|{HASH}|{PROGRAM}")
    assert "sieve_plugins" not in server.doveadm("user", "ext@x.com")
    server.send("ext@x.com", subject="run")
    server.arrives("ext@x.com", "run")  # it is served as before, so the script was looked at
    assert not mark.exists()
    assert not server.can_log_in("new@x.com")
    said = server.run("check").stdout
    assert said.count("'userdb_sieve_plugins") == 2
    assert said.count("[unsafe-field]") == 2


@pytest.mark.parametrize(
    "extra",
    [
        "userdb_gid:protected=42",
        "userdb_gid:default=42",
        "userdb_userdb_import=gid=42",
        "userdb_uidgid_file=/etc/shadow",
        "userdb_system_groups_user=root",
        "userdb_mail_access_groups=shadow",
    ],
)
def test_no_line_changes_the_user_or_a_group(server: Instance, extra: str) -> None:
    push(server, f"grp@x.com|{HASH}|{extra}")
    assert not server.can_log_in("grp@x.com")
    assert "\t42" not in server.doveadm("user", "grp@x.com")


def test_no_line_opens_a_file_of_the_machine(server: Instance, tmp_path: Path) -> None:
    """An mbox that every user can read, which is outside the mail folder."""
    outside = server.home / "outside"
    outside.mkdir(mode=0o755)
    message = "From a@b Mon Jan  1 00:00:00 2024\nSubject: secret of the machine\n\nx\n\n"
    (outside / "box").write_text(message)
    (outside / "box").chmod(0o644)
    ways = {
        "a@x.com": f"userdb_mail=mbox:~/mail:INBOX={outside}/box",
        "b@x.com": f"userdb_mail=mbox:{outside}",
        "c@x.com": f"userdb_mail=mbox:{server.mail}/../outside",
        "a.b@x.com": f"userdb_mail=mbox:{server.mail}/%1.1n%1.1n/outside",
        "d@x.com": f"userdb_mail_driver=mbox userdb_mail_path={outside}",
        "e@x.com": f"userdb_mail=mbox:~/mail:INDEX={outside}/index",
        "f@x.com": f"userdb_home={outside}",
        "g@x.com": f"userdb_namespace/x/location=mbox:{outside}",
        "h@x.com": f"userdb_namespace/inbox/location=mbox:{outside}",
    }
    push(server, *(f"{user}|{HASH}|{extra}" for user, extra in ways.items()))
    assert not any(server.can_log_in(user) for user in ways)
    assert sorted(path.name for path in outside.iterdir()) == ["box"]
    assert server.run("check").stdout.count("[unsafe-field]") == len(ways)


def test_mail_for_an_account_with_a_place_outside_waits(server: Instance) -> None:
    push(server, f"out@x.com|{HASH}|userdb_home={server.home}/outside2")
    queue = ("postqueue", "-c", str(server.state / "postfix"))
    code, _ = server.rcpt("out@x.com")
    assert code in (250, 450)  # Dovecot 2.4 defers it before it is accepted
    if code == 250:
        server.send("out@x.com", subject="waits")
        until(lambda: "out@x.com" in subprocess.run([*queue, "-p"], stdout=PIPE, text=True).stdout)
    push(server, f"out@x.com|{HASH}")
    assert server.can_log_in("out@x.com")
    subprocess.run([*queue, "-f"], check=True)
    if code == 450:
        server.send("out@x.com", subject="waits")
    server.arrives("out@x.com", "waits", wait_s=60)


def test_no_line_sends_the_password_to_another_server(server: Instance) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def answer() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] there\r\n")
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        push(
            server,
            f"pr@x.com|{HASH}|proxy=y host=127.0.0.1 port={port}",
            f"pm@x.com|{HASH}|proxy_maybe=y host=127.0.0.1 port={port}",
            f"ho@x.com|{HASH}|host=127.0.0.1 port={port}",
        )
        for user in ("pr@x.com", "pm@x.com", "ho@x.com"):
            assert not server.can_log_in(user, PASSWORD)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)
    assert heard == []


def test_no_variable_reads_the_environment_or_the_password(server: Instance) -> None:
    push(
        server,
        f"env@x.com|{HASH}|nologin reason=%{{env:PATH}}",
        f"pw@x.com|{HASH}|userdb_mail=maildir:~/%w",
        f"two@x.com|{HASH}|userdb_mail=maildir:~/%%w",
    )
    for user in ("env@x.com", "pw@x.com", "two@x.com"):
        assert not server.can_log_in(user)
        assert "/bin" not in server.doveadm("auth", "test", user, PASSWORD)
    assert not [path for path in server.mail.rglob("*") if PASSWORD in path.name]


def test_what_was_pushed_can_not_be_imported_either(server: Instance, tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    place = f"userdb_mail=mbox:{server.home}"
    source.write_text(f'address,hash,extra\ni@x.com,{HASH},"{PROGRAM}"\nj@x.com,{HASH},{place}\n')
    before = server.file("postfix-accounts.cf").read_text()
    done = server.run("import", str(source))
    assert (done.returncode, done.stderr.count("[unsafe-field]")) == (1, 2)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "postfix-accounts.cf").write_text(
        f"i@x.com|{HASH}|{PROGRAM}\nj@x.com|{HASH}|{place}\n"
    )
    server.run("import", str(folder), "--skip-bad")
    assert server.file("postfix-accounts.cf").read_text() == before
