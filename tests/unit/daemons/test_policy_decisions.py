"""The policy service, condition by condition, without a socket of Postfix or a process."""

import asyncio
import errno
import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.daemons.policy import changes_under_way, quota_status
from mailroster.daemons.policy import decisions as answers
from mailroster.daemons.policy import pattern_cache as regexp_table
from mailroster.daemons.policy.changes_under_way import ChangesUnderWay
from mailroster.daemons.policy.complaints import Complaints
from mailroster.daemons.policy.connection import Connection, attributes
from mailroster.daemons.policy.decisions import NO_OPINION, NOT_OWNED, PERMIT, SHUT, UNKNOWN, Policy
from mailroster.daemons.policy.mailbox_cache import MailboxCache
from mailroster.daemons.policy.pattern_cache import PatternCache
from mailroster.daemons.policy.quota_status import QuotaStatus
from mailroster.daemons.policy.table_roster import TABLES, table_roster
from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.system.files import Identity
from tests.support.policy import answered, settled

FULL = "552 5.2.2 Mailbox is full"
MIB = 1 << 20
ACCOUNTS = ("ann", "bob", "full", "shut")
ALIASES = {
    "info@x.com": "ann@x.com",
    "team@x.com": "ann@x.com, bob@x.com",
    "brim@x.com": "full@x.com, ann@x.com",
    "stale@x.com": "gone@x.com",
    "loop@x.com": "loop+x@x.com",
    "out@x.com": "who@far.test",
    "@old.com": "@x.com",
    "@caught.com": "bob@x.com",
}
SENDERS = {
    "info@x.com": "ann@x.com",
    "@x.com": "boss@x.com",
    "chief@old.com": "bob@x.com, boss@x.com",
}


def made(state: Path, kind: str = "private") -> Layout:
    """The tables of an instance."""
    layout = Layout(str(state), kind)
    Path(layout.tables).mkdir(parents=True)
    if kind == "private":
        Path(layout.run).mkdir()
    Path(layout.table("regexp")).write_text("")
    rows = {
        "mailboxes": {f"{name}@x.com": f"{name}@x.com" for name in ACCOUNTS},
        "aliases": ALIASES,
        "senders": SENDERS,
        "locked": {"shut@x.com": "shut@x.com"},
        "roles": {"postmaster@y.com": "ann@x.com"},
        "local_aliases": {},
        "domains": {name: name for name in ("x.com", "y.com", "old.com", "caught.com")},
    }
    for table, found in rows.items():
        LmdbTable(layout.table(table)).fill(sorted(found.items()))
    return layout


