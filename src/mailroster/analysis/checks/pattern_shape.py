"""Facts about a pattern that can be read from its text (pcre_table(5), pcrepattern(3)).

Only pcre knows which addresses a pattern matches; but its text shows, say, that it has no `^`.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_OPENERS = re.compile(r"(?:\((?:\?:)?)*")
_ANYTHING = r"(?:\.[*+]|\(\.[*+]\))"
#: A pattern that matches every address.
_ALL = re.compile(rf"\^|\$||\^?\.|\.\$|@|\^?{_ANYTHING}(?:@{_ANYTHING})?\$?")
_DOMAIN = r"@(?:[a-z0-9-]|\\\.|\.)+"
_WHOLE_DOMAIN = re.compile(rf"(?:\^?{_ANYTHING})?({_DOMAIN}\$)", re.IGNORECASE)
_LAST_DOMAIN = re.compile(r"@\(?((?:[a-z0-9-]|\\\.|\.)+)\)*(\$?)\)*", re.IGNORECASE)
#: The end behind an `@` of a pattern for every domain.
_ANY_DOMAIN = re.compile(r"\)*(?:\(?(?:\.|\[\^@\])[*+]\)?)?\)*\$?\)*")
_ANCHORED_WORD = re.compile(r"\^\(*[\[.\\A-Za-z0-9]")
_WORD = re.compile(r"[a-z0-9_-]", re.IGNORECASE)


class Pattern(NamedTuple):
    """Whether there is a `!`, the text between the delimiters, and the flags."""

    negated: bool
    body: str
    flags: str

    @classmethod
    def of(cls, text: str) -> "Pattern":
        """From the text of a rule: `!/body/flags`."""
        bare = text.lstrip("! \t")
        negated = text[: len(text) - len(bare)].count("!") % 2 == 1
        body, _, flags = bare[1:].rpartition(bare[0])
        return cls(negated, body, flags)

    def tokens(self) -> list[str]:
        """Characters, escapes and character classes."""
        return _TOKEN.findall(self.body)

    def is_plain(self) -> bool:
        """Whether the text means what it says: without flags, options, negation and quoting."""
        return not (self.flags or self.negated or "(?" in self.body or r"\Q" in self.body)

    def branches(self) -> list[list[str]]:
        """The tokens of each alternative outside of groups."""
        branches: list[list[str]] = [[]]
        depth = 0
        for token in self.tokens():
            if token == "(":
                depth += 1
            elif token == ")":
                depth -= 1
            if token == "|" and not depth:
                branches.append([])
            else:
                branches[-1].append(token)
        return branches

    def has_open_start(self) -> bool:
        """Whether it may match in the middle of a user's name."""
        return "A" not in self.flags and any(map(_has_open_start, self.branches()))

    def has_open_end(self) -> bool:
        """Whether it may match the beginning of another domain."""
        return any(map(_has_open_end, self.branches()))

    def bare_dots(self) -> list[str]:
        """Words with an unescaped dot between letters or digits."""
        tokens = [*self.tokens(), ""]
        dotted: list[str] = []
        word, has_dot = "", False
        for before, token, behind in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
            between = _WORD.fullmatch(before) and _WORD.fullmatch(behind)
            if _WORD.fullmatch(token) or token == r"\." or (token == "." and between):
                word, has_dot = word + token, has_dot or token == "."
                continue
            if has_dot:
                dotted.append(word)
            word, has_dot = "", False
        return dotted

    def matches_all(self) -> bool:
        """Whether it certainly matches every address."""
        return self.is_plain() and _ALL.fullmatch(self.body) is not None

    def whole_domain(self) -> str:
        """The end of the pattern, if it certainly matches all of a domain: `@example\\.com$`."""
        match = _WHOLE_DOMAIN.fullmatch(self.body) if self.is_plain() else None
        return match[1] if match else ""

    def lies_in(self, end: str) -> bool:
        """Whether every address that it matches certainly has this end."""
        return self.is_plain() and len(self.branches()) == 1 and self.body.endswith(end)

    def matches_every_domain(self) -> bool:
        """Whether a branch certainly matches addresses in any domain: it names none behind its `@`,
        or ends without an `@` and without `$`."""
        is_plain = self._replace(flags=self.flags.replace("i", "")).is_plain()  # i: only the case
        return is_plain and (self.matches_all() or any(map(_is_of_every_domain, self.branches())))

    def suffix(self) -> str:
        """The common end of all domains that it matches: `.example.com` of
        `@([a-z]+)\\.example\\.com$`; "" if it has none, or names a whole domain."""
        if self.negated or len(self.branches()) > 1:
            return ""
        tokens = self.tokens()
        while tokens and tokens[-1] == ")":
            tokens.pop()
        if not tokens or tokens.pop() != "$":
            return ""
        while tokens and tokens[-1] == ")":
            tokens.pop()
        end: list[str] = []
        while tokens and (tokens[-1] == r"\." or _WORD.fullmatch(tokens[-1])):
            end.insert(0, tokens.pop()[-1:])
        if not tokens or tokens[-1] in ("@", r"\@") or "|" in tokens:
            return ""
        return "".join(end).lower() if "@" in tokens or r"\@" in tokens else ""

    def domain(self) -> tuple[str, bool]:
        """The domain at its end, "" if it names none, and whether nothing may follow."""
        if self.negated or len(self.branches()) > 1:
            return "", False
        place = self.body.rfind("@")
        match = _LAST_DOMAIN.fullmatch(self.body, place) if place >= 0 else None
        return (match[1].replace("\\", "").lower(), bool(match[2])) if match else ("", False)


def _is_of_every_domain(tokens: list[str]) -> bool:
    rest = "".join(tokens)
    if "(?" in rest:
        return False
    signs = [at for at, token in enumerate(tokens) if token in ("@", r"\@")]
    if not signs:
        # `^info` matches info@ in every domain; other rules judge `example\.com$` and `.*`.
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
