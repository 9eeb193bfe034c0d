"""Addresses that no rule of a pcre table can match; and against pcre itself, as Postfix has it."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from mailroster.daemons.policy.pattern_literals import PatternLiterals, Unknown, combinations


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("/abc/", {("abc",)}, id="a literal"),
        pytest.param("/ABC/", {("abc",)}, id="in either case"),
        pytest.param("/abc/i", {("abc",)}, id="with a flag"),
        pytest.param("|a\\|b|", {("a|b",)}, id="with another delimiter in it"),
        pytest.param("/^dept-\\d+@x\\.com$/", {("dept-", "@x.com")}, id="a gap"),
        pytest.param("/^.*$/", {()}, id="nothing required"),
        pytest.param("//", {()}, id="empty"),
        pytest.param("/a|/", {("a",), ()}, id="an empty alternative"),
        pytest.param("/a|bc/", {("a",), ("bc",)}, id="alternatives"),
        pytest.param(
            "/^(to|cc)-.@(x|y)\\.z/",
            {("to-", "@x.z"), ("to-", "@y.z"), ("cc-", "@x.z"), ("cc-", "@y.z")},
            id="groups",
        ),
        pytest.param("/(?:ab)c/", {("abc",)}, id="a group that captures nothing"),
        pytest.param("/a(b|c)?d/", {("a", "d")}, id="a group that may be missing"),
        pytest.param("/a(b|c)*d/", {("a", "d")}, id="a group any number of times"),
        pytest.param("/a(b|c)+d/", {("ab", "d"), ("ac", "d")}, id="a group, repeated"),
        pytest.param("/ab?c/", {("a", "c")}, id="a character that may be missing"),
        pytest.param("/ab*?c/", {("a", "c")}, id="or lazily any number of them"),
        pytest.param("/ab++c/", {("ab", "c")}, id="one or more, possessively"),
        pytest.param("/ab{2,3}c/", {("ab", "c")}, id="two or three"),
        pytest.param("/ab{0,3}c/", {("a", "c")}, id="up to three"),
        pytest.param("/ab{0}c/", {("a", "c")}, id="none"),
        pytest.param("/ab{10}c/", {("ab", "c")}, id="ten"),
        pytest.param("/a[bc]d/", {("a", "d")}, id="a class"),
        pytest.param("/a[]bc]d/", {("a", "d")}, id="a class with a bracket"),
        pytest.param("/a[^]b]d/", {("a", "d")}, id="a class without one"),
        pytest.param("/a[[:alpha:]]d/", {("a", "d")}, id="a class by name"),
        pytest.param("/a[\\]\\d]d/", {("a", "d")}, id="escapes in a class"),
        pytest.param("/a\\.\\+\\/b/", {("a.+/b",)}, id="escapes"),
        pytest.param("/a\\bb\\.\\Bc/", {("a", "b.", "c")}, id="places"),
        pytest.param("/a b#c/", {("a b#c",)}, id="blanks and hashes"),
    ],
)
def test_what_a_match_requires(pattern: str, expected: set[tuple[str, ...]]) -> None:
    assert combinations(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("!/abc/", id="negated"),
        pytest.param("! /abc/", id="negated, with a blank"),
        pytest.param("/a b c/x", id="extended"),
        pytest.param("/abc/X", id="extra"),
        pytest.param("/(?i)abc/", id="an option"),
        pytest.param("/(?!abc)d/", id="a look ahead"),
        pytest.param("/(?<=abc)d/", id="a look behind"),
        pytest.param("/(?#abc)d/", id="a comment"),
        pytest.param("/(?<n>abc)d/", id="a name"),
        pytest.param("/(*UTF)abc/", id="a verb"),
        pytest.param("/(a)\\1/", id="a back reference"),
        pytest.param("/\\Qabc\\E/", id="a quoted part"),
        pytest.param("/a\\x40b/", id="a code"),
        pytest.param("/a\\Kb/", id="a reset"),
        pytest.param("/\\pLb/", id="a property"),
        pytest.param("/a{,3}b/", id="a brace that depends on the version"),
        pytest.param("/a{ 1 }b/", id="another"),
        pytest.param("/a[b/", id="a class without an end"),
        pytest.param("/a[[.b.]]c/", id="a collating element"),
        pytest.param("/a[\\Qb]\\E]c/", id="a quoted part in a class"),
        pytest.param("/(abc/", id="a group without an end"),
        pytest.param("/abc)/", id="an end without a group"),
        pytest.param("/*a/", id="a quantifier of nothing"),
        pytest.param("/a**/", id="a quantifier of a quantifier"),
        pytest.param("/a\\/", id="a backslash at the end"),
        pytest.param("/b\u00fccher/", id="not ASCII"),
        pytest.param("/a\tb/", id="a control character"),
        pytest.param("/" + "(a|b|c)" * 4 + "/", id="too many combinations by groups"),
        pytest.param("/" + "|".join("a" * 65) + "/", id="too many combinations by alternatives"),
        pytest.param("/" + "(" * 22 + "a" + ")" * 22 + "/", id="too deep"),
    ],
)
def test_what_may_match_anything(pattern: str) -> None:
    with pytest.raises(Unknown):
        combinations(pattern)


def test_as_many_ways_and_groups_as_are_looked_at() -> None:
    assert len(combinations("/" + "(a|b|c|d)" * 3 + "/")) == 64
    assert len(combinations("/" + "|".join(chr(48 + n) for n in range(10)) + "|a" * 54 + "/")) == 11
    assert combinations("/" + "(" * 20 + "a" + ")" * 20 + "/") == {("a",)}


@pytest.mark.parametrize(
    ("table", "address", "expected"),
    [
        pytest.param("", "a@x.com", False, id="no rule"),
        pytest.param("# /a/ b\n\n", "a@x.com", False, id="comments"),
        pytest.param("/^b@/ c@x.com\n", "a@x.com", False, id="another"),
        pytest.param("/^b@/ c@x.com\n", "B@X.com", True, id="in another case"),
        pytest.param("/b.*a/ c@x.com\n", "ab@x.com", False, id="in another order"),
        pytest.param(
            "/ab.*bc/ c@x.com\n", "abc@x.com", False, id="literals that share a character"
        ),
        pytest.param("/^b@/ c@x.com\n", "\u00e4@x.com", True, id="not ASCII"),
        pytest.param("", "\u00e4@x.com", False, id="not ASCII, without a rule"),
        pytest.param("/^b@/ c@x.com\n!/q/ d@x.com\n", "a@x.com", True, id="a negated rule"),
        pytest.param("if /q/\n/^b@/ c@x.com\nendif\n", "b@x.com", True, id="in a condition"),
        pytest.param("if !/q/\n/^b@/ c@x.com\nendif\n", "a@x.com", False, id="a negated condition"),
        pytest.param("/^b@/ c@x.com,\n d@x.com\n", "a@x.com", False, id="a continued result"),
        pytest.param("/^b\n  @/ c@x.com\n", "a@x.com", True, id="a continued pattern"),
        pytest.param(" /^b@/ c@x.com\n", "a@x.com", True, id="a blank in front"),
        pytest.param("/^b@ c@x.com\n", "a@x.com", True, id="a line that can't be read"),
        pytest.param("\ufeff/^b@/ c@x.com\n", "a@x.com", True, id="a byte order mark"),
    ],
)
def test_which_addresses_may_match(table: str, address: str, expected: bool) -> None:
    assert PatternLiterals(table).may_match(address) is expected


#: More of them: `TABLES=3000 SEED=7 pytest …`.
TABLES, SEED = int(os.environ.get("TABLES", "100")), int(os.environ.get("SEED", "15"))
#: What random patterns are made of: what is read; what makes a pattern unknown, and faults.
ATOMS = [
    "ab", "x7", "-b", "@ab", "a+b", "bb",
    "a", "b", "B", "@", "x", "-", "\\.", "\\-", "\\d", "\\w", "\\b", ".", "^", "$", "[ab]", "[^a@]",
    "[]a]", "[[:alpha:]b]", "[\\d\\]]", "(a|b)", "(?:ab)", "(b|)", "(a(b|x)@)", "|", "x\\.com",
    "#", "\\R", "\\N", "\\A", "\\Z", "\\z",
]  # fmt: skip
UNKNOWN = [
    "\\Qa\\E", "(?=a)", "(?!b)", "(?i)", "\\1", "{2}", "[a", "(", ")", "{,2}", "\\x61", " ", "\\K",
    "[\\Qa]\\E]", "(?#b)", "(*UTF)",
]  # fmt: skip
QUANTIFIERS = ["", "", "", "", "?", "*", "+", "{1,2}", "{0,1}", "+?", "*+", "{0}", "{2}"]
FLAGS = ["", "", "", "", "", "", "", "i", "m", "s", "x", "A", "E", "U", "X", "ix"]
PIECES = ["a", "b", "ab", "AB", "x", "aa", "-", ".", "7", "@", "+", "_", "bx", "#"]


def random_rule(chance: random.Random) -> str:
    parts = [
        chance.choice(UNKNOWN if chance.random() < 0.05 else ATOMS) + chance.choice(QUANTIFIERS)
        for _ in range(chance.randrange(1, 6))
    ]
    negated = "!" if chance.random() < 0.05 else ""
    return f"{negated}/{''.join(parts)}/{chance.choice(FLAGS)} to@x.com"


def random_address(chance: random.Random) -> str:
    local = "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 6)))
    return f"{local}@{chance.choice(['x.com', 'ab.x', 'X.COM', 'b'])}"


def test_postfix_matches_no_address_that_none_may_match(tmp_path: Path) -> None:
    """Random rules, each alone and in tables with conditions, against `postmap`."""
    chance = random.Random(SEED)
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    excluded = matched = 0
    for number in range(TABLES):
        rules = [random_rule(chance) for _ in range(1 if number % 3 else chance.randrange(2, 6))]
        if number % 3 == 0:
            condition = random_rule(chance).rpartition(" ")[0]
            rules = [f"if {condition}", *rules, "endif", random_rule(chance)]
        table = tmp_path / "table"
        table.write_text("\n".join(rules) + "\n")
        literals = PatternLiterals(table.read_text())
        addresses = [random_address(chance) for _ in range(100)]
        done = subprocess.run(
            ["postmap", "-c", str(tmp_path), "-q", "-", f"pcre:{table}"],
            input="".join(f"{address}\n" for address in addresses),
            capture_output=True,
            text=True,
        )
        assert "fatal" not in done.stderr, done.stderr
        hits = {line.partition("\t")[0] for line in done.stdout.splitlines()}
        for address in addresses:
            if literals.may_match(address):
                matched += address in hits
            else:
                excluded += 1
                assert address not in hits, (rules, address)
    assert excluded > 10 * TABLES
    assert matched > 10 * TABLES
