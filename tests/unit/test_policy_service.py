"""The policy service without Postfix: it answers whatever it is asked, and never waits for long."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mailroster.instance.layout import Layout
from mailroster.policy import answers
from mailroster.policy.answers import NO_OPINION, PERMIT, Policy
from mailroster.targets.lmdb_lookup import LmdbLookup
from mailroster.targets.lmdb_table import LmdbTable

FULL = "552 5.2.2 Mailbox is full"
Ask = Callable[[Policy], Awaitable[str]]


def layout(tmp_path: Path) -> Layout:
    """Tables with two mailboxes, of which `full@x.com` is full, and aliases to them."""
    found = Layout(str(tmp_path))
    Path(found.tables).mkdir()
    Path(found.run).mkdir()
    Path(found.table("regexp")).write_text("# none\n")
    rows = {"full@x.com": "full@x.com", "free@x.com": "free@x.com"}
    LmdbTable(found.table("mailboxes")).fill(sorted(rows.items()))
    aliases = {"both@x.com": "free@x.com, full@x.com", "loop@x.com": "loop+x@x.com"}
    LmdbTable(found.table("aliases")).fill(sorted(aliases.items()))
    LmdbTable(found.table("senders")).fill([])
    LmdbTable(found.table("domains")).fill([("x.com", "x.com")])
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
    return lambda policy: policy.answer({"policy_context": "quota", "recipient": address})


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
        return await policy.answer({"recipient": "both@x.com"})

    assert asked(tmp_path, ask) == NO_OPINION


def test_what_is_asked_at_once_is_answered_to_each(tmp_path: Path) -> None:
    async def ask(policy: Policy) -> str:
        addresses = ["both@x.com", "free@x.com"] * 50
        answers = await asyncio.gather(*(recipient(address)(policy) for address in addresses))
        return ",".join(sorted(set(answers[0::2]) | set(answers[1::2]))) + str(len(answers))

    assert asked(tmp_path, ask) == f"{FULL},{PERMIT}100"


def elsewhere(path: str, code: str) -> None:
    """Does something to a table in another process: LMDB opens a file once in each."""
    head = f"from mailroster.targets.lmdb_table import LmdbTable; table = LmdbTable({path!r})"
    subprocess.run([sys.executable, "-c", f"{head}; {code}"], check=True)


def test_a_lookup_follows_a_table_that_grows_is_replaced_or_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    lookup = LmdbLookup(path)
    with pytest.raises(OSError, match="not there"):
        lookup.get("a")
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
