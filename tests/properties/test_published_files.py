"""Law: whatever is changed in a copy, in place or anew, its index finds what the text holds."""

import tempfile
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from mailroster.publish import published_files
from mailroster.publish.published_files import PublishedFiles
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.system.files import Disk
from tests.support.large_documents import apply, edits, ended, formats, same
from tests.support.texts import FORMATS, document, raw

FIELDS = dict(zip(FORMATS, Roster._fields, strict=True))


@example(VIRTUAL, b"# c\n\ra@x.com b@x.com\n", [[]], 8)
@given(formats, raw, st.lists(edits, min_size=1, max_size=4), st.sampled_from([8, 1 << 20]))
def test_a_copy_that_is_changed_again_and_again_is_found_as_its_text(
    format: Format[Any], content: bytes, history: list[Any], drift: int
) -> None:
    field, content = FIELDS[format], ended(content)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        copies = PublishedFiles(folder, Disk(), index_from=1)
        with patch.object(published_files, "_DRIFT_MAX_BYTES", drift):
            copies.put(field, document(format, content))
            wanted: Document[Any] = document(format, content)
            for steps in history:
                found = getattr(copies.roster(), field)
                assert isinstance(found, LargeDocument) or not bytes(wanted)
                same(found, wanted)
                copies.put(field, apply(found, steps))
                wanted = apply(wanted, steps)
            same(getattr(copies.roster(), field), wanted)
        copies.close()
