"""`--table`: on a terminal aligned columns that fit its width; elsewhere cells separated by tabs,
without a heading, for other programs."""

import os
import sys
from collections.abc import Sequence

from mailroster.base.findings import printable
from mailroster.cli.terminal import has_colour

_GAP = 2
_WIDTH = 80  # if the terminal does not report its width
#: The smallest width to which a column is cut.
_WIDTH_MIN = 8
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows; each has as many cells as there are headings."""
    if sys.stdout is None or not sys.stdout.isatty():
        for row in rows:
            print("\t".join(printable(cell) for cell in row))
        return
    bold = has_colour(sys.stdout)
    for number, line in enumerate(table(headings, rows, _terminal_width())):
        print(f"{_BOLD}{line}{_PLAIN}" if bold and not number else line)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The lines of a table of a width in cells; wider if its columns can't be cut that far. A text
    that is cut ends in `…`. Empty columns are left out."""
    used = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    if not used:
        return []
    cells = [[printable(row[column]) for column in used] for row in (headings, *rows)]
    widths = _fitted([max(map(cells_of, column)) for column in zip(*cells, strict=True)], width)
    return [(" " * _GAP).join(map(_padded, row, widths)).rstrip(" ") for row in cells]


def cells_of(text: str) -> int:
    """The width of a text in cells of a terminal: East Asian wide letters take two (UAX #11),
    combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1
        for char in text
    )


def _fitted(widths: Sequence[int], width: int) -> list[int]:
    """The widths of columns, of which the widest are reduced until all fit."""
    fitted = [*widths]
    room = width - _GAP * (len(fitted) - 1)
    while sum(fitted) > room and max(fitted) > _WIDTH_MIN:
        widest = fitted.index(max(fitted))
        others = sorted(fitted)[-2] if len(fitted) > 1 else 0
        fitted[widest] = max(_WIDTH_MIN, others - 1, fitted[widest] - (sum(fitted) - room))
    return fitted


def _padded(text: str, width: int) -> str:
    if cells_of(text) > width:
        while cells_of(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - cells_of(text))


def _terminal_width() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or _WIDTH
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH
