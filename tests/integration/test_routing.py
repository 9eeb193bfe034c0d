"""Our `resolve` and `explain` against the servers' own answers: deliveries, RCPT and lookups
through the very tables that we write.

A Postfix of the product's configuration runs beside a Dovecot that only says which users it knows;
all that Postfix delivers, here or elsewhere, ends in a sink. The policy service does not run: it is
asked in this process, so that Postfix's own answers are seen without it. MAILROSTER_ROSTERS says
how many generated rosters are tried, MAILROSTER_SEED where to begin.
"""

import asyncio
import os
import random
import re
import shutil
import signal
import smtplib
import socketserver
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.analysis.explain import Explanation, explain
from mailroster.app.comparison import compare, place_of, same_place
from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.daemons.policy.decisions import UNKNOWN, Policy
from mailroster.publish.reconcile import Outcome, Tables, reconcile
from mailroster.publish.tables import postfix
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.routing.router import Router, quoted
from mailroster.routing.trace import LEADS_NOWHERE, NOWHERE, follow
from mailroster.servers.dovecot_auth import FOUND, NOT_FOUND, PASSDB, USERDB, Question
from mailroster.servers.dovecot_auth import ask as dovecot
from mailroster.servers.patterns import PatternMatcher
from mailroster.servers.prepare import prepare
from mailroster.servers.running import dovecot_pid, postfix_pid
from mailroster.servers.version import version
from mailroster.store.config_folder import Store
from mailroster.system.programs import HOT_MAIN_CF_S
from mailroster.system.stability import Settling
from tests.support.instance import PORTS, free_ports, until
from tests.support.odd_recipients import ODD_RECIPIENTS
from tests.support.policy import answered
from tests.support.rosters import HASH, ORIGIN, Sample, sample
from tests.support.sink import Sink

ROSTERS = int(os.environ.get("MAILROSTER_ROSTERS", "200"))
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
        self.tables = Tables(self.layout)
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
        until(lambda: dovecot_pid(self.layout) is not None, 30)

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
        assert (outcome.held, outcome.faults) == ((), ())
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


class Asked(NamedTuple):
    """A generated roster, what we say of its addresses, and what was sent to find out; and in what
    `explain` and the servers differ."""

    seed: int
    files: Sample
    wanted: dict[str, Answer]
    sent: dict[str, Sent]
    differences: list[str]


def ask(post: Post, seed: int) -> Asked:
    files = sample(seed)
    post.put(files)
    router = post.router()
    unfollowed = [endless(router, local) for local in (False, True)]
    for local, rows in enumerate(unfollowed):
        post.put_aliases(rows, bool(local))
    wanted = {address: expected(router, address) for address in files.probes}
    sent = post.send(*batches(wanted))
    for local, rows in enumerate(unfollowed):
        post.drop_aliases(rows, bool(local))
    differences = [
        f"{address}: the way {told}, resolve {answer}"
        for address, answer in wanted.items()
        if (told := of_way(router, address)) != answer
    ]
    chance = random.Random(seed)
    if chance.random() < 0.3:
        post.put(files, restrictions(files, chance))
        router = post.router()
    differences += explained(post, router, files.probes, whole=chance.random() < 0.15)
    return Asked(seed, files, wanted, sent, differences)


def of_way(router: Router, address: str) -> Answer:
    """What the way of an address says will become of a message."""
    way = follow(router, router.qualified(address), lambda asked: {})
    code = way.answer.rcpt if way.answer.rcpt != 250 else way.answer.data
    if way.answer.why == LEADS_NOWHERE:
        code = 250  # which Postfix says without the policy service
    return Answer(code, frozenset(end.address for end in way.recipients))


def restrictions(files: Sample, chance: random.Random) -> str:
    """A file of who may not receive: addresses, domains, users, in the forms of access(5)."""
    lines = []
    for address in chance.sample(files.probes, 3):
        local, domain = split(address.partition(" ")[2] or address)
        key = chance.choice((f"{local}@{domain or ORIGIN}", domain or "test", f"{local}@"))
        lines.append(
            f"{key} {chance.choice(('REJECT', 'REJECT no', '450 later', 'DUNNO', 'OK'))}\n"
        )
    return "".join(line for line in lines if '"' not in line and ".." not in line)