class Dovecot:
    """Answers for quota-status: `full@x.com` has 100 bytes of room, others much."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def action(self, mailbox: str, size: int) -> str:
        self.asked.append((mailbox, size))
        return FULL if mailbox == "full@x.com" and size > 100 else "DUNNO"


Scene = Callable[[Policy, Dovecot, Layout], Awaitable[None]]


def play(state: Path, scene: Scene, kind: str = "private") -> None:
    async def run() -> None:
        layout = made(state, kind)
        policy, dovecot = Policy(layout, "mail.test"), Dovecot()
        policy._rooms._query = dovecot.action
        await scene(policy, dovecot, layout)

    asyncio.run(run())


def request(context: str, **attributes: str) -> dict[str, str]:
    return {"policy_context": context, **attributes}


# -- attributes and connections


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"a=b\nc=d", {"a": "b", "c": "d"}, id="two"),
        pytest.param(b"sender=SRS0=x=y@z", {"sender": "SRS0=x=y@z"}, id="an SRS sender"),
        pytest.param(b"sender=prvs=1=a@x", {"sender": "prvs=1=a@x"}, id="a BATV sender"),
        pytest.param(b"a=", {"a": ""}, id="an empty value"),
        pytest.param(b"noise\na=b\n", {"a": "b"}, id="a line without `=`"),
        pytest.param(b"", {}, id="nothing"),
        pytest.param(b"a=\xff", {"a": "\udcff"}, id="no UTF-8"),
    ],
)
def test_attributes(raw: bytes, expected: dict[str, str]) -> None:
    assert attributes(raw) == expected


class Client:
    """One connection, as an smtpd has it, to answers of a test."""

    def __init__(self, answer: Callable[[object], object]) -> None:
        self.connection = Connection(answer)  # type: ignore[arg-type]
        self.written, self.is_closed = b"", False
        client = self

        class Transport(asyncio.Transport):
            def write(self, data: object) -> None:
                assert isinstance(data, bytes)
                client.written += data

            def close(self) -> None:
                client.is_closed = True

        self.connection.connection_made(Transport())

    def says(self, raw: bytes) -> bytes:
        """What is written at once when something is received."""
        self.written = b""
        self.connection.data_received(raw)
        return self.written


def test_a_request_is_answered_at_once() -> None:
    client = Client(lambda asked: f"saw {asked}")
    assert client.says(b"a=b\n") == b""
    assert client.says(b"\n") == b"action=saw {'a': 'b'}\n\n"
    assert (
        client.says(b"a=1\n\na=2\n\na=3") == b"action=saw {'a': '1'}\n\naction=saw {'a': '2'}\n\n"
    )
    assert client.says(b"\n\n") == b"action=saw {'a': '3'}\n\n"
    assert not client.is_closed


def test_an_answer_is_ascii() -> None:
    assert Client(lambda _: "554 b\u00fccher").says(b"a=b\n\n") == b"action=554 b?cher\n\n"


def test_requests_behind_one_that_takes_a_while_keep_their_order() -> None:
    async def run() -> None:
        may_answer = asyncio.Event()

        async def slow() -> str:
            await may_answer.wait()
            return "slow"

        client = Client(lambda asked: slow() if "slow" in asked else "quick")  # type: ignore[operator]
        assert client.says(b"slow=1\n\na=b\n\n") == b""
        assert client.says(b"a=b\n\n") == b""
        may_answer.set()
        while client.written.count(b"\n\n") < 3:
            await asyncio.sleep(0)
        assert client.written == b"action=slow\n\naction=quick\n\naction=quick\n\n"

    asyncio.run(run())


def test_a_connection_that_ends_takes_its_answer_with_it() -> None:
    async def run() -> None:
        ended: list[str] = []

        async def slow() -> str:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("slow")
            return ""

        client = Client(lambda _: slow())
        client.says(b"a=b\n\na=b\n\n")
        await asyncio.sleep(0)
        client.connection.connection_lost(None)
        while not ended:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (ended, client.written) == (["slow"], b"")

    asyncio.run(run())


def test_a_request_without_end_ends_the_connection() -> None:
    client = Client(lambda _: "OK")
    client.says(b"x" * (1 << 16))
    assert not client.is_closed
    client.says(b"x")
    assert client.is_closed


# -- recipients


@pytest.mark.parametrize(
    ("address", "context", "action"),
    [
        pytest.param("ann@x.com", "recipient", PERMIT, id="a mailbox"),
        pytest.param("stale@x.com", "recipient", UNKNOWN, id="leads nowhere"),
        pytest.param("stale@x.com", "recipient+quota", UNKNOWN, id="leads nowhere, both asked"),
        pytest.param("stale@x.com", "quota", PERMIT, id="leads nowhere, not asked"),
        pytest.param("full@x.com", "quota", FULL, id="full"),
        pytest.param("full@x.com", "recipient+quota", FULL, id="full, both asked"),
        pytest.param("brim@x.com", "recipient+quota", FULL, id="an alias to it"),
        pytest.param("full@x.com", "recipient", PERMIT, id="full, not asked"),
        pytest.param("loop@x.com", "recipient+quota", NO_OPINION, id="a loop"),
        pytest.param("loop@x.com", "recipient", NO_OPINION, id="a loop, no quota"),
        pytest.param("", "recipient+quota", NO_OPINION, id="no recipient"),
        pytest.param("out@x.com", "recipient+quota", PERMIT, id="elsewhere"),
        pytest.param("full@x.com", "", PERMIT, id="nothing is asked"),
        pytest.param("ann@x.com", "quota/class", NO_OPINION, id="OK, with a class"),
        pytest.param("full@x.com", "quota/class", FULL, id="refused, with a class"),
        pytest.param("loop@x.com", "quota/class", "class", id="no opinion, with a class"),
        pytest.param("stale@x.com", "recipient/class", UNKNOWN, id="unknown, with a class"),
    ],
)
def test_a_recipient(
    tmp_path: Path, address: str, context: str, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request(context, recipient=address, size="1000")
        assert await answered(policy, asked) == action
        assert await answered(policy, asked) == action

    play(tmp_path, scene)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("size", "asked", "action"),
    [
        ("100", 100, PERMIT),
        ("101", 101, FULL),
        ("0", 0, PERMIT),
        ("", 0, PERMIT),
        ("-5", 0, PERMIT),
        ("much", 0, PERMIT),
    ],
)
def test_the_size_that_is_asked_about(tmp_path: Path, size: str, asked: int, action: str) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        found = request("quota", recipient="full@x.com", size=size)
        assert await answered(policy, found) == action
        assert dovecot.asked[0] == ("full@x.com", asked)

    play(tmp_path, scene)


def test_what_is_known_is_answered_at_once_and_asks_nobody(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request("recipient+quota", recipient="team@x.com", size="1000")
        assert not isinstance(first := policy.answer(asked), str)
        assert await first == PERMIT
        await settled(policy, asked)
        expected = [
            (f"{user}@x.com", size) for user in ("ann", "bob") for size in (1000, 512 * MIB)
        ]
        assert sorted(dovecot.asked) == expected
        for recipient in ("team@x.com", "ann@x.com", "Bob+tag@X.com", "out@x.com", "who@old.com"):
            action = UNKNOWN if recipient == "who@old.com" else PERMIT
            assert policy.answer({**asked, "recipient": recipient}) == action
        assert policy.answer(request("login", sasl_username="ann@x.com")) == NO_OPINION
        sender = request("sender", sender="ann@old.com", sasl_username="ann@x.com")
        assert policy.answer(sender) == PERMIT
        assert len(dovecot.asked) == 4

    play(tmp_path, scene)


def test_of_a_long_list_the_first_mailboxes_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAILBOXES_MAX", 1)

    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request("quota", recipient="team@x.com", size="1000")
        assert await settled(policy, asked) == PERMIT
        assert dovecot.asked == [("ann@x.com", 1000), ("ann@x.com", 512 * MIB)]
        assert policy.answer(asked) == PERMIT

    play(tmp_path, scene)


def test_the_first_mailbox_that_is_full_decides(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        ended: list[str] = []

        async def action(mailbox: str, size: int) -> str:
            if mailbox == "full@x.com":
                return FULL
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(mailbox)
            return ""

        policy._rooms._query = action
        asked = request("quota", recipient="brim@x.com", size="1000")
        assert await answered(policy, asked) == FULL

    play(tmp_path, scene)


def test_what_takes_too_long_is_no_opinion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 0.05)

    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        async def action(mailbox: str, size: int) -> str:
            await asyncio.Event().wait()
            return ""

        policy._rooms._query = action
        asked = request("quota", recipient="ann@x.com", size="1")
        assert await answered(policy, asked) == NO_OPINION
        asked = request("quota/class", recipient="ann@x.com", size="1")
        assert await answered(policy, asked) == "class"

    play(tmp_path, scene)
    assert capsys.readouterr().err.count("policy: TimeoutError: ") == 1


@pytest.mark.parametrize(
    ("table", "domain"),
    [
        ("aliases", "mail.test"),
        ("mailboxes", "mail.test"),
        ("local_aliases", "mail.test"),
        ("domains", "far.test"),
    ],
)
def test_without_a_table_there_is_no_opinion_and_a_complaint(
    tmp_path: Path, table: str, domain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        Path(f"{layout.table(table)}.lmdb").unlink()
        asked = request("quota/class", recipient=f"nobody@{domain}")
        assert policy.answer(asked) == "class"

    play(tmp_path, scene)
    assert f"{table}.lmdb is missing" in capsys.readouterr().err


# -- what is remembered of addresses


#: Changes of tables, one after the other; each makes some address end at other mailboxes.
CHANGES: list[tuple[str, dict[str, str | None]]] = [
    ("aliases", {"info@x.com": "bob@x.com"}),
    ("mailboxes", {"gone@x.com": "gone@x.com"}),
    ("aliases", {"team@x.com": "full@x.com", "more@x.com": "team@x.com"}),
    ("domains", {"far.test": "far.test"}),
    ("roles", {"postmaster@y.com": "full@x.com"}),
    ("local_aliases", {"root": "full@x.com"}),
    ("mailboxes", {"bob@x.com": None}),
    ("aliases", {"@old.com": None}),
    ("regexp", {}),
]
ASKED = (
    "info@x.com", "stale@x.com", "team@x.com", "more@x.com", "out@x.com", "postmaster@y.com",
    "root@mail.test", "bob@x.com", "ann@old.com", "who@caught.com", "loop@x.com", "dept-1@x.com",
    "full@x.com",
)  # fmt: skip


def elsewhere(layout: Layout, table: str, rows: dict[str, str | None]) -> None:
    """Changes a table in another process: LMDB opens a file once in each."""
    code = "from mailroster.publish.targets.lmdb_table import LmdbTable; "
    code += f"LmdbTable({layout.table(table)!r}).apply({rows!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_address_ends_where_it_does_now_while_tables_change(
    tmp_path: Path, postmap: Callable[[], int]
) -> None:
    """With what is remembered as without it."""

    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        seen: list[object] = []
        kept = 0
        for table, rows in CHANGES:
            if rows:
                elsewhere(layout, table, rows)
            else:
                Path(layout.table(table)).write_text("/^(dept-|full@)/ ann@x.com\n")
            found = []
            for address in ASKED:
                asked = request("recipient+quota", recipient=address, size="1000")
                await settled(policy, asked)
                remembered = policy._mailboxes.get(address)
                found.append(policy._expand(address, 0.0, exists=True))
                assert remembered in (None, found[-1]), (table, rows)
                kept += remembered is not None
            assert found not in seen
            seen.append(found)
        assert kept > 5 * len(CHANGES)

    play(tmp_path, scene)


def test_an_address_is_followed_once(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request("recipient+quota", recipient="team@x.com", size="1000")
        await settled(policy, asked)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LmdbLookup, "get", lambda self, key: pytest.fail(key))
            assert policy.answer(asked) == PERMIT
        elsewhere(layout, "aliases", {"team@x.com": "full@x.com"})
        assert await answered(policy, asked) == FULL

    play(tmp_path, scene)


def test_what_is_followed_while_a_table_changes_is_not_kept() -> None:
    version = 1
    followed = MailboxCache(lambda: version)
    assert followed.get("a") is None
    version = 2
    followed.keep("a", ["b"])
    assert followed.get("a") is None
    followed.keep("a", ["b"])
    assert followed.get("a") == followed.get("a") == ["b"]
    version = 3
    assert followed.get("a") is None


def test_the_memory_of_followed_addresses_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailroster.daemons.policy.mailbox_cache._MAILBOXES_MAX", 5)
    followed = MailboxCache(lambda: 1)
    followed.get("")
    for address in ("a", "b"):  # with the address itself each counts as three
        followed.keep(address, ["x", "y"])
    assert followed.get("a") == ["x", "y"]
    followed.keep("c", [])
    assert [followed.get(one) for one in "abc"] == [None, None, []]
    for address in "defg":
        followed.keep(address, [])
    assert followed.get("c") == []
    followed.keep("h", [])
    assert [followed.get(one) for one in "ch"] == [None, []]


def test_a_service_that_is_dropped_closes_its_tables(tmp_path: Path) -> None:
    async def run() -> None:
        layout = made(tmp_path)
        for _ in range(2):
            policy = Policy(layout, "mail.test")
            await answered(policy, request("recipient", recipient="team@x.com"))
            del policy
            # LMDB opens a file only once in a process.
            LmdbTable(layout.table("aliases")).apply({"new@x.com": "ann@x.com"})

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


# -- changes under way


@contextmanager
def mark(layout: Layout) -> Iterator[Path]:
    path = Path(layout.changing)
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("asked", "action"),
    [
        (request("recipient", recipient="stale@x.com"), UNKNOWN),
        (request("recipient/class", recipient="stale@x.com"), UNKNOWN),
        (request("login", sasl_username="gone@x.com"), SHUT.format("gone@x.com")),
    ],
    ids=["a recipient", "with a class", "a session"],
)
def test_a_refusal_waits_until_a_change_is_over(
    tmp_path: Path, asked: dict[str, str], action: str
) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        with mark(layout) as path:
            asking = asyncio.ensure_future(answered(policy, asked))
            for _ in range(3):
                await asyncio.sleep(changes_under_way._STEP_S)
            assert not asking.done()
            path.unlink()
            assert await asking == action

    play(tmp_path, scene)


def test_what_a_change_completes_meanwhile_is_accepted(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        with mark(layout) as path:
            asked = request("recipient+quota", recipient="stale@x.com", size="1")
            login = request("login", sasl_username="gone@x.com")
            asking = [asyncio.ensure_future(answered(policy, one)) for one in (asked, login)]
            await asyncio.sleep(0)
            # Another file: LMDB opens one only once in a process.
            Path(f"{layout.table('mailboxes')}.lmdb").unlink()
            LmdbTable(layout.table("mailboxes")).fill([("gone@x.com", "gone@x.com")])
            path.unlink()
            assert await asyncio.gather(*asking) == [PERMIT, NO_OPINION]
        assert dovecot.asked[0] == ("gone@x.com", 1)

    play(tmp_path, scene)


def test_a_mark_that_stays_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request("recipient/class", recipient="stale@x.com")
        with mark(layout) as path:
            monkeypatch.setattr(answers, "CHANGE_S", 0.05)
            assert await answered(policy, asked) == "class"
            monkeypatch.setattr(answers, "CHANGE_S", 1000.0)
            assert await answered(policy, asked) == "class"
            # What leads somewhere, and who may log in, waits for nothing.
            assert policy.answer(request("recipient", recipient="ann@x.com")) == PERMIT
            assert policy.answer(request("login", sasl_username="ann@x.com")) == NO_OPINION
            assert policy.answer(request("login", sasl_username="shut@x.com")) == SHUT.format(
                "shut@x.com"
            )
            path.unlink()
            assert policy.answer(asked) == UNKNOWN

    play(tmp_path, scene)


def test_another_mark_is_another_change(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "changing"
        changes, now = ChangesUnderWay(str(path)), asyncio.get_running_loop().time
        path.touch()
        assert not await changes.wait(now())
        assert not await changes.wait(now() + 1000)
        new = tmp_path / "new"
        new.touch()
        new.rename(path)
        waiting = asyncio.ensure_future(changes.wait(now() + 1000))
        await asyncio.sleep(0)
        assert not waiting.done()
        path.unlink()
        assert await waiting

    asyncio.run(run())


def test_marks_one_after_the_other_are_no_mark_that_stays(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "changing"
        changes, now = ChangesUnderWay(str(path)), asyncio.get_running_loop().time
        path.touch()
        waiting = asyncio.ensure_future(changes.wait(now() + 0.05))
        await asyncio.sleep(0)
        new = tmp_path / "new"
        new.touch()
        new.rename(path)
        assert not await waiting
        again = asyncio.ensure_future(changes.wait(now() + 1000))
        await asyncio.sleep(0)
        path.unlink()
        assert await again

    asyncio.run(run())


def test_a_stamp_tells_of_changes(tmp_path: Path) -> None:
    path = tmp_path / "changing"
    changes = ChangesUnderWay(str(path))
    before = changes.stamp()
    assert before is not None
    assert changes.stamp() == before
    path.touch()
    assert changes.stamp() is None
    path.unlink()

    def is_another() -> bool:  # the clock of a file system has ticks
        path.touch()
        path.unlink()
        return changes.stamp() not in (None, before)

    while not is_another():
        pass


def test_a_whole_change_between_two_looks_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        stamps = iter([Identity(n, 0, 0, 0) for n in (1, 2, 3, 3)])
        monkeypatch.setattr(policy._changes, "stamp", lambda: next(stamps))
        asked = request("recipient", recipient="stale@x.com")
        assert not isinstance(later := policy.answer(asked), str)
        assert await later == UNKNOWN
        assert next(stamps, None) is None

    play(tmp_path, scene)


# -- senders and sessions


@pytest.mark.parametrize(
    ("user", "sender", "action"),
    [
        pytest.param("ann@x.com", "ann@old.com", PERMIT, id="oneself in a domain alias"),
        pytest.param("Ann@X.com", "ANN+tag@Old.com", PERMIT, id="in another case"),
        pytest.param("bob@x.com", "ann@old.com", NOT_OWNED, id="another"),
        pytest.param("bob@x.com", "chief@old.com", PERMIT, id="by name, on a domain alias"),
        pytest.param("boss@x.com", "chief@old.com", PERMIT, id="the second by name"),
        pytest.param("boss@x.com", "chief+tag@old.com", PERMIT, id="by name, with an extension"),
        pytest.param("boss@x.com", "info@x.com", NO_OPINION, id="of an alias the table says it"),
        pytest.param("ann@x.com", "ann@x.com", NO_OPINION, id="of oneself, too"),
        pytest.param("ann@x.com", "postmaster@y.com", PERMIT, id="a role"),
        pytest.param("bob@x.com", "postmaster@y.com", NOT_OWNED, id="another's role"),
        pytest.param("bob@y.com", "bob@y.com", NO_OPINION, id="an address that nothing takes"),
        pytest.param("", "ann@old.com", NO_OPINION, id="nobody has logged in"),
        pytest.param("ann@x.com", "", NO_OPINION, id="no sender"),
        pytest.param("ann@x.com", "SRS0=x=y@old.com", NOT_OWNED, id="an SRS sender"),
    ],
)
def test_a_sender(tmp_path: Path, user: str, sender: str, action: str) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        asked = request("sender", sender=sender, sasl_username=user)
        assert policy.answer(asked) == action
        with_class = {**asked, "policy_context": "sender/class"}
        expected = {PERMIT: NO_OPINION, NO_OPINION: "class"}.get(action, action)
        assert policy.answer(with_class) == expected

    play(tmp_path, scene)


def test_a_grant_on_a_domain_counts_for_what_a_pattern_takes(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        LmdbTable(layout.table("senders")).apply({"@old.com": "bob@x.com"})
        asked = request("sender", sender="ann@old.com", sasl_username="bob@x.com")
        assert policy.answer(asked) == PERMIT

    play(tmp_path, scene)


def test_a_catch_all_counts_where_it_is_allowed(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        LmdbTable(layout.table("aliases")).apply({"@older.com": "@caught.com"})
        LmdbTable(layout.table("domains")).apply({"older.com": "older.com"})
        asked = request("sender", sender="who@older.com", sasl_username="bob@x.com")
        assert policy.answer(asked) == NOT_OWNED
        assert policy.answer({**asked, "policy_context": "sender+catch-all"}) == PERMIT

    play(tmp_path, scene)


def test_a_sender_without_a_domain_is_of_the_server(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        LmdbTable(layout.table("roles")).apply({"root": "ann@x.com"})
        asked = request("sender", sender="root", sasl_username="ann@x.com")
        assert policy.answer(asked) == PERMIT
        assert policy.answer({**asked, "sasl_username": "bob@x.com"}) == NOT_OWNED

    play(tmp_path, scene)


@pytest.mark.parametrize("kind", ["private", "host"])
@pytest.mark.parametrize(
    ("user", "here", "on_a_host"),
    [
        ("ann@x.com", NO_OPINION, NO_OPINION),
        ("Shut@X.com", SHUT.format("shut@x.com"), SHUT.format("shut@x.com")),
        ("gone@x.com", SHUT.format("gone@x.com"), SHUT.format("gone@x.com")),
        ("gone@far.test", SHUT.format("gone@far.test"), NO_OPINION),
        ("root", NO_OPINION, NO_OPINION),
        ("", NO_OPINION, NO_OPINION),
    ],
)
def test_a_session(tmp_path: Path, kind: str, user: str, here: str, on_a_host: str) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        expected = here if kind == "private" else on_a_host
        assert policy.answer(request("login", sasl_username=user)) == expected

    play(tmp_path, scene, kind)


def test_the_accounts_that_a_host_remembers_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_SENDERS_MAX", 2)

    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        for user in ("ann", "bob"):
            policy.answer(request("login", sasl_username=f"{user}@x.com"))
        assert policy._known_senders == {"ann@x.com", "bob@x.com"}
        policy.answer(request("login", sasl_username="full@x.com"))
        assert policy._known_senders == {"full@x.com"}

    play(tmp_path, scene, "host")


def test_a_private_server_remembers_no_account(tmp_path: Path) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        policy.answer(request("login", sasl_username="ann@x.com"))
        assert policy._known_senders == set()

    play(tmp_path, scene)


# -- complaints


def test_a_complaint_comes_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    complaints = Complaints()
    for second, lines in ((0, 1), (59.9, 0), (60, 1), (61, 0)):
        now[0] = 1000.0 + second
        complaints.log("trouble")
        assert capsys.readouterr().err.count("policy: trouble\n") == lines, second
    complaints.log("another")
    assert capsys.readouterr().err.count("policy: another\n") == 1
    # After a hundred kinds of trouble all are logged again.
    for number in range(99):
        complaints.log(f"trouble {number}")
    capsys.readouterr()
    complaints.log("trouble 98")
    assert capsys.readouterr().err == ""
    complaints.log("one more")
    complaints.log("trouble 98")
    assert capsys.readouterr().err.count("policy: ") == 2


class FullDisk:
    tried = False

    def write(self, text: str) -> int:
        FullDisk.tried = True
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_complaint_that_can_not_be_written_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", FullDisk())
    Complaints().log("trouble")
    assert FullDisk.tried


# -- quota-status


def with_quota_status(
    path: Path,
    answer: Callable[[bytes], bytes | None],
    scene: Callable[[QuotaStatus, list[bytes]], Awaitable[None]],
) -> int:
    """Plays beside a quota-status that answers requests (None: it hangs up); gives the number of
    its connections."""
    connections = 0

    async def run() -> None:
        seen: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while True:
                    seen.append(await reader.readuntil(b"\n\n"))
                    said = answer(seen[-1])
                    if said is None:
                        break
                    writer.write(said)
            except asyncio.IncompleteReadError:
                pass
            writer.close()

        server = await asyncio.start_unix_server(serve, path)
        try:
            await scene(QuotaStatus(str(path)), seen)
        finally:
            server.close()

    asyncio.run(run())
    return connections


def test_what_quota_status_is_asked(tmp_path: Path) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        assert await status.action("ann@x.com", 5) == "552 full = yes"
        assert seen == [b"protocol_state=RCPT\nrecipient=ann@x.com\nsize=5\n\n"]
        for _ in range(3):
            await status.action("ann@x.com", 5)

    path = tmp_path / "quota-status"
    assert with_quota_status(path, lambda _: b"action=552 full = yes\n\n", scene) == 1


def test_a_connection_that_dovecot_has_ended_is_replaced(tmp_path: Path) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        answers = [await status.action("ann@x.com", size) for size in (1, 2, 3)]
        assert answers == ["DUNNO"] * 3

    number = iter(range(100))

    def every_other(_: bytes) -> bytes | None:
        return None if next(number) % 2 else b"action=DUNNO\n\n"

    assert with_quota_status(tmp_path / "quota-status", every_other, scene) == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"552 full\n\n", "unexpected answer '552 full'"),
        (b"x=y\n\n", "unexpected answer 'x=y'"),
        (b"x" * 100 + b"\n\n", "unexpected answer '" + "x" * 80 + "'$"),
        (None, "quota-status: "),
        (b"x" * 100_000, "quota-status: "),
    ],
)
def test_nonsense_of_quota_status_is_an_error(
    tmp_path: Path, said: bytes | None, words: str
) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        with pytest.raises(OSError, match=words):
            await status.action("ann@x.com", 5)

    with_quota_status(tmp_path / "quota-status", lambda _: said, scene)


def test_without_quota_status_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(QuotaStatus(str(tmp_path / "none")).action("ann@x.com", 5))


def test_only_so_many_questions_are_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        await asyncio.gather(*(status.action(f"{n}@x.com", 1) for n in range(50)))
        assert len(seen) == 50

    path = tmp_path / "quota-status"
    assert with_quota_status(path, lambda _: b"action=DUNNO\n\n", scene) == quota_status.AT_ONCE


def test_a_connection_in_use_is_not_dropped(tmp_path: Path) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        await status.action("ann@x.com", 1)
        (timer,) = status._idle.values()
        await status.action("ann@x.com", 1)
        assert timer.cancelled()

    assert with_quota_status(tmp_path / "quota-status", lambda _: b"action=DUNNO\n\n", scene) == 1


def test_an_idle_connection_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_status, "KEEP_S", 0.0)

    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        for _ in range(3):
            await status.action("ann@x.com", 1)
            while status._idle:
                await asyncio.sleep(0)

    assert with_quota_status(tmp_path / "quota-status", lambda _: b"action=DUNNO\n\n", scene) == 3


def test_an_answer_that_comes_too_late_is_not_that_of_the_next_question(tmp_path: Path) -> None:
    async def scene(status: QuotaStatus, seen: list[bytes]) -> None:
        asking = asyncio.ensure_future(status.action("slow@x.com", 1))
        while not seen:
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait([asking])
        assert await status.action("ann@x.com", 1) == "DUNNO"

    def answer(raw: bytes) -> bytes:
        return b"" if b"slow" in raw else b"action=DUNNO\n\n"

    assert with_quota_status(tmp_path / "quota-status", answer, scene) == 2


# -- patterns


#: Stands in for postmap: counts its runs, and has a result for what begins with `dept-`.
POSTMAP = """\
#!/bin/sh
echo "$@" >>"$0.runs"
status=1
while read -r address; do
  case $address in
    dept-* | full@*) printf '%s\\tann@x.com\\n' "$address"; status=0;;
    bad-*) exit 75;;
  esac
