"""The text of lines: where a logical line ends, its words, and what none may hold."""

from mailroster.base.findings import ParseError


def only_comments(line: str) -> bool:
    """Whether a physical line is no entry: empty, blank, or a comment."""
    stripped = line.lstrip(" \t\r\ufeff")
    return not stripped or stripped[0] == "#"


def logical_lines(text: str) -> list[str]:
    """Logical lines of a Postfix table: a line that starts with a blank continues the one before.

    Empty lines and comments may stand between the lines of one entry and are part of it then
    (postconf(5), "continuation lines"); those behind its last line are lines of their own.
    """
    lines = text.split("\n")
    if "\n " not in text and "\n\t" not in text:
        return lines
    logical: list[str] = []
    entry: list[str] = []  # the lines of the last one, which may go on
    pending: list[str] = []  # comments that may turn out to be inside it
    for line in lines:
        if only_comments(line):
            pending.append(line)
            continue
        if entry and line[0] in " \t":
            entry += [*pending, line]
        else:
            logical += ["\n".join(entry), *pending] if entry else pending
            entry = [line]
        pending = []
    return [*logical, "\n".join(entry), *pending] if entry else pending


def content(line: str) -> str:
    """The words of a logical line: comments inside it left out, its pieces joined by blanks."""
    if "\n" not in line:
        return line.strip(" \t\r\ufeff")
    pieces = [piece for piece in line.split("\n") if not only_comments(piece)]
    return " ".join(piece.strip(" \t\r\ufeff") for piece in pieces)


def check_text(line: str) -> None:
    """Raises ParseError for what no entry may hold: not UTF-8, control characters, odd blanks."""
    if line.isprintable():
        return
    for char in line:
        if "\udc80" <= char <= "\udcff":
            raise ParseError(
                "not-utf-8", f"byte 0x{ord(char) - 0xDC00:02x} is not UTF-8", "save as UTF-8"
            )
        if (char < " " and char not in "\t\r\n") or char == "\x7f":
            raise ParseError(
                "control-character", f"control character 0x{ord(char):02x}", "remove it"
            )
        if char.isspace() and char not in " \t\r\n":
            raise ParseError(
                "odd-blank", f"U+{ord(char):04X} is no plain blank", "write a plain blank"
            )
    if "\r" in line.removesuffix("\r").replace("\r\n", "\n"):
        raise ParseError("control-character", "a carriage return inside a line", "remove it")
