"""Evaluates the patterns of `postfix-regexp.cf` with Postfix's own postmap."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.address import example
from mailroster.base.findings import ERROR, Finding, Location, ParseError, ServerError, printable
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.formats.regexp import REGEXP, Rule
from mailroster.routing.lookups import quoted
from mailroster.routing.router import Router
from mailroster.system.programs import HOT_MAIN_CF_S, in_memory, number, program, run

#: The time limit for one run of postmap.
_TIMEOUT_S = 20.0
#: `prefetch` looks up the results of rules so many times over.
_ROUNDS = 4
#: `prefetch_traces` follows so many steps; later steps are looked up one by one.
_STEPS_MAX = 50


class NoPcre(ServerError):
    """No postmap with pcre tables is installed, so patterns can't be evaluated."""


class Answers(NamedTuple):
    """The results of a pcre table by address, and Postfix's findings in the table."""

    results: dict[str, str]
    findings: list[Finding]


def ask_regexp(text: str, addresses: Iterable[str]) -> Answers:
    """Looks up addresses in a pcre table with this text: `postmap -q - pcre:…`.

    Raises NoPcre if no postmap with pcre is installed, ServerError if postmap fails.
    """
    if program("postmap") is None:
        raise NoPcre("there is no postmap; install Debian's packages postfix and postfix-pcre")
    keys = [address for address in addresses if address]
    table = in_memory("regexp", text.removeprefix(MARK).replace("\r\n", "\n"))
    folder, main_cf = _any_config()
    try:
        name = f"/proc/self/fd/{table}"
        argv = ["postmap", "-c", folder, "-q", "-", f"pcre:{name}"]
        stdin = "".join(f"{key}\n" for key in [*keys, "@"])
        _, out, err = run(argv, stdin, [table], _TIMEOUT_S)
    finally:
        os.close(table)
        if main_cf:
            os.unlink(main_cf)
            os.rmdir(folder)
    _, fatal, words = err.partition("fatal: ")
    if fatal:
        kind = NoPcre if "unsupported dictionary type" in words else ServerError
        raise kind(f"postmap: {words.strip()}")
    return Answers(results_of(out, keys), findings_of(err, name))


def results_of(stdout: str, keys: Iterable[str]) -> dict[str, str]:
    """The output of `postmap -q -` as key -> result, for those keys that have a result."""
    results = dict(line.split("\t", 1) for line in stdout.split("\n") if "\t" in line)
    return {key: results[key] for key in keys if key in results}


class PatternMatcher:
    """`Router.captured` by Postfix itself. Looks each address up once; `evaluate` takes many at a
    time. Without postmap it captures nothing."""

    def __init__(self, document: Document[Rule]) -> None:
        self._document = document
        self._empty = not document.index
        self.is_unavailable = False
        self._known: dict[str, str | None] = {}

    def evaluate(self, addresses: Iterable[str]) -> None:
        """Looks many addresses up with one process."""
        new = [address for address in addresses if address not in self._known]
        if new and not self._empty:
            try:
                results = ask_regexp(self._document.text, new).results
            except NoPcre:
                self._empty = self.is_unavailable = True
                return
            self._known.update((address, results.get(address)) for address in new)

    def give_up(self) -> None:
        """Captures nothing from now on, as the patterns take too long."""
        self._empty = self.is_unavailable = True

    def __call__(self, address: str) -> str | None:
        if self._empty:
            return None
        if address not in self._known:
            self.evaluate([address])
        return self._known.get(address)


