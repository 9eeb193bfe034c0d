"""`postfix-regexp.cf`: aliases by pattern, in the order of the file.

    rule  = [ "!" ] "/" pattern "/" [ flags ] recipient *( separator recipient )
    block = ( "if" | "endif" ) [ pattern as above ]

    /^test[0-9][0-9]*@example\\.com/ qa@example.com

pcre_table(5): the first rule that matches wins; `if` … `endif` may be nested; the delimiter `/` may
be any character except letters, digits and blanks; a line that starts with a blank continues the
one before, unless it is a comment. Only Postfix can tell whether a pattern compiles
(servers/patterns.py).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.findings import ERROR, Finding, ParseError, printable
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format, Lines
from mailroster.roster.documents.text import check_text, content, logical_lines
from mailroster.roster.formats import virtual

FLAGS = "imsxAEUX"


class Rule(NamedTuple):
    """`kind` is "if", "endif" or "match"; an `endif` has no pattern, only a match has a result."""

    kind: str
    pattern: str  # with its `!`, delimiters and flags
    result: str


class Regexp(Format[Rule]):
    file = "postfix-regexp.cf"
    ordered = True
    continued = True

    def split(self, text: str) -> list[str]:
        return logical_lines(text)

    def key(self, line: str) -> str:
        text = content(line)
        return "" if text[:1] == "#" else text

    def parse(self, line: str) -> Rule:
        check_text(content(line))
        if line[:1] in (" ", "\t"):
            raise ParseError("lost-continuation", "the first rule starts with a blank", "remove it")
        text = content(line)
        word = text[:5].lower()
        if word == "endif":
            return Rule("endif", "", "")
        if word[:2] == "if" and not text[2:3].isalnum():
            pattern, rest = _pattern(text[2:].lstrip())
            if rest:
                message = f"text behind 'if {printable(pattern)}'"
                raise ParseError("text-after-if", message, "put it on a new line")
            return Rule("if", pattern, "")
        pattern, result = _pattern(text)
        if not result:
            message = f"rule {printable(pattern)} has no recipient"
            raise ParseError("no-recipient", message, "add a recipient behind it")
        for word in recipients(result):
            if '"' not in word and "<" not in word:  # which tok822(3) reads by rules of its own
                recipient(word)
        return Rule("match", pattern, result)

    def faults(self, document: Lines) -> Iterator[Finding]:
        """An `if` without `endif` makes every later rule conditional; Postfix only warns."""
        opened: list[int] = []
        for position, line in enumerate(document.lines):
            try:
                rule = self.parse(line) if self.key(line) else None
            except ParseError:
                continue
            if rule is not None and rule.kind == "if":
                opened.append(position)
            elif rule is not None and rule.kind == "endif":
                if opened:
                    opened.pop()
                else:
                    where = document.location(position)
                    message, hint = "an 'endif' without 'if'", "remove it, or add the 'if'"
                    yield Finding(where, ERROR, "endif-without-if", message, hint)
        for position in opened:
            where = document.location(position)
            message = "an 'if' without 'endif' makes every later rule conditional"
            yield Finding(where, ERROR, "if-without-endif", message, "add a line 'endif'")


REGEXP = Regexp()


class Placed(NamedTuple):
    """A rule with its position and the positions of the `if`s around it, the outermost first."""

    position: int
    rule: Rule
    within: tuple[int, ...]


def placed(document: Document[Rule]) -> list[Placed]:
    """Every rule that can be read, in the order of the file."""
    rules: list[Placed] = []
    opened: tuple[int, ...] = ()
    for position, line in enumerate(document.lines):
        rule = document.readable(line)
        if rule is None:
            continue
        if rule.kind == "endif":
            opened = opened[:-1]
        rules.append(Placed(position, rule, opened))
        if rule.kind == "if":
            opened = (*opened, position)
    return rules


def open_ifs(document: Document[Rule]) -> list[int]:
    """The positions of the `if`s that no `endif` closes."""
    opened: list[int] = []
    for position, rule, _ in placed(document):
        if rule.kind == "if":
            opened.append(position)
        elif rule.kind == "endif" and opened:
            opened.pop()
    return opened


def recipients(result: str) -> list[str]:
    """The recipients in the result of a rule as written, with references such as `$1`."""
    return result.replace(",", " ").split()


def numbered(document: Document[Rule]) -> str:
    """A table with the same rules, in which each result begins with the number of its line, so that
    a lookup by Postfix shows which rule matched."""
    lines = []
    for position, line in enumerate(document.lines):
        rule = document.readable(line)
        if rule is not None and rule.kind == "match":
            lines.append(f"{rule.pattern} {document.number(position)} {rule.result}")
        else:
            lines.append(content(line) if rule is not None else line)
    return "\n".join(lines).replace("\r\n", "\n") + "\n"


def pattern(text: str) -> str:
    """The pattern of a rule, without blanks around it; `^…` gets delimiters.

    Raises ParseError if the text is not a pattern, or has several lines.
    """
    check_text(text)
    text = text.strip()
    if "\n" in text or "\r" in text:
        raise ParseError("malformed-rule", "the pattern has a line break", "write it in one line")
    if text[:1] == "#":
        hint = "write /pattern/"
        raise ParseError("malformed-rule", f"{text!r} would be a comment in the file", hint)
    if text[:1] == "^":
        text = "/" + _escaped(text) + "/"
    if not text or text[0].isalnum():
        hint = "write it between slashes, like /^test[0-9]+@example\\.com$/"
        raise ParseError("malformed-rule", f"{text!r} has no delimiters", hint)
    pattern, rest = _pattern(text)
    if rest:
        message = f"{printable(rest)!r} behind the pattern {printable(pattern)!r}"
        raise ParseError(
            "malformed-rule",
            message,
            f"put a backslash before each {printable(_delimiter(pattern))} in it",
        )
    return pattern


def recipient(text: str) -> str:
    """A recipient of a rule: like that of an alias, and may contain `$1`, `${1}`, `$(1)` and `$$`.
    Raises ParseError."""
    parts = []
    offset = 0
    while offset < len(text):
        length = _reference_length(text, offset)
        parts.append("x" if length else text[offset])
        offset += length or 1
    sample = "".join(parts)
    if sample[:1] == "@" and sample != text:
        sample = f"x{sample}"  # the captured text may be the part before the `@`
    try:
        address.recipient(sample)
    except ParseError as error:
        message = error.message.replace(repr(sample), repr(text))
        raise ParseError(error.code, message, error.hint) from None
    return text


def line(pattern: str, recipients: Iterable[str]) -> str:
    """A rule as a line of the file."""
    return f"{pattern} {','.join(recipients)}"


def add_recipient(document: Document[Rule], position: int, recipient: str) -> Document[Rule]:
    """Adds a recipient to the rule at a position."""
    old = document.line(position).rstrip(" \t\r")
    comma = "" if old.endswith(",") else ","
    return document.replace(position, f"{old}{comma}{recipient}")


def without(line: str, removed: Iterable[str]) -> str | None:
    """The line of a rule without some recipients, in any spelling; None if no recipient would be
    left. Raises ParseError if its pattern has several lines."""
    first = line.partition("\n")[0]
    pattern, _ = _pattern(first.strip(" \t\ufeff"))
    end = first.index(pattern) + len(pattern)
    # "/" replaces the pattern, which may contain blanks.
    rest = virtual.without("/" + line[end:], removed)
    return None if rest is None else line[:end] + rest[1:]


def _delimiter(pattern: str) -> str:
    return pattern.lstrip("! \t")[0]


def _escaped(text: str) -> str:
    """A pattern with a backslash before each slash that lacks one."""
    escaped, offset = "", 0
    while offset < len(text):
        step = 2 if text[offset] == "\\" else 1
        escaped += "\\/" if text[offset] == "/" else text[offset : offset + step]
        offset += step
    return escaped


def _reference_length(text: str, offset: int) -> int:
    """The length of a `$1`, `${1}`, `$(1)` or `$$` that begins at an offset; 0 if none does."""
    if text[offset] != "$":
        return 0
    if text[offset + 1 : offset + 2] == "$":
        return 2
    close = {"{": "}", "(": ")"}.get(text[offset + 1 : offset + 2], "")
    start = offset + (2 if close else 1)
    end = start
    while text[end : end + 1].isascii() and text[end : end + 1].isdigit():
        end += 1
    closed = not close or text[end : end + 1] == close
    return end + len(close) - offset if end > start and closed else 0


def _pattern(text: str) -> tuple[str, str]:
    """A pattern with its `!`, delimiters and flags, and the text behind it. Raises ParseError."""
    start = 0
    while text[start : start + 1] in ("!", " ", "\t"):
        start += 1
    delimiter = text[start : start + 1]
    if not delimiter or delimiter.isalnum():
        raise ParseError("malformed-rule", "no /pattern/ in front", "write /pattern/ RECIPIENT")
    end = start + 1
    while end < len(text) and text[end] != delimiter:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise ParseError(
            "unclosed-pattern", f"the pattern has no closing {delimiter!r}", "write /pattern/"
        )
    end += 1
    flags = len(text[end:]) - len(text[end:].lstrip("".join(FLAGS)))
    rest = text[end + flags :]
    if rest and rest[0] not in " \t":
        raise ParseError(
            "unknown-flag", f"unknown flag {rest[0]!r} behind the pattern", f"use {FLAGS}"
        )
    return text[: end + flags], rest.strip()
