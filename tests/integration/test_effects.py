"""What `--dry-run` and `setup diff` tell of mail, against what Postfix then does.

Edits of generated rosters are told first, then made; before and after a message goes to every
address. MAILROSTER_SEED says where to begin.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mailroster.analysis.effects.effect import Effect
from mailroster.base.address import split
from mailroster.cli import main
from mailroster.routing.router import Router
from mailroster.store.config_folder import Store
from tests.support.post import SEED, Answer, Post, Sent, batches, endless, expected
from tests.support.rosters import DOMAINS, FOREIGN, HASH, ORIGIN, Sample, sample

ROSTERS = 8
#: What the kinds of effects begin with that say where mail goes.
OF_MAIL = ("account", "alias", "mail", "leads", "route")
FILES = ("postfix-accounts.cf", "postfix-virtual.cf", "postfix-regexp.cf")


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    post = Post()
    try:
        post.start()
        Path(post.settings.config, "mailroster.toml").write_text(f'hostname = "{ORIGIN}"\n')
        yield post
    finally:
        post.close()


class State(NamedTuple):
    """One state of the folder, and the messages that were sent in it."""

    router: Router
    sent: dict[str, Sent]

    def ends(self, post: Post, address: str) -> frozenset[str]:
        """Whose mailbox, or which address elsewhere, a message to an address has reached."""
        roster, found = self.router.roster, post.answer(address, self.sent[address]).recipients
        boxes = {end.lower() for end in found if self.router.mailbox(end.lower())}
        domains = {end: split(end)[1].lower() for end in found}
        away = {
            end
            for end, domain in domains.items()
            if domain != ORIGIN and not roster.names_domain(domain)
        }
        return frozenset(boxes | away)


def probed(post: Post, addresses: set[str]) -> State:
    """Sends to every address, as things are now."""
    router = post.router()
    unfollowed = endless(router)
    post.put_aliases(unfollowed)
    wanted: dict[str, Answer] = {a: expected(router, a) for a in sorted(addresses)}
    sent = post.send(*batches(wanted))
    post.drop_aliases(unfollowed)
    return State(router, sent)


def keys(router: Router) -> set[str]:
    """Everybody who has a name, and one who has none in each domain."""
    named = {*router.roster.accounts.counted(), *router.roster.virtual.counted()}
    return {key for key in named if key[0] != "@"} | {f"nobody@{domain}" for domain in DOMAINS}


def command(chance: random.Random, router: Router) -> list[str]:
    """Some edit that makes sense, as words of the command line."""
    roster = router.roster
    aliases, accounts = list(roster.virtual.items()), list(roster.accounts.counted())
    boxes = accounts or [f"box@{DOMAINS[0]}"]
    target = chance.choice((chance.choice(boxes), f"away@{chance.choice(FOREIGN)}"))
    kinds = [
        ["alias", "add", chance.choice(boxes), target],
        ["alias", "add", f"@{chance.choice(DOMAINS)}", target],
        ["alias", "add", f"new@{chance.choice(DOMAINS)}", target],
        ["email", "add", "--hash", HASH, f"fresh{chance.randrange(99)}@{chance.choice(DOMAINS)}"],
    ]
    if accounts:
        kinds += [["email", "del", "-n", chance.choice(accounts)]] * 3
    for key, alias in chance.sample(aliases, min(3, len(aliases))):
        kinds.append(["alias", "del", key, chance.choice(alias.recipients)])
    return chance.choice(kinds)


class Told(NamedTuple):
    """A change, what was told of it, and the states before and after."""

    name: str
    effects: list[Effect]
    before: State
    after: State


class Writer:
    """Makes changes, and has them told before."""

    def __init__(self, post: Post, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.post, self.capsys, self.folder = post, capsys, folder

    def tell(self, *words: str) -> list[Effect] | None:
        """The effects that a command shows; None if it is refused."""
        home = str(self.post.home)
        self.capsys.readouterr()
        code = main(["--home", home, *words, "--json"])
        out = self.capsys.readouterr().out
        shape: dict[str, Any] = json.loads(out) if out else {"effects": None}
        assert code == 0 or not out or words[0] == "diff"  # which tells what is wrong, too
        found = shape["effects"]
        return None if found is None else [Effect(**effect) for effect in found]

    def changes(self, seed: int) -> Iterator[Told]:
        """A few commands, and another folder in place of all."""
        chance, files = random.Random(seed), sample(seed)
        self.post.put(files)
        for _ in range(3):
            words = command(chance, self.post.router())
            effects = self.tell(*words, "--dry-run")
            if effects is None:
                continue
            asked = keys(self.post.router()) | {w for w in words if w.rfind("@") > 0 and w != HASH}
            before = probed(self.post, asked)
            assert main(["--home", str(self.post.home), *words]) == 0
            after = probed(self.post, asked)
            yield Told(f"seed {seed}: {words}", effects, before, after)
        config = Path(self.post.settings.config)
        now = [(config / file).read_bytes().decode() for file in FILES]
        other = sample(seed + 5000)
        now[1] += other.virtual
        now[2] = other.regexp or f"/^(box|anchor)@/ away@{FOREIGN[0]}\n"
        for file, text in zip(FILES, now, strict=True):
            (self.folder / file).write_text(text, newline="")
        effects = self.tell("diff", str(self.folder))
        if effects is None:
            return
        then = Store(str(self.folder)).read().roster
        asked = keys(self.post.router()) | keys(self.post.router()._replace(roster=then))
        before = probed(self.post, asked)
        self.post.put(Sample(now[0], now[1], now[2]))
        after = probed(self.post, asked)
        yield Told(f"seed {seed}: diff", effects, before, after)


def test_what_is_told_is_what_postfix_then_does(
    post: Post, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    writer = Writer(post, capsys, tmp_path)
    told = [one for seed in range(SEED, SEED + ROSTERS) for one in writer.changes(seed)]
    post.deliver()
    moved = 0
    for name, effects, before, after in told:
        routes = {
            before.router.qualified(effect.subject): effect
            for effect in effects
            if effect.kind.startswith(OF_MAIL)
        }
        patterns = any(effect.kind.startswith("pattern") for effect in effects)
        for address in before.sent:
            was, now = before.ends(post, address), after.ends(post, address)
            effect = routes.get(before.router.qualified(address))
            if effect is not None:
                said = frozenset(effect.before), frozenset(effect.after)
                assert said == (was, now), f"{name}: {effect}"
            elif address.startswith("nobody@"):
                catch_all = address.removeprefix("nobody")
                assert was == now or catch_all in routes or patterns, f"{name}: {address}"
            else:
                assert was == now, f"{name}: {address} from {was} to {now}, untold"
            moved += was != now
    assert len(told) > 2 * ROSTERS
    assert moved > 2 * ROSTERS
