"""The policy service without Postfix: it answers whatever it is asked, and never waits for long."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.daemons.policy import decisions as answers
from mailroster.daemons.policy import pattern_cache
from mailroster.daemons.policy.decisions import NO_OPINION, PERMIT, UNKNOWN, Policy
from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.routing.lookups import DISCARD_DOMAIN
from mailroster.routing.trace import MAILBOX, NOWHERE, Recipient
from tests.support.policy import answered

FULL = "552 5.2.2 Mailbox is full"
Ask = Callable[[Policy], Awaitable[str]]


def layout(tmp_path: Path, kind: str = "private") -> Layout:
    """Tables with two mailboxes, of which `full@x.com` is full and locked, and aliases to them."""
    found = Layout(str(tmp_path), kind)
    Path(found.tables).mkdir()
    if kind == "private":
        Path(found.run).mkdir()
    Path(found.table("regexp")).write_text("# none\n")
    rows = {"full@x.com": "full@x.com", "free@x.com": "free@x.com"}
    LmdbTable(found.table("mailboxes")).fill(sorted(rows.items()))
    aliases = {"both@x.com": "free@x.com, full@x.com", "loop@x.com": "loop+x@x.com"}
    aliases |= {"stale@x.com": "gone@x.com", "half@x.com": "gone@x.com, free@x.com"}
    aliases |= {"out@x.com": "gone@x.com, far@else.where", "thrown@x.com": "trash"}
    aliases |= {"@old.com": "@x.com", "chief@x.com": "postmaster@y.com"}
    LmdbTable(found.table("aliases")).fill(sorted(aliases.items()))
    LmdbTable(found.table("senders")).fill([])
    LmdbTable(found.table("locked")).fill([("full@x.com", "full@x.com")])
    LmdbTable(found.table("roles")).fill([("postmaster@y.com", "free@x.com")])
    trash = ("trash", f"discard@{DISCARD_DOMAIN}")
    LmdbTable(found.table("local_aliases")).fill([trash])
    LmdbTable(found.table("domains")).fill([(d, d) for d in ("old.com", "x.com", "y.com")])
    return found


def asked(tmp_path: Path, ask: Ask, said: bytes | None = b"action=%s\n\n") -> str:
    """What the service answers beside a quota-status that says one thing (`%s`: what is right;
    None: nothing)."""

    async def quota_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                question = await reader.readuntil(b"\n\n")
                if said is not None:
                    full = b"recipient=full@x.com\n" in question
                    writer.write(said.replace(b"%s", FULL.encode() if full else b"DUNNO"))
        except asyncio.IncompleteReadError:
            writer.close()

    async def run() -> str:
        found = layout(tmp_path)
        server = await asyncio.start_unix_server(quota_status, f"{found.run}/quota-status")
        try:
            return await ask(Policy(found, "mail.test"))
        finally:
            server.close()

    return asyncio.run(run())


def recipient(address: str) -> Ask:
    return lambda policy: answered(policy, {"policy_context": "quota", "recipient": address})


@pytest.mark.parametrize(
    ("address", "action"),
    [
        ("full@x.com", FULL),
        ("free@x.com", PERMIT),
        ("both@x.com", FULL),
        ("BOTH@X.com", FULL),
        ("far@else.where", PERMIT),
        ("loop@x.com", NO_OPINION),
        ("", NO_OPINION),
        ("@", PERMIT),
        ("\udcff@x.com", PERMIT),
        (f"{'x' * 2000}@x.com", PERMIT),
    ],
)
def test_a_recipient_is_judged_by_every_mailbox(tmp_path: Path, address: str, action: str) -> None:
    assert asked(tmp_path, recipient(address)) == action


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="silence"),
        pytest.param(b"\n\n", id="nothing"),
        pytest.param(b"\xff\0" * 100 + b"\n\n", id="noise"),
        pytest.param(b"x" * 100_000, id="no end"),
        pytest.param(b"552 full\n\n", id="no attribute"),
    ],
)
def test_nonsense_of_dovecot_is_no_opinion(
    tmp_path: Path, said: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 0.2)
    assert asked(tmp_path, recipient("full@x.com"), said) == NO_OPINION


@pytest.mark.parametrize("action", [b"REJECT", b"451 later", b"OK", b"5520 x", b""])
def test_another_action_of_dovecot_is_not_passed_on(tmp_path: Path, action: bytes) -> None:
    assert asked(tmp_path, recipient("full@x.com"), b"action=" + action + b"\n\n") == PERMIT


@pytest.mark.parametrize("lost", ["mailboxes", "aliases"])
def test_without_a_table_there_is_no_opinion(tmp_path: Path, lost: str) -> None:
    async def ask(policy: Policy) -> str:
        Path(tmp_path, f"tables/{lost}.lmdb").unlink()
        return await answered(policy, {"recipient": "both@x.com"})

    assert asked(tmp_path, ask) == NO_OPINION


def test_what_is_asked_at_once_is_answered_to_each(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        addresses = ["both@x.com", "free@x.com"] * 50
        answers = await asyncio.gather(*(recipient(address)(policy) for address in addresses))
        return ",".join(sorted(set(answers[0::2]) | set(answers[1::2]))) + str(len(answers))

    assert asked(tmp_path, ask) == f"{FULL},{PERMIT}100"


@pytest.mark.parametrize(
    ("address", "action"),
    [
        ("stale@x.com", UNKNOWN),
        ("stale+tag@x.com", UNKNOWN),
        ("nobody@old.com", UNKNOWN),
        ("half@x.com", PERMIT),
        ("out@x.com", PERMIT),
        ("thrown@x.com", PERMIT),
        ("free@old.com", PERMIT),
        ("stale@old.com", UNKNOWN),
        ("chief@x.com", PERMIT),
        ("Postmaster+x@y.com", PERMIT),
        ("far@else.where", PERMIT),
        ("loop@x.com", NO_OPINION),
    ],
)
def test_what_leads_nowhere_is_unknown(tmp_path: Path, address: str, action: str) -> None:
    question = {"policy_context": "recipient", "recipient": address}
    assert asked(tmp_path, lambda policy: answered(policy, question), None) == action


def test_on_a_host_what_exists_is_left_to_the_other_restrictions(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        context = {"policy_context": "recipient/other"}
        return ",".join(
            [
                await answered(policy, {**context, "recipient": one})
                for one in ("free@x.com", "stale@x.com")
            ]
        )

    assert asked(tmp_path, ask) == f"{NO_OPINION},{UNKNOWN}"


def test_nothing_is_unknown_while_the_tables_change(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        question = {"policy_context": "recipient", "recipient": "stale@x.com"}
        changing = Path(Layout(str(tmp_path)).changing)
        changing.touch()
        answers = [await answered(policy, question)]
        changing.unlink()
        return ",".join([*answers, await answered(policy, question)])

    assert asked(tmp_path, ask) == f"{NO_OPINION},{UNKNOWN}"


def test_a_change_between_two_lookups_makes_nothing_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(policy: Policy) -> str:
        seen = []

        def late(roster: object, address: str) -> Recipient:
            seen.append(address)
            return Recipient(address, NOWHERE if len(seen) == 1 else MAILBOX, "free@x.com")

        monkeypatch.setattr(answers, "end_of", late)
        return await answered(policy, {"policy_context": "recipient", "recipient": "stale@x.com"})

    assert asked(tmp_path, ask) == PERMIT


def shut(user: str) -> str:
    return f"554 5.7.1 the account {user} is locked or does not exist any more"


def logins(tmp_path: Path, kind: str, *users: str) -> list[str]:
    """The answers about sessions of some users, one after the other."""

    async def run() -> list[str]:
        policy = Policy(layout(tmp_path, kind), "mail.test")
        return [await login(policy, user) for user in users]

    return asyncio.run(run())


def made_anew(layout: Layout, table: str, *keys: str) -> None:
    """Another file in the place of a table."""
    Path(f"{layout.table(table)}.lmdb").unlink()
    LmdbTable(layout.table(table)).fill((key, key) for key in keys)


async def login(policy: Policy, user: str) -> str:
    asked = {"policy_context": "login", "sasl_username": user, "sender": "free@x.com"}
    return await answered(policy, asked)


@pytest.mark.parametrize(
    ("user", "here", "on_a_host"),
    [
        pytest.param("free@x.com", NO_OPINION, NO_OPINION, id="an account"),
        pytest.param("FREE@X.com", NO_OPINION, NO_OPINION, id="in another case"),
        pytest.param("full@x.com", shut("full@x.com"), shut("full@x.com"), id="a locked one"),
        pytest.param("gone@x.com", shut("gone@x.com"), shut("gone@x.com"), id="one that is gone"),
        pytest.param("both@x.com", shut("both@x.com"), shut("both@x.com"), id="now an alias"),
        pytest.param(
            "a@far.test", shut("a@far.test"), NO_OPINION, id="of a domain that is not served"
        ),
        pytest.param("root", NO_OPINION, NO_OPINION, id="a user of the system"),
        pytest.param("", NO_OPINION, NO_OPINION, id="who has not logged in"),
        pytest.param("@", NO_OPINION, NO_OPINION, id="no name"),
        pytest.param("\udcff@", NO_OPINION, NO_OPINION, id="noise"),
    ],
)
def test_a_session_is_refused_without_an_account_that_may_log_in(
    tmp_path: Path, user: str, here: str, on_a_host: str
) -> None:
    (tmp_path / "host").mkdir()
    assert logins(tmp_path, "private", user) == [here]
    assert logins(tmp_path / "host", "host", user) == [on_a_host]


def test_spellings_of_a_domain_are_one(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        own = "a@xn--bcher-kva.test"
        LmdbTable(Layout(str(tmp_path)).table("mailboxes")).apply({own: own})
        answers = [await login(policy, user) for user in (own, "a@Bücher.test", "b@bücher.test")]
        return ",".join(answers)

    removed = shut("b@xn--bcher-kva.test")
    assert asked(tmp_path, ask) == f"{NO_OPINION},{NO_OPINION},{removed}"


def test_on_a_host_an_account_that_was_known_is_refused_with_its_domain_gone(
    tmp_path: Path,
) -> None:
    found = layout(tmp_path, "host")

    async def run() -> list[str]:
        policy = Policy(found, "mail.test")
        answers = [await login(policy, "free@x.com")]
        for table in ("mailboxes", "domains"):
            made_anew(found, table)
        return [*answers, await login(policy, "free@x.com"), await login(policy, "new@x.com")]

    assert asyncio.run(run()) == [NO_OPINION, shut("free@x.com"), NO_OPINION]


@pytest.mark.parametrize("lost", ["mailboxes", "locked"])
def test_without_a_table_sessions_go_on(tmp_path: Path, lost: str) -> None:
    async def ask(policy: Policy) -> str:
        Path(tmp_path, f"tables/{lost}.lmdb").unlink()
        return await login(policy, "gone@x.com")

    assert asked(tmp_path, ask) == NO_OPINION


def test_while_the_tables_change_a_session_without_an_account_goes_on(tmp_path: Path) -> None:
    """Dovecot lets a new account log in before Postfix knows it."""

    async def ask(policy: Policy) -> str:
        mark = Path(Layout(str(tmp_path)).changing)
        mark.touch()
        answers = [await login(policy, user) for user in ("gone@x.com", "full@x.com")]
        mark.unlink()
        return ",".join([*answers, await login(policy, "gone@x.com")])

    assert asked(tmp_path, ask) == ",".join([NO_OPINION, shut("full@x.com"), shut("gone@x.com")])


def test_a_table_that_was_made_anew_is_opened_anew(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        answers = [await login(policy, "full@x.com")]
        made_anew(Layout(str(tmp_path)), "locked", "free@x.com")
        return ",".join([*answers, *[await login(policy, f"{u}@x.com") for u in ("full", "free")]])

    expected = [shut("full@x.com"), NO_OPINION, shut("free@x.com")]
    assert asked(tmp_path, ask) == ",".join(expected)


#: Stands in for postmap: no rule matches, and for some addresses it takes without end.
SLOW_POSTMAP = """\
#!/bin/sh
while read -r address; do
  case $address in slow*) echo $$ >>"$0.pids"; exec sleep 1000;; esac
