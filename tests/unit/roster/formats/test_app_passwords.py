"""`dovecot-app-passwords.cf`."""

import hashlib

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, AppPassword, digest_of, line

D = "0123456789abcdef" * 4
S = f"{{SHA256.HEX}}{D}"


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (f"a@x.com|phone|{S}", ("a@x.com|phone", "a@x.com", "phone", D, None, "", "")),
        (
            f" A@X.com|Phone|{S.replace('a', 'A')} ",
            ("a@x.com|phone", "a@x.com", "phone", D, None, "", ""),
        ),
        (f"a@x.com|p.1_x-y|{S}|", ("a@x.com|p.1_x-y", "a@x.com", "p.1_x-y", D, None, "", "")),
        (
            f"a@x.com|p|{S}|until=2026-12-31T18:00  allow_nets=10.0.0.0/8\tservices=smtp,imap\r",
            ("a@x.com|p", "a@x.com", "p", D, ("imap", "smtp"), "2026-12-31T18:00", "10.0.0.0/8"),
        ),
        (
            f"a@bücher.de|p|{S}",
            ("a@xn--bcher-kva.de|p", "a@xn--bcher-kva.de", "p", D, None, "", ""),
        ),
    ],
    ids=["plain", "upper case and blanks", "every sign of a label", "options", "not ASCII"],
)  # fmt: skip
def test_a_line_is_read_and_its_key_agrees(text: str, entry: tuple[object, ...]) -> None:
    parsed = APP_PASSWORDS.parse(text)
    assert parsed == entry
    assert APP_PASSWORDS.key(text) == entry[0]
    assert APP_PASSWORDS.parse(line(parsed)) == parsed
    assert [*APP_PASSWORDS.mentions(parsed)] == [tuple(str(entry[1]).split("@"))]
    assert Document(APP_PASSWORDS, f"# c\n{text}\n").get(str(entry[0])) == parsed


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a@x.com", "malformed-app-password"),
        (f"a@x.com|{S}", "malformed-app-password"),
        (f"a@x.com |phone|{S}", "malformed-app-password"),
        (f"a@x.com| phone|{S}", "malformed-app-password"),
        (f"a@x.com||{S}", "malformed-app-password"),
        (f"a@x.com|{'x' * 41}|{S}", "malformed-app-password"),
        (f"a@x.com|-a|{S}", "malformed-app-password"),
        (f"a@x.com|phone|{D}", "malformed-hash"),
        ("a@x.com|phone|{SHA256.HEX}", "malformed-hash"),
        (f"a@x.com|phone|{{SHA256.HEX}}{D[:-1]}", "malformed-hash"),
        (f"a@x.com|phone|{{SHA256.HEX}}{D[:-1]}g", "malformed-hash"),
        (f"a@x.com|phone|{{SHA512-CRYPT}}{D}", "malformed-hash"),
        (f"a@x.com|phone|{S} # mine", "malformed-hash"),
        (f"a@x.com|b|phone|{S}", "malformed-app-password"),
        (f"a x.com|phone|{S}", "malformed-login"),
        (f"a.x.com|phone|{S}", "malformed-address"),
        (f"a@x.com|phone|{S}|services=none", "malformed-app-password"),
        (f"a@x.com|phone|{S}|services=", "malformed-app-password"),
        (f"a@x.com|phone|{S}|services=imap services=smtp", "malformed-app-password"),
        (f"a@x.com|phone|{S}|nologin", "malformed-app-password"),
        (f"a@x.com|phone|{S}|services=lmtp", "malformed-field"),
        (f"a@x.com|phone|{S}|allow_nets=here", "malformed-field"),
        (f"a@x.com|phone|{S}|until=tomorrow", "malformed-until"),
    ],
)
def test_what_can_not_be_read_has_a_code_and_a_key_and_shows_no_digest(
    text: str, code: str
) -> None:
    with pytest.raises(ParseError) as found:
        APP_PASSWORDS.parse(text)
    assert found.value.code == code
    assert D[:20] not in str(found.value)
    assert APP_PASSWORDS.key(text), "or the line would be reported nowhere"
    assert D[:20] not in APP_PASSWORDS.key(text)
    assert D[:20] not in APP_PASSWORDS.hidden(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a@x.com|phone|{S}|services=imap", "a@x.com|phone|{SHA256.HEX}…|services=imap"),
        (f"a@x.com|phone|{S}", "a@x.com|phone|{SHA256.HEX}…"),
        (f"a@x.com|{S}|phone", "a@x.com|…|…"),
        (f"a@x.com|phone|x|{S} until=2026-12-31", "a@x.com|phone|…|… until=2026-12-31"),
        ("# her phone", "# her phone"),
        ("", ""),
    ],
)
def test_a_shown_line_has_no_digest(text: str, shown: str) -> None:
    assert APP_PASSWORDS.hidden(text) == shown


def test_of_two_lines_with_a_label_the_first_counts() -> None:
    other = S.replace("0", "1")
    document = Document(APP_PASSWORDS, f"a@x.com|p|bad\na@x.com|P|{S}\na@x.com|p|{other}\n")
    assert document.get("a@x.com|p") == AppPassword("a@x.com|p", Address("a@x.com"), "p", D)
    assert [finding.code for finding in document.findings()] == [
        "malformed-hash",
        "duplicate-entry",
    ]


def test_a_digest_is_the_sha_256_of_the_password() -> None:
    assert digest_of("k3wz9p") == hashlib.sha256(b"k3wz9p").hexdigest()
