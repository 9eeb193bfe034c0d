"""The setting `dns_server`, and how it is taken apart."""

import pytest

from mailroster.base.setting_rules import fault, name_server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)), ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)), ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
    ],
)  # fmt: skip
def test_an_address_with_or_without_a_port(text: str, expected: tuple[str, int]) -> None:
    assert fault("dns_server", text) == ""
    assert name_server(text) == expected


@pytest.mark.parametrize(
    "text", ["ns.example.com", "127.0.0.1:0", "127.0.0.1:x", ":53", "[::1]x", "::1]"]
)
def test_anything_else_is_refused(text: str) -> None:
    assert name_server(text) is None
    assert "is not a DNS server" in fault("dns_server", text)
