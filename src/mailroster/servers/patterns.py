"""The patterns of the regexp table, as Postfix's own postmap evaluates them."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.address import example
from mailroster.base.findings import ERROR, Finding, Location, ParseError, ServerError, printable
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.formats.regexp import REGEXP, Rule
from mailroster.routing.router import Router, quoted
from mailroster.system.programs import HOT_MAIN_CF_S, in_memory, number, program, run

#: How long Postfix may look for what the patterns make of some addresses.
_ANSWERS_TIMEOUT_S = 20.0
#: How often what the rules made of addresses is asked for, all of it at once.
_ROUNDS = 4
#: How many steps of many ways are asked for at once; what goes on longer is asked one by one.
_STEPS_MAX = 50


class NoPcre(ServerError):
    """There is no postmap here that knows pcre tables: nobody can tell what a pattern matches."""


class Answers(NamedTuple):
    """What a pcre table makes of some addresses, and what Postfix finds wrong with it."""

    results: dict[str, str]
    findings: list[Finding]


def ask_regexp(text: str, addresses: Iterable[str]) -> Answers:
    """Postfix's own answers from a pcre table with a text: `postmap -q - pcre:…`.

    Raises NoPcre where nobody can tell, ServerError where postmap fails.
    """
    if program("postmap") is None:
        raise NoPcre("there is no postmap; install Debian's packages postfix and postfix-pcre")
    keys = [address for address in addresses if address]
    table = in_memory("regexp", text.removeprefix(MARK).replace("\r\n", "\n"))
    folder, main_cf = _any_config()
    try:
        name = f"/proc/self/fd/{table}"
        argv = ["postmap", "-c", folder, "-q", "-", f"pcre:{name}"]
        asked = "".join(f"{key}\n" for key in [*keys, "@"])
        _, out, err = run(argv, asked, [table], _ANSWERS_TIMEOUT_S)
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
    """What `postmap -q -` prints, as key -> result of those of some keys that have one."""
    results = dict(line.split("\t", 1) for line in stdout.split("\n") if "\t" in line)
    return {key: results[key] for key in keys if key in results}


class PatternMatcher:
    """`Router.captured` by Postfix itself: each address asked once, many at a time if primed.

    Where nobody can tell, nothing is captured.
    """

    def __init__(self, document: Document[Rule]) -> None:
        self._document = document
        self._empty = not document.index
        self.is_blind = False  # nobody can tell
        self._known: dict[str, str | None] = {}

    def evaluate(self, addresses: Iterable[str]) -> None:
        """Asks for many addresses with one process."""
        asked = [address for address in addresses if address not in self._known]
        if asked and not self._empty:
            try:
                results = ask_regexp(self._document.text, asked).results
            except NoPcre:
                self._empty = self.is_blind = True
                return
            self._known.update((address, results.get(address)) for address in asked)

    def give_up(self) -> None:
        """From now on nothing is captured: the patterns take too long."""
        self._empty = self.is_blind = True

    def __call__(self, address: str) -> str | None:
        if self._empty:
            return None
        if address not in self._known:
            self.evaluate([address])
        return self._known.get(address)


def captors(document: Document[Rule], addresses: Iterable[str]) -> dict[str, int]:
    """Address -> position of the first rule that matches it, of those that one does: Postfix is
    asked with positions for results. Raises as ask_regexp does."""
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
    """Asks Postfix at once for all that the way of some aliases, and of other addresses, is likely
    to need; then for what the rules make of these, a few times over."""
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
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        captured.evaluate(addresses)
        asked.update(addresses)
        results = {result for address in addresses if (result := captured(address))}
        words = {word for result in results for word in result.replace(",", " ").split()}
        addresses = [word for word in map(router.qualified, words) if word not in asked]
        if not addresses:
            break


def prefetch_addresses(router: Router, addresses: Iterable[str]) -> None:
    """Asks Postfix at once what it makes of some qualified addresses."""
    captured = router.captured
    assert isinstance(captured, PatternMatcher)
    captured.evaluate(map(quoted, addresses))


def prefetch_traces(router: Router, addresses: Iterable[str]) -> None:
    """Asks Postfix for all that the way of some addresses needs, a process for each step of all."""
    if not router.roster.regexp.index:
        return
    known: set[str] = set()
    waiting = {router.qualified(example(address)) for address in addresses}
    for _ in range(_STEPS_MAX):
        if not waiting:
            return
        known |= waiting
        prefetch_addresses(router, waiting)
        found: set[str] = set()
        for address in waiting:
            try:
                match = router.lookup(address)
            except ParseError:
                continue
            found.update(match.results if match else ())
        waiting = found - known


def regexp_findings(document: Document[Rule]) -> list[Finding]:
    """What Postfix finds wrong with lines that we can read. Raises as ask_regexp does."""
    if not document.index:
        return []
    ours = {finding.where for finding in document.findings()}
    theirs = ask_regexp(document.text, ()).findings
    return [finding for finding in theirs if finding.where not in ours]


def findings_of(stderr: str, name: str) -> list[Finding]:
    """postmap's warnings about a table, as findings of the file that the user knows."""
    found = []
    for line in stderr.split("\n"):
        _, _, rest = line.partition(f"{name}, line ")
        place, _, words = rest.partition(": ")
        if (line_number := number(place)) is None:
            continue
        message = printable(words.split(": skipping this rule")[0].strip())
        where = Location(REGEXP.file, line_number)
        found.append(Finding(where, ERROR, "bad-pattern", message, "fix the rule (pcre_table(5))"))
    return found


def _any_config() -> tuple[str, str]:
    """A folder with a main.cf, which every Postfix program wants, and the file if it is to go."""
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
