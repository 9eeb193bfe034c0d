"""The text of lines: logical lines, their words, and characters that none may have."""

from mailroster.base.findings import ParseError


def only_comments(line: str) -> bool:
    """Whether a physical line is empty, blank, or a comment."""
    stripped = line.lstrip(" \t\r\ufeff")
    return not stripped or stripped[0] == "#"


def logical_lines(text: str) -> list[str]:
    """Logical lines of a Postfix table: a line that starts with a blank continues the one before.

    Empty lines and comments between the lines of one entry are part of it (postconf(5),
    "continuation lines"); those behind its last line are lines of their own.
    """
    lines = text.split("\n")
    if "\n " not in text and "\n\t" not in text:
        return lines
    logical: list[str] = []
    entry: list[str] = []  # the lines of the last entry, which may continue
    pending: list[str] = []  # comments that may be inside it
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
    """The words of a logical line: without the comments in it, its pieces joined by blanks."""
    if "\n" not in line:
        return line.strip(" \t\r\ufeff")
    pieces = [piece for piece in line.split("\n") if not only_comments(piece)]
    return " ".join(piece.strip(" \t\r\ufeff") for piece in pieces)


def check_text(line: str) -> None:
    """Raises ParseError if a line is not UTF-8 or has control characters or unusual blanks."""
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
                "odd-blank", f"U+{ord(char):04X} is not a plain blank", "write a plain blank"
            )
    if "\r" in line.removesuffix("\r").replace("\r\n", "\n"):
        raise ParseError("control-character", "a carriage return inside a line", "remove it")
