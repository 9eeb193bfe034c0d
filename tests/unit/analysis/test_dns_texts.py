"""The texts around DNS records: a zone file as a whole, lists of tags, the policy of MTA-STS."""

import pytest

from mailroster.analysis.dns.record import NEEDED, OPTIONAL, Record, quoted, zone_text
from mailroster.analysis.dns.sts import STS_PATH, policy_fields, policy_lines
from mailroster.analysis.dns.tags import is_version, mail_uris, tags_of, versioned

RECORDS = [
    Record("x.com", "MX", ("10", "mail.x.com"), NEEDED, "Mail goes there."),
    Record("mail.x.com", "A", (), NEEDED, "Its address.", "you know it"),
    Record("x.com", "TXT", ('a "b" \\',), NEEDED, "A text."),
    Record("_a.x.com", "TXT", ("1",), NEEDED, "A text."),
    Record("mail.x.com", "CAA", ("0", "issue", "ca.org"), OPTIONAL, "The authority.", "it is so"),
    Record("1.2.0.192.in-addr.arpa", "PTR", ("mail.x.com",), OPTIONAL, "Its name."),
]
ZONE = """\
; The records that x.com needs for its mail.

; needed: Mail goes there.
x.com. 3600 IN MX 10 mail.x.com.

; needed: Its address.
; Only if you know it:
; mail.x.com. 3600 IN A …

; needed: A text.
x.com. 3600 IN TXT "a \\"b\\" \\\\"
_a.x.com. 3600 IN TXT "1"

; useful: The authority.
; Only if it is so:
; mail.x.com. 3600 IN CAA 0 issue "ca.org"

; useful: Its name.
; in another zone: 1.2.0.192.in-addr.arpa. 3600 IN PTR mail.x.com.
"""


def test_a_zone_file_has_a_reason_and_a_condition_for_each_group() -> None:
    assert zone_text("x.com", RECORDS) == ZONE


def test_a_record_on_one_line_has_no_quotes() -> None:
    assert RECORDS[4].brief() == "mail.x.com CAA 0 issue ca.org"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '""'), ("a", '"a"'), ("ü", '"\\195\\188"'), ("\n\t\x7f", '"\\010\\009\\127"'),
        ("~ ", '"~ "'), ("a" * 255, '"' + "a" * 255 + '"'),
        ("a" * 256, '"' + "a" * 255 + '" "a"'),
    ],
)  # fmt: skip
def test_a_text_is_quoted(text: str, expected: str) -> None:
    assert quoted(text) == expected


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("v=DMARC1; p=none", {"v": "DMARC1", "p": "none"}), ("", {}), (" ; ;", {}),
        (" P = A = b ;", {"p": "A = b"}), ("p=", {"p": ""}), ("p", None), ("=x", None),
        ("p=1;P=2", None), ("p=1; x", None),
    ],
)  # fmt: skip
def test_a_list_of_tags(text: str, tags: dict[str, str] | None) -> None:
    assert tags_of(text) == tags


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("v=DMARC1", True), ("v = dmarc1 ; p=x", True), ("v=DMARC12", False),
        ("p=x; v=DMARC1", False), ("DMARC1", False), ("", False),
    ],
)  # fmt: skip
def test_the_version_is_first(text: str, is_one: bool) -> None:
    assert is_version(text, "DMARC1") is is_one
    assert versioned(["x", text], "DMARC1") == ([text] if is_one else [])


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("mailto:a@x.com", ["a@x.com"]), (" MAILTO:a@x.com!10m , mailto:b@y", ["a@x.com", "b@y"]),
        ("https://x.com/a", []), ("a@x.com", []), ("mailto:", [""]), ("", []),
    ],
)  # fmt: skip
def test_the_addresses_of_a_list(text: str, addresses: list[str]) -> None:
    assert mail_uris(text) == addresses


def test_the_policy_of_mta_sts_begins_with_a_test_of_a_week() -> None:
    lines = policy_lines("mail.x.com")
    assert lines == ("version: STSv1", "mode: testing", "mx: mail.x.com", "max_age: 604800")
    assert STS_PATH == "/.well-known/mta-sts.txt"
    fields = policy_fields("\r\n".join((*lines, "no colon", "mx: b.x", " odd :  a: b ")))
    assert fields == {
        "version": ["STSv1"], "mode": ["testing"], "mx": ["mail.x.com", "b.x"],
        "max_age": ["604800"], "odd": ["a: b"],
    }  # fmt: skip
