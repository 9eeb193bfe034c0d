"""The DNS record of a DKIM key."""

import pytest

from mailroster.analysis.dns import dkim_record


def test_a_record_is_split_into_strings_that_dns_accepts() -> None:
    value = dkim_record.record("rsa", "A" * 700)
    line = dkim_record.zone_line("mail._domainkey.x.com", value)
    strings = line.partition("( ")[2].removesuffix(" )").split(" ")
    assert line.startswith("mail._domainkey.x.com. IN TXT ( ")
    assert "".join(line.split('"')[1::2]) == value
    assert all(len(part) <= 255 + 2 for part in line.split('"')) and len(strings) > 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("v=DKIM1; k=rsa; p=AB CD", "ABCD"), ("p=AB", "AB"), ("v=DKIM1; p=", ""), ("", ""),
        ("v=DKIM1; sp=x; p = A=B", "A=B"),
    ],
)  # fmt: skip
def test_the_public_key_of_a_record(value: str, expected: str) -> None:
    assert dkim_record.public_key(value) == expected
