"""Sets of characters in a pattern, as bits: one for each character of ASCII, one for all others."""

import re
from collections.abc import Iterable
from typing import NamedTuple

OTHERS = 1 << 128
ALL = (1 << 129) - 1


class Unreadable(Exception):
    """Not a pattern that these modules can read; pcre decides whether it is one."""


def bits(chars: Iterable[str]) -> int:
    result = 0
    for char in chars:
        result |= 1 << ord(char) if ord(char) < 128 else OTHERS
    return result


_DIGITS = bits("0123456789")
_LETTERS = bits("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _DIGITS | _LETTERS | bits("_")
_SPACE = bits(" \t\n\v\f\r")
_KINDS = {"d": _DIGITS, "w": _WORD, "s": _SPACE, "h": bits(" \t"), "v": bits("\n\v\f\r")}
_KINDS |= {kind.upper(): ALL & ~chars for kind, chars in _KINDS.items()} | {"N": ALL & ~bits("\n")}
_POSIX = {
    "alpha": _LETTERS, "digit": _DIGITS, "alnum": _LETTERS | _DIGITS, "word": _WORD,
    "space": _SPACE, "blank": bits(" \t"), "xdigit": bits("0123456789abcdefABCDEF"),
    "lower": _LETTERS, "upper": _LETTERS, "punct": bits("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
}  # fmt: skip
_NAMED_CHARS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_CODE = re.compile(r"x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{0,2})|0([0-7]{0,2})|o\{([0-7]+)\}")
_POSIX_CLASS = re.compile(r"\[:(\^?)(\w+):\]")


class CharSet(NamedTuple):
    """The characters that a part of a pattern matches, and the position behind that part."""

    bits: int
    end: int


def both_cases(chars: int) -> int:
    """A set with both cases of each letter in it."""
    letters = chars & _LETTERS
    return chars | (letters << 32 | letters >> 32) & _LETTERS


def escaped(text: str, at: int) -> CharSet:
    """An escape for one character, in a class or not; `at` is behind the backslash."""
    if code := _CODE.match(text, at):
        number = int(code[1] or code[2] or "0", 16) or int(code[3] or code[4] or "0", 8)
        return CharSet(1 << number if number < 128 else OTHERS, code.end())
    char, end = text[at : at + 1], at + 1
    if char in ("p", "P", "R", "X", "C"):
        if text.startswith("{", end) and char in "pP":
            end = text.find("}", end) + 1 or len(text)
        return CharSet(ALL, end)
    if char == "c":
        return CharSet(ALL, end + 1)
    return CharSet(_KINDS.get(char) or bits(_NAMED_CHARS.get(char, char)), end)


def char_class(text: str, at: int, *, ignores_case: bool) -> CharSet:
    """A class `[…]`; `at` is behind its bracket. Raises Unreadable."""
    chars = 0
    negated = text.startswith("^", at)
    if negated:
        at += 1
    start, last = at, -1
    while True:
        if at >= len(text):
            raise Unreadable
        char = text[at]
        if char == "]" and at > start:
            break
        if posix := _POSIX_CLASS.match(text, at):
            at, last = posix.end(), -1
            named = _POSIX.get(posix[2], ALL)
            chars |= ALL & ~named if posix[1] else named
            continue
        is_range = char == "-" and last >= 0 and text[at + 1 : at + 2] != "]"
        one, at = _class_member(text, at + 1 if is_range else at)
        code = one.bit_length() - 1
        if is_range and code >= last:
            one = (1 << (code + 1)) - (1 << last)
        last = -1 if is_range or one & (one - 1) else code
        chars |= one
    if negated:
        chars = ALL & ~(both_cases(chars) if ignores_case else chars)
    return CharSet(chars, at + 1)


def _class_member(text: str, at: int) -> CharSet:
    if text.startswith("\\", at):
        return escaped(text, at + 1)
    if at >= len(text):
        raise Unreadable
    return CharSet(bits(text[at]), at + 1)
