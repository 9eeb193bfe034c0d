"""Addresses: what is taken, in which spelling, and what is refused."""

from collections.abc import Callable, Iterator

import pytest

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.virtual import VIRTUAL


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        pytest.param("john.doe@example.com", "john.doe@example.com", id="plain"),
        pytest.param("John.DOE@Example.COM", "john.doe@example.com", id="upper case"),
        pytest.param("o'neil@x.com", "o'neil@x.com", id="an apostrophe"),
        pytest.param("a#$&'-=?^_`{}~@x.com", "a#$&'-=?^_`{}~@x.com", id="every odd character"),
        pytest.param("a@localhost", "a@localhost", id="a domain of one part"),
        pytest.param("a@bücher.de", "a@xn--bcher-kva.de", id="IDNA"),
        pytest.param("a@BÜCHER.de", "a@xn--bcher-kva.de", id="IDNA in upper case"),
        pytest.param("a@XN--bcher-kva.de", "a@xn--bcher-kva.de", id="an A-label"),
        pytest.param("a@b。de", "a@b.de", id="an ideographic full stop"),
        pytest.param("a@1.2x", "a@1.2x", id="digits in front"),
        pytest.param("x" * 64 + "@x.com", "x" * 64 + "@x.com", id="64 octets before the @"),
    ],
)
def test_an_account_is_taken_in_one_spelling(text: str, taken: str) -> None:
    assert address.account(text) == taken
    assert address.fold(text) == taken


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=repr(text))
        for text in (
            *("", "@", "a@", "@x.com", "a", "x.com", "a@@x.com", "a@b@x.com"),
            *(".@x.com", "..@x.com", ".a@x.com", "a.@x.com", "a..b@x.com"),
            *("a@.", "a@..", "a@.com", "a@x.", "a@x..com", "a@-x.com", "a@x-.com", "a@x_y.com"),
            *("../../etc@x.com", "victim@../../srv", "a/b@x.com", "a@x.com/..", "a\\b@x.com"),
            *("a|b@x.com", "a:b@x.com", "a@x.com:25", "a@x.com|", 'a"b@x.com', '"a b"@x.com'),
            *("a*b@x.com", ".*@x.com", "[a-z]*@x.com", "*@x.com", "a@*", "a%d@x.com", "%n@x.com"),
            *("#a@x.com", "-a@x.com", "-rf@x.com", "a+b@x.com", "+@x.com"),
            *("a b@x.com", " a@x.com", "a@x.com ", "a@x.com\n", "a\t@x.com", "a\0@x.com", "a@x\0"),
            *("a!b@x.com", "a,b@x.com", "a;b@x.com", "a(b)@x.com", "<a@x.com>", "a@x.com,b@y.com"),
            *("jürgen@x.com", "\N{KELVIN SIGN}im@x.com", "a\udcff@x.com", "a@x\udcff.com"),
            *("a@x\N{FULLWIDTH SOLIDUS}y.com", "a@\N{ZERO WIDTH SPACE}", "a@xn--.com\u0301"),
            *(
                "a@[127.0.0.1]",
                "a@127.0.0.1",
                "a@9",
                "a@x.com\x85",
                "a\N{NO-BREAK SPACE}@x.com",
                "a\ufeff@x.com",
            ),
            "evil@x.com:{PLAIN}owned:5000:5000::/var/mail/z.com/victim@z.com",
            "x" * 65 + "@x.com",
            "a@" + "x" * 64 + ".com",
            "a@" + ".".join(["x" * 50] * 5),
        )
    ],
)
def test_what_a_file_a_path_or_a_server_reads_as_its_own_is_no_account(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        address.account(text)
    assert refused.value.code == "malformed-address"
    assert refused.value.message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Info@X.com", "info@x.com"),
        ("@X.com", "@x.com"),
        ("Postmaster", "postmaster"),
        ("a+tag@x.com", "a+tag@x.com"),
        ("a/b@x.com", "a/b@x.com"),
        ("a&b|c@x.com", "a&b|c@x.com"),
        ("@bücher.de", "@xn--bcher-kva.de"),
    ],
)
def test_the_key_of_an_alias_may_be_what_virtual_allows(text: str, key: str) -> None:
    assert address.alias(text) == key
    assert address.fold(text) == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty address"),
        ("@", "no domain behind the '@'"),
        ("a@", "no domain behind the '@'"),
        ("a b@x.com", "has ' '"),
        ("a@b@x.com", "more than one '@'"),
        ("#a", "'#"),
        ("-a@x.com", "begins with '-'"),
        ('a"@x.com', "has '\"'"),
        ("a,b", "has ','"),
        ("a@x..com", "'x..com'"),
        ("ä@x.com", "a non-ASCII character before the '@'"),
        ("<a@x.com>", "has '<'"),
        ("a\n@x.com", r"has '\n'"),
        ("a\\@x.com", r"has '\\'"),
        ("x" * 65, "more than 64 octets"),
        ("a@x.com\0", r"has '\x00'"),
        ("a\xa0b", r"has '\xa0'"),
    ],
)
def test_what_no_word_of_a_table_can_be_is_no_alias_and_no_recipient(
    text: str, message: str
) -> None:
    for read in (address.alias, address.recipient):
        with pytest.raises(ParseError) as refused:
            read(text)
        assert refused.value.code == "malformed-address"
        assert message in refused.value.message


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("a&b/c+tag@x.com", "a&b/c+tag@x.com"),
        ("Friend@Elsewhere.TEST", "Friend@elsewhere.test"),
        ("a@bücher.de", "a@xn--bcher-kva.de"),
        ("root", "root"),
        ("@x.com", "@x.com"),
        ("a@under_score.com", "a@under_score.com"),
    ],
)
def test_a_recipient_keeps_its_case_before_the_at(text: str, taken: str) -> None:
    assert address.recipient(text) == taken


