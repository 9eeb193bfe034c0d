"""Rows as JSON lines: an object on each line.

    {"address": "john.doe@example.com", "password": "correct horse", "quota": "5G"}
    {"alias": "info@example.com", "recipients": ["john.doe@example.com"]}

The names are the columns of the CSV form. Values are strings, `null` for what is not said; the
recipients may be a list.
"""

from collections.abc import Iterable, Iterator

from mailroster.base.findings import Location, ParseError
from mailroster.edits.rows import COLUMNS, AccountRow, Cells, Rows
from mailroster.edits.rows import read as read_rows
from mailroster.roster.formats.virtual import Alias


def read(text: str, source: str) -> Rows:
    """The rows of a JSON lines file of some name."""
    return read_rows(_records(text.removeprefix("\ufeff"), source))


def _records(text: str, source: str) -> Iterator[tuple[Location, Cells]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield Location(source, number), _cells(line)
            except ParseError as fault:
                yield Location(source, number), fault


def _cells(line: str) -> Cells:
    """The values of one object, by name. Raises ParseError, which shows none of them."""
    import json

    try:
        pairs = json.loads(line, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        message = f"the line is no JSON (column {error.colno}: {error.msg})"
        raise ParseError("malformed-row", message, "write one object a line") from None
    except (ValueError, RecursionError):
        raise ParseError(
            "malformed-row", "the line is no JSON", "write one object a line"
        ) from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ParseError("malformed-row", "the line is no JSON object", "write one object a line")
    cells: dict[str, str] = {}
    for name, value in pairs:
        if name not in COLUMNS:
            raise ParseError(
                "unknown-column", f"unknown name {name!r}", f"take {', '.join(COLUMNS)}"
            )
        if name in cells:
            raise ParseError("unknown-column", f"the name {name!r} stands twice", "remove one")
        cells[name] = _text(name, value)
    return cells


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if name == "recipients" and isinstance(value, list):
        words = [word for word in value if isinstance(word, str)]
        if len(words) == len(value):
            return ",".join(words)
    raise ParseError(
        "malformed-row", f"the value of {name!r} is no string", "put it in double quotes"
    )


def write(entries: Iterable[AccountRow | Alias], *, secrets: bool) -> str:
    """JSON lines of accounts and aliases; with the hashes of passwords if asked for."""
    import json

    lines = []
    for entry in entries:
        if isinstance(entry, Alias):
            said: dict[str, object] = {"alias": entry.key, "recipients": list(entry.recipients)}
        else:
            shown = entry if secrets else entry._replace(hash="")
            said = {column: cell for column, cell in shown._asdict().items() if cell}
        lines.append(json.dumps(said, ensure_ascii=False) + "\n")
    return "".join(lines)
