"""A full mailbox is refused at RCPT, with what the policy service remembers of the room that
mailboxes have: many senders at once, quotas that change, and a quota-status in trouble."""

import contextlib
import os
import signal
import smtplib
import socket
import socketserver
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import running
from tests.support.instance import HASH, Instance, message, until

#: Each sender would send so many messages, which is far more than a mailbox takes.
SENDERS, EACH_MAX = 20, 200
#: More than the servers add to a message.
HEADER = 2000
QUOTAS = {"full": "20k", "near": "300k", "slack": "2M", "roomy": "1G", "spare": "1G"}


@pytest.fixture(scope="module")
def post(server: Instance) -> Instance:
    """`full` is full; of `near` no slack is remembered, of `slack` the smallest, of `roomy` and
    `spare` the largest."""
    server.file("mailroster.toml").open("a").write('quota_warnings = "none"\n')
    server.file("postfix-accounts.cf").write_text("".join(f"{u}@x.com|{HASH}\n" for u in QUOTAS))
    server.file("dovecot-quotas.cf").write_text(
        "".join(f"{user}@x.com:{size}\n" for user, size in QUOTAS.items())
    )
    server.file("postfix-virtual.cf").write_text("team@x.com roomy@x.com, full@x.com\n")
    server.setup("apply")
    server.send("full@x.com", subject="big", size=19000)
    server.arrives("full@x.com", "big")
    return server


def asked(post: Instance, *addresses: str, size: int = 9000) -> list[int]:
    """What one session answers to each recipient of a message of a size."""
    with post.smtp() as session:
        session.mail("somebody@elsewhere.test", [f"SIZE={size}"])
        return [session.rcpt(address)[0] for address in addresses]


def used_bytes(post: Instance, user: str) -> int:
    """What the messages of a mailbox have together, by Dovecot."""
    found = post.doveadm("-f", "tab", "fetch", "-u", user, "size.physical", "mailbox", "*", "all")
    return sum(int(line) for line in found.splitlines()[1:])


