"""`postfix-relaymap.cf`, `postfix-sasl-password.cf`."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import sasl_password
from mailroster.roster.formats.relaymap import RELAYMAP, Relay, put
from mailroster.roster.formats.sasl_password import SASL_PASSWORDS, Login
from mailroster.servers.config.relays import transport


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("@x.com [r.test]:587", ("@x.com", ("[r.test]:587",))),
        ("@X.com\tr.test\r", ("@x.com", ("r.test",))),
        ("@x.com", ("@x.com", ())),
        ("john@x.com [192.0.2.1]", ("john@x.com", ("[192.0.2.1]",))),
        ("@x.com [ipv6:2001:db8::1]:25", ("@x.com", ("[ipv6:2001:db8::1]:25",))),
        ("@x.com [a]:25, [b]:submission,\n  [c]", ("@x.com", ("[a]:25", "[b]:submission", "[c]"))),
        ("@bücher.de [r.test]", ("@xn--bcher-kva.de", ("[r.test]",))),
    ],
)
def test_a_line_is_a_relay(line: str, entry: tuple[str, tuple[str, ...]]) -> None:
    assert RELAYMAP.parse(line) == entry
    assert RELAYMAP.key(line) == entry[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("x.com [r.test]:25", "malformed-sender"),
        ("@x.com [r.test", "malformed-relay"),
        ("@x.com [r.test]:0", "malformed-relay"),
        ("@x.com [r.test]:99999", "malformed-relay"),
        ("@x.com r.test:" + "9" * 5000, "malformed-relay"),
        ("@x.com smtp:[r.test]:25", "malformed-relay"),
        ("@x.com -oProxy", "malformed-relay"),
        ("@x.com bücher.de", "malformed-relay"),
        ("@x..com r.test", "malformed-address"),
        (" @x.com r.test", "lost-continuation"),
    ],
)
def test_a_line_that_names_no_relay_is_a_fault(line: str, code: str) -> None:
    with pytest.raises(ParseError) as fault:
        RELAYMAP.parse(line)
    assert fault.value.code == code


@pytest.mark.parametrize(
    ("destinations", "expected"),
    [
        ((), "smtp:"),
        (("[r]:587",), "relayed:[r]:587"),
        (("[r]:465",), "relayed-smtps:[r]:465"),
        (("[r]:submissions",), "relayed-smtps:[r]:submissions"),
        (("[r]:465", "[s]:25"), "relayed:[r]:465, [s]:25"),
    ],
)
def test_the_way_of_a_relay(destinations: tuple[str, ...], expected: str) -> None:
    assert transport(destinations) == expected


def test_a_relay_is_replaced_in_its_place_and_nothing_else_is() -> None:
    document = Document(RELAYMAP, "# a\r\n@X.com [old]:25\r\n@y.org\r\n")
    again = put(document, Relay("@x.com", ("[new]:587",)))
    assert again.text == "# a\r\n@x.com [new]:587\r\n@y.org\r\n"
    assert put(again, Relay("@x.com", ("[new]:587",))).text == again.text
    assert put(document, Relay("@z.org", ())).text == document.text + "@z.org\r\n"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("@x.com john:secret", ("@x.com", "john", "secret")),
        ("@X.com  john:s:e c#ret|x", ("@x.com", "john", "s:e c#ret|x")),
        ("[R.test]:587 john: in front\r", ("[r.test]:587", "john", " in front")),
        ("r.test john@x.com:secret", ("r.test", "john@x.com", "secret")),
        ("john@x.com\n  u:p", ("john@x.com", "u", "p")),
    ],
)
def test_a_line_is_a_login(line: str, entry: tuple[str, str, str]) -> None:
    assert SASL_PASSWORDS.parse(line) == entry
    assert SASL_PASSWORDS.key(line) == entry[0]


@pytest.mark.parametrize(
    "line",
    [
        "@x.com",
        "@x.com geheim",
        "@x.com john:",
        "@x.com :geheim",
        "john:geheim",
        "j:ge@heim x",
        "[r.test]:587:john:geheim",
    ],
)
def test_a_fault_of_a_login_shows_no_password(line: str) -> None:
    with pytest.raises(ParseError) as fault:
        SASL_PASSWORDS.parse(line)
    assert fault.value.code == "malformed-login"
    assert "heim" not in str(fault.value)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("@x.com john:geheim", "@x.com …"),
        ("[r.test]:587 john:geheim", "[r.test]:587 …"),
        ("# @x.com john:geheim", "# …"),
        ("  john:geheim", " …"),
        ("john:ge@heim", "…"),
        ("\x1e @x.com:geheim", "…"),
        ("@x.com\x1cgeheim", "@x.com …"),
        ("[r.test]:587:john:geheim", "[r.test]:587 …"),
        ("[2001:db8::1]:587 john:geheim", "[2001:db8::1]:587 …"),
        ("[john:geheim", "[john …"),
        ("", ""),
        ("#", "#"),
    ],
)
def test_what_is_shown_of_a_line(line: str, shown: str) -> None:
    assert SASL_PASSWORDS.hidden(line) == shown


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        ("jo:hn", "x", "malformed-user"),
        ("", "x", "malformed-user"),
        (" john", "x", "malformed-user"),
        ("john", "", "malformed-password"),
        ("john", "x ", "malformed-password"),
    ],
)
def test_a_login_that_the_file_cannot_hold_is_refused(user: str, password: str, code: str) -> None:
    with pytest.raises(ParseError) as fault:
        sasl_password.line(Login("@x.com", user, password))
    assert fault.value.code == code


@pytest.mark.parametrize("password", [" x", "a b", "#", "|", ":", "'\"", "pässword", "x" * 1000])
def test_a_login_that_the_file_can_hold_reads_back(password: str) -> None:
    login = Login("@x.com", "john@x.com", password)
    assert SASL_PASSWORDS.parse(sasl_password.line(login)) == login
