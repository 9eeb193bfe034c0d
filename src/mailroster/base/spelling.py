"""How a person or a program may write a domain that is not ASCII (RFC 5890, Unicode UAX #15).

Files and tables have a domain as A-labels: `xn--mller-kva.example`. Clients also write it as
U-labels, `müller.example`: composed (NFC) or decomposed (NFD, as macOS does), with letters of
either case, and with the full stops of East Asian input. Each is the same domain.
"""

from unicodedata import normalize

from mailroster.base.address import fold_domain, is_idna
from mailroster.base.findings import ParseError

#: What IDNA takes for a dot between labels (RFC 3490, 3.1).
DOTS = (".", "\u3002", "\uff0e", "\uff61")
#: A form of a domain: for each character those that may stand in its place. ASCII letters are in
#: lower case, and their case does not matter.
Form = tuple[tuple[str, ...], ...]


def forms(domain: str) -> tuple[Form, ...]:
    """The composed and the decomposed form of a domain in A-labels. None for one that has no other
    spelling, or that IDNA can't decode."""
    if not is_idna(domain):
        return ()
    import idna

    try:
        unicode = idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return ()
    texts = dict.fromkeys(normalize(form, unicode) for form in ("NFC", "NFD"))
    return tuple(_form(text, domain) for text in texts if _is(text, domain))


def _form(text: str, domain: str) -> Form:
    found: list[tuple[str, ...]] = []
    for place, char in enumerate(text):
        others = dict.fromkeys((char, char.lower(), char.upper(), char.title()))
        if char == ".":
            found.append(DOTS)
        elif char.isascii():
            found.append((char,))
        else:
            before, after = text[:place], text[place + 1 :]
            same = (o for o in others if len(o) == 1 and _is(before + o + after, domain))
            found.append(tuple(same))
    return tuple(found)


def _is(text: str, domain: str) -> bool:
    try:
        return fold_domain(text) == domain
    except ParseError:
        return False


def pattern(domain: str) -> str:
    """A pattern of pcre_table(5) for all spellings but the A-labels; "" if there are none. It also
    holds where Postfix matches octets."""
    found = ("".join(map(_either, form)) for form in forms(domain))
    return "|".join(found)


def _either(chars: tuple[str, ...]) -> str:
    words = [rf"\{char}" if char in ".-" else char for char in chars]
    return words[0] if len(words) == 1 else f"(?:{'|'.join(words)})"


def globs(domain: str) -> list[str]:
    """The same as patterns of SQLite's GLOB, for text whose ASCII letters are in lower case."""
    return [
        "".join(chars[0] if len(chars) == 1 else f"[{''.join(chars)}]" for chars in form)
        for form in forms(domain)
    ]


def common(domain: str) -> list[str]:
    """The spellings that programs send, for where there are no patterns: composed and decomposed,
    all in lower and all in upper case; of ASCII the lower case."""
    found: dict[str, None] = {}
    for form in forms(domain):
        for case in (str.lower, str.upper):
            chars = (next((c for c in some if c == case(c)), some[0]) for some in form)
            found["".join(chars)] = None
    return [*found]
