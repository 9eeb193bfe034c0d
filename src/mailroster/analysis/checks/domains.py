"""Rules about domains: misspelt ones, and those of large providers."""

from collections.abc import Iterable, Iterator, Mapping

from mailroster.analysis.checks.subject import Subject, entries
from mailroster.base.address import is_idna, split
from mailroster.base.findings import WARNING, Finding
from mailroster.routing.lookups import EXPANSION_LIMIT

#: A shorter label of a domain has too many similar ones that exist.
_LABEL_MIN = 4
#: With this many entries a domain counts as intended; others may be misspellings of it.
_ENTRIES_MIN = 2
#: Endings that only typing errors have.
_NO_ENDING = frozenset(("con", "cmo", "ocm", "vom", "xom", "comm", "nett", "nte", "ogr", "rog"))
#: Domains of large providers: an entry in one of them here is a mistake.
_PUBLIC = frozenset((
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "hotmail.de", "hotmail.fr",
    "hotmail.it", "hotmail.es", "hotmail.co.uk", "live.com", "live.de", "live.fr", "live.nl",
    "live.co.uk", "msn.com", "yahoo.com", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es",
    "yahoo.co.uk", "yahoo.co.jp", "yahoo.co.in", "yahoo.com.br", "ymail.com", "rocketmail.com",
    "aol.com", "icloud.com", "me.com", "mac.com", "gmx.de", "gmx.net", "gmx.at", "gmx.ch",
    "gmx.com", "web.de", "t-online.de", "freenet.de", "arcor.de", "mail.de", "posteo.de",
    "posteo.net", "mailbox.org", "protonmail.com", "protonmail.ch", "proton.me", "pm.me",
    "tutanota.com", "tutanota.de", "tuta.io", "tuta.com", "zoho.com", "fastmail.com",
    "fastmail.fm", "hey.com", "hushmail.com", "mail.com", "yandex.ru", "yandex.com", "ya.ru",
    "mail.ru", "bk.ru", "list.ru", "inbox.ru", "rambler.ru", "qq.com", "163.com", "126.com",
    "sina.com", "foxmail.com", "orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "sfr.fr",
    "libero.it", "virgilio.it", "tiscali.it", "alice.it", "tin.it", "aruba.it", "bluewin.ch",
    "comcast.net", "verizon.net", "att.net", "sbcglobal.net", "bellsouth.net", "cox.net",
    "charter.net", "btinternet.com", "sky.com", "talktalk.net", "virginmedia.com", "ntlworld.com",
    "telenet.be", "skynet.be", "ziggo.nl", "kpnmail.nl", "planet.nl", "xs4all.nl", "seznam.cz",
    "centrum.cz", "wp.pl", "o2.pl", "onet.pl", "interia.pl", "naver.com", "daum.net",
    "hanmail.net", "rediffmail.com", "uol.com.br", "bol.com.br", "terra.com.br", "shaw.ca",
    "rogers.com", "sympatico.ca", "bigpond.com", "optusnet.com.au", "docomo.ne.jp",
))  # fmt: skip


def public(subject: Subject) -> Iterator[Finding]:
    """An account or an alias in a domain of a large provider, so that the whole domain is served
    here. Only the first line of each domain in a file."""
    for document in (subject.roster.accounts, subject.roster.virtual):
        reported = set[str]()
        for key, position in document.counted().items():
            domain = split(key)[1]
            if domain in _PUBLIC and domain not in reported:
                reported.add(domain)
                where = document.location(position)
                message = f"{key!r} makes {domain} local, so mail never leaves for the real one"
                hint = "use an address of your own domain; only recipients may be in this one"
                yield Finding(where, WARNING, "public-domain", message, hint)


