"""`setup check` as users and other programs run it: what it prints in each format, its exit status,
and the hook for pre-commit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.findings import ERROR, INFO, WARNING, Finding, Location
from mailroster.cli import check_pages, check_reports
from mailroster.cli.finding_limit import limit_findings
from mailroster.servers import patterns
from mailroster.servers.patterns import NoPcre
from tests.support.faulty import public_folder
from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, H, folder, on_a_terminal
from tests.support.project import ROOT

__all__ = ["folder"]  # the fixture

REGEXP = "postfix-regexp.cf"


@pytest.fixture
def faulty(folder: Folder) -> Folder:
    """A folder with an error, two warnings and a note."""
    folder.write(ACCOUNTS, f"a@x.com|{H}\nbroken\n")
    (folder.config / ACCOUNTS).chmod(0o600)
    folder.write(VIRTUAL, "@x.com a@x.com\n")
    folder.write(QUOTAS, "b@x.com:1G\nc@x.com:1G\n")
    folder.write("mailroster.toml", 'postmaster_address = "a@x.com"\nenable_opendkim = false\n')
    return folder


def seen(text: str) -> list[str]:
    """The codes of the findings that a text shows."""
    return [line.rsplit("[", 1)[1].rstrip("]") for line in text.splitlines() if "]" in line]


@pytest.mark.parametrize(
    ("options", "codes", "summary", "status"),
    [
        ("", ["quota-without-account"] * 2 + ["missing-password"],
         "1 error, 2 warnings; 1 note (setup check --info)", 1),
        ("--info", ["quota-without-account"] * 2 + ["missing-password", "catch-all"],
         "1 error, 2 warnings, 1 note", 1),
        ("--ignore missing-password", ["quota-without-account"] * 2,
         "2 warnings; 1 note (setup check --info)", 0),
        ("--strict --ignore missing-password", ["quota-without-account"] * 2,
         "2 warnings; 1 note (setup check --info)", 1),
        ("--strict --ignore missing-password,quota-without-account", [], "", 0),
        ("--strict --info --ignore missing-password,quota-without-account", ["catch-all"],
         "1 note", 0),
        ("--rule missing-password", ["missing-password"], "1 error", 1),
        ("--rule catch-all", ["catch-all"], "1 note", 0),
        ("--rule=missing-password,catch-all --ignore=catch-all", ["missing-password"],
         "1 error", 1),
        ("--rule weak-scheme", [], "", 0),
    ],
)  # fmt: skip
def test_options_choose_what_is_shown_and_what_fails(
    faulty: Folder, options: str, codes: list[str], summary: str, status: int
) -> None:
    ran = faulty.setup("check", *options.split())
    assert (ran.code, seen(ran.out)) == (status, codes)
    assert ran.err == (f"setup: {summary}\n" if summary else "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--format xml", "unknown format 'xml'; use one of: text, json, github, sarif"),
        ("--json --format sarif", "exclude each other"),
        ("--rule", "needs a value"),
        ("--rule ,", "--rule names no code"),
        ("--rule quota-without-acount", "did you mean quota-without-account?"),
        ("--ignore catch-all,nonsense", "there is no code 'nonsense'"),
        ("--ignore README", "there is no code 'README'"),
    ],
)
def test_what_makes_no_sense_is_not_understood(faulty: Folder, options: str, words: str) -> None:
    ran = faulty.setup("check", *options.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_a_page_is_printed_and_no_folder_is_needed(folder: Folder) -> None:
    folder.config.rmdir()
    ran = folder.setup("check", "--explain", "dangling-alias")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (ROOT / "docs/reference/checks/dangling-alias.md").read_text()
    ran = folder.setup("check", "--explain", "dangling")
    assert (ran.code, ran.out) == (1, "")
    assert "did you mean dangling-alias?" in ran.err


def test_on_a_terminal_there_are_colours_and_a_line_between_files(
    faulty: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [sys.executable, "-m", "mailroster", "--home", str(faulty.home), "check"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = on_a_terminal(argv).out
    assert "\x1b[31merror\x1b[0m" in coloured
    assert "\x1b[33mwarning\x1b[0m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_a_terminal(argv).out
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert on_a_terminal(argv).out == plain
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain != coloured
    lines = plain.splitlines()
    assert [line.partition(":")[0] for line in lines] == [QUOTAS, QUOTAS, "", ACCOUNTS, "setup"]


def test_elsewhere_there_are_neither(faulty: Folder) -> None:
    out = faulty.setup("check").out
    assert "\x1b" not in out
    assert "" not in out.splitlines()


def test_json_is_the_same_by_both_names(faulty: Folder) -> None:
    ran = faulty.setup("check", "--json")
    assert ran == faulty.setup("check", "--format", "json")
    assert (ran.code, ran.err) == (1, "")
    assert [found["severity"] for found in json.loads(ran.out)] == [WARNING, WARNING, ERROR]
    assert json.loads(faulty.setup("check", "--json", "--info").out)[-1]["severity"] == INFO


# -- for GitHub, and for code scanning

ODD = Finding(Location("postfix-virtual.cf", 3), WARNING, "dangling-alias", "100% a,b:c\r\nx", "m")


def test_a_workflow_command_is_one_line_whatever_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    found = limit_findings([ODD, ODD._replace(where=Location("x.cf"), severity=INFO)])
    check_reports.github("a,b:c%")(found, 0)
    assert capsys.readouterr().out.splitlines() == [
        "::warning file=a%2Cb%3Ac%25/postfix-virtual.cf,title=dangling-alias,line=3"
        "::100%25 a,b:c%0D%0Ax; m",
        "::notice file=a%2Cb%3Ac%25/x.cf,title=dangling-alias::100%25 a,b:c%0D%0Ax; m",
    ]


def test_github_gets_every_finding_at_its_line(
    faulty: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(faulty.home)
    ran = faulty.setup("check", "--format", "github")
    assert (ran.code, ran.err) == (1, "")
    assert [line.partition("::")[2].partition("::")[0] for line in ran.out.splitlines()] == [
        "warning file=config/dovecot-quotas.cf,title=quota-without-account,line=1",
        "warning file=config/dovecot-quotas.cf,title=quota-without-account,line=2",
        "error file=config/postfix-accounts.cf,title=missing-password,line=2",
    ]


def conforms(log: Any) -> None:
    """Asserts what the schema of SARIF 2.1.0 wants of the objects that we use."""
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        assert set(run) == {"tool", "columnKind", "results"}
        assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
        driver = run["tool"]["driver"]
        assert set(driver) == {"name", "version", "rules"}
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(set(ids)) == len(ids)
        for rule in driver["rules"]:
            assert set(rule) == {"id", "shortDescription", "help"}
            assert rule["shortDescription"]["text"] and rule["help"]["text"]
        for result in run["results"]:
            assert result["message"]["text"]
            assert result["level"] in ("none", "note", "warning", "error")
            assert ids[result["ruleIndex"]] == result["ruleId"]
            (location,) = result["locations"]
            physical = location["physicalLocation"]
            assert physical["region"]["startLine"] >= 1
            uri = physical["artifactLocation"]["uri"]
            assert re.fullmatch(r"(file://)?[A-Za-z0-9._~/%-]+", uri)


def test_a_sarif_log_is_one(faulty: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(faulty.home)
    ran = faulty.setup("check", "--format", "sarif", "--info")
    assert (ran.code, ran.err) == (1, "")
    log = json.loads(ran.out)
    conforms(log)
    (run,) = log["runs"]
    assert [result["level"] for result in run["results"]] == ["warning", "warning", "error", "note"]
    assert run["results"][2]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "config/postfix-accounts.cf", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 2},
    }
    assert run["tool"]["driver"]["rules"][0]["help"]["markdown"] == check_pages.page("catch-all")


def test_a_sarif_log_without_findings_is_one(folder: Folder) -> None:
    log = json.loads(folder.setup("check", "--format", "sarif").out)
    conforms(log)
    assert log["runs"][0]["results"] == []


def test_a_sarif_log_takes_any_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("a b%#?ü", "/elsewhere/ü\udcff", ".."):
        check_reports.sarif(path)(limit_findings([ODD._replace(where=Location("x.cf"))]), 0)
        conforms(json.loads(capsys.readouterr().out))


# -- what only the system can tell


def test_secrets_are_looked_at_where_they_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with public_folder() as home:  # pytest's own folder is closed to others
        folder = Folder(home, capsys)
        folder.write(ACCOUNTS, f"a@x.com|{H}\n")
        path = folder.config / ACCOUNTS
        path.chmod(0o644)
        folder.config.chmod(0o755)
        assert seen(folder.setup("check").out) == ["world-readable-secret"]
        path.chmod(0o640)
        assert folder.setup("check").out == ""
        path.chmod(0o644)
        folder.config.chmod(0o750)
        assert folder.setup("check").out == ""
        folder.config.chmod(0o755)
        home.chmod(0o700)
        assert folder.setup("check").out == ""


def test_without_postfix_the_patterns_are_told_as_unchecked_and_their_text_is_judged(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    (folder.config / ACCOUNTS).chmod(0o600)
    folder.write(REGEXP, "/a@x\\.com$/ b@x.com\n/^(/ b@x.com\n")
    assert seen(folder.setup("check").out) == [
        "regexp-captures-mailbox", "regexp-unanchored", "bad-pattern",
    ]  # fmt: skip

    def missing(*_: object) -> None:
        raise NoPcre("there is no postmap")

    monkeypatch.setattr(patterns, "ask_regexp", missing)
    ran = folder.setup("check")
    assert (ran.code, seen(ran.out)) == (0, ["regexp-unanchored"])
    assert "the patterns of postfix-regexp.cf are not checked: there is no postmap" in ran.err


# -- the hook


def hook() -> dict[str, str]:
    """The one hook of .pre-commit-hooks.yaml, as its lines say."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    assert text.count("- id: ") == 1
    return dict(re.findall(r"^[- ] (\w+): (.*)$", text, re.MULTILINE))


