"""The spam filter beside real servers: what it refuses, files and learns, and what happens while it
is down or hangs."""

import base64
import imaplib
import json
import os
import signal
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dns import Dns
from tests.support.instance import HASH, PASSWORD, Instance, trusting, until
from tests.support.redis import Redis
from tests.support.signed import FRIEND, submit, taken
from tests.support.spam import (
    MARKED,
    REFUSED,
    TESTABLE,
    WORDS,
    in_folder,
    incoming,
    learned,
    log,
    pid,
    pids,
    stop_all,
    wait_for_filter,
    write_overrides,
)

ALICE, BOB, CARL = "alice@own.example", "bob@own.example", "carl@own.example"


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


@pytest.fixture(scope="module")
def dns() -> Iterator[Dns]:
    with Dns().running() as server:
        server.texts["elsewhere.test"] = ["v=spf1 ip4:192.0.2.1 -all"]
        server.texts["_dmarc.elsewhere.test"] = ["v=DMARC1; p=reject"]
        yield server


@pytest.fixture(scope="module")
def live(redis: Redis, dns: Dns) -> Iterator[Instance]:
    """An instance with a filter that learns, and a key that signs, with the settings of a
    docker-mailserver whose Rspamd signs."""
    instance = Instance(
        enable_rspamd=True, enable_opendkim=False, rspamd_redis=redis.socket,
        hostname="mail.own.example",
    )  # fmt: skip
    try:
        resolver = f'dns {{ nameserver = "127.0.0.1:{dns.port}"; }}\n'
        write_overrides(instance, options__inc=TESTABLE + resolver)
        instance.file("postfix-accounts.cf").write_text(
            f"{ALICE}|{HASH}\n{BOB}|{HASH}\n{CARL}|{HASH}\n"
        )
        instance.setup("config", "dkim", "domain", "own.example")
        instance.start()
        wait_for_filter(instance)
        yield instance
    finally:
        instance.close()


def move(instance: Instance, user: str, subject: str, source: str, target: str) -> None:
    with instance.imap(user) as session:
        session.select(source)
        _, found = session.search(None, "SUBJECT", f'"{subject}"')
        assert session.uid("MOVE", _uid(session, found[0]), target)[0] == "OK"


def _uid(session: imaplib.IMAP4, number: bytes) -> str:
    _, parts = session.fetch(number.decode(), "(UID)")
    assert isinstance(parts[0], bytes)
    return parts[0].decode().rpartition("UID ")[2].rstrip(")")


def test_it_is_known_when_it_shows_figures_in_its_title(live: Instance) -> None:
    """Rspamd 3.4 writes messages per second behind its title while mail arrives."""
    main = int((live.state / "rspamd/data/rspamd.pid").read_text())
    title, numbers = Path(f"/proc/{main}/cmdline"), iter(range(1000))

    def has_figures() -> bool:
        incoming(live, CARL, f"figures {next(numbers)}")
        return b"; " in title.read_bytes()

    until(has_figures, 180, title.read_text)
    assert pid(live) == main
    assert f"rspamd: running, pid {main}" in live.setup("status")


def test_spam_is_refused_or_filed_and_other_mail_arrives(live: Instance) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        incoming(live, ALICE, "refused", REFUSED)
    assert refused.value.smtp_code == 554
    incoming(live, ALICE, "marked", MARKED)
    incoming(live, ALICE, "plain")
    live.arrives(ALICE, "plain")
    until(lambda: in_folder(live, ALICE, "Junk") == ["marked"])
    assert live.subjects(ALICE) == ["plain"]


@pytest.mark.parametrize(
    ("client", "spf", "dmarc"),
    [
        ("192.0.2.1", "R_SPF_ALLOW", "DMARC_POLICY_ALLOW"),
        ("192.0.2.9", "R_SPF_FAIL", "DMARC_POLICY_REJECT"),
    ],
)
def test_spf_and_dmarc_of_mail_from_outside_are_checked(
    live: Instance, client: str, spf: str, dmarc: str
) -> None:
    """As Rspamd answers for a client at an address that is not of this machine."""
    text = f"From: friend@elsewhere.test\r\nTo: {ALICE}\r\nSubject: x\r\n\r\nHello.\r\n"
    envelope = ("--from", "friend@elsewhere.test", "--rcpt", ALICE, "--ip", client)
    argv = ["rspamc", "-j", "-h", str(live.state / "rspamd/control/controller"), *envelope]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    assert {spf, dmarc, "ARC_NA"} <= {*answer["symbols"]}
    header = str(answer["milter"]["add_headers"]["Authentication-Results"])
    assert ("spf=pass" in header, "dmarc=pass" in header) == (client == "192.0.2.1",) * 2


