"""`setup regexp` on a config folder alone; the real postmap judges."""

import json
import re

import pytest

from tests.support.folder import ACCOUNTS, VIRTUAL, Folder, H, folder

__all__ = ["folder"]  # the fixture

REGEXP = "postfix-regexp.cf"
TEST = r"/^test([0-9]+)@x\.com$/"


@pytest.mark.parametrize(
    ("before", "pattern", "recipients", "after"),
    [
        pytest.param("", TEST, "qa+$1@x.com", f"{TEST} qa+$1@x.com\n", id="in a new file"),
        pytest.param("# c", TEST, "a@x,b@x", f"# c\n{TEST} a@x,b@x\n", id="behind an open line"),
        pytest.param(f"{TEST} a@x \r\n", TEST, "b@x", f"{TEST} a@x,b@x\r\n", id="to a rule, CRLF"),
        pytest.param(
            f"{TEST} a@x,\n  c@x\n# end\n", TEST, "b@x", f"{TEST} a@x,\n  c@x,b@x\n# end\n",
            id="to a rule of two lines",
        ),
        pytest.param(
            f"if /x/\n{TEST} a@x\nendif\n", TEST, "b@x", f"if /x/\n{TEST} a@x\nendif\n{TEST} b@x\n",
            id="not to the rule in an if",
        ),
        pytest.param("/a/ a@x\n", "/a/i", "b@x", "/a/ a@x\n/a/i b@x\n", id="of other flags"),
        pytest.param("", "^a/b@x$", "B@X", "/^a\\/b@x$/ b@x\n", id="without delimiters"),
        pytest.param("", r"^a\/b@x$", "b@x", "/^a\\/b@x$/ b@x\n", id="with a backslash already"),
        pytest.param("", "|^a/b@x$|x", "b@x", "|^a/b@x$|x b@x\n", id="with other delimiters"),
        pytest.param("", "!/^a@x$/", "b@x", "!/^a@x$/ b@x\n", id="turned around"),
        pytest.param("", TEST, "$(1)@x,${1}", f"{TEST} $(1)@x,${{1}}\n", id="forms of a group"),
        pytest.param("", TEST, "@y.com", f"{TEST} @y.com\n", id="a whole domain"),
        pytest.param("\udcff\n", TEST, "b@x", f"\udcff\n{TEST} b@x\n", id="behind any bytes"),
    ],
)  # fmt: skip
def test_a_rule_is_added(
    folder: Folder, before: str, pattern: str, recipients: str, after: str
) -> None:
    if before:
        folder.write(REGEXP, before)
    assert folder.setup("regexp", "add", pattern, recipients).code == 0
    assert folder.read(REGEXP) == after


@pytest.mark.parametrize(
    ("before", "pattern", "recipients", "code", "words"),
    [
        pytest.param("", "/(a/", "a@x", 1, "missing closing", id="a pattern of no sense"),
        pytest.param("", "/^a$/", "$1@x", 1, "out of range", id="a group that isn't there"),
        pytest.param("", "!/^(a)$/", "$1@x", 1, "Postfix would skip", id="a group with a !"),
        pytest.param("", "test*@x.com", "a@x", 1, "no delimiters", id="a wildcard"),
        pytest.param("", "if /a/", "a@x", 1, "no delimiters", id="a condition"),
        pytest.param("", "endif", "a@x", 1, "no delimiters", id="an end of one"),
        pytest.param("", "#a#", "a@x", 1, "comment", id="a comment"),
        pytest.param("", "/a/q", "a@x", 1, "unknown flag", id="an unknown flag"),
        pytest.param("", "/a/ b@x\n/b/", "a@x", 1, "line break", id="two lines"),
        pytest.param("", "/a\udcff/", "a@x", 1, "not UTF-8", id="any bytes"),
        pytest.param("", "/a/ b/", "a@x", 1, "backslash before each /", id="a delimiter within"),
        pytest.param("", "/a/", "-a@x", 1, "begins with '-'", id="a recipient of no sense"),
        pytest.param("", "/a/", "$x@(y", 1, r"'\$x@\(y'", id="shown as it was typed"),
        pytest.param("", "/a/", "a@x,@y", 1, "alone", id="a domain among recipients"),
        pytest.param("", "/a/", " , ", 2, "no recipient", id="no recipient"),
        pytest.param("/a/ a@x\n", "/a/", "A@x", 1, "already", id="a recipient that is there"),
        pytest.param("if /x/\n", "/a/", "a@x", 1, "cf:1 has no 'endif'", id="in an open if"),
        pytest.param("/^b@/ c@x\n", "/^c@/", "b@x", 1, "loop", id="rules in a circle"),
        pytest.param("", "/^a@x$/", "al@x", 1, "loop", id="a rule and an alias in a circle"),
    ],
)
def test_what_postfix_would_not_follow_is_refused(
    folder: Folder, before: str, pattern: str, recipients: str, code: int, words: str
) -> None:
    folder.write(REGEXP, before)
    folder.write(VIRTUAL, "al@x a@x\n")
    found = folder.setup("regexp", "add", pattern, recipients)
    assert found.code == code
    assert re.search(words, found.err), found.err
    assert folder.read(REGEXP) == before


