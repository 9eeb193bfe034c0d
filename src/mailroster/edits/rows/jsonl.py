"""Rows as JSON lines: an object on each line.

    {"address": "john.doe@example.com", "password": "correct horse", "quota": "5G"}
    {"alias": "info@example.com", "recipients": ["john.doe@example.com"]}

The names are the columns of the CSV form. Values are strings, or `null` for none; the recipients
and the app passwords may be lists.
"""

from collections.abc import Iterable, Iterator

from mailroster.base.findings import Location, ParseError
from mailroster.edits.rows import APP_PASSWORD_BETWEEN, COLUMNS, AccountRow, Cells, Rows
from mailroster.edits.rows import read as read_rows
from mailroster.roster.formats.virtual import Alias

#: The columns whose value may be a list, and what is between the words in a cell.
_LISTS = {"recipients": ",", "app_passwords": APP_PASSWORD_BETWEEN}


def read(text: str, source: str) -> Rows:
    """The rows of a JSON lines text; `source` is its file name."""
    return read_rows(_records(text.removeprefix("\ufeff"), source))


def _records(text: str, source: str) -> Iterator[tuple[Location, Cells]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield Location(source, number), _cells(line)
            except ParseError as fault:
                yield Location(source, number), fault


def _cells(line: str) -> Cells:
    """The values of one object by name. Raises ParseError, which shows no value."""
    import json

    hint = "write one object in each line"
    try:
        pairs = json.loads(line, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        message = f"the line is not JSON (column {error.colno}: {error.msg})"
        raise ParseError("malformed-row", message, hint) from None
    except (ValueError, RecursionError):
        raise ParseError("malformed-row", "the line is not JSON", hint) from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ParseError("malformed-row", "the line is not a JSON object", hint)
    cells: dict[str, str] = {}
    for name, value in pairs:
        if name not in COLUMNS:
            hint = f"use {', '.join(COLUMNS)}"
            raise ParseError("unknown-column", f"unknown name {name!r}", hint)
        if name in cells:
            raise ParseError("unknown-column", f"the name {name!r} occurs twice", "remove one")
        cells[name] = _text(name, value)
    return cells


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if name in _LISTS and isinstance(value, list):
        words = [word for word in value if isinstance(word, str)]
        if len(words) == len(value):
            return _LISTS[name].join(words)
    raise ParseError(
        "malformed-row", f"the value of {name!r} is not a string", "put it in double quotes"
    )


def write(entries: Iterable[AccountRow | Alias], *, secrets: bool) -> str:
    """JSON lines of accounts and aliases; with `secrets` they have the hashes of passwords
    and the app passwords."""
    import json

    lines = []
    for entry in entries:
        if isinstance(entry, Alias):
            fields: dict[str, object] = {"alias": entry.key, "recipients": list(entry.recipients)}
        else:
            row = entry if secrets else entry._replace(hash="", app_passwords="")
            fields = {column: cell for column, cell in row._asdict().items() if cell}
            if row.app_passwords:
                fields["app_passwords"] = row.app_passwords.split(APP_PASSWORD_BETWEEN)
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    return "".join(lines)
