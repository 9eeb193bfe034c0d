"""Sizes of mailboxes: `5G` in the file, bytes in the program, `5.0G` on the terminal."""

from mailroster.base.findings import COMMENT_BEHIND, ParseError

#: Binary units, as Dovecot reads them: 1k = 1024 bytes.
UNITS = {"B": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPELLINGS = {unit.upper(): unit for unit in UNITS}
SIZE_MAX_BYTES = (1 << 63) - 1


def normal_size(text: str) -> str:
    """A size in normal form: `0`, or an integer without leading zeros and one of B k M G T.

    Accepts blanks around it, leading zeros and units in the other case; anything else raises
    ParseError. `0` of any unit is `0`: unlimited.
    """
    word = text.strip(" \t\r")
    digits, unit = word[:-1], _SPELLINGS.get(word[-1:].upper(), "")
    if not unit:
        digits = word
    if not (digits.isascii() and digits.isdigit()):
        raise _malformed(text)
    number = digits.lstrip("0")
    if not number:
        return "0"
    if not unit:
        raise _malformed(text)
    if len(number) > 19 or int(number) * UNITS[unit] > SIZE_MAX_BYTES:
        raise ParseError(
            "quota-too-large", f"size {text!r} is more than 2^63-1 bytes", "write a smaller size"
        )
    return number + unit


def size_bytes(normal: str) -> int:
    """Bytes of a normal size; 0 = unlimited."""
    return 0 if normal == "0" else int(normal[:-1]) * UNITS[normal[-1]]


def size_text(count_bytes: int) -> str:
    """Bytes as a normal size, in the largest unit that needs no fraction: `5G`, `1500k`, `7B`."""
    fits = (unit for unit in reversed(UNITS) if count_bytes % UNITS[unit] == 0)
    unit = next(fits)
    return f"{count_bytes // UNITS[unit]}{unit}" if count_bytes else "0"


def human_size(count_bytes: int) -> str:
    """A size for people, rounded up: `0`, `12K`, `5.0G`."""
    tenths, unit = count_bytes * 10, ""
    for unit in ("", "K", "M", "G", "T", "P", "E"):  # noqa: B007
        if tenths < 10240:
            break
        tenths = -(-tenths // 1024)
    if unit and tenths < 100:
        return f"{tenths / 10:.1f}{unit}"
    return f"{-(-tenths // 10)}{unit}"


def _malformed(text: str) -> ParseError:
    return ParseError(
        "malformed-quota",
        f"size {text!r} is not an integer with B, k, M, G or T",
        COMMENT_BEHIND if "#" in text else "write a size like 500M or 5G, or 0 for unlimited",
    )
