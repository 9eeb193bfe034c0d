"""The formats of `setup check`: text, JSON, GitHub workflow commands and SARIF."""

import os
import sys
from collections.abc import Callable
from itertools import groupby

from mailroster import __version__
from mailroster.base.findings import ERROR, INFO, WARNING, Finding
from mailroster.cli import check_pages, streams
from mailroster.cli.call import finding_fields, print_json
from mailroster.cli.finding_limit import LimitedFindings
from mailroster.cli.streams import warn
from mailroster.cli.terminal import has_colour

#: Prints findings. The second argument is the number of hidden notes.
Report = Callable[[LimitedFindings, int], None]

_COLOURS = {ERROR: "\x1b[31m", WARNING: "\x1b[33m", INFO: "\x1b[36m"}
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_NOUNS = {ERROR: "error", WARNING: "warning", INFO: "note"}
_GITHUB = {ERROR: "error", WARNING: "warning", INFO: "notice"}
_SARIF = {ERROR: "error", WARNING: "warning", INFO: "note"}


def text(folder: str) -> Report:
    """A line for each finding, on a terminal in colours and with an empty line between files; then
    the totals on standard error."""
    return lambda shown, hidden: plain(shown, hidden, "setup check --info")


def plain(shown: LimitedFindings, hidden: int, command: str) -> None:
    """Prints findings as `text`; `command` is the one that shows the hidden notes."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    coloured = has_colour(sys.stdout)
    groups = [list(group) for _, group in groupby(shown.findings, _file_of)]
    for number, group in enumerate(groups):
        if number and terminal:
            print()
        for finding in group:
            print(_coloured(finding) if coloured else finding)
    if shown.findings:
        streams.flush()
        warn(_summary(shown, hidden, command))


def _file_of(finding: Finding) -> str:
    return finding.where.file


def _coloured(finding: Finding) -> str:
    where, severity, code, message, hint = finding
    colour = _COLOURS[severity]
    place, kind = f"{_BOLD}{where}{_PLAIN}", f"{colour}{severity}{_PLAIN}"
    return f"{place}: {kind}: {message}; {hint} {_DIM}[{code}]{_PLAIN}"


def _summary(shown: LimitedFindings, hidden: int, command: str) -> str:
    parts = []
    for severity, noun in _NOUNS.items():
        number = shown.severities[severity]
        if number:
            parts.append(f"{number} {noun}{'s' if number > 1 else ''}")
    more = f"; {hidden} note{'s' if hidden > 1 else ''} ({command})" if hidden else ""
    return ", ".join(parts) + more


def json(folder: str) -> Report:
    """The list of findings."""
    return lambda shown, hidden: print_json([finding_fields(f) for f in shown.findings])


def github(folder: str) -> Report:
    """Workflow commands: GitHub shows each finding at its line in a pull request."""

    def report(shown: LimitedFindings, hidden: int) -> None:
        for where, severity, code, message, hint in shown.findings:
            properties = {"file": _path(folder, where.file), "title": code}
            if where.line:
                properties["line"] = str(where.line)
            fields = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
            print(f"::{_GITHUB[severity]} {fields}::{_data(f'{message}; {hint}')}")

    return report


def _data(value: str) -> str:
    """The message of a workflow command, escaped into one line."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def sarif(folder: str) -> Report:
    """A log of SARIF 2.1.0 (OASIS), with the page of each code in it."""

    def report(shown: LimitedFindings, hidden: int) -> None:
        codes = sorted({finding.code for finding in shown.findings})
        driver = {"name": "mailroster", "version": __version__, "rules": list(map(_rule, codes))}
        results = [
            _result(folder, finding, codes.index(finding.code)) for finding in shown.findings
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

    path = _path(folder, where.file)
    uri = quote(path, errors="surrogateescape")
    artifact = (
        {"uri": f"file://{uri}"} if path[:1] == "/" else {"uri": uri, "uriBaseId": "%SRCROOT%"}
    )
    region = {"startLine": max(where.line, 1)}  # viewers require a line
    return {
        "ruleId": code,
        "ruleIndex": index,
        "level": _SARIF[severity],
        "message": {"text": f"{message}; {hint}"},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
    }


def _path(folder: str, file: str) -> str:
    """The path of a file of the config folder, relative if it is below the current folder."""
    path = os.path.abspath(os.path.join(folder, file))
    below = os.path.relpath(path)
    return path if below.startswith(os.pardir) else below


REPORTS = {"text": text, "json": json, "github": github, "sarif": sarif}
