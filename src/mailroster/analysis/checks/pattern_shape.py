"""What the text of a pattern tells, and no more than is sure (pcre_table(5), pcrepattern(3)).

What a pattern matches only pcre itself can say; but that it has no `^`, say, can be read.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_OPENERS = re.compile(r"(?:\((?:\?:)?)*")
_ANYTHING = r"(?:\.[*+]|\(\.[*+]\))"
#: A pattern that matches whatever has something on both sides of an `@`.
_ALL = re.compile(rf"\^|\$||\^?\.|\.\$|@|\^?{_ANYTHING}(?:@{_ANYTHING})?\$?")
_DOMAIN = r"@(?:[a-z0-9-]|\\\.|\.)+"
_WHOLE_DOMAIN = re.compile(rf"(?:\^?{_ANYTHING})?({_DOMAIN}\$)", re.IGNORECASE)
_LAST_DOMAIN = re.compile(r"@\(?((?:[a-z0-9-]|\\\.|\.)+)\)*(\$?)\)*", re.IGNORECASE)
#: What stands behind an `@` in a pattern for every domain.
_ANY_DOMAIN = re.compile(r"\)*(?:\(?(?:\.|\[\^@\])[*+]\)?)?\)*\$?\)*")
_ANCHORED_WORD = re.compile(r"\^\(*[\[.\\A-Za-z0-9]")
_WORD = re.compile(r"[a-z0-9_-]", re.IGNORECASE)


class Pattern(NamedTuple):
    """`!`, what stands between the delimiters, and the flags."""

    negated: bool
    body: str
    flags: str

    @classmethod
    def of(cls, text: str) -> "Pattern":
        """Of the text of a rule that could be read: `!/body/flags`."""
        bare = text.lstrip("! \t")
        negated = text[: len(text) - len(bare)].count("!") % 2 == 1
        body, _, flags = bare[1:].rpartition(bare[0])
        return cls(negated, body, flags)

    def tokens(self) -> list[str]:
        """Characters, escapes and character classes."""
        return _TOKEN.findall(self.body)

    def is_plain(self) -> bool:
        """Whether nothing turns the meaning of what is read: flags, options, quoting."""
        return not (self.flags or self.negated or "(?" in self.body or r"\Q" in self.body)

    def branches(self) -> list[list[str]]:
        """The tokens of each alternative that is not inside of a group."""
        found: list[list[str]] = [[]]
        depth = 0
        for token in self.tokens():
            depth += (token == "(") - (token == ")")
            if token == "|" and not depth:
                found.append([])
            else:
                found[-1].append(token)
        return found

    def has_open_start(self) -> bool:
        """Whether it may match in the middle of a user's name."""
        return "A" not in self.flags and any(map(_has_open_start, self.branches()))

    def has_open_end(self) -> bool:
        """Whether it may match the beginning of another domain."""
        return any(map(_has_open_end, self.branches()))

    def bare_dots(self) -> list[str]:
        """Words in which an unescaped dot stands between letters or digits."""
        tokens = [*self.tokens(), ""]
        found: list[str] = []
        word, has_dot = "", False
        for before, token, behind in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
            between = _WORD.fullmatch(before) and _WORD.fullmatch(behind)
            if _WORD.fullmatch(token) or token == r"\." or (token == "." and between):
                word, has_dot = word + token, has_dot or token == "."
                continue
            if has_dot:
                found.append(word)
            word, has_dot = "", False
        return found

    def matches_all(self) -> bool:
        """Whether it certainly matches every address."""
        return self.is_plain() and _ALL.fullmatch(self.body) is not None

    def whole_domain(self) -> str:
        """The end of the pattern, if it certainly matches all of a domain: `@example\\.com$`."""
        found = _WHOLE_DOMAIN.fullmatch(self.body) if self.is_plain() else None
        return found[1] if found else ""

    def lies_in(self, end: str) -> bool:
        """Whether all that it matches certainly ends as another pattern says."""
        return self.is_plain() and len(self.branches()) == 1 and self.body.endswith(end)

    def matches_every_domain(self) -> bool:
        """Whether a branch certainly matches addresses in any domain: it names none behind its `@`,
        or ends without an `@` and without `$`."""
        is_judged = self._replace(flags=self.flags.replace("i", "")).is_plain()  # i: case alone
        return is_judged and (self.matches_all() or any(map(_is_of_every_domain, self.branches())))

    def suffix(self) -> str:
        """The text with which every domain ends that it matches: `.example.com` of
        `@([a-z]+)\\.example\\.com$`; "" if it spells out none, or all of a domain."""
        if self.negated or len(self.branches()) > 1:
            return ""
        tokens = self.tokens()
        while tokens and tokens[-1] == ")":
            tokens.pop()
        if not tokens or tokens.pop() != "$":
            return ""
        while tokens and tokens[-1] == ")":
            tokens.pop()
        found: list[str] = []
        while tokens and (tokens[-1] == r"\." or _WORD.fullmatch(tokens[-1])):
            found.insert(0, tokens.pop()[-1:])
        if not tokens or tokens[-1] in ("@", r"\@") or "|" in tokens:
            return ""
        return "".join(found).lower() if "@" in tokens or r"\@" in tokens else ""

    def domain(self) -> tuple[str, bool]:
        """The domain in which it ends, if it spells one out, and whether nothing may follow."""
        if self.negated or len(self.branches()) > 1:
            return "", False
        place = self.body.rfind("@")
        found = _LAST_DOMAIN.fullmatch(self.body, place) if place >= 0 else None
        return (found[1].replace("\\", "").lower(), bool(found[2])) if found else ("", False)


def _is_of_every_domain(tokens: list[str]) -> bool:
    rest = "".join(tokens)
    if "(?" in rest:
        return False
    signs = [at for at, token in enumerate(tokens) if token in ("@", r"\@")]
    if not signs:
        # `^info` matches info@ everywhere; `example\.com$` and `.*` are judged by other rules.
        return _ANCHORED_WORD.match(rest) is not None and not rest.rstrip(")").endswith("$")
    return _ANY_DOMAIN.fullmatch("".join(tokens[signs[-1] + 1 :])) is not None


def _has_open_start(tokens: list[str]) -> bool:
    text = "".join(tokens)
    text = text[_OPENERS.match(text).end() :]  # type: ignore[union-attr]
    closed = ("^", "@", r"\A", r"\@", ".*", ".+", "(?")
    return not text.startswith(closed)


def _has_open_end(tokens: list[str]) -> bool:
    rest = list(tokens)
    while rest and rest[-1] == ")":
        rest.pop()
    if len(rest) > 1 and rest[-1] in ("*", "+") and rest[-2] == ".":
        return False
    return not rest or rest[-1] not in ("$", "@", r"\z", r"\Z", r"\@")
