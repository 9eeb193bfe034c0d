"""Random rosters as people write them, and the addresses that are worth asking about."""

import random
from collections.abc import Sequence
from typing import NamedTuple

ORIGIN = "mail.example.test"
DOMAINS = ("a.test", "b.test", "sub.a.test", ORIGIN)
FOREIGN = ("far.test", "else.where.test")
NAMES = ("john", "jane.doe", "o'neil", "info", "sales", "test1", "test22", "x", "j=r", "a-b_c")
TAGS = ("tag", "special", "a+b", "")
FOREIGN_BOXES = ("box@far.test",)
HASH = "{PLAIN}secret"


class Sample(NamedTuple):
    """The texts of four files, and addresses to ask about, without quotes, in any case."""

    accounts: str = ""
    virtual: str = ""
    regexp: str = ""
    probes: tuple[str, ...] = ()
    local: str = ""


def sample(seed: int) -> Sample:
    """The same roster for the same seed."""
    made = _Writer(random.Random(seed)).sample()
    return made._replace(local=_local(random.Random(f"{seed} local"), made))


def _local(chance: random.Random, made: Sample) -> str:
    """Local aliases of some names, to addresses that are asked about, and to each other."""
    names = [name for name in NAMES if chance.random() < 0.2]
    targets = [probe for probe in made.probes if " " not in probe and '"' not in probe]
    targets = [t for t in targets if ".." not in t] + [*names, *FOREIGN_BOXES]
    return "".join(
        f"{name}: {', '.join(chance.choice(targets) for _ in range(chance.choice((1, 1, 2))))}\n"
        for name in names
    )


class _Writer:
    """Makes one sample. What is made later refers to what was made before."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.accounts: list[str] = []
        self.keys: list[str] = []

    def sample(self) -> Sample:
        chance = self.chance
        count = chance.randrange(6)
        self.accounts = list(dict.fromkeys(self.address(DOMAINS) for _ in range(count)))
        if chance.random() < 0.8:  # else a domain comes or goes, which costs Postfix processes
            self.accounts += [f"anchor@{domain}" for domain in DOMAINS]
        accounts = "".join(f"{self.cased(a)}|{HASH}\n" for a in self.accounts)
        self.keys = [self.key() for _ in range(chance.randrange(9))]
        virtual = "".join(self.alias(key) for key in self.keys)
        rules = chance.choice((0, 0, 0, 0, 1, 3))
        regexp = "".join(self.rule() for _ in range(rules))
        return Sample(accounts, virtual, regexp, tuple(self.probes()))

    def address(self, domains: Sequence[str]) -> str:
        return f"{self.chance.choice(NAMES)}@{self.chance.choice(domains)}"

    def tagged(self, address: str) -> str:
        local, at, domain = address.partition("@")
        return f"{local}+{self.chance.choice(TAGS)}{at}{domain}"

    def cased(self, text: str, odds: float = 0.2) -> str:
        if self.chance.random() > odds:
            return text
        return "".join(self.chance.choice((c.upper(), c)) for c in text)

    def one_of(self, texts: Sequence[str]) -> str:
        return self.chance.choice(texts) if texts else self.address(DOMAINS)

    def key(self) -> str:
        kind = self.chance.choices(range(6), (8, 2, 2, 1, 3, 2))[0]
        return (
            self.address(DOMAINS),
            self.tagged(self.address(DOMAINS)),
            self.chance.choice(NAMES),
            self.tagged(self.chance.choice(NAMES)),
            f"@{self.chance.choice(DOMAINS)}",
            self.one_of(self.accounts),
        )[kind]

    def recipient(self, key: str) -> str:
        names = [known for known in self.keys if known[0] != "@"]
        kind = self.chance.choices(range(9), (6, 5, 2, 2, 2, 1, 3, 2, 1))[0]
        found = (
            self.one_of(self.accounts),
            self.one_of(names),
            self.address(DOMAINS),
            self.tagged(self.one_of(self.accounts)),
            self.chance.choice(NAMES),
            self.tagged(self.chance.choice(NAMES)),
            self.address(FOREIGN),
            key if key[0] != "@" else self.address(DOMAINS),
            self.one_of(self.accounts) + ".",
        )[kind]
        return self.cased(found)

    def alias(self, key: str) -> str:
        chance = self.chance
        if chance.random() < (0.4 if key[0] == "@" else 0.1):
            words = [f"@{chance.choice((*DOMAINS, *FOREIGN))}"]
        else:
            words = [self.recipient(key) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
        separators = (", ", ",", " ", "\t", " , ", ",\n  ", "\n\t", "\n# between\n  ")
        text = words[0] + "".join(chance.choice(separators) + word for word in words[1:])
        before = chance.choice(("", "", "", "\n", "# a comment\n", " # an indented one\n"))
        end = chance.choice(("\n", "\n", "\n", " \n", "\r\n", ",\n"))
        return before + self.cased(key) + chance.choice((" ", "\t", "   ", "\n ")) + text + end

    def rule(self) -> str:
        name, domain = self.chance.choice(NAMES), self.chance.choice(DOMAINS)
        to = self.recipient("x@far.test")
        place = domain.replace(".", r"\.")
        return self.chance.choice(
            (
                rf"/^test[0-9]+@{place}$/ {to}",
                rf"/^{name}(\+.*)?@{place}$/ {to}",
                rf"/^(.*)\+special@{place}$/ $1@{self.chance.choice(DOMAINS)}",
                rf"/^(.+)@{place}$/ {to}, ${{1}}+seen@far.test",
                rf"/^{name}@/i {to}",
                rf"/^{name.upper()}@/i {to}",
                rf"!/@{place}$/ {to}",
                rf"/^(j[^@]*)@({place})$/ {to},$1@$2",
                rf"|^{name}@b\.test$| @a.test",
                f"if /@{place}$/\n/^x@/x {to}\n/^jane/ {to} ,\n  {name}\nendif",
                f"if !/^j/\nif /test/\n/1@/ {to}\nendif\n/^s(a)les/ $(1)@far.test\nendif",
            )
        ) + self.chance.choice(("\n", "\n", "\r\n", "\n\n# a comment\n"))

    def probes(self) -> list[str]:
        chance = self.chance
        found = [*self.accounts]
        found += [self.address(DOMAINS) if key[0] == "@" else key for key in self.keys]
        found += [f"nobody{key}" for key in self.keys if key[0] == "@"]
        found += [self.tagged(self.one_of(found)) for _ in range(3)]
        found += [self.address(DOMAINS), chance.choice(NAMES), "nobody@a.test", "nobody@far.test"]
        found += ["a..b@a.test", "Jane Doe@b.test", 'q"q+tag@a.test']
        chance.shuffle(found)
        return list({probe.lower(): self.cased(probe, 0.3) for probe in found}.values())[:14]