done
exit $status
"""


@pytest.fixture
def postmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Gives the number of runs."""
    script, runs = tmp_path / "postmap-stub", tmp_path / "postmap-stub.runs"
    script.write_text(POSTMAP)
    script.chmod(0o755)
    monkeypatch.setattr(regexp_table, "program", lambda name: str(script))
    return lambda: len(runs.read_text().splitlines()) if runs.exists() else 0


def learned(patterns: PatternCache, *addresses: str) -> list[str | None]:
    """What the rules make of some addresses, once Postfix was asked where that is necessary."""

    async def learn() -> None:
        patterns.refresh()
        for address in addresses:
            patterns.captured(address)
        if wanted := patterns.pop_missing():
            await patterns.fetch(wanted)

    asyncio.run(learn())
    found = [patterns.captured(address) for address in addresses]
    assert patterns.pop_missing() == set()
    return found


def test_addresses_that_a_pattern_may_match_are_asked_about_once(
    tmp_path: Path, postmap: Callable[[], int]
) -> None:
    layout = made(tmp_path)
    Path(layout.table("regexp")).write_text("/^dept-.*@x/ ann@x.com\n/bad-/ ann@x.com\n")
    patterns = PatternCache(layout)
    expected = ["ann@x.com", None, "ann@x.com", None]
    addresses = ["dept-1@x.com", "ann@x.com", "dept-2@x.com", "no-dept-@x.com"]
    assert learned(patterns, *addresses) == expected
    assert learned(patterns, *addresses) == expected
    assert postmap() == 1
    assert learned(patterns, "ann@x.com", "who@far.test") == [None, None]
    assert postmap() == 1
    assert learned(patterns, "dept-3@x.com") == ["ann@x.com"]
    assert learned(patterns, "none-dept-@x.com") == [None]
    assert postmap() == 3
    table = layout.table("regexp")
    assert set(Path(tmp_path, "postmap-stub.runs").read_text().splitlines()) == {
        f"-c {layout.postmap} -q - pcre:{table}"
    }
    with pytest.raises(OSError, match="postmap ended with 75"):
        learned(patterns, "bad-1@x.com")