def explained(post: Post, router: Router, probes: Sequence[str], *, whole: bool) -> list[str]:
    """In what `explain` differs from the tables that the product writes: the answer to RCPT, whom
    Dovecot lets log in, where a mailbox lies, who has none; `whole`: one address by the command's
    own comparison."""
    differences: list[str] = []
    asked = [probe for probe in probes if not set(' "') & set(probe)]
    found = {
        address: explain(router, post.settings, router.qualified(address), lambda asked: {})
        for address in asked
    }
    codes = post.codes(asked[::2]) | post.codes(asked[1::2])
    questions: dict[Question, str] = {}
    for address, explanation in found.items():
        whole_address = router.qualified(address)
        code = explanation.way.answer.rcpt
        if explanation.way.answer.why == LEADS_NOWHERE:
            code = 250
        if codes[address] != code:
            differences.append(f"{address}: we {code}, RCPT {codes[address]}")
        questions[Question(PASSDB, whole_address)] = (
            FOUND if explanation.login.allowed else NOT_FOUND
        )
        for box in explanation.mailboxes:
            questions[Question(USERDB, box.account)] = f"maildir:{box.place}"
        for end in explanation.way.recipients:
            if end.kind == NOWHERE:
                questions[Question(USERDB, end.address)] = NOT_FOUND
    for (database, user), known in zip(
        questions, dovecot(post.layout, list(questions)), strict=True
    ):
        told, wanted = place_of(known.fields) or known.outcome, questions[Question(database, user)]
        if told != wanted and not (known.fields and same_place(told, wanted)):
            differences.append(f"{database} {user}: we {wanted}, Dovecot {told}")
    if whole:
        differences += existing(post, router, found)
        agreement = compare(found[asked[0]], post.settings, post.layout)
        if found[asked[0]].way.answer.why == LEADS_NOWHERE:
            (rcpt,) = agreement.disagreements
            assert (rcpt.ours, rcpt.theirs[:3]) == ("550", "250")
            agreement = agreement._replace(disagreements=())
        assert (agreement.asked, agreement.silent) == (("Postfix", "Dovecot"), ())
        differences += map(str, agreement.disagreements)
    return differences


def existing(post: Post, router: Router, found: dict[str, Explanation]) -> list[str]:
    """In what the policy service and `explain` differ about recipients that do not exist."""
    policy = Policy(post.layout, ORIGIN)

    async def ask() -> dict[str, str]:
        context = {"policy_context": "recipient"}
        return {one: await answered(policy, {**context, "recipient": one}) for one in found}

    differences = []
    for address, action in asyncio.run(ask()).items():
        answer = found[address].way.answer
        if answer.rcpt not in (250, 550) or (answer.rcpt == 550 and answer.why != LEADS_NOWHERE):
            continue  # Postfix does not ask
        if found[address].restrictions:
            continue  # nor behind an OK
        if (action == UNKNOWN) != (answer.why == LEADS_NOWHERE):
            differences.append(f"{address}: {answer}, the policy service {action}")
    return differences


def test_generated_rosters_resolve_as_postfix_delivers(post: Post) -> None:
    asked = [ask(post, seed) for seed in range(SEED, SEED + ROSTERS)]
    post.deliver()
    answers: list[Answer] = []
    for seed, files, wanted, sent, differences in asked:
        assert not differences, f"seed {seed}: {differences}\n{files}"
        found = {address: post.answer(address, sent[address]) for address in wanted}
        wrong = {a: f"we {wanted[a]}, Postfix {found[a]}" for a in wanted if found[a] != wanted[a]}
        assert not wrong, f"seed {seed}: {wrong}\n" + "\n".join(map(str, files))
        answers += wanted.values()
    assert sum(bool(answer.recipients) for answer in answers) > 5 * ROSTERS
    assert sum(answer.code == 451 for answer in answers) > ROSTERS // 10


BOX = f"box@a.test|{HASH}\nother@b.test|{HASH}\n"


def chain(links: int, end: str) -> str:
    """Aliases that lead to each other, from step-0 on, and the last of them to an end."""
    steps = [f"step-{n}@a.test" for n in range(links)]
    return "".join(f"{a} {b}\n" for a, b in zip(steps, [*steps[1:], end], strict=True))


def many(count: int) -> str:
    return "many@a.test " + ", ".join(f"u{n}@far.test" for n in range(count)) + "\n"