def test_what_was_wrong_before_does_not_stand_in_the_way_but_is_told(folder: Folder) -> None:
    folder.write(REGEXP, "/(a/ a@x\n")
    found = folder.setup("regexp", "add", "/^b@x$/", "b@x")
    assert (found.code, folder.read(REGEXP)) == (0, "/(a/ a@x\n/^b@x$/ b@x\n")
    assert "postfix-regexp.cf:1: error" in found.err


def test_without_postmap_a_rule_is_taken_unjudged(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailroster.servers.patterns.program", lambda name: None)
    found = folder.setup("regexp", "add", "/^a@x$/", "a@x")
    assert (found.code, folder.read(REGEXP)) == (0, "/^a@x$/ a@x\n")
    assert "not checked" in found.err
    assert folder.setup("regexp", "test", "a@x").code == 1


RULES = "# one\n/^a/ a@x,\n\tb@x\nif /x$/\n/^a/ b@x *c@x\nendif\n/^a b/ b@x\n"


@pytest.mark.parametrize(
    ("arguments", "after"),
    [
        pytest.param(["/^a/"], "# one\nif /x$/\nendif\n/^a b/ b@x\n", id="every rule of a pattern"),
        pytest.param(
            ["/^a/", "B@x"], "# one\n/^a/ a@x\nif /x$/\n/^a/ *c@x\nendif\n/^a b/ b@x\n",
            id="a recipient of every rule",
        ),
        pytest.param(["/^a b/", "b@x"], RULES.replace("/^a b/ b@x\n", ""), id="the last recipient"),
        pytest.param(["/^a/", "z@x"], RULES, id="a recipient that isn't there"),
        pytest.param(["/^A/"], RULES, id="a rule that isn't there"),
    ],
)  # fmt: skip
def test_rules_go_and_every_other_byte_stays(
    folder: Folder, arguments: list[str], after: str
) -> None:
    folder.write(REGEXP, RULES)
    found = folder.setup("regexp", "del", *arguments)
    assert (found.code, folder.read(REGEXP)) == (0, after)
    assert ("there is no rule" in found.err) == (after == RULES)


def test_a_rule_takes_its_notes_along(folder: Folder) -> None:
    folder.write(REGEXP, "# ours\n# mailroster: comment old\n/^a/ a@x\n/^b/ b@x\n")
    assert folder.setup("regexp", "del", "/^a/").code == 0
    assert folder.read(REGEXP) == "# ours\n/^b/ b@x\n"


def test_a_pattern_of_several_lines_goes_whole_or_by_hand(folder: Folder) -> None:
    folder.write(REGEXP, "/^a\n  b/ a@x, b@x\n")
    assert "with an editor" in folder.setup("regexp", "del", "/^a b/", "a@x").err
    assert folder.setup("regexp", "del", "/^a b/").code == 0
    assert folder.read(REGEXP) == ""


def test_a_test_says_what_was_tried_and_what_comes_out(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x|{H}\n")
    folder.write(VIRTUAL, "test7@x.com a@x\n")
    rules = (
        f"/^q/ q@x\nif !/^t/\n/./ n@x\nendif\nif /^t/\n{TEST} qa+$1@x.com, a@x\nendif\n/./ z@x\n"
    )
    folder.write(REGEXP, rules)
    found = folder.setup("regexp", "test", "Test7@x.com")
    assert found.code == 0
    assert found.out.splitlines() == [
        f"{REGEXP}:1: /^q/ does not match",
        f"{REGEXP}:2: if !/^t/ does not hold",
        f"{REGEXP}:3: /./ not tried",
        f"{REGEXP}:5: if /^t/ holds",
        f"{REGEXP}:6: {TEST} matches: qa+7@x.com, a@x",
    ]
    assert "postfix-virtual.cf:1 is an alias of this address" in found.err
    shown = json.loads(folder.setup("regexp", "test", "test7@x.com", "--json").out)
    assert shown["recipients"] == ["qa+7@x.com", "a@x"]
    assert [t["outcome"] for t in shown["tried"]][-1] == "matches"


def test_an_address_that_no_rule_takes_is_exit_1(folder: Folder) -> None:
    folder.write(REGEXP, "/^q/ q@x\n")
    found = folder.setup("regexp", "test", "test7@x.com")
    assert (found.code, found.out.splitlines()[-1]) == (1, "no rule matches test7@x.com")
    assert folder.setup("regexp", "test", "@x.com").code == 2
    assert folder.setup("regexp", "test", "a\nb@x.com").code == 1


def test_rules_are_listed_as_they_stand(folder: Folder) -> None:
    folder.write(REGEXP, RULES)
    assert folder.setup("regexp", "list").out.split("\n\n") == [
        "* /^a/ a@x, b@x", "* if /x$/", "*     /^a/ b@x *c@x", "* endif", "* /^a b/ b@x\n",
    ]  # fmt: skip
    shown = json.loads(folder.setup("regexp", "list", "--json").out)
    assert [(rule["line"], rule["within"]) for rule in shown] == [(2, []), (5, ["/x$/"]), (7, [])]


def test_a_rule_has_a_comment_which_goes_with_it(folder: Folder) -> None:
    folder.write("postfix-accounts.cf", f"qa@x.com|{H}\nb@x.com|{H}\n")
    folder.write(REGEXP, "# mine\n")
    rule = f"{TEST} qa@x.com"
    folder.setup("regexp", "add", TEST, "qa@x.com", "--comment", "for the testers")
    assert folder.read(REGEXP) == f"# mine\n# mailroster: comment for the testers\n{rule}\n"
    folder.setup("regexp", "add", TEST, "b@x.com")
    note = "# mine\n# mailroster: comment for the testers\n"
    assert folder.read(REGEXP) == f"{note}{rule},b@x.com\n"
    assert folder.setup("regexp", "add", TEST, "b@x.com", "--comment", "").code == 0
    assert folder.read(REGEXP) == f"# mine\n{rule},b@x.com\n"
    folder.setup("regexp", "add", TEST, "b@x.com", "--comment", "again")
    assert folder.setup("regexp", "list").out == f"* {rule},b@x.com\n    [ again ]\n"
    (shown,) = json.loads(folder.setup("regexp", "list", "--json").out)
    assert shown["comment"] == "again"
    folder.setup("regexp", "del", TEST)
    assert folder.read(REGEXP) == "# mine\n"


def test_a_pattern_of_subdomains_that_are_not_served_does_not_pass_the_test(folder: Folder) -> None:
    folder.write("postfix-accounts.cf", f"a@x.com|{H}\n")
    folder.write(REGEXP, "/^(.*)@([a-z0-9-]+)\\.x\\.com$/ a@x.com\n")
    ran = folder.setup("regexp", "test", "t@sub.x.com")
    assert ran.code == 1
    assert "matches: a@x.com" in ran.out
    assert (
        "Postfix accepts no mail for sub.x.com: no account and no alias is in that domain"
        in ran.err
    )
    assert (
        json.loads(folder.setup("regexp", "test", "t@sub.x.com", "--json").out)["accepted"] is False
    )
    folder.write("postfix-virtual.cf", "postmaster@sub.x.com a@x.com\n")
    ran = folder.setup("regexp", "test", "t@sub.x.com")
    assert (ran.code, ran.err) == (0, "")