def test_another_table_is_asked_anew(tmp_path: Path, postmap: Callable[[], int]) -> None:
    layout = made(tmp_path)
    table = Path(layout.table("regexp"))
    table.write_text("/^dept-.*@x/ ann@x.com\n")
    patterns = PatternCache(layout)
    learned(patterns, "dept-1@x.com")
    table.write_text("# another\n/^dept-.*@x/ ann@x.com\n")
    assert learned(patterns, "dept-1@x.com") == ["ann@x.com"]
    assert postmap() == 2
    table.write_text("")
    assert learned(patterns, "dept-1@x.com") == [None]
    assert postmap() == 2


def test_an_answer_from_before_a_change_is_not_remembered(
    tmp_path: Path, postmap: Callable[[], int]
) -> None:
    layout = made(tmp_path)
    table = Path(layout.table("regexp"))
    table.write_text("/^dept-.*@x/ ann@x.com\n")

    async def run() -> None:
        patterns = PatternCache(layout)
        patterns.refresh()
        patterns.captured("dept-1@x.com")
        learning = asyncio.ensure_future(patterns.fetch(patterns.pop_missing()))
        await asyncio.sleep(0)
        table.write_text("# another\n/^dept-.*@x/ ann@x.com\n")
        patterns.refresh()
        await learning
        assert patterns.captured("dept-1@x.com") is None
        assert patterns.pop_missing() == {"dept-1@x.com"}

    asyncio.run(run())


