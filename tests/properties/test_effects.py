"""Laws of effects: nobody's mail goes elsewhere untold, and taking a change back is its mirror."""

import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mailroster.analysis.effects.effect import MIRROR, Effect, ordered
from mailroster.analysis.effects.sentences import sentences
from mailroster.base.address import Address, qualified, split, split_extension
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import accounts as edits
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import prefetch_traces
from tests.support.foreseen import between, roster, router
from tests.support.large_documents import indexed
from tests.support.rosters import ORIGIN, Sample, sample
from tests.support.texts import raw

SECRET = "s3cretS3cret"
seeds = st.integers(0, 10_000)
#: Each example asks pcre some times, so there are fewer.
fewer = settings(max_examples=max(1, settings().max_examples // 4))


def held(files: Sample) -> Roster:
    return roster(accounts=files.accounts, virtual=files.virtual, regexp=files.regexp)


def changed(files: Sample, other: Sample, seed: int) -> Sample:
    """A sample after some edits: lines of its files that go, and some of another that come."""
    chance = random.Random(seed)

    def mixed(ours: str, theirs: str, keep: float) -> str:
        kept = [line for line in ours.split("\n") if chance.random() < keep]
        added = [line for line in theirs.split("\n") if line and chance.random() < 0.2]
        return "\n".join([*kept, *added, ""])

    return Sample(
        mixed(files.accounts, other.accounts, 0.8),
        mixed(files.virtual, other.virtual, 0.8),
        chance.choice((files.regexp, files.regexp, other.regexp)),
        (*files.probes, *other.probes),
    )


@st.composite
def changes(draw: st.DrawFn) -> tuple[Roster, Roster, tuple[str, ...]]:
    """Two rosters, and addresses to ask about."""
    seed = draw(seeds)
    files, other = sample(seed), sample(draw(seeds))
    after = draw(st.sampled_from([other, changed(files, other, seed)]))
    return held(files), held(after), (*files.probes, *other.probes)


def ends(router: Router, address: str) -> frozenset[str]:
    """Whose mailbox, or which address elsewhere, mail to an address reaches."""
    whole = router.qualified(address)

    def served(domain: str) -> bool:
        return domain == ORIGIN or router.roster.names_domain(domain)

    if not served(split(whole)[1].lower()):
        return frozenset()
    try:
        recipients = router.expand(whole)
    except ParseError:
        return frozenset()
    mailboxes = {r.lower() for r in recipients if router.mailbox(r.lower())}
    return frozenset(mailboxes | {r for r in recipients if not served(split(r)[1].lower())})


def way(router: Router, address: str) -> set[str]:
    """Every key that may have a say in where an address leads."""
    found: set[str] = set()
    waiting = [router.qualified(address)]
    while waiting and len(found) < 200:
        current = waiting.pop()
        local, domain = split(current.lower())
        user = split_extension(local)[0]
        keys = {f"{local}@{domain}", f"{user}@{domain}", f"@{domain}", domain}
        keys |= {local, user} if domain == ORIGIN else set()
        result = router.captured(current)
        if result is not None:
            keys |= {rule.pattern for _, rule in router.roster.regexp.items()}
        if not keys <= found:
            found |= keys
            try:
                match = router.lookup(current)
            except ParseError:
                continue
            waiting += match.results if match else []
    return found


def _is_followed(router: Router, address: str) -> bool:
    """Whether an address can be followed without its extension."""
    local, domain = split(router.qualified(address))
    try:
        router.expand(f"{split_extension(local)[0]}@{domain}")
    except ParseError:
        return False
    return True


@fewer
@given(changes())
def test_whoever_s_mail_goes_elsewhere_is_named(
    change: tuple[Roster, Roster, tuple[str, ...]],
) -> None:
    before, after, probes = change
    old, new = router(before), router(after)
    subjects = {effect.subject for effect in between(before, after)}
    documents = (before.accounts, after.accounts, before.virtual, after.virtual)
    known = {key for document in documents for key in document.counted() if key[0] != "@"}
    for one in (old, new):
        prefetch_traces(one, {*known, *probes})
    for key in known:
        if ends(old, key) != ends(new, key):
            assert {key, qualified(key, ORIGIN)} & subjects, key
    for probe in probes:
        # With an extension a loop may end that has no end without: nothing is told of it.
        followed = all(_is_followed(router, probe) for router in (old, new))
        if followed and ends(old, probe) != ends(new, probe):
            assert (way(old, probe) | way(new, probe)) & subjects, probe


@fewer
@given(changes())
def test_taken_back_a_change_is_its_mirror(
    change: tuple[Roster, Roster, tuple[str, ...]],
) -> None:
    before, after, _ = change
    there, back = between(before, after), between(after, before)
    mirrored = [
        effect._replace(kind=MIRROR[effect.kind], before=effect.after, after=effect.before)
        for effect in there
    ]
    assert ordered(mirrored) == back
    assert len({(effect.kind, effect.subject) for effect in there}) == len(there)


def test_taken_back_starting_is_stopping() -> None:
    some = [Effect("route-changed", f"l{n}@x", ("a@x", "b@x"), ("c@x",)) for n in range(3)]
    other = [e._replace(before=e.after, after=e.before) for e in some]
    lines = {line.replace("no longer", "now") for line in sentences(some)}
    assert lines == {line.replace("no longer", "now") for line in sentences(other)}
    assert len(lines) == 3


@given(seeds)
def test_no_change_has_no_effect(seed: int) -> None:
    files = sample(seed)
    same = Sample(files.accounts + "# more\n", files.virtual + "\n# more\n", files.regexp)
    assert between(held(files), held(files)) == []
    assert between(held(files), held(same)) == []


@fewer
@given(changes())
def test_an_index_changes_nothing(change: tuple[Roster, Roster, tuple[str, ...]]) -> None:
    before, after, _ = change
    accounts: LargeDocument[Any] = indexed(ACCOUNTS, bytes(before.accounts))
    assert between(before._replace(accounts=accounts), after) == between(before, after)


@given(raw, st.sampled_from(["{PLAIN}", "{SHA512-CRYPT}$6$", "$6$", "{PLAIN}!"]), raw)
def test_no_effect_shows_a_hash(before: bytes, hash: str, behind: bytes) -> None:
    line = f"\na@x.com|{hash}{SECRET}\n".encode()
    some = Roster(accounts=Document.from_bytes(ACCOUNTS, before + line + line + behind))
    login = Address("a@x.com")
    try:
        new = edits.set_password(some, login, f"{{PLAIN}}{SECRET}new")
        removed = edits.delete_accounts(some, [login])
    except Refused:
        assume(False)
    for other in (new, removed):
        found = between(some, other)
        assert any(effect.subject == login for effect in found)
        assert SECRET not in repr(found)
        text = "".join(sentences(found))
        assert SECRET not in text
        assert text.isprintable()


@pytest.mark.parametrize("field", ["{SHA512-CRYPT}$6$x", "UPPER=1", "x" * 61 + "=1"])
def test_what_may_be_no_name_of_a_field_is_not_shown(field: str) -> None:
    old = roster(accounts="a@x.com|{PLAIN}x\n")
    new = roster(accounts=f"a@x.com|{{PLAIN}}x|{field}\n")
    (finding,) = new.accounts.findings()
    assert finding.code == "unsafe-field"
    name = field.partition("=")[0]
    assert name not in str(finding)
    assert name not in "".join(sentences(between(old, new)))
