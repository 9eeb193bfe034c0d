"""Our `resolve` against Postfix's own answer: deliveries through the very tables that we write.

A Postfix of the product's configuration runs alone; all it delivers, here or elsewhere, ends in a
sink. MAILROSTER_ROSTERS says how many generated rosters are tried, MAILROSTER_SEED where to begin.
"""

import os
import re
import shutil
import smtplib
import socketserver
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.address import split
from mailroster.apply import Outcome, Settling, Tables, converge
from mailroster.compile import postfix
from mailroster.finding import Fault
from mailroster.instance.layout import Layout
from mailroster.prepare import prepare
from mailroster.resolve import Router, quoted
from mailroster.roster import Roster
from mailroster.running import postfix_pid
from mailroster.services import HOT_MAIN_CF_S, Captures
from mailroster.settings import Sources, load
from mailroster.store import Store
from mailroster.targets.lmdb_table import LmdbTable
from tests.rosters import HASH, ORIGIN, Sample, sample
from tests.servers.instance import free_ports, until
from tests.servers.sink import Sink

ROSTERS = int(os.environ.get("MAILROSTER_ROSTERS", "300"))
SEED = int(os.environ.get("MAILROSTER_SEED", "1"))
SENDER = "sender@elsewhere.test"


class Answer(NamedTuple):
    """What became of one address: the code of RCPT, or of DATA behind a 250, and who got it."""

    code: int
    recipients: frozenset[str] = frozenset()


