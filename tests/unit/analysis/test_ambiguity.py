"""Which patterns are too much work for pcre, and that pcre agrees."""

import random
import re

import pytest

from mailroster.analysis.checks import check
from mailroster.analysis.checks.ambiguity import EXPONENTIAL, POWER, UNKNOWN, judge
from mailroster.analysis.checks.pattern_states import STEPS_MAX
from mailroster.analysis.checks.subject import Subject
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import NoPcre, ask_regexp

ALL_ASCII = "".join(map(chr, range(33, 127)))


@pytest.mark.parametrize(
    "body",
    [
        r"^([a-z]+\.?)+@x\.com$", r"(x+)+", r"(x*)*y", r"(x|x)+y", r"(x+y?)+z", r"^(a|aa)+$",
        r"^(.*)*@", r"(\w+\s?)*@", r"([a-z0-9]+-?)*@", r"(a|[ab])*@", r"((ab)*|(ba)*a?)*c",
        r"(?:[a-z]{1,30}\.?)*@", r"^(?=(a+)+$)", r"(?<!(a+)+b)", r"(a{2,3})+b", r"(?i)(x+)+y",
        r"(?i:x+)+y", r"([[:alpha:]]+)+@", r"([^@]+)+@", r"(\Qa\E+)+b", r"(a+|b+)*c",
        r"((a+)b?)*c", r"(a*)+?c", r"(?<n>a+)+c", r"(?P<n>a+)+c", r"(A|a)*b", r"((a|b)*c?)*d",
        r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.+.?)+x", r"(\x61|a)*b", r"(\d+|[0-9])*x",
        "(a|a)" * 30, "(" * 40 + "a" + ")*" * 40, r"(a+)+\1", r"(?#x)(a+)+b", r"([]a]+)+b",
        r"(é+)+b", r"(\p{L}+)+b",
    ],
)  # fmt: skip
def test_a_loop_that_can_match_a_text_in_two_ways_is_exponential(body: str) -> None:
    assert judge(body).work == EXPONENTIAL


@pytest.mark.parametrize(
    "body",
    [r"^.*.*.*.*x$", r"^(.*)-(.*)-(.*)-(.*)@x$", r".*a.*b.*c.*d", r"\w+\w+\w+\w+!",
     r"^a*a*a*a*b"],
)  # fmt: skip
def test_many_loops_that_can_share_a_text_are_a_power(body: str) -> None:
    assert judge(body).work == POWER


@pytest.mark.parametrize(
    "body",
    ["a?" * 200 + "a" * 200, "(a?){200}a{200}", "(.{1,9999}){1,9999}", "((a{9999}){9999}){9999}",
     "(((a{1,4}){1,4}){1,4}){1,4}", "(a{1,9}){1,9}", "(" * 5000 + "a*",
     "(" * 500 + "a*" + ")" * 500, ".*" * 500,
     "(" + "|".join(f"a{n}" for n in range(3000)) + ")*x"],
)  # fmt: skip
def test_what_is_too_complex_is_not_passed_over(body: str) -> None:
    assert judge(body).work in (UNKNOWN, EXPONENTIAL)


@pytest.mark.parametrize(
    "body",
    [
        "", r"^info@x\.com$", r"^(.*)@x\.com$", r"^([a-z]+\.)+x@y$", r"^([a-z]+)@(.*)$",
        r"(a|b)*c", r"^test-.*@x\.com$", r"^(.+)\+(.+)@(.+)$", r"^[a-z]{1,64}@x", r"(a+b)+c",
        r"^(?:[a-z0-9-]+\.)*x\.com$", r"(ab?)+c", r"^(?>a+)+b", r"^(a++)+b", r".*", "@", r"a{3}",
        r"^([^@.]+\.)*[^@.]+@x$", r"^([a-z]+(\.[a-z]+)*)@x\.com$", r"^a*b*c*@", r"^.*\.(.*)@x$",
        r"(a{3})*b", r"^([0-9]{1,3}\.){3}x$", r"^(abc|abd)+$", "(a|b){30}", "a?b?c?d?e?f?g?",
        r"^(info|info2|sales)?@x", r"[*+?]", r"\(a\+\)\+", r"[(a+)+]", r"\Q(a+)+\E",
        "^(" + "|".join(f"user{n}" for n in range(1000)) + r")@x\.com$", r"^(?:a|b)+?(?:c|d)@",
        r"^(?i)[a-z]+@", r"{a}+", r"a{,3}b", r"^(ab|a)(c|bcd)(d*)@$", r"^.*foo.*bar.*@x$",
        r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
        r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
        # pcre can't read these.
        "[", "(", "(a+)+)", "+a", "(?<x", "\\", "(?z)",
    ],
)  # fmt: skip
def test_what_people_write_passes(body: str) -> None:
    assert judge(body).work == ""


def test_case_counts_only_where_the_pattern_says_so() -> None:
    assert judge("(a|A)*b").work == EXPONENTIAL
    assert judge("(a|A)*b", "i").work == ""  # in a table of Postfix the flag turns folding off
    assert judge("( a+ b? ) +", "x").work == judge("(a+b?)+").work == EXPONENTIAL


def test_no_pattern_by_chance_is_an_error_or_takes_long() -> None:
    chance = random.Random(10)
    signs = r"ab.*+?|()[]{}\^$1,3x-:=!<>&Q"
    for _ in range(3000):
        body = "".join(chance.choices(signs, k=chance.randint(1, 30)))
        assert judge(body).steps <= 4 * STEPS_MAX, body


def bodies(count: int) -> list[str]:
    """Small patterns that Python can read, of letters, groups and repetitions."""
    chance = random.Random(11)

    def part(depth: int) -> str:
        kind = chance.randrange(6 if depth else 2)
        if kind < 2:
            return chance.choice(("a", "b", "[ab]", ".", "ab"))
        if kind == 2:
            return f"({part(depth - 1)}|{part(depth - 1)})"
        if kind == 3:
            return part(depth - 1) + part(depth - 1)
        return f"({part(depth - 1)}){chance.choice(('*', '+', '?', '{1,3}', '{2}', '{1,40}'))}"

    found: set[str] = set()
    while len(found) < count:
        body = part(4)
        re.compile(body)
        found.add(body)
    return sorted(found)


def test_pcre_reaches_its_limit_with_none_that_passes() -> None:
    """Each stands before what never comes, and is asked for texts of all that it can match."""
    passed = [body for body in bodies(1500) if judge(f"^{body}!$").work == ""]
    assert 300 < len(passed) < 1400
    texts = ["a" * 40, "b" * 40, "ab" * 20, "ba" * 20, "aab" * 13, "abb" * 13, "aabb" * 10]
    texts = [text + end for text in texts for end in ("", "?", "a?!?", "!!")]
    for start in range(0, len(passed), 250):
        table = "".join(f"/^{body}!$/ x@x.com\n" for body in passed[start : start + 250])
        try:
            slow = [str(finding) for finding in ask_regexp(table, texts).findings]
        except NoPcre:
            pytest.skip("there is no pcre")
        assert slow == [], passed[start : start + 250]


def findings(text: str) -> list[tuple[int, str]]:
    roster = Roster(regexp=Document(REGEXP, text))
    found = check(Subject(Router(roster, "mail.x.com", lambda _: None)))
    return [(f.where.line, f.message) for f in found if f.code == "regexp-backtracking"]


def test_check_names_the_lines_and_says_what_happens() -> None:
    found = findings("/^a@x$/ b\nif /(a+)+b/\n!/(b|b)*c/ d\nendif\n/^.*.*.*.*x$/ e\n")
    assert [line for line, _ in found] == [2, 3, 5]
    assert all("0.1 s" in message and "does not match" in message for _, message in found)


def test_check_says_where_it_stopped_to_judge() -> None:
    hard = "(" + "|".join(f"a{n}" for n in range(200)) + ")*x{}"
    text = "".join(f"/{hard.replace('{}', str(n))}/ x@x.com\n" for n in range(200))
    found = findings(text)
    assert 1 < len(found) < 200
    assert "from this line on" in found[-1][1]
