"""The pages on the codes of `check`: one for each code, and what each shows is found.

A block of a page that names a file of the config folder is what stands in that file; what stands
below "How to mend it" takes the place of what stands above.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import mailroster
from mailroster.checks import check
from mailroster.checks.subject import Subject
from mailroster.cli import pages
from mailroster.document import Document
from mailroster.resolve import Router
from mailroster.roster import Roster
from mailroster.services import Captures, captors, regexp_findings

SOURCE = Path(mailroster.__file__).parent
#: Whose findings `check` shows; others have those of an import, say, or of what is held back.
JUDGES = (
    "address", "checks/", "document", "formats/", "notes", "quota", "resolve", "services", "text",
    "until",
)  # fmt: skip
#: Said by commands only, though by a judge.
COMMANDS_ONLY = {"clear-password", "no-password"}
FIELDS = {document.format.file: field for field, document in Roster().documents()}
#: What no page can show: bytes, and modes.
UNSHOWN = {"control-character", "not-utf-8", "odd-blank", "world-readable-secret"}
KINDS = {"ERROR": "An error: ", "WARNING": "A warning: ", "INFO": "A note: "}
MEND = "## How to mend it"


@cache
def made() -> dict[str, set[str]]:
    """Code -> severities, of every finding that `check` can make."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        if not str(path.relative_to(SOURCE)).startswith(JUDGES):
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            place = {"Fault": 0, "Finding": 2}.get(call.func.id, len(call.args))
            code = call.args[place] if place < len(call.args) else None
            if isinstance(code, ast.Constant) and code.value not in COMMANDS_ONLY:
                severity = call.args[1] if place else ast.Name("ERROR")
                assert isinstance(severity, ast.Name), code.value
                found.setdefault(str(code.value), set()).add(severity.id)
    return found


def shown(text: str) -> dict[str, str]:
    """File -> what some blocks say stands in it."""
    blocks = re.findall(r"^```([\w.-]+\.cf)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def found(texts: dict[str, str]) -> list[str]:
    """The codes of what is found in a folder."""
    empty = Roster()
    documents = {
        FIELDS[file]: Document(getattr(empty, FIELDS[file]).format, text)
        for file, text in texts.items()
    }
    roster = empty._replace(**documents)
    router = Router(roster, "mail.example.com", Captures(roster.regexp))
    taken = captors(roster.regexp, list(roster.accounts.keys()))
    return [f.code for f in check(Subject(router, taken), regexp_findings(roster.regexp))]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert pages.codes() == sorted(made())


@pytest.mark.parametrize("code", pages.codes())
def test_a_page_is_whole(code: str) -> None:
    text = pages.page(code)
    (severity,) = made()[code]
    assert text.startswith(f"# {code}\n\n{KINDS[severity]}")
    assert re.findall("^## .*$", text, re.MULTILINE) == ["## Why it hurts", MEND]
    assert pages.summary(text).startswith(KINDS[severity])


@pytest.mark.parametrize("code", [code for code in pages.codes() if code not in UNSHOWN])
def test_what_a_page_shows_is_found_and_mended(code: str) -> None:
    bad, _, cure = pages.page(code).partition(MEND)
    before, after = shown(bad), shown(cure)
    assert after
    assert code in found(before)
    left = found({**before, **after})
    assert code not in left
    assert [other for other in left if made()[other] != {"INFO"}] == []


@pytest.mark.parametrize("code", ["", ".", "..", "README", "../checks", "no-such", "a/b", "\0"])
def test_what_is_no_code_has_no_page(code: str) -> None:
    assert pages.page(code) == ""