done
exit 1
"""


@pytest.fixture
def slow_postmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "postmap"
    script.write_text(SLOW_POSTMAP)
    script.chmod(0o755)
    monkeypatch.setattr(pattern_cache, "program", lambda name: str(script))
    return script


def with_patterns(tmp_path: Path) -> None:
    Path(Layout(str(tmp_path)).table("regexp")).write_text("/x/ a@x.com\n")


def test_an_address_that_takes_the_patterns_too_long_stops_no_other(
    tmp_path: Path, slow_postmap: Path
) -> None:
    async def ask(policy: Policy) -> str:
        with_patterns(tmp_path)
        slow = asyncio.ensure_future(recipient("slow@x.com")(policy))
        while not Path(f"{slow_postmap}.pids").exists():  # it runs
            await asyncio.sleep(0.01)
        other = await recipient("full@x.com")(policy)
        waits = not slow.done()
        slow.cancel()
        await asyncio.wait([slow])
        return f"{other} {waits}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "ANSWER_S", 100.0)
        assert asked(tmp_path, ask) == f"{FULL} True"


def test_many_slow_addresses_have_a_limit_of_processes_and_leave_none(
    tmp_path: Path, slow_postmap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 3.0)

    async def ask(policy: Policy) -> str:
        with_patterns(tmp_path)
        names = [f"slow{number}@x.com" for number in range(50)]
        found = await asyncio.gather(*(recipient(name)(policy) for name in names))
        return ",".join(sorted(set(found)))

    assert asked(tmp_path, ask) == NO_OPINION
    pids = Path(f"{slow_postmap}.pids").read_text().split()
    assert 1 <= len(pids) < 25
    for pid in pids:
        while is_alive(pid):  # it is killed, and ends when it next runs
            time.sleep(0.01)


def is_alive(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def elsewhere(path: str, code: str) -> None:
    """Does something to a table in another process: LMDB opens a file once in each."""
    head = (
        f"from mailroster.publish.targets.lmdb_table import LmdbTable; table = LmdbTable({path!r})"
    )
    subprocess.run([sys.executable, "-c", f"{head}; {code}"], check=True)


def test_a_lookup_follows_a_table_that_grows_is_replaced_or_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    lookup = LmdbLookup(path)
    with pytest.raises(OSError, match="is missing"):
        lookup.get("a")
    assert lookup.version() == (0, 0)
    elsewhere(path, "table.fill([('a', '1')])")
    assert (lookup.get("a"), lookup.get("b")) == ("1", None)
    elsewhere(path, "table.apply({'b': '2', 'a': None})")
    assert (lookup.get("a"), lookup.get("b")) == (None, "2")
    # Past the map that is open.
    elsewhere(path, "table.apply({f'key{n:06}': 'x' * 1000 for n in range(30_000)})")
    assert lookup.get("key029999") == "x" * 1000
    Path(f"{path}.lmdb").unlink()
    elsewhere(path, "table.fill([('c', '3')])")
    assert (lookup.get("b"), lookup.get("c")) == (None, "3")
    assert lookup.get("k" * 600) is None


def test_a_version_is_another_after_each_change(tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    lookup, seen = LmdbLookup(path), [(0, 0)]
    for code in (
        "table.fill([('a', '1')])",
        "table.apply({'a': '2'})",
        "table.apply({'a': None})",
        "table.apply({f'key{n:06}': 'x' * 1000 for n in range(30_000)})",
        "__import__('os').unlink(table._file); table.fill([('a', '1')])",
    ):
        elsewhere(path, code)
        assert lookup.version() == lookup.version()
        assert lookup.version() not in seen
        seen.append(lookup.version())
        lookup.get("a")
        assert lookup.version() == seen[-1]
    Path(f"{path}.lmdb").unlink()
    assert lookup.version() == (0, 0)
