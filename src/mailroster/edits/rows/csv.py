"""Rows as CSV (RFC 4180), as spreadsheets write it: a line of column names, then the rows.

    address,password,quota
    john.doe@example.com,correct horse,5G

Columns come in any order and may be left out, as may cells at the end of a row. The separator is a
comma, a semicolon or a tab, whichever is in the first line.
"""

import csv
import io
from collections.abc import Iterable, Iterator

from mailroster.base.findings import Location, ParseError
from mailroster.edits.rows import COLUMNS, AccountRow, Cells, Rows
from mailroster.edits.rows import read as read_rows
from mailroster.roster.formats.virtual import Alias

_HINT = "begin with a line like address,password,quota or alias,recipients"


def read(text: str, source: str) -> Rows:
    """The rows of a CSV text; `source` is its file name."""
    return read_rows(_records(text.removeprefix("\ufeff"), source))


def _records(text: str, source: str) -> Iterator[tuple[Location, Cells]]:
    """The cells of each row by column, or the error of a row. With a bad header there is only its
    error."""
    if not text.strip():
        return
    lines = [
        f"{line}\n" for line in text.split("\n")
    ]  # a lone \r is an error, not the end of a line
    delimiter = next((char for char in ",;\t" if char in lines[0]), ",")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: list[str] = []
    end = 0
    while True:
        where = Location(source, end + 1)
        try:
            cells = next(reader)
            end = reader.line_num
            if columns and any(cell.strip() for cell in cells):
                yield where, dict(zip(columns, _fit(cells, len(columns)), strict=False))
            columns = columns or _columns(cells)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num
            yield (
                where,
                ParseError("malformed-row", f"the row is not CSV ({error})", "fix its quotes"),
            )
        except ParseError as fault:
            yield where, fault
        if not columns:
            return


def _columns(cells: list[str]) -> list[str]:
    """The columns that a header names. Raises ParseError."""
    columns = [cell.strip().lower() for cell in cells]
    if "address" not in columns and "alias" not in columns:
        # The line is not shown: it may contain a password.
        message = "the first line has neither a column 'address' nor a column 'alias'"
        raise ParseError("unknown-column", message, _HINT)
    for place, column in enumerate(columns):
        if column not in COLUMNS:
            hint = f"use {', '.join(COLUMNS)}"
            raise ParseError("unknown-column", f"unknown column {column!r}", hint)
        if column in columns[:place]:
            raise ParseError("unknown-column", f"the column {column!r} occurs twice", "remove one")
    return columns


def _fit(cells: list[str], count: int) -> list[str]:
    if len(cells) > count:
        message = f"the row has {len(cells)} cells for {count} columns"
        raise ParseError("malformed-row", message, "put a cell with a comma in double quotes")
    return cells


def write(entries: Iterable[AccountRow | Alias], *, secrets: bool) -> str:
    """A CSV text of accounts and aliases; with `secrets` it has the hashes of passwords and
    the app passwords."""
    hidden = ("password",) if secrets else ("password", "hash", "app_passwords")
    text = io.StringIO()
    columns = [column for column in COLUMNS if column not in hidden]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        if isinstance(entry, Alias):
            writer.writerow({"alias": entry.key, "recipients": ", ".join(entry.recipients)})
        else:
            writer.writerow(entry._asdict())
    return text.getvalue()