def test_the_memory_of_addresses_has_a_limit(
    tmp_path: Path, postmap: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regexp_table, "_RESULTS_MAX", 2)
    layout = made(tmp_path)
    Path(layout.table("regexp")).write_text("/^dept-.*@x/ ann@x.com\n")
    patterns = PatternCache(layout)
    for number in range(3):
        learned(patterns, f"dept-{number}@x.com")
    assert len(patterns._results) == 3
    learned(patterns, "dept-3@x.com")
    assert list(patterns._results) == ["dept-3@x.com"]


def test_what_two_ask_at_once_takes_one_process(
    tmp_path: Path, postmap: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regexp_table, "_AT_ONCE", 1)
    layout = made(tmp_path)
    Path(layout.table("regexp")).write_text("/^dept-.*@x/ ann@x.com\n")

    async def run() -> None:
        patterns = PatternCache(layout)
        patterns.refresh()
        await asyncio.gather(*(patterns.fetch(["dept-1@x.com"]) for _ in range(5)))

    asyncio.run(run())
    assert postmap() == 1


def test_without_postmap_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regexp_table, "program", lambda name: None)
    layout = made(tmp_path)
    Path(layout.table("regexp")).write_text("/^dept-.*@x/ ann@x.com\n")
    with pytest.raises(OSError, match="the program postmap is missing"):
        learned(PatternCache(layout), "dept-1@x.com")