def is_idle(post: Instance) -> bool:
    """Whether the queue is empty."""
    argv = ["postqueue", "-c", str(post.state / "postfix"), "-j"]
    return subprocess.run(argv, capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize(
    ("user", "limit_bytes", "size"),
    [
        pytest.param("near@x.com", 300 << 10, 12_000, id="near the limit"),
        pytest.param("slack@x.com", 2 << 20, 60_000, id="with some slack"),
    ],
)
def test_twenty_senders_fill_a_mailbox(
    post: Instance, user: str, limit_bytes: int, size: int
) -> None:
    def send(_: int) -> int:
        """Sends until it is refused; how many were accepted."""
        for accepted in range(EACH_MAX):
            with post.smtp() as session:
                text = message("fill", user, size).as_bytes()
                try:
                    session.sendmail("somebody@elsewhere.test", [user], text)
                except smtplib.SMTPRecipientsRefused as refused:
                    assert refused.recipients[user][0] == 552
                    return accepted
        raise AssertionError("it was never refused")

    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as threads:
        accepted = sum(threads.map(send, range(SENDERS)))
    assert time.monotonic() - began < 60
    until(lambda: is_idle(post), 60)
    used = used_bytes(post, user)
    # It is full but for less than a message. Dovecot itself, which delivers several at once, may
    # take one too many of each.
    assert limit_bytes - size - HEADER < used <= limit_bytes + SENDERS * (size + HEADER)
    assert used <= accepted * (size + HEADER)
    assert asked(post, user, size=size + HEADER) == [552]


def test_a_limit_that_is_lowered_counts_when_the_command_returns(post: Instance) -> None:
    for _ in range(3):
        assert asked(post, "roomy@x.com", "roomy@x.com") == [250, 250]
        post.setup("quota", "set", "roomy@x.com", "1k")
        assert asked(post, "roomy@x.com") == [552]
        post.setup("quota", "set", "roomy@x.com", "1G")


def test_a_limit_by_an_extra_field_counts_when_the_command_returns(post: Instance) -> None:
    path = post.file("postfix-accounts.cf")
    text = path.read_text()
    assert asked(post, "spare@x.com", "spare@x.com") == [250, 250]
    field = "userdb_quota_rule=*:storage=1k userdb_quota_storage_size=1k"
    path.write_text(text.replace(f"spare@x.com|{HASH}", f"spare@x.com|{HASH}|{field}"))
    post.setup("apply")
    assert asked(post, "spare@x.com") == [552]
    path.write_text(text)
    post.setup("apply", "--removals")
    assert asked(post, "spare@x.com") == [250]


def test_a_new_account_of_the_same_name_has_its_own_limit(post: Instance) -> None:
    post.setup("email", "add", "again@x.com", "--hash", HASH)
    assert asked(post, *["again@x.com"] * 9) == [250] * 9
    post.setup("email", "del", "-y", "again@x.com")
    post.setup("email", "add", "again@x.com", "--hash", HASH)
    post.setup("quota", "set", "again@x.com", "1k")
    assert asked(post, "again@x.com") == [552]


def test_all_tables_made_anew_forget_what_is_remembered(post: Instance) -> None:
    limits = Path(Layout(str(post.state)).limits)
    before = limits.stat()
    post.setup("apply", "--verify")
    (post.state / "tables/roles.lmdb").unlink()
    post.setup("apply")
    after = limits.stat()
    assert (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns)


# -- quota-status in trouble


def quota_status_pids(post: Instance) -> list[int]:
    """The processes of quota-status of this server."""
    dovecot = running.dovecot_pid(Layout(str(post.state)))
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == dovecot and (path / "comm").read_text().startswith("quota-status"):
                found.append(int(path.name))
    return found


class Proxy:
    """Stands before quota-status, waits some seconds with each answer, and counts the questions."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.questions: Counter[str] = Counter()  # by mailbox


@pytest.fixture
def proxy(post: Instance) -> Iterator[Proxy]:
    path = post.state / "run/quota-status"
    hidden = path.with_name("hidden")
    proxy, ended = Proxy(), threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as behind, contextlib.suppress(OSError):
                behind.connect(str(hidden))
                answers = behind.makefile("rb")
                while line := self.rfile.readline():
                    behind.sendall(line)
                    if line.startswith(b"recipient="):
                        proxy.questions[line[10:-1].decode()] += 1
                    if line == b"\n":
                        answer = answers.readline() + answers.readline()
                        ended.wait(proxy.delay_s)
                        self.wfile.write(answer)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 100

    path.rename(hidden)
    with Server(str(path), Handler) as server:
        path.chmod(0o666)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            ended.set()
            server.shutdown()
            hidden.rename(path)


def is_remembered(post: Instance, proxy: Proxy, address: str) -> bool:
    """Whether a mailbox is accepted without a question to Dovecot."""
    before = proxy.questions[address]
    return asked(post, address) == [250] and proxy.questions[address] == before


def fresh(post: Instance) -> None:
    """Has the service forget what it remembers and its connections to quota-status."""
    pid = running.policy_pid(Layout(str(post.state)))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.policy_pid(Layout(str(post.state))) not in (None, pid))  # by `up`


def test_a_slow_quota_status_still_refuses(post: Instance, proxy: Proxy) -> None:
    proxy.delay_s = 0.4  # a second and a half is the most
    fresh(post)
    until(lambda: asked(post, "team@x.com") == [552])
    assert asked(post, "full@x.com", "team@x.com", "roomy@x.com") == [552, 552, 250]


def test_a_hung_quota_status_stops_no_mail(post: Instance, proxy: Proxy) -> None:
    fresh(post)
    until(lambda: asked(post, "team@x.com") == [552])
    until(lambda: is_remembered(post, proxy, "roomy@x.com"))
    proxy.delay_s = 1000.0
    # What is known to have room needs no answer; what is not known is accepted, in the end.
    began, questions = time.monotonic(), proxy.questions["roomy@x.com"]
    assert asked(post, *["roomy@x.com"] * 20) == [250] * 20
    assert proxy.questions["roomy@x.com"] == questions
    assert asked(post, "full@x.com") == [250]
    assert time.monotonic() - began < 60
    proxy.delay_s = 0.0


def test_a_hundred_recipients_take_few_questions(post: Instance, proxy: Proxy) -> None:
    fresh(post)
    until(lambda: asked(post, "team@x.com") == [552])
    until(lambda: is_remembered(post, proxy, "spare@x.com"))
    before = proxy.questions.copy()
    assert asked(post, *["spare@x.com"] * 100, size=2000) == [250] * 100
    assert asked(post, *["full@x.com"] * 10) == [552] * 10
    now = proxy.questions - before
    assert now["spare@x.com"] < 10  # one or two, and more on a slow machine
    assert now["full@x.com"] >= 10  # each refusal is Dovecot's


def test_after_it_hung_it_refuses_again(post: Instance) -> None:
    pids = quota_status_pids(post)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert asked(post, "free-for-all@elsewhere.test", "full@x.com")[1] in (250, 552)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    until(lambda: asked(post, "team@x.com", "full@x.com") == [552, 552])


def test_a_killed_quota_status_still_refuses(post: Instance) -> None:
    until(lambda: asked(post, "team@x.com", "full@x.com") == [552, 552])
    for _ in range(3):
        for pid in quota_status_pids(post):
            os.kill(pid, signal.SIGKILL)
        assert asked(post, "team@x.com", "full@x.com", "roomy@x.com") == [552, 552, 250]


def test_a_restarted_dovecot_still_refuses(post: Instance) -> None:
    until(lambda: asked(post, "team@x.com", "full@x.com") == [552, 552])
    pid = running.dovecot_pid(Layout(str(post.state)))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.dovecot_pid(Layout(str(post.state))) not in (None, pid))  # by `up`
    until(lambda: post.can_log_in("roomy@x.com"))
    until(lambda: asked(post, "team@x.com", "full@x.com", "roomy@x.com") == [552, 552, 250])