def test_a_filter_runs_as_its_own_user_and_only_its_neighbours_reach_it(live: Instance) -> None:
    for each in pids(live):
        assert Path(f"/proc/{each}").owner() == "_rspamd"
    controller = live.state / "rspamd/control/controller"
    text = f"import socket; socket.socket(socket.AF_UNIX).connect({str(controller)!r})"
    python = "/usr/bin/python3"
    for user, code in (("nobody", 1), ("postfix", 1)):
        argv = ["setpriv", f"--reuid={user}", "--clear-groups", python, "-c", text]
        assert subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == code
    argv = ["setpriv", "--reuid=5000", "--regid=5000", "--clear-groups", python, "-c", text]
    assert subprocess.run(argv).returncode == 0


def test_a_message_that_is_moved_into_junk_or_out_of_it_is_learned(live: Instance) -> None:
    before = learned(live)
    incoming(live, ALICE, "to be moved", WORDS)
    live.arrives(ALICE, "to be moved")
    move(live, ALICE, "to be moved", "INBOX", "Junk")
    until(lambda: learned(live) == before + 1)
    move(live, ALICE, "to be moved", "Junk", "INBOX")
    until(lambda: learned(live) == before + 2)


def test_a_message_that_is_deleted_from_junk_is_not_learned(live: Instance) -> None:
    incoming(live, ALICE, "to be deleted", WORDS + " deleted")
    live.arrives(ALICE, "to be deleted")
    before = learned(live)
    move(live, ALICE, "to be deleted", "INBOX", "Junk")
    until(lambda: learned(live) == before + 1)
    move(live, ALICE, "to be deleted", "Junk", "Trash")
    incoming(live, ALICE, "the next one", WORDS + " next")
    live.arrives(ALICE, "the next one")
    move(live, ALICE, "the next one", "INBOX", "Junk")
    until(lambda: learned(live) == before + 2)


def test_a_script_of_a_user_runs_no_program(live: Instance) -> None:
    script = 'require ["vnd.dovecot.pipe", "copy"]; pipe :copy "rspamd-learn" ["ham", "x"];'
    for name in ("vnd.dovecot.pipe", "vnd.dovecot.execute", "vnd.dovecot.filter"):
        text = script.replace("vnd.dovecot.pipe", name)
        with socket.create_connection(("127.0.0.1", live.ports["sieve"]), 20) as session:
            assert _checked(session, text.encode()) == b"NO"


def _checked(session: socket.socket, script: bytes) -> bytes:
    """The answer of ManageSieve (RFC 5804) to the question whether a script is valid."""

    def answer(stream: socket.socket) -> bytes:
        data = b""
        while not any(line.startswith((b"OK", b"NO", b"BYE")) for line in data.split(b"\r\n")[:-1]):
            data += stream.recv(4096)
        lines = [one for one in data.split(b"\r\n") if one.startswith((b"OK", b"NO", b"BYE"))]
        return lines[-1]

    answer(session)
    session.sendall(b"STARTTLS\r\n")
    answer(session)
    with trusting().wrap_socket(session) as secure:
        answer(secure)
        login = base64.b64encode(f"\0{BOB}\0{PASSWORD}".encode())
        secure.sendall(b'AUTHENTICATE "PLAIN" "' + login + b'"\r\n')
        assert answer(secure).startswith(b"OK")
        secure.sendall(b"CHECKSCRIPT {%d+}\r\n%s\r\n" % (len(script), script))
        return answer(secure)[:2]


def test_changed_overrides_are_in_force_at_once_and_wrong_ones_are_not(live: Instance) -> None:
    commands = live.file("rspamd/custom-commands.conf")
    commands.write_text("set-option-for-proxy reject_message 'No spam please'\nno-such-command x\n")
    write_overrides(live, actions__conf="add_header = 5;\n")
    override = live.state / "rspamd/config/override.d/worker-proxy.inc"
    until(lambda: "No spam please" in override.read_text())
    until(lambda: "custom-commands.conf:2" in live.log.read_text())
    until(lambda: "Rspamd reads its changed configuration" in live.log.read_text())
    checked = live.run("check")
    assert "rspamd/custom-commands.conf:2" in checked.stdout + checked.stderr
    write_overrides(live, actions__conf="add_header = [\n")
    fault = "rspamd/override.d/actions.conf:2: error: Rspamd says: "
    until(lambda: fault in live.log.read_text(), evidence=live.log.read_text)
    assert fault in (live.run("check").stdout + live.run("check").stderr)
    assert "[" not in (live.state / "rspamd/config/override.d/actions.conf").read_text()
    until(lambda: _refuses(live))
    write_overrides(live, actions__conf="")
    commands.unlink()
    until(lambda: "No spam please" not in override.read_text())