class Post:
    """A Postfix whose deliveries all end in a sink."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
        self.home.chmod(0o755)
        self.sink = OrcptSink()
        ports = zip(("smtp", "submission", "submissions"), free_ports(3), strict=True)
        relayhost = f"[127.0.0.1]:{self.sink.port}"
        options = {f"{name}_port": str(port) for name, port in ports}
        options |= {"home": str(self.home), "hostname": ORIGIN, "relayhost": relayhost}
        options |= {"enable_quotas": "0"}
        self.settings = load(Sources(options, {}, lambda path: b"", os.path.isdir))
        self.layout = Layout(self.settings.state)
        self.store = Store(self.settings.config)
        self.tables = Tables(self.layout)
        self.aliases = LmdbTable(self.layout.table(postfix.ALIASES.name))

    def start(self) -> None:
        prepare(self.settings, self.layout)
        main_cf = Path(self.layout.postfix, "main.cf")
        here = f"virtual_transport = lmtp:inet:127.0.0.1:{self.sink.port}"
        text, found = re.subn("^virtual_transport = .*", here, main_cf.read_text(), flags=re.M)
        assert found == 1
        main_cf.write_text(text)
        old = time.time() - HOT_MAIN_CF_S
        os.utime(main_cf, (old, old))
        self.tables.begin(ORIGIN)
        self.put(Sample("", "", "", ()))
        self._postfix("start")

    def close(self) -> None:
        try:
            if postfix_pid(self.layout) is not None:
                self._postfix("stop")
        finally:
            self.sink.close()
            shutil.rmtree(self.home)

    def _postfix(self, verb: str) -> None:
        argv = ["postfix", "-c", self.layout.postfix, verb]
        subprocess.run(argv, check=True, stderr=subprocess.DEVNULL, timeout=60)

    def put(self, files: Sample) -> Outcome:
        """Puts a roster in force while Postfix runs."""
        config = Path(self.settings.config)
        (config / "postfix-accounts.cf").write_text(files.accounts)
        (config / "postfix-virtual.cf").write_text(files.virtual, newline="")
        (config / "postfix-regexp.cf").write_text(files.regexp, newline="")
        outcome = converge(self.store, self.tables, self.layout, Settling(0), accept=True)
        assert (outcome.held, outcome.faults) == ((), ())
        return outcome

    def router(self) -> Router:
        roster = self.store.read().roster
        return Router(roster, ORIGIN, Captures(roster.regexp))

    def put_aliases(self, rows: dict[str, str]) -> None:
        """Rows of the alias table that the product would leave out, since nobody can follow them."""
        self.aliases.apply({**rows})

    def drop_aliases(self, rows: Iterable[str]) -> None:
        self.aliases.apply(dict.fromkeys(rows))

    def ask(self, addresses: Iterable[str]) -> dict[str, Answer]:
        """What becomes of a message to each address, all of them in one transaction."""
        answers: dict[str, Answer] = {}
        before = len(self.sink.pairs)
        with smtplib.SMTP("127.0.0.1", self.settings.smtp_port, timeout=30) as session:
            session.ehlo("client.test")
            session.mail(SENDER)
            for address in addresses:
                answers[address] = Answer(session.rcpt(quoted(address))[0])
            accepted = [address for address, answer in answers.items() if answer.code == 250]
            if not accepted:
                return answers
            code, _ = session.data(b"Subject: where to?\r\n\r\nhello\r\n")
        until(self._is_idle, 60)
        got: dict[str, set[str]] = defaultdict(set)
        for pairs in self.sink.pairs[before:]:
            for original, recipient in pairs:
                got[original].add(recipient)
        for address in accepted:
            answers[address] = Answer(code, frozenset(got.pop(quoted(address), ())))
        got.pop(SENDER, None)
        assert not got, f"mail for others: {dict(got)}"
        return answers

    def _is_idle(self) -> bool:
        """Whether nothing is under way; the queues in the order in which mail goes through them."""
        queues = ("maildrop", "incoming", "active")
        return not any(os.listdir(os.path.join(self.layout.spool, queue)) for queue in queues)


class OrcptSink(Sink):
    """A sink that asks for the address a message was first sent to, and notes it (RFC 3461)."""

    def __init__(self) -> None:
        self.pairs: list[list[tuple[str, str]]] = []  # (first address, recipient) of each message
        super().__init__()

    def _talk(self, session: socketserver.StreamRequestHandler) -> None:
        def say(*lines: str) -> None:
            session.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

        say("220 sink")
        lmtp, pairs = False, []
        while line := session.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "LHLO"):
                lmtp = verb == "LHLO"
                say("250-sink", "250-PIPELINING", "250-DSN", "250 8BITMIME")
            elif found := re.fullmatch(r"RCPT TO:<(.*)> ORCPT=rfc822;(\S+)( .*)?", line):
                pairs.append((_from_xtext(found[2]), _from_smtp(found[1])))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                while session.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.pairs.append(pairs)
                say(*["250 ok"] * (len(pairs) if lmtp else 1))
                pairs = []
            else:
                pairs = []
                say("221 bye" if verb == "QUIT" else "250 ok")
                if verb == "QUIT":
                    return


def _from_xtext(text: str) -> str:
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


def _from_smtp(address: str) -> str:
    """An address without the quotes that SMTP wants."""
    return re.sub(r'\\(.)|"', r"\1", address)


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    post = Post()
    try:
        post.start()
        yield post
    finally:
        post.close()


def expected(router: Router, address: str) -> Answer:
    """What our resolve says will become of a message."""
    whole = router.qualified(address)
    domain = split(whole)[1].lower()
    if domain != ORIGIN and not router.roster.names_domain(domain):
        return Answer(554)  # a regexp alone serves no domain
    try:
        # smtpd(8), and only that, asks in lower case, and without the quotes as well.
        asked = whole.lower()
        if router.lookup(asked) is None and router.captured(asked) is None:
            return Answer(550)
        return Answer(250, frozenset(router.expand(address)))
    except Fault:
        return Answer(451)


def endless(router: Router) -> dict[str, str]:
    """The rows of all aliases that the product leaves out of the table."""
    return {
        key: ", ".join(alias.recipients)
        for key, alias in router.roster.virtual.items()
        if postfix.ALIASES.row(router, key) is None
    }


def answers(post: Post, wanted: dict[str, Answer]) -> dict[str, Answer]:
    """Postfix's answers: one message for all, but for those that it is to refuse at its end."""
    refused = [address for address, answer in wanted.items() if answer.code == 451]
    found = post.ask(address for address in wanted if address not in refused)
    for address in refused:
        found |= post.ask([address])
    return found


def test_generated_rosters_resolve_as_postfix_delivers(post: Post) -> None:
    refused = delivered = 0
    for seed in range(SEED, SEED + ROSTERS):
        files = sample(seed)
        post.put(files)
        router = post.router()
        unfollowed = endless(router)
        post.put_aliases(unfollowed)
        wanted = {address: expected(router, address) for address in files.probes}
        found = answers(post, wanted)
        post.drop_aliases(unfollowed)
        wrong = {a: (wanted[a], found[a]) for a in wanted if found[a] != wanted[a]}
        assert not wrong, f"seed {seed}: (ours, Postfix's) {wrong}\n{files.virtual}\n{files.regexp}"
        refused += sum(answer.code == 451 for answer in wanted.values())
        delivered += sum(bool(answer.recipients) for answer in wanted.values())
    assert delivered > 4 * ROSTERS
    assert refused > ROSTERS // 10
