"""How the lines of one config file are read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mailroster.base import address
from mailroster.base.findings import Finding, Location, ParseError

if TYPE_CHECKING:
    from re import Match

E = TypeVar("E")

#: The entry of a line with so many characters is kept after the first read: reading it takes longer
#: than any lookup, and a million aliases may lead to it.
LONG_CHARS = 1 << 14


class Lines(Protocol):
    """The lines of a document, with their places in the file."""

    @property
    def lines(self) -> list[str]: ...

    def location(self, position: int | None) -> Location: ...


class Format(Generic[E]):
    """How one file is read: its logical lines, the key and the entry of each.

    `key` must be quick and must agree with `parse`; it returns "" for lines without an entry (empty
    lines, comments), and never fails. `parse` raises ParseError.
    """

    file: str
    #: Created with mode 0600.
    secret = False
    #: The order of entries carries meaning and keys don't: the file counts as a whole.
    ordered = False
    #: A physical line that starts with a blank continues the line before.
    continued = False
    #: The sign that ends the key, if it is no blank.
    key_end = ""

    def split(self, text: str) -> list[str]:
        """Logical lines; "\\n".join() of them is the text."""
        return text.split("\n")

    def key(self, line: str) -> str:
        raise NotImplementedError

    def parse(self, line: str) -> E:
        raise NotImplementedError

    def plain(self) -> "Plain[E] | None":
        """Reads lines of the plainest form, in a fifth of the time of `parse`. None: the format has
        no such form. Compiling the pattern may take milliseconds."""
        return None

    def quick(self) -> Callable[[str], E]:
        """Returns a function that does the same as `parse` and is quicker for many lines."""
        plain = self.plain()
        if plain is None:
            return self.parse
        match, entry, parse = plain.match, plain.entry, self.parse
        return lambda line: entry(line) if match(line) else parse(line)

    def mentions(self, entry: E) -> Iterable[tuple[str, str]]:
        """The addresses to which an entry leads, as (user without extension, domain). A whole
        domain has an empty user, a bare name an empty domain."""
        return ()

    def needles(self, user: str, domain: str) -> Sequence[str]:
        """Words, of which a line contains at least one, in any case, if it mentions an address."""
        return ()

    def hidden(self, line: str) -> str:
        """A physical line as it may be shown: `…` replaces what may be a secret."""
        return line

    def faults(self, document: Lines) -> Iterator[Finding]:
        """What is wrong with the file as a whole, beyond its single entries."""
        return iter(())


class Plain(Generic[E]):
    """The plainest form of a line. `match` matches such a line, with its key as the first group.
    `entry` returns the entry of such a line, without any check."""

    def __init__(
        self, match: "Callable[[str], Match[str] | None]", entry: Callable[[str], E]
    ) -> None:
        self.match, self.entry = match, entry

    @classmethod
    def of_account(
        cls, separator: str, value: str, make: Callable[[Iterable[str]], E], *defaults: str
    ) -> "Plain[E] | None":
        """Lines of an address, a separator and a value that matches a pattern. `make` gets the
        address, the value and the defaults. None while recipient_delimiter is not "+": then an
        address of the plainest form may contain a delimiter."""
        if address.delimiters().strip("+"):
            return None
        import re

        pattern = re.compile(rf"({address.PLAIN}){re.escape(separator)}{value}")
        return cls(pattern.fullmatch, lambda line: make((*line.split(separator, 1), *defaults)))


class EntryReader(Generic[E]):
    """Reads the entries of lines, and keeps those of long lines."""

    __slots__ = ("_long", "_parse", "format")

    def __init__(self, format: Format[E]) -> None:
        self.format = format
        self._parse: Callable[[str], E] = format.parse
        self._long: dict[str, E] = {}  # by line

    def expect_many(self) -> None:
        """Prepares for many lines; see `Format.quick`."""
        self._parse = self.format.quick()

    def parse(self, line: str) -> E:
        """The entry of a line. Raises ParseError."""
        if len(line) < LONG_CHARS:
            return self._parse(line)
        entry = self._long.get(line)
        if entry is None:
            entry = self._long[line] = self._parse(line)
        return entry

    def entry(self, line: str) -> E | None:
        """The entry of a line that has a key, or None if it can't be read."""
        try:
            return self.parse(line)
        except ParseError:
            return None

    def readable(self, line: str) -> E | None:
        """The entry of a line, or None if it has no entry that can be read."""
        return self.entry(line) if self.format.key(line) else None


def mentions(format: Format[E], entry: E, user: str, domain: str) -> bool:
    """Whether an entry may lead to an address, or with an empty user to anything in its domain."""
    return any(
        its_domain == domain and (not user or not its_user or its_user == user)
        for its_user, its_domain in format.mentions(entry)
    )