def _refuses(instance: Instance) -> bool:
    """Whether the filter refuses spam."""
    try:
        incoming(instance, BOB, "refused again", REFUSED)
    except smtplib.SMTPDataError:
        return True
    return False


def test_submitted_mail_is_signed_and_not_filtered(live: Instance) -> None:
    submit(live, ALICE, FRIEND, f"submitted {REFUSED}")
    assert b"DKIM-Signature" in taken(live, "submitted").content
    assert b"submitted" not in log(live).read_bytes()
    incoming(live, ALICE, "not signed", "Hello.")
    live.arrives(ALICE, "not signed")
    text = live.doveadm("fetch", "-u", ALICE, "hdr", "subject", "not signed")
    assert "DKIM-Signature" not in text


def test_while_the_filter_hangs_mail_arrives_and_it_is_restarted(live: Instance) -> None:
    old = pid(live)
    stop_all(live)
    incoming(live, BOB, "while it hangs", MARKED)
    live.arrives(BOB, "while it hangs")
    submit(live, ALICE, FRIEND, "submitted while it hangs")
    assert b"DKIM-Signature" in taken(live, "submitted while it hangs").content
    until(lambda: "Rspamd does not answer" in live.log.read_text(), 60)
    until(lambda: not Path(f"/proc/{old}").exists(), 60)
    until(lambda: _refuses(live), 120, live.log.read_text)


def test_a_move_does_not_wait_for_a_filter_that_hangs(live: Instance) -> None:
    incoming(live, ALICE, "moved while it hangs", WORDS + " hangs")
    live.arrives(ALICE, "moved while it hangs")
    stop_all(live)
    try:
        move(live, ALICE, "moved while it hangs", "INBOX", "Junk")
        assert "moved while it hangs" in in_folder(live, ALICE, "Junk")
    finally:
        for each in pids(live):
            os.kill(each, signal.SIGCONT)
    until(lambda: _refuses(live), 120, live.log.read_text)


def test_a_killed_filter_is_started_again_and_mail_does_not_wait(live: Instance) -> None:
    for each in (old := pids(live)):
        os.kill(each, signal.SIGKILL)
    incoming(live, BOB, "while it is down")
    live.arrives(BOB, "while it is down")
    until(lambda: _refuses(live), 120, live.log.read_text)
    assert not {*old} & {*pids(live)}


def test_a_lost_state_folder_is_restored(live: Instance) -> None:
    for name in ("rspamd", "spam-sieve"):
        (live.state / name).rename(live.home / f"lost-{name}")  # it may still write there
    until((live.state / "spam-sieve/junk.svbin").exists)
    until(lambda: _refuses(live), 120, live.log.read_text)
    incoming(live, BOB, "after the loss", MARKED)
    until(lambda: "after the loss" in in_folder(live, BOB, "Junk"))


def test_status_and_check_report_it(live: Instance) -> None:
    assert f"rspamd: running, pid {pid(live)}" in live.run("status").stdout
    checked = live.run("check")
    assert "no-redis" not in checked.stdout + checked.stderr


def test_a_killed_up_leaves_it_running_and_the_setting_ends_it(live: Instance) -> None:
    old = pid(live)
    live.kill()
    live.start()
    until(lambda: pid(live) == old)
    assert _refuses(live)
    live.stop()
    until(lambda: not Path(f"/proc/{old}").exists())
    toml = live.file("mailroster.toml")
    toml.write_text(toml.read_text().replace("enable_rspamd = true", "enable_rspamd = false"))
    live.start()
    incoming(live, BOB, "without a filter", MARKED)
    live.arrives(BOB, "without a filter")
    for file in ("postfix/main.cf", "postfix/master.cf", "dovecot/dovecot.conf"):
        text = (live.state / file).read_text()
        assert "rspamd" not in text and "spam-sieve" not in text
    assert not (live.state / "rspamd/config").exists()
