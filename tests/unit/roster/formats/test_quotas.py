"""`dovecot-quotas.cf`."""

import pytest

from mailroster.base.address import Address
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.quotas import QUOTAS, Quota, put

A = Address("a@x.com")


@pytest.mark.parametrize(
    ("line", "size"),
    [("a@x.com:5G", "5G"), ("A@X.com : 5g \r", "5G"), ("\ta@x.com:05k", "5k"), ("a@x.com:0M", "0")],
)
def test_a_line_is_a_quota_in_normal_form(line: str, size: str) -> None:
    assert QUOTAS.parse(line) == (A, size)
    assert QUOTAS.key(line) == A


def test_findings_of_a_file() -> None:
    text = "a@x.com\nb@x.com:5GB\nc@x.com:1G:2G\n*:1G\nd@x.com:\ne@x.com:1G\nE@x.com:2G\n# f:\n"
    found = [(f.where.line, f.code) for f in Document(QUOTAS, text).findings()]
    assert found == [
        (1, "malformed-quota"),
        (2, "malformed-quota"),
        (3, "malformed-quota"),
        (4, "malformed-address"),
        (5, "malformed-quota"),
        (7, "duplicate-entry"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "a@x.com:5G\n"),
        ("b@x.com:1G", "b@x.com:1G\na@x.com:5G\n"),
        ("A@x.com : 1G \r\nb@x.com:1G", "A@x.com : 5G \r\nb@x.com:1G"),
        ("a-a@x.com:1G\na@x.com.au:1G\n", "a-a@x.com:1G\na@x.com.au:1G\na@x.com:5G\n"),
        ("a-a@x.com:1G\na@x.com:1G\n", "a-a@x.com:1G\na@x.com:5G\n"),
        ("a@x.com:bad\n", "a@x.com:bad\na@x.com:5G\n"),
    ],
)
def test_a_size_is_set_in_its_line_or_in_a_new_one(before: str, after: str) -> None:
    assert put(Document(QUOTAS, before), Quota(A, "5G")).text == after
