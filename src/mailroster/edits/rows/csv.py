"""Rows as CSV (RFC 4180), as spreadsheets write it: a line of column names, then a row each.

    address,password,quota
    john.doe@example.com,correct horse,5G

Columns in any order; those that are not there say nothing, and neither do the cells that a row
lacks at its end. Cells are set off by commas, semicolons or tabs, whichever the first line has.
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
    """The rows of a CSV file of some name."""
    return read_rows(_records(text.removeprefix("\ufeff"), source))


def _records(text: str, source: str) -> Iterator[tuple[Location, Cells]]:
    """The cells of each row, by column. Without a header that makes sense there is but a fault."""
    if not text.strip():
        return
    lines = [f"{line}\n" for line in text.split("\n")]  # a lone \r ends none: it is an error
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
                yield where, dict(zip(columns, _fitting(cells, len(columns)), strict=False))
            columns = columns or _columns(cells)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num
            yield (
                where,
                ParseError("malformed-row", f"the row is no CSV ({error})", "fix its quotes"),
            )
        except ParseError as fault:
            yield where, fault
        if not columns:
            return


def _columns(cells: list[str]) -> list[str]:
    """The columns that a header names. Raises ParseError."""
    columns = [cell.strip().lower() for cell in cells]
    if "address" not in columns and "alias" not in columns:
        # What stands there may be anything, so it is not shown.
        raise ParseError(
            "unknown-column", "this is no header with 'address' or 'alias' in it", _HINT
        )
    for place, column in enumerate(columns):
        if column not in COLUMNS:
            hint = f"take {', '.join(COLUMNS)}"
            raise ParseError("unknown-column", f"unknown column {column!r}", hint)
        if column in columns[:place]:
            raise ParseError("unknown-column", f"the column {column!r} stands twice", "remove one")
    return columns


def _fitting(cells: list[str], count: int) -> list[str]:
    if len(cells) > count:
        message = f"the row has {len(cells)} cells, and there are {count} columns"
        raise ParseError("malformed-row", message, "put a cell with a comma in double quotes")
    return cells


def write(entries: Iterable[AccountRow | Alias], *, secrets: bool) -> str:
    """A CSV file of accounts and aliases; with the hashes of passwords if asked for."""
    hidden = ("password",) if secrets else ("password", "hash")
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