@pytest.mark.parametrize("text", ["", "a@b@c", "\udcff@ü", "a@..ü", "@", "ß@x", "\x00"])
def test_folding_never_fails_and_folds_once(text: str) -> None:
    assert address.fold(address.fold(text)) == address.fold(text)


def test_the_example_of_a_catch_all_is_an_address_that_nobody_can_have() -> None:
    assert address.example("info@x.com") == "info@x.com"
    example = address.example("@x.com")
    assert address.split(example)[1] == "x.com"
    with pytest.raises(ParseError, match="has '\"'"):
        address.alias(example)


@pytest.fixture
def delimiters(request: pytest.FixtureRequest) -> Iterator[str]:
    address.use_delimiters(request.param)
    yield request.param
    address.use_delimiters("+")


@pytest.mark.parametrize(
    ("delimiters", "local", "user", "extension"),
    [
        ("+", "ann+a-b", "ann", "+a-b"),
        ("+", "+ann", "+ann", ""),
        ("+", "ann+", "ann", "+"),
        ("-", "ann+a-b", "ann+a", "-b"),
        ("+-", "ann-b+c", "ann", "-b+c"),
        ("-+", "ann+c-b", "ann", "+c-b"),
        ("-_", "-ann_b", "-ann_b", ""),
        ("=", "ann=b=c", "ann", "=b=c"),
        ("-", "MAILER-DAEMON", "MAILER-DAEMON", ""),
        ("-", "double-bounce", "double-bounce", ""),
        ("-", "mailer-daemon-x", "mailer", "-daemon-x"),
        ("", "ann+b", "ann+b", ""),
        ("", "", "", ""),
    ],
    indirect=["delimiters"],
)
def test_an_address_is_split_at_its_first_delimiter(
    delimiters: str, local: str, user: str, extension: str
) -> None:
    assert address.split_extension(local) == (user, extension)


@pytest.mark.parametrize("delimiters", ["-", "_=", "+-", "+-_="], indirect=True)
def test_no_line_with_a_delimiter_in_its_name_is_an_account(delimiters: str) -> None:
    for format, rest in ((ACCOUNTS, "|{SHA512-CRYPT}$6$wOZh9GyK$8kBz"), (QUOTAS, ":5M")):
        for char in "+-_=":
            line = f"a{char}b@x.com{rest}"
            for parse in (format.parse, format.quick()):
                if char in delimiters or char == "+":
                    with pytest.raises(ParseError, match="has '"):
                        parse(line)
                else:
                    assert parse(line).address == f"a{char}b@x.com"


@pytest.mark.parametrize("delimiters", ["+", "-", "-_", ""], indirect=True)
def test_an_alias_mentions_the_account_behind_any_extension(delimiters: str) -> None:
    for char in "+-_=":
        alias = VIRTUAL.parse(f"all@x.com a{char}b@x.com")
        user = "a" if char in delimiters else f"a{char}b"
        assert list(VIRTUAL.mentions(alias)) == [(user, "x.com")]
        needles = VIRTUAL.needles(user, "x.com")
        assert any(needle in f"a{char}b@x.com" for needle in needles), char


@pytest.mark.parametrize("folded", [address.account, address.recipient])
def test_a_part_of_a_domain_may_have_63_octets(folded: Callable[[str], str]) -> None:
    label = "a" * 63
    assert folded(f"box@{label}.test") == f"box@{label}.test"
    with pytest.raises(ParseError, match="longer than 63 octets"):
        folded(f"box@{label}a.test")
