"""The findings of `check` for people, for programs, and for those who review a change."""

import os
import sys
from collections.abc import Callable
from itertools import groupby
from typing import TextIO

from mailroster import __version__
from mailroster.base.findings import ERROR, INFO, WARNING, Finding
from mailroster.cli import check_pages
from mailroster.cli.call import finding_fields, print_json, warn
from mailroster.cli.shown import Shown
from mailroster.cli.terminal import has_colour

#: Given the findings to show, and the number of notes that are hidden.
Report = Callable[[Shown, int], None]

_COLOURS = {ERROR: "\x1b[31m", WARNING: "\x1b[33m", INFO: "\x1b[36m"}
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_NOUNS = {ERROR: "error", WARNING: "warning", INFO: "note"}
_GITHUB = {ERROR: "error", WARNING: "warning", INFO: "notice"}
_SARIF = {ERROR: "error", WARNING: "warning", INFO: "note"}


def text(folder: str) -> Report:
    """A line for each finding, on a terminal in colours and with an empty line between files; then
    how many there are, on standard error."""

    def report(found: Shown, hidden: int) -> None:
        terminal = sys.stdout is not None and sys.stdout.isatty()
        coloured = has_colour(sys.stdout)
        groups = [list(group) for _, group in groupby(found.findings, _file_of)]
        for number, group in enumerate(groups):
            if number and terminal:
                print()
            for finding in group:
                print(_coloured(finding) if coloured else finding)
        if found.findings:
            _flush(sys.stdout)
            warn(_summary(found, hidden))

    return report


def _file_of(finding: Finding) -> str:
    return finding.where.file


def _coloured(finding: Finding) -> str:
    where, severity, code, message, hint = finding
    colour = _COLOURS[severity]
    place, kind = f"{_BOLD}{where}{_PLAIN}", f"{colour}{severity}{_PLAIN}"
    return f"{place}: {kind}: {message}; {hint} {_DIM}[{code}]{_PLAIN}"


def _summary(found: Shown, hidden: int) -> str:
    parts = []
    for severity, noun in _NOUNS.items():
        number = found.severities[severity]
        if number:
            parts.append(f"{number} {noun}{'s' if number > 1 else ''}")
    more = f"; {hidden} note{'s' if hidden > 1 else ''} (setup check --info)" if hidden else ""
    return ", ".join(parts) + more


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        stream.flush()


def json(folder: str) -> Report:
    """The list of findings."""
    return lambda found, hidden: print_json([finding_fields(f) for f in found.findings])


def github(folder: str) -> Report:
    """Workflow commands: GitHub shows each finding at its line of a change."""

    def report(found: Shown, hidden: int) -> None:
        for where, severity, code, message, hint in found.findings:
            properties = {"file": _path(folder, where.file), "title": code}
            if where.line:
                properties["line"] = str(where.line)
            said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
            print(f"::{_GITHUB[severity]} {said}::{_data(f'{message}; {hint}')}")

    return report


def _data(value: str) -> str:
    """A message of a workflow command, which is one line."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def sarif(folder: str) -> Report:
    """A log of SARIF 2.1.0 (OASIS), with the page of each rule that found something."""

    def report(found: Shown, hidden: int) -> None:
        codes = sorted({finding.code for finding in found.findings})
        driver = {"name": "mailroster", "version": __version__, "rules": list(map(_rule, codes))}
        results = [
            _result(folder, finding, codes.index(finding.code)) for finding in found.findings
        ]
        run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
        schema = "https://json.schemastore.org/sarif-2.1.0.json"
        print_json({"$schema": schema, "version": "2.1.0", "runs": [run]})

    return report


def _rule(code: str) -> dict[str, object]:
    page = check_pages.page(code)
    return {
        "id": code,
        "shortDescription": {"text": check_pages.summary(page) or code},
        "help": {"text": page or code, "markdown": page or code},
    }


def _result(folder: str, finding: Finding, index: int) -> dict[str, object]:
    where, severity, code, message, hint = finding
    from urllib.parse import quote

    # The file as a whole has no line there; who shows the log wants one.
    path = _path(folder, where.file)
    uri = quote(path, errors="surrogateescape")
    artifact = (
        {"uri": f"file://{uri}"} if path[:1] == "/" else {"uri": uri, "uriBaseId": "%SRCROOT%"}
    )
    region = {"startLine": max(where.line, 1)}
    return {
        "ruleId": code,
        "ruleIndex": index,
        "level": _SARIF[severity],
        "message": {"text": f"{message}; {hint}"},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
    }


def _path(folder: str, file: str) -> str:
    """A file of the config folder as seen from the current folder, if it lies below that."""
    path = os.path.abspath(os.path.join(folder, file))
    below = os.path.relpath(path)
    return path if below.startswith(os.pardir) else below


REPORTS = {"text": text, "json": json, "github": github, "sarif": sarif}
