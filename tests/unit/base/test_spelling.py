"""All spellings of a domain that is not ASCII."""

import re
import sqlite3
from collections.abc import Callable
from unicodedata import normalize

import pytest

from mailroster.base.address import fold_domain
from mailroster.base.spelling import common, forms, globs, pattern

DOMAINS = (
    "müller.example",
    "пример.рф",
    "例え.テスト",
    "straße.example",
    "한국.kr",
    "ελλάς.gr",
    "a.ö-ä.b",
)
CASES: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.title, str)
SPELLINGS = [
    pytest.param(case(normalize(form, domain)), fold_domain(domain), id=f"{form} {number} {domain}")
    for domain in DOMAINS
    for form in ("NFC", "NFD")
    for number, case in enumerate(CASES)
    if fold_domain(case(normalize(form, domain))) == fold_domain(domain)
]


def lowered(text: str) -> str:
    """As Dovecot and SQLite do: ASCII alone."""
    return "".join(char.lower() if char.isascii() else char for char in text)


@pytest.mark.parametrize(("written", "domain"), SPELLINGS)
def test_every_spelling_is_known(written: str, domain: str) -> None:
    # As Postfix does: octets, of which ASCII is folded.
    octets = re.compile(pattern(domain).encode(), re.IGNORECASE)
    assert octets.fullmatch(written.encode())
    assert any(
        sqlite3.connect(":memory:")
        .execute("SELECT ? GLOB ?", (lowered(written), glob))
        .fetchone()[0]
        for glob in globs(domain)
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_common_ones_are_known_and_are_the_domain(domain: str) -> None:
    domain = fold_domain(domain)
    assert common(domain)
    for spelled in common(domain):
        assert fold_domain(spelled) == domain
        assert lowered(spelled) == spelled


@pytest.mark.parametrize("dot", ["\u3002", "\uff0e", "\uff61"])
def test_the_full_stops_of_east_asian_input_are_dots(dot: str) -> None:
    domain = fold_domain("例え.テスト")
    assert re.fullmatch(pattern(domain), f"例え{dot}テスト")


@pytest.mark.parametrize(
    ("domain", "other"),
    [
        ("straße.example", "strasse.example"),
        ("straße.example", "STRASSE.example"),
        ("müller.example", "muller.example"),
        ("müller.example", "müllers.example"),
        ("müller.example", "müllerxexample"),
        ("müller.example", "xn--mller-kva.example"),
    ],
)
def test_another_domain_is_none_of_them(domain: str, other: str) -> None:
    domain = fold_domain(domain)
    assert not re.compile(pattern(domain).encode(), re.IGNORECASE).fullmatch(other.encode())
    assert lowered(other) not in common(domain)


@pytest.mark.parametrize("domain", ["example.com", "", "xn--zzzzzzzzzz9.example", "xn--.example"])
def test_what_has_no_other_spelling_has_none(domain: str) -> None:
    assert forms(domain) == ()
    assert (pattern(domain), globs(domain), common(domain)) == ("", [], [])
