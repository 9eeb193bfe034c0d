"""`postfix-virtual.cf`: aliases as virtual(5) reads them."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.virtual import VIRTUAL, add_recipient, remove_recipients
from mailroster.roster.roster import Roster


@pytest.mark.parametrize(
    ("line", "key", "recipients"),
    [
        ("l@x.com a@x.com, b@x.com ,c@x.com", "l@x.com", "a@x.com b@x.com c@x.com"),
        ("l@x.com\ta@x.com\t b@x.com   c@x.com", "l@x.com", "a@x.com b@x.com c@x.com"),
        ("L@X.com A@x.com,a@X.COM,a@x.com", "l@x.com", "A@x.com"),
        ("l@x.com ,,a@x.com,,", "l@x.com", "a@x.com"),
        ("@x.com box@x.com\r", "@x.com", "box@x.com"),
        ("@x.com @y.org", "@x.com", "@y.org"),
        ("root admin", "root", "admin"),
        ("l@x.com a@x.com,\n\tb@x.com\n# c@x.com\n d@x.com", "l@x.com", "a@x.com b@x.com d@x.com"),
        ("l@x.com r&d@x.com,a/b@x.com,a+tag@x.com", "l@x.com", "r&d@x.com a/b@x.com a+tag@x.com"),
        ("l@x.com a@bücher.de", "l@x.com", "a@xn--bcher-kva.de"),
        ("l@x.com\n# a comment in \udcff\n a@x.com", "l@x.com", "a@x.com"),
    ],
)
def test_a_line_is_an_alias(line: str, key: str, recipients: str) -> None:
    assert VIRTUAL.parse(line) == (key, tuple(recipients.split()))
    assert VIRTUAL.key(line) == key


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("l@x.com", "no-recipient"),
        ("l@x.com ,", "no-recipient"),
        (" l@x.com a@x.com", "lost-continuation"),
        ("l@x.com @a.com,b@x.com", "domain-among-recipients"),
        ("l@x@y a@x.com", "malformed-address"),
        ("l@x.com a@b@c", "malformed-address"),
        ('l@x.com "|/bin/sh"', "unsafe-recipient"),
        ("l@x.com |/bin/sh", "unsafe-recipient"),
        ("l@x.com /dev/null", "unsafe-recipient"),
        ("l@x.com :include:/etc/passwd", "unsafe-recipient"),
        ("l@x.com a!b", "malformed-address"),
        ("l@x.com a%b", "malformed-address"),
        ("l@x.com a@192.0.2.1", "malformed-address"),
        ("l@x.com a@x..com", "malformed-address"),
        ("l@x.com a@-x.com", "malformed-address"),
        (f"l@x.com a@{'x' * 64}.com", "malformed-address"),
        ("l@x.com a@x.com\0", "control-character"),
        ("l@x.com a@x.com\udcff", "not-utf-8"),
        ("l@x.com a@x.com\xa0b@x.com", "odd-blank"),
        ("l@x.com a@x.com\rb@x.com", "control-character"),
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(ParseError) as found:
        VIRTUAL.parse(line)
    assert found.value.code == code


def test_lines_and_their_numbers_with_continuations_and_comments() -> None:
    text = "# c\na@x b@x,\n# inside\n c@x\n# outside\n\nd@x e@x\n  # outside too\n"
    document = Document(VIRTUAL, text)
    assert document.lines == [
        "# c",
        "a@x b@x,\n# inside\n c@x",
        "# outside",
        "",
        "d@x e@x",
        "  # outside too",
        "",
    ]
    assert [document.number(p) for p in range(len(document.lines))] == [1, 2, 5, 6, 7, 8, 9]


def test_findings_of_a_file() -> None:
    text = " lost a@x\na@x b@x\n\n\tc@x\nA@X d@x\nb@x\n"
    found = [(f.where.line, f.code) for f in Document(VIRTUAL, text).findings()]
    assert found == [(1, "lost-continuation"), (5, "duplicate-entry"), (6, "no-recipient")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "l@x n@x\n"),
        ("l@x a@x", "l@x a@x,n@x"),
        ("L@X  a@x , b@x \t\r\nz", "L@X  a@x , b@x,n@x\r\nz"),
        ("l@x a@x,\n", "l@x a@x,n@x\n"),
        ("l@x a@x,\n b@x\n# c\n", "l@x a@x,\n b@x,n@x\n# c\n"),
        ("l@x\nl@x a@x\nl@x b@x\n", "l@x\nl@x a@x,n@x\nl@x b@x\n"),
        ("ll@x a@x\nl@x.com a@x", "ll@x a@x\nl@x.com a@x\nl@x n@x\n"),
    ],
)
def test_a_recipient_is_added_to_the_line_that_counts(before: str, after: str) -> None:
    assert add_recipient(Document(VIRTUAL, before), "l@x", "n@x").text == after


def test_a_recipient_that_would_break_its_line_is_refused() -> None:
    for line, recipient in (("l@x a@x\n", "@b.com"), ("l@x @b.com\n", "a@x")):
        with pytest.raises(ParseError) as refused:
            add_recipient(Document(VIRTUAL, line), "l@x", recipient)
        assert refused.value.code == "domain-among-recipients"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("l@x b@x\n", ""),
        ("l@x a@x, b@x ,c@x\n", "l@x a@x ,c@x\n"),
        ("l@x\tb@x,  a@x\n", "l@x\ta@x\n"),
        ("l@x a@x   B@X\r\nm@x b@x\r\n", "l@x a@x\r\nm@x b@x\r\n"),
        ("l@x b@x b@x,B@x a@x", "l@x a@x"),
        ("l@x bb@x,b@x.com,a+b@x,b@x", "l@x bb@x,b@x.com,a+b@x"),
        ("l@x a@x,\n b@x,\n c@x\n", "l@x a@x,\n c@x\n"),
        ("l@x b@x,\n# c\n c@x\n", "l@x ,\n# c\n c@x\n"),
        ("l@x a@x,\n# c\n b@x\nm@x b@x\n", "l@x a@x,\n# c\nm@x b@x\n"),
        ("# before\nl@x b@x\n# after\n", "# before\n# after\n"),
        ("m@x z@x\nl@x b@x", "m@x z@x\n"),
        ("l@x a@x", "l@x a@x"),
        ("l@x c:b@x,b@x", "l@x c:b@x"),
        ("", ""),
    ],
)
def test_a_recipient_goes_and_the_others_keep_their_spelling(before: str, after: str) -> None:
    document = remove_recipients(Document(VIRTUAL, before), "l@x", ["b@x"])
    assert document.text == after
    for finding in document.findings():
        assert finding in Document(VIRTUAL, before).findings()


def test_a_recipient_goes_in_its_other_spelling_too() -> None:
    document = Document(VIRTUAL, "l@x a@bücher.de, c@x\n")
    assert remove_recipients(document, "l@x", ["a@xn--bcher-kva.de"]).text == "l@x c@x\n"


def test_a_recipient_with_a_colon_is_removed() -> None:
    document = Document(VIRTUAL, "l@x c:b@x,b@x\n")
    assert remove_recipients(document, "l@x", ["c:b@x"]).text == "l@x b@x\n"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("i@x.com a@x.com  # family", "put the comment on a line of its own"),
        ("i@x.com a@x.com #family", "put the comment on a line of its own"),
        ("i@x.com a@x.com#family", "put the comment on a line of its own"),
        ("i@x.com a@x.com;", "remove the ';'"),
        ("i@x.com a@x.com:", "remove the ':'"),
        ("i@x.com a@[127.0.0.1]", "write the name of the server instead of its IP address"),
        ("i@x.com a@[IPv6:2001:db8::1]", "write the name of the server"),
        ("i@x.com a@192.0.2.1", "write the name of the server"),
        ("i@x.com /dev/null", "an alias in postfix-aliases.cf that leads to /dev/null"),
        ("*@x.com a@x.com", "write @example.com for a whole domain"),
        ("info*@x.com a@x.com", "or a pattern in postfix-regexp.cf"),
    ],
)
def test_what_is_refused_says_what_to_write(line: str, hint: str) -> None:
    with pytest.raises(ParseError) as fault:
        VIRTUAL.parse(line)
    assert hint in fault.value.hint


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("accounts", "a@x.com|{SHA512-CRYPT}$6$x  # family"),
        ("quotas", "a@x.com:5G # family"),
        ("masters", "admin|{SHA512-CRYPT}$6$x # family"),
        ("local_aliases", "root: a@x.com # family"),
        ("sender_logins", "i@x.com a@x.com # family"),
        ("regexp", "/^i@/ a@x.com # family"),
        ("relaymap", "@x.com [relay.test]:25 # family"),
    ],
)
def test_a_comment_behind_an_entry_is_named_in_every_file(file: str, line: str) -> None:
    with pytest.raises(ParseError) as fault:
        getattr(Roster(), file).format.parse(line)
    assert fault.value.hint == "put the comment on a line of its own"