@pytest.mark.parametrize(
    ("virtual", "address", "code", "count"),
    [
        pytest.param(many(1000), "many@a.test", 250, 1000, id="1,000 recipients pass"),
        pytest.param(many(1001), "many@a.test", 451, 0, id="1,001 recipients don't"),
        pytest.param(
            many(500) + f"top@a.test many@a.test {many(500)[12:]}", "top@a.test", 250, 500,
            id="1,000 that are 500 are counted before duplicates go, and pass",
        ),
        pytest.param(
            many(500) + f"top@a.test many@a.test {many(501)[12:]}", "top@a.test", 451, 0,
            id="1,001 that are 501 don't",
        ),
        pytest.param(chain(900, "x@far.test"), "step-0@a.test", 250, 1, id="a chain of 900 passes"),
        pytest.param(chain(999, "x@far.test"), "step-0@a.test", 250, 1, id="a chain of 999 passes"),
        pytest.param(chain(1000, "x@far.test"), "step-0@a.test", 451, 0, id="one of 1,000 doesn't"),
        pytest.param(chain(1200, "x@far.test"), "step-0@a.test", 451, 0, id="one of 1,200 doesn't"),
        pytest.param(chain(999, "box@a.test"), "step-0@a.test", 250, 1, id="999 and a mailbox"),
        pytest.param(chain(1000, "box@a.test"), "step-0@a.test", 451, 0, id="1,000 and one don't"),
        pytest.param(chain(2, "step-0@a.test"), "step-0@a.test", 451, 0, id="a cycle of two"),
        pytest.param(chain(2, "step-1@a.test"), "step-0@a.test", 250, 1, id="a self-map ends it"),
        pytest.param("g@a.test g+y@a.test\n", "g@a.test", 451, 0, id="an address that grows"),
        pytest.param(
            "g@a.test g+y@a.test, box@a.test\n", "g@a.test", 451, 0, id="growth beside a box"
        ),
        pytest.param("@a.test @b.test\n@b.test @a.test\n", "x@a.test", 451, 0, id="two catch-alls"),
        pytest.param(
            "@a.test @b.test\n@b.test @a.test\n", "box@b.test", 250, 1, id="two, and a mailbox"
        ),
    ],
)  # fmt: skip
def test_limits_are_postfix_own(
    post: Post, virtual: str, address: str, code: int, count: int
) -> None:
    post.put(Sample(BOX))
    before = post.router()
    router = before._replace(roster=before.roster._replace(virtual=Document(VIRTUAL, virtual)))
    rows = {key: ", ".join(alias.recipients) for key, alias in router.roster.virtual.items()}
    post.put_aliases(rows)
    sent = post.send([address])
    post.deliver()
    post.drop_aliases(rows)
    wanted = expected(router, address)
    assert post.answer(address, sent[address]) == wanted
    assert (wanted.code, len(wanted.recipients)) == (code, count)


@pytest.mark.parametrize(
    "rule",
    ["/^(x?)empty@a/ $1", "/^empty@a/ ,"],
    ids=["a result that captures nothing", "a result of commas alone"],
)
def test_a_rule_that_names_no_recipient_is_451(post: Post, rule: str) -> None:
    post.put(Sample(BOX, "", f"{rule}\n"))
    sent = post.send(["empty@a.test"])
    assert expected(post.router(), "empty@a.test").code == 451
    assert sent["empty@a.test"].code == 451


@pytest.mark.parametrize("seed", range(5))
def test_each_row_answers_postmap_as_the_roster_says(post: Post, seed: int) -> None:
    files = sample(1000 + seed)
    post.put(files)
    router = post.router()
    for table in (*ALIAS_TABLES, postfix.MAILBOXES, postfix.DOMAINS, postfix.SENDERS):
        name = f"lmdb:{post.layout.table(table.name)}"
        keys = {*table.keys(router), *map(str.lower, files.probes)}
        rows = {key: row for key in keys if (row := table.row(router, key)) is not None}
        asked = "".join(f"{key.upper()}\n" for key in sorted(keys))
        argv = ["postmap", "-c", post.layout.postfix, "-q", "-", name]
        done = subprocess.run(argv, input=asked, capture_output=True, text=True, timeout=60)
        lines = (line.split("\t", 1) for line in done.stdout.splitlines())
        assert {key.lower(): value for key, value in lines} == rows, table.name


def test_an_odd_recipient_is_read_as_postfix_reads_it_or_refused(post: Post) -> None:
    post.put(Sample(BOX, "anchor@else.where.test box@a.test\n"))
    router = post.router()
    virtual: dict[str, str] = {}
    refused: dict[str, str] = {}
    for number, word in enumerate(ODD_RECIPIENTS):
        line = f"odd-{number}@a.test {word}"
        try:
            alias = VIRTUAL.parse(line)
        except ParseError as fault:
            assert fault.hint, word
            refused[alias_of(line)] = word
            continue
        virtual[alias.key] = ", ".join(alias.recipients)
    document = Document(VIRTUAL, "".join(f"{key} {words}\n" for key, words in virtual.items()))
    router = router._replace(roster=router.roster._replace(virtual=document))
    rows = {**virtual, **refused}
    post.put_aliases(dict(rows))
    sent = post.send(*([key] for key in rows))
    post.deliver()
    post.drop_aliases(rows)
    assert len(virtual) > 150 and len(refused) > 150
    wrong = {
        words: f"we {wanted}, Postfix {found}"
        for key, words in virtual.items()
        if (wanted := expected(router, key)) != (found := post.answer(key, sent[key]))
    }
    assert not wrong
    plain = re.compile(r"[a-z0-9][a-z0-9.+_-]*@[a-z0-9.-]+").fullmatch
    too_strict = {
        word
        for key, word in refused.items()
        if plain(word) and post.answer(key, sent[key]).recipients
    }
    assert not too_strict


def alias_of(line: str) -> str:
    return line.partition(" ")[0]