def commit(repository: Path) -> subprocess.CompletedProcess[str]:
    """Runs the hook as pre-commit does: its entry and its arguments, in the root, without names."""
    said = hook()
    assert (said["language"], said["pass_filenames"]) == ("python", "false")
    argv = [said["entry"], *said["args"].strip("[]").split(", ")]
    assert argv[0] == "mailroster"
    environment = {**os.environ, "HOME": str(repository)}
    return subprocess.run(
        [sys.executable, "-m", *argv], cwd=repository, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def test_the_hook_checks_the_root_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / ACCOUNTS).write_text(f"a@x.com|{H}\n")
    done = commit(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / ACCOUNTS).write_text(f"a@x.com|{H}\nbroken\n")
    done = commit(tmp_path)
    assert done.returncode == 1
    assert seen(done.stdout) == ["missing-password"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ACCOUNTS]


@pytest.mark.parametrize(
    ("name", "concerns"),
    [
        *((f"mail/{document}", True) for document in (ACCOUNTS, QUOTAS, VIRTUAL, REGEXP)),
        ("postfix-send-access.cf", True),
        ("dovecot-masters.cf", True),
        ("dovecot.cf", True),
        ("a@x.com.dovecot.sieve", True),
        ("mailroster.toml", True),
        ("README.md", False),
        ("my-postfix-accounts.cf.txt", False),
    ],
)
def test_the_hook_concerns_the_files_of_the_folder(name: str, concerns: bool) -> None:
    assert bool(re.search(hook()["files"], name)) == concerns