def test_a_pattern_is_followed_from_a_recipient(tmp_path: Path, postmap: Callable[[], int]) -> None:
    async def scene(policy: Policy, dovecot: Dovecot, layout: Layout) -> None:
        Path(layout.table("regexp")).write_text("/^dept-.*@x/ ann@x.com\n")
        asked = request("recipient+quota", recipient="dept-1@x.com", size="1")
        assert await settled(policy, asked) == PERMIT
        assert policy.answer(asked) == PERMIT
        assert dovecot.asked == [("ann@x.com", 1), ("ann@x.com", 512 * MIB)]
        sender = request("sender", sender="dept-1@x.com", sasl_username="ann@x.com")
        assert policy.answer(sender) == PERMIT
        assert policy.answer({**sender, "sasl_username": "bob@x.com"}) == NOT_OWNED

    play(tmp_path, scene)


# -- tables


def test_the_roster_of_the_tables(tmp_path: Path) -> None:
    layout = made(tmp_path)
    roster = table_roster({name: LmdbLookup(layout.table(name)) for name in TABLES})
    assert "ann@x.com" in roster.accounts
    assert "info@x.com" not in roster.accounts
    account, alias = roster.accounts.get("ann@x.com"), roster.virtual.get("team@x.com")
    assert account is not None
    assert str(account.address) == "ann@x.com"
    assert account.password == ""
    assert alias is not None
    assert (alias.key, alias.recipients) == ("team@x.com", ("ann@x.com", "bob@x.com"))
    assert roster.virtual.get("nobody@x.com") is None
    assert roster.names_domain("x.com")
    assert roster.names_domain("y.com")
    assert not roster.names_domain("far.test")
    with pytest.raises(TypeError):
        _ = roster.accounts.text
