"""Rosters for the tests of the history."""

from typing import Any

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.roster import Roster
from tests.support.large_documents import PlainBase


def roster(field: str, text: str, *, large: bool = False) -> Roster:
    format = getattr(Roster(), field).format
    raw = text.encode()
    file: Document[Any] = Document.from_bytes(format, raw)
    if large:
        file = LargeDocument(format, PlainBase(format, raw))
    return Roster()._replace(**{field: file})
