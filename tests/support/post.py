"""What Postfix makes of the mail to the addresses of made-up rosters."""

import os
import re
import shutil
import signal
import smtplib
import socketserver
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.reconcile import Outcome, reconcile
from mailroster.publish.tables import postfix
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.routing.lookups import quoted
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher
from mailroster.servers.prepare import prepare
from mailroster.servers.running import dovecot_pid, postfix_pid
from mailroster.servers.version import version
from mailroster.store.config_folder import Store
from mailroster.system.programs import HOT_MAIN_CF_S
from mailroster.system.stability import Settling
from tests.support.instance import PORTS, free_ports, until
from tests.support.rosters import ORIGIN, Sample
from tests.support.sink import Sink

ALIAS_TABLES = (postfix.ALIASES, postfix.LOCAL_ALIASES)


SEED = int(os.environ.get("MAILROSTER_SEED", "1"))


class Answer(NamedTuple):
    """What became of one address: the code of RCPT, or of DATA behind a 250, and who got it."""

    code: int
    recipients: frozenset[str] = frozenset()


class Sent(NamedTuple):
    """The code that one address got, and the sender by which its deliveries are known."""

    code: int
    sender: str


class Post:
    """A Postfix whose deliveries all end in a sink."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
        self.home.chmod(0o755)
        self.sink = OrcptSink()
        ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
        relayhost = f"[127.0.0.1]:{self.sink.port}"
        options = {f"{name}_port": str(port) for name, port in ports}
        options |= {"home": str(self.home), "hostname": ORIGIN, "relayhost": relayhost}
        options |= {"enable_quotas": "0"}
        self.settings = load(Sources(options, {}, lambda path: b"", os.path.isdir))
        self.layout = Layout(self.settings.state)
        self.store = Store(self.settings.config)
        self.tables = LiveTables(self.layout, targets_of(self.layout))
        self._numbers = count()
        self.aliases = [LmdbTable(self.layout.table(table.name)) for table in ALIAS_TABLES]

    def start(self) -> None:
        prepare(self.settings, self.layout)
        main_cf = Path(self.layout.postfix, "main.cf")
        here = f"virtual_transport = lmtp:inet:127.0.0.1:{self.sink.port}"
        text, found = re.subn("^virtual_transport = .*", here, main_cf.read_text(), flags=re.M)
        assert found == 1
        main_cf.write_text(f"{text}in_flow_delay = 0\n")
        old = time.time() - HOT_MAIN_CF_S
        os.utime(main_cf, (old, old))
        self.tables.begin(ORIGIN, version(), "/srv/mail")
        self.put(Sample())
        self._postfix("start")
        subprocess.run(["dovecot", "-c", self.layout.dovecot_conf], check=True, timeout=60)
        until(lambda: dovecot_pid(self.layout) is not None)

    def close(self) -> None:
        try:
            if (pid := dovecot_pid(self.layout)) is not None:
                os.kill(pid, signal.SIGTERM)
            if postfix_pid(self.layout) is not None:
                self._postfix("stop")
        finally:
            self.sink.close()
            shutil.rmtree(self.home)

    def _postfix(self, verb: str) -> None:
        argv = ["postfix", "-c", self.layout.postfix, verb]
        subprocess.run(argv, check=True, stderr=subprocess.DEVNULL, timeout=60)

    def put(self, files: Sample, receive_access: str = "") -> Outcome:
        """Puts a roster in force while Postfix runs."""
        config = Path(self.settings.config)
        (config / "postfix-receive-access.cf").write_text(receive_access)
        (config / "postfix-accounts.cf").write_text(files.accounts)
        (config / "postfix-virtual.cf").write_text(files.virtual, newline="")
        (config / "postfix-regexp.cf").write_text(files.regexp, newline="")
        (config / "postfix-aliases.cf").write_text(files.local)
        outcome = reconcile(self.store, self.tables, self.layout, Settling(0), accept=True)
        assert (outcome.pending, outcome.faults) == ((), ())
        return outcome

    def router(self) -> Router:
        roster = self.store.read().roster
        return Router(roster, ORIGIN, PatternMatcher(roster.regexp))

    def put_aliases(self, rows: dict[str, str], local: bool = False) -> None:
        """Rows of an alias table past the product, which leaves out what nobody can follow."""
        self.aliases[local].apply({**rows})

    def drop_aliases(self, rows: Iterable[str], local: bool = False) -> None:
        self.aliases[local].apply(dict.fromkeys(rows))

    def send(self, *batches: Sequence[str]) -> dict[str, Sent]:
        """Sends one message to the addresses of each batch; Postfix resolves them before it answers
        to DATA, the deliveries may come later."""
        sent: dict[str, Sent] = {}
        with smtplib.SMTP("127.0.0.1", self.settings.smtp_port, timeout=30) as session:
            session.ehlo("client.test")
            for batch in batches:
                sender = f"message-{next(self._numbers)}@elsewhere.test"
                session.mail(sender)
                codes = {address: session.rcpt(quoted(address))[0] for address in batch}
                if 250 in codes.values():
                    code, _ = session.data(b"Subject: where to?\r\n\r\nhello\r\n")
                    codes = {a: code if codes[a] == 250 else codes[a] for a in codes}
                session.rset()
                sent |= {address: Sent(code, sender) for address, code in codes.items()}
        return sent

    def codes(self, addresses: Sequence[str]) -> dict[str, int]:
        """What RCPT is answered for each address, by a new session and without a message."""
        with smtplib.SMTP("127.0.0.1", self.settings.smtp_port, timeout=30) as session:
            session.ehlo("client.test")
            session.mail("")
            return {address: session.rcpt(quoted(address))[0] for address in addresses}

    def deliver(self) -> None:
        """Waits until everything that was sent is delivered."""
        until(self._is_idle, 60)

    def answer(self, address: str, sent: Sent) -> Answer:
        """What became of an address, once all is delivered."""
        return Answer(sent.code, frozenset(self.sink.got[sent.sender, quoted(address)]))

    def _is_idle(self) -> bool:
        """Whether nothing is under way; the queues in the order in which mail goes through them."""
        queues = ("maildrop", "incoming", "active")
        return not any(os.listdir(os.path.join(self.layout.spool, queue)) for queue in queues)


class OrcptSink(Sink):
    """A sink that asks for the address a message was first sent to, and notes it (RFC 3461)."""

    def __init__(self) -> None:
        #: Recipients by sender and first address.
        self.got: dict[tuple[str, str], set[str]] = defaultdict(set)
        super().__init__()

    def _talk(self, session: socketserver.StreamRequestHandler) -> None:
        def say(*lines: str) -> None:
            session.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

        say("220 sink")
        lmtp, sender = False, ""
        pairs: list[tuple[str, str]] = []
        while line := session.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "LHLO"):
                lmtp = verb == "LHLO"
                say("250-sink", "250-PIPELINING", "250-DSN", "250 8BITMIME")
            elif verb == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
                say("250 ok")
            elif found := re.fullmatch(r"RCPT TO:<(.*)> ORCPT=rfc822;(\S+)( .*)?", line):
                pairs.append((_from_xtext(found[2]), _from_smtp(found[1])))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                while session.rfile.readline() not in (b".\r\n", b""):
                    pass
                for first, recipient in pairs:
                    self.got[sender, first].add(recipient)
                say(*["250 ok"] * (len(pairs) if lmtp else 1))
                pairs = []
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


def _from_xtext(text: str) -> str:
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


def _from_smtp(address: str) -> str:
    """An address without the quotes that SMTP wants."""
    return re.sub(r'\\(.)|"', r"\1", address)


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
    except ParseError:
        return Answer(451)


def endless(router: Router, local: bool = False) -> dict[str, str]:
    """The rows of all aliases that the product leaves out of a table."""
    document = router.roster.local_aliases if local else router.roster.virtual
    return {
        key: ", ".join(alias.recipients)
        for key, alias in document.items()
        if ALIAS_TABLES[local].row(router, key) is None
    }


def batches(wanted: dict[str, Answer]) -> list[list[str]]:
    """One message for all addresses, but for those whose message is to be refused at its end."""
    refused = [address for address, answer in wanted.items() if answer.code == 451]
    return [[address for address in wanted if address not in refused], *([a] for a in refused)]
