"""Which rule takes an address: the answers agree with the table as it is. The real postmap."""

import pytest

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP, numbered
from mailroster.servers.pattern_trace import find_match, trials
from mailroster.servers.patterns import ask_regexp
from tests.support.rosters import sample


def test_the_numbered_table_answers_as_the_table_does() -> None:
    answers = 0
    for seed in range(3000, 3080):
        files = sample(seed)
        if not files.regexp:
            continue
        document = Document(REGEXP, files.regexp)
        plain = ask_regexp(document.text, files.probes).results
        found = ask_regexp(numbered(document), files.probes).results
        parts = {address: answer.split() for address, answer in found.items()}
        assert {a: words[1:] for a, words in parts.items()} == {a: plain[a].split() for a in plain}
        rules = [document.number(n) for n, line in enumerate(document.lines) if REGEXP.key(line)]
        assert {int(words[0]) for words in parts.values()} <= set(rules)
        answers += len(plain)
    assert answers > 20


NESTED = """\
if /@x$/
if /^a/
/^aa/ one@x
endif
if !/^a/
/^b(.)/ $1@x
/^b/ never@x
endif
endif
/z/ z@x
"""


@pytest.mark.parametrize(
    ("address", "line", "outcomes"),
    [
        ("aa@x", 3, ["holds", "holds", "matches"]),
        ("AB@X", 0, ["holds", "holds", "does not match", "does not hold", "not tried", "not tried",
                     "does not match"]),
        ("bc@x", 6, ["holds", "does not hold", "not tried", "holds", "matches"]),
        ("z@y", 10, ["does not hold", *["not tried"] * 5, "matches"]),
    ],
)  # fmt: skip
def test_every_rule_before_the_winner_is_told(address: str, line: int, outcomes: list[str]) -> None:
    document = Document(REGEXP, NESTED)
    found = trials(document, address)
    assert [trial.outcome for trial in found] == outcomes
    assert find_match(document, address)[0] == line
    assert [t.line for t in found if t.result is not None] == ([line] if line else [])


def test_a_table_without_rules_has_no_trials() -> None:
    assert trials(Document(REGEXP, "# none\n"), "a@x") == []
