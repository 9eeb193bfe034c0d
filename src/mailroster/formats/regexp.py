"""`postfix-regexp.cf`: aliases by pattern, in the order of the file.

    rule  = [ "!" ] "/" pattern "/" [ flags ] recipient *( separator recipient )
    block = ( "if" | "endif" ) [ pattern as above ]

    /^test[0-9][0-9]*@example\\.com/ qa@example.com

pcre_table(5): the first rule that matches wins; `if` … `endif` may be nested; any character that is
no letter, digit or blank may stand for `/`; a line that starts with a blank continues the one
before, unless it is a comment. Whether a pattern compiles is for Postfix to say (services.py).
"""

from collections.abc import Iterator
from typing import NamedTuple

from mailroster.document import Document, Format
from mailroster.finding import ERROR, Fault, Finding, printable
from mailroster.text import check_text, content, logical_lines

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
            raise Fault("lost-continuation", "the first rule starts with a blank", "remove it")
        text = content(line)
        word = text[:5].lower()
        if word == "endif":
            return Rule("endif", "", "")
        if word[:2] == "if" and not text[2:3].isalnum():
            pattern, rest = _pattern(text[2:].lstrip())
            if rest:
                what = f"text behind 'if {printable(pattern)}'"
                raise Fault("text-after-if", what, "put it on a new line")
            return Rule("if", pattern, "")
        pattern, result = _pattern(text)
        if not result:
            what = f"rule {printable(pattern)} leads nowhere"
            raise Fault("no-recipient", what, "add a recipient behind it")
        return Rule("match", pattern, result)

    def faults(self, document: Document[Rule]) -> Iterator[Finding]:
        """An `if` without `endif` makes every later rule conditional; Postfix only warns."""
        opened: list[int] = []
        for position, line in enumerate(document.lines):
            try:
                rule = self.parse(line) if self.key(line) else None
            except Fault:
                continue
            if rule is not None and rule.kind == "if":
                opened.append(position)
            elif rule is not None and rule.kind == "endif":
                if opened:
                    opened.pop()
                else:
                    where = document.location(position)
                    what, mend = "an 'endif' without 'if'", "remove it, or add the 'if'"
                    yield Finding(where, ERROR, "endif-without-if", what, mend)
        for position in opened:
            where = document.location(position)
            what = "an 'if' without 'endif' makes every later rule conditional"
            yield Finding(where, ERROR, "if-without-endif", what, "add a line 'endif'")


REGEXP = Regexp()


def _pattern(text: str) -> tuple[str, str]:
    """A pattern with its `!`, delimiters and flags, and the text behind it. Raises Fault."""
    start = 0
    while text[start : start + 1] in ("!", " ", "\t"):
        start += 1
    delimiter = text[start : start + 1]
    if not delimiter or delimiter.isalnum():
        raise Fault("malformed-rule", "no /pattern/ in front", "write /pattern/ RECIPIENT")
    end = start + 1
    while end < len(text) and text[end] != delimiter:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise Fault(
            "unclosed-pattern", f"the pattern has no closing {delimiter!r}", "write /pattern/"
        )
    end += 1
    flags = len(text[end:]) - len(text[end:].lstrip("".join(FLAGS)))
    rest = text[end + flags :]
    if rest and rest[0] not in " \t":
        raise Fault("unknown-flag", f"unknown flag {rest[0]!r} behind the pattern", f"use {FLAGS}")
    return text[: end + flags], rest.strip()