def captors(document: Document[Rule], addresses: Iterable[str]) -> dict[str, int]:
    """The position of the first rule that matches, by address: looks the addresses up in a table
    with positions as results. Raises as ask_regexp does."""
    addresses = list(addresses)
    if not addresses or not document.index:
        return {}
    bad = {finding.where.line for finding in ask_regexp(document.text, ()).findings}
    table = []
    for position, line in enumerate(document.lines):
        number = document.number(position)
        rule = document.readable(line)
        if rule is None or not bad.isdisjoint(range(number, number + 1 + line.count("\n"))):
            continue
        pattern = {"if": f"if {rule.pattern}", "endif": "endif"}.get(rule.kind, rule.pattern)
        table.append(f"{pattern} {position}\n" if rule.kind == "match" else f"{pattern}\n")
    results = ask_regexp("".join(table), addresses).results
    return {address: int(position) for address, position in results.items()}


def prefetch(router: Router, aliases: Iterable[str], others: Iterable[str] = ()) -> None:
    """Looks up with one process the addresses that traces of the given aliases and addresses are
    likely to need; then the results of the rules, a few times over."""
    captured = router.captured
    assert isinstance(captured, PatternMatcher)
    if not router.roster.regexp.index:
        return
    addresses = list(others)
    for key in aliases:
        alias = router.roster.alias(key)
        if key[0] != "@":
            addresses.append(router.qualified(key))
        addresses += [router.qualified(word) for word in alias.recipients] if alias else []
    known: set[str] = set()
    for _ in range(_ROUNDS):
        captured.evaluate(addresses)
        known.update(addresses)
        results = {result for address in addresses if (result := captured(address))}
        words = {word for result in results for word in result.replace(",", " ").split()}
        addresses = [word for word in map(router.qualified, words) if word not in known]
        if not addresses:
            break


def prefetch_addresses(router: Router, addresses: Iterable[str]) -> None:
    """Looks the given qualified addresses up with one process."""
    captured = router.captured
    assert isinstance(captured, PatternMatcher)
    captured.evaluate(map(quoted, addresses))


def prefetch_traces(router: Router, addresses: Iterable[str]) -> None:
    """Looks up all that traces of the given addresses need, with one process for each step."""
    if not router.roster.regexp.index:
        return
    known: set[str] = set()
    waiting = {router.qualified(example(address)) for address in addresses}
    for _ in range(_STEPS_MAX):
        if not waiting:
            return
        known |= waiting
        prefetch_addresses(router, waiting)
        results: set[str] = set()
        for address in waiting:
            try:
                match = router.lookup(address)
            except ParseError:
                continue
            results.update(match.results if match else ())
        waiting = results - known


def regexp_findings(document: Document[Rule]) -> list[Finding]:
    """Postfix's findings in lines in which we find nothing. Raises as ask_regexp does."""
    if not document.index:
        return []
    reported = {finding.where for finding in document.findings()}
    findings = ask_regexp(document.text, ()).findings
    return [finding for finding in findings if finding.where not in reported]


def findings_of(stderr: str, name: str) -> list[Finding]:
    """postmap's warnings about the table `name`, as findings in `postfix-regexp.cf`."""
    findings = []
    for line in stderr.split("\n"):
        _, _, rest = line.partition(f"{name}, line ")
        place, _, words = rest.partition(": ")
        if (line_number := number(place)) is None:
            continue
        message = printable(words.split(": skipping this rule")[0].strip())
        where = Location(REGEXP.file, line_number)
        hint = "fix the rule (pcre_table(5))"
        findings.append(Finding(where, ERROR, "bad-pattern", message, hint))
    return findings


def _any_config() -> tuple[str, str]:
    """A folder with a main.cf, which every Postfix program needs; and the path of the file if it is
    temporary."""
    if os.path.exists("/etc/postfix/main.cf"):
        return "/etc/postfix", ""
    import tempfile
    import time

    folder = tempfile.mkdtemp(prefix="mailroster-")
    path = os.path.join(folder, "main.cf")
    with open(path, "w", encoding="ascii") as file:
        file.write("compatibility_level = 3.6\nmeta_directory = /etc/postfix\n")
        file.write("smtputf8_enable = no\n")
    old = time.time() - HOT_MAIN_CF_S
    os.utime(path, (old, old))
    return folder, path
