"""The pages on the codes of `check`: one for each code, and what each shows is found.

A block of a page that names a file of the config folder is what stands in that file; what stands
below "How to fix it" takes the place of what stands above, scripts that of all scripts.
"""

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest

import mailroster
from mailroster.analysis.checks import check
from mailroster.analysis.checks.subject import Subject
from mailroster.app import server_findings
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.cli import check_pages
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, captors, regexp_findings
from mailroster.system.files import read

SOURCE = Path(mailroster.__file__).parent
#: Whose findings `check` shows; others have those of an import, say, or of what is held back.
JUDGES = (
    "base/address", "base/end_date", "base/sizes", "system/programs", "roster/documents/document",
    "roster/documents/notes", "roster/documents/text", "roster/formats/", "routing/",
    "analysis/checks/", "store/overlay/overlay", "servers/config/", "servers/overrides",
    "servers/references", "servers/sieve", "servers/patterns", "roster/dovecot/",
    "publish/tables/dovecot", "app/dkim", "app/server_findings", "servers/signer",
    "servers/certificate",
    "servers/spam_filter",
)  # fmt: skip
#: Said by commands only, though by a judge.
COMMANDS_ONLY = {
    "clear-password", "no-password", "malformed-user", "malformed-password", "held-back",
    "restart-needed", "clock-ahead",
}  # fmt: skip
FIELDS = {document.format.file: field for field, document in Roster().documents()}
#: What no page can show: bytes, modes, two folders, and files outside the config folder.
UNSHOWN = {
    "bad-dkim-key",
    "bad-rspamd-override",
    "certificate-chain",
    "certificate-ends",
    "certificate-expired",
    "certificate-name",
    "certificate-not-valid-yet",
    "certificate-type",
    "changed-in-both",
    "control-character",
    "no-source",
    "no-dkim-key",
    "no-redis",
    "not-followed",
    "not-utf-8",
    "odd-blank",
    "unreadable-file",
    "unusable-certificate",
    "world-readable-secret",
}
KINDS = {"ERROR": "An error: ", "WARNING": "A warning: ", "INFO": "A note: "}
FIX = "## How to fix it"


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
            place = {"ParseError": 0, "Finding": 2}.get(call.func.id, len(call.args))
            code = call.args[place] if place < len(call.args) else None
            if isinstance(code, ast.Constant) and code.value not in COMMANDS_ONLY:
                severity = call.args[1] if place else ast.Name("ERROR")
                assert isinstance(severity, ast.Name), code.value
                found.setdefault(str(code.value), set()).add(severity.id)
    return found


def shown(text: str) -> dict[str, str]:
    """File -> what some blocks say stands in it."""
    blocks = re.findall(r"^```([\w.@-]+\.(?:cf|sieve))\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def found(folder: Path, texts: dict[str, str]) -> list[str]:
    """The codes of what is found in a folder with some files."""
    folder.mkdir()
    for file, text in texts.items():
        (folder / file).write_text(text)
    empty = Roster()
    documents = {
        FIELDS[file]: Document(getattr(empty, FIELDS[file]).format, text)
        for file, text in texts.items()
        if file in FIELDS
    }
    roster = empty._replace(**documents)
    router = Router(roster, "mail.example.com", PatternMatcher(roster.regexp))
    taken = captors(roster.regexp, list(roster.accounts.keys()))
    settings = load(Sources({"config": str(folder), "home": str(folder)}, {}, read, os.path.isdir))
    layout = Layout(str(folder / "state"))
    others = server_findings.findings(settings, layout, roster, pytest.fail)
    more = [*regexp_findings(roster.regexp), *others]
    return [f.code for f in check(Subject(router, taken), more)]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert check_pages.codes() == sorted(made())


@pytest.mark.parametrize("code", check_pages.codes())
def test_a_page_is_whole(code: str) -> None:
    text = check_pages.page(code)
    (severity,) = made()[code]
    assert text.startswith(f"# {code}\n\n{KINDS[severity]}")
    assert re.findall("^## .*$", text, re.MULTILINE) == ["## Why it matters", FIX]
    assert check_pages.summary(text).startswith(KINDS[severity])


@pytest.mark.parametrize("code", [code for code in check_pages.codes() if code not in UNSHOWN])
def test_what_a_page_shows_is_found_and_mended(code: str, tmp_path: Path) -> None:
    bad, _, cure = check_pages.page(code).partition(FIX)
    before, after = shown(bad), shown(cure)
    assert after
    assert code in found(tmp_path / "before", before)
    kept = {file: text for file, text in before.items() if not file.endswith(".sieve")}
    left = found(tmp_path / "after", {**kept, **after})
    assert code not in left
    assert [other for other in left if made()[other] != {"INFO"}] == []


@pytest.mark.parametrize("code", ["", ".", "..", "README", "../checks", "no-such", "a/b", "\0"])
def test_what_is_no_code_has_no_page(code: str) -> None:
    assert check_pages.page(code) == ""