def misspelt(subject: Subject) -> Iterator[Finding]:
    """A domain with one entry that differs in one letter from a domain with more."""
    count = _counted(subject)
    near = Neighbours(domain for domain, number in count.items() if number >= _ENTRIES_MIN)
    for document in (subject.roster.accounts, subject.roster.virtual):
        for key, position in document.counted().items():
            local, domain = split(key)
            if not local or count.get(domain) != 1 or not (other := near.of(domain)):
                continue
            message = f"{domain!r} differs from {other!r} in one letter and has no other entry"
            hint = f"write {local}@{other} if this is a typing error"
            where = document.location(position)
            yield Finding(where, WARNING, "misspelt-domain", message, hint)


def misspelt_recipients(subject: Subject) -> Iterator[Finding]:
    """A recipient elsewhere that differs in one letter from an address here."""
    count = _counted(subject)
    near = Neighbours(domain for domain, number in count.items() if number >= _ENTRIES_MIN)
    roster, document = subject.roster, subject.roster.virtual
    for key, position, alias in entries(document):
        if len(alias.recipients) > EXPANSION_LIMIT:
            continue
        for recipient in alias.recipients:
            local, domain = split(recipient.lower())
            if not domain or domain in count or not (other := near.of(domain)):
                continue
            address = f"{local}@{other}"
            if address in roster.accounts or address in document:
                message = f"{key!r} leads to {recipient!r} elsewhere, but {address!r} exists here"
                hint = f"write {address} if this is a typing error"
                where = document.location(position)
                yield Finding(where, WARNING, "misspelt-recipient", message, hint)


def _counted(subject: Subject) -> dict[str, int]:
    """The number of accounts and aliases of each domain; a catch-all counts as two, since it is no
    typing error."""
    count: dict[str, int] = {}
    for document in (subject.roster.accounts, subject.roster.virtual):
        for key in document.counted():
            domain = split(key)[1]
            if domain:
                count[domain] = count.get(domain, 0) + (2 if key[0] == "@" else 1)
    return count


class Neighbours:
    """Finds the domain that differs in one letter: one more, one less, another one, or two that are
    swapped.

    Two such words are equal when one letter is left out of each. So each domain is indexed by all
    that remains without one letter, and the cost grows with the letters, not with the pairs.
    """

    def __init__(self, domains: Iterable[str]) -> None:
        self._domains = list(domains)
        self._rests: Mapping[str, list[str]] | None = None
        self._known: dict[str, str] = {}

    def of(self, domain: str) -> str:
        """The first neighbour of a domain, "" if there is none."""
        if domain not in self._known:
            self._known[domain] = self._search(domain)
        return self._known[domain]

    def _search(self, domain: str) -> str:
        if self._rests is None:
            rests: dict[str, list[str]] = {}
            for other in self._domains:
                for rest in _rests(other):
                    rests.setdefault(rest, []).append(other)
            self._rests = rests
        for rest in _rests(domain):
            for other in self._rests.get(rest, ()):
                if is_misspelling(domain, other):
                    return other
        return ""


def _rests(word: str) -> set[str]:
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def is_misspelling(domain: str, other: str) -> bool:
    """Whether a domain is likely to be a misspelling of another one. Not if the letter is a digit
    (`mx1`, `mx2`), nor in short names and most endings."""
    if domain == other or is_idna(domain) or is_idna(other):
        return False
    start = 0
    while domain[start : start + 1] == other[start : start + 1] != "":
        start += 1
    end = 0
    while end < min(len(domain), len(other)) - start and domain[-1 - end] == other[-1 - end]:
        end += 1
    letters, other_letters = domain[start : len(domain) - end], other[start : len(other) - end]
    swapped = len(letters) == 2 and letters == other_letters[::-1]
    if max(len(letters), len(other_letters)) > 1 and not swapped:
        return False
    if any(char.isdigit() for char in letters + other_letters):
        return False
    label = domain[domain.rfind(".", 0, start) + 1 :].partition(".")[0]
    if start > domain.rfind("."):
        return label in _NO_ENDING
    return len(label) >= _LABEL_MIN
