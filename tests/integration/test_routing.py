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
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from mailroster.analysis.explain import Explanation, explain
from mailroster.app.comparison import compare
from mailroster.app.comparison.dovecot import place_of, same_place
from mailroster.base.address import split
from mailroster.base.findings import ParseError
from mailroster.daemons.policy.decisions import UNKNOWN, Policy
from mailroster.publish.tables import postfix
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.routing.router import Router
from mailroster.routing.trace import LEADS_NOWHERE, NOWHERE, follow
from mailroster.servers.dovecot_auth import FOUND, NOT_FOUND, PASSDB, USERDB, Question
from mailroster.servers.dovecot_auth import ask as dovecot
from tests.support.odd_recipients import ODD_RECIPIENTS
from tests.support.policy import answered
from tests.support.post import ALIAS_TABLES, SEED, Answer, Post, Sent, batches, endless, expected
from tests.support.rosters import HASH, ORIGIN, Sample, sample

ROSTERS = int(os.environ.get("MAILROSTER_ROSTERS", "200"))


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    post = Post()
    try:
        post.start()
        yield post
    finally:
        post.close()


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
        code = explanation.trace.answer.rcpt
        if explanation.trace.answer.why == LEADS_NOWHERE:
            code = 250
        if codes[address] != code:
            differences.append(f"{address}: we {code}, RCPT {codes[address]}")
        questions[Question(PASSDB, whole_address)] = (
            FOUND if explanation.login.allowed else NOT_FOUND
        )
        for box in explanation.mailboxes:
            questions[Question(USERDB, box.account)] = f"maildir:{box.place}"
        for end in explanation.trace.recipients:
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
        if found[asked[0]].trace.answer.why == LEADS_NOWHERE:
            (rcpt,) = agreement.disagreements
            assert (rcpt.expected, rcpt.actual[:3]) == ("550", "250")
            agreement = agreement._replace(disagreements=())
        assert (agreement.servers, agreement.silent) == (("Postfix", "Dovecot"), ())
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
        answer = found[address].trace.answer
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
