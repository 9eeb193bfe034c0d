"""Spellings of domains that are not ASCII (RFC 5890, Unicode UAX #15).

Files and tables contain a domain as A-labels: `xn--mller-kva.example`. Clients also write it as
U-labels, `müller.example`: composed (NFC) or decomposed (NFD, as macOS does), in upper or lower
case, and with the full stops of East Asian input. All of these are the same domain.
"""

from unicodedata import normalize

from mailroster.base.address import fold_domain, is_idna
from mailroster.base.findings import ParseError

#: The characters that IDNA reads as a dot between labels (RFC 3490, 3.1).
DOTS = (".", "\u3002", "\uff0e", "\uff61")
#: A form of a domain: for each character, the characters that are the same in a domain. ASCII
#: letters are in lower case, and their case does not matter.
Form = tuple[tuple[str, ...], ...]


def forms(domain: str) -> tuple[Form, ...]:
    """The composed and the decomposed form of a domain in A-labels. Empty if it has no other
    spelling or IDNA can't decode it."""
    if not is_idna(domain):
        return ()
    import idna

    try:
        unicode = idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return ()
    texts = dict.fromkeys(normalize(form, unicode) for form in ("NFC", "NFD"))
    return tuple(_form(text, domain) for text in texts if _is_spelling(text, domain))


def _form(text: str, domain: str) -> Form:
    choices: list[tuple[str, ...]] = []
    for position, char in enumerate(text):
        others = dict.fromkeys((char, char.lower(), char.upper(), char.title()))
        if char == ".":
            choices.append(DOTS)
        elif char.isascii():
            choices.append((char,))
        else:
            before, after = text[:position], text[position + 1 :]
            same = (o for o in others if len(o) == 1 and _is_spelling(before + o + after, domain))
            choices.append(tuple(same))
    return tuple(choices)


def _is_spelling(text: str, domain: str) -> bool:
    try:
        return fold_domain(text) == domain
    except ParseError:
        return False


def pattern(domain: str) -> str:
    """A pattern of pcre_table(5) for all spellings except the A-labels; "" if there are none. It is
    also right if Postfix matches octets."""
    return "|".join("".join(map(_either, form)) for form in forms(domain))


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
    """The spellings that programs send, for tables without patterns: composed and decomposed, all
    in lower and all in upper case. ASCII letters are in lower case."""
    spellings: dict[str, None] = {}
    for form in forms(domain):
        for case in (str.lower, str.upper):
            chars = (next((c for c in same if c == case(c)), same[0]) for same in form)
            spellings["".join(chars)] = None
    return [*spellings]
