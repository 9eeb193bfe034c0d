"""Postfix's and Dovecot's own programs, as processes: an argv, a timeout, no shell, and no secret
but through a descriptor."""

import os
from collections.abc import Callable, Iterable, Sequence

from mailroster.base.address import example
from mailroster.base.findings import ERROR, Fault, Finding, Location, ServiceFailed, printable
from mailroster.base.layout import Layout
from mailroster.base.named_tuple import NamedTuple
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.formats.regexp import REGEXP, Rule
from mailroster.routing.router import Router, quoted
from mailroster.servers.running import Usage

#: Open files of a server: `client_limit` of Dovecot's auth, and some.
OPEN_FILES = 8192
TIMEOUT_S = 60.0
#: How long Postfix may look for what the patterns make of some addresses.
_ANSWERS_TIMEOUT_S = 20.0
#: How often what the rules made of addresses is asked for, all of it at once.
_ROUNDS = 4
#: Where Debian keeps what an ordinary user's PATH may lack.
_SEARCH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: Postfix's programs wait up to 2 s while main.cf is younger than that; so it is made older.
HOT_MAIN_CF_S = 10
#: doveadm is asked for so many mailboxes at a time, for so long; so often in a row in vain.
_USERS_AT_ONCE, _QUOTAS_TIMEOUT_S, _FAILURES_MAX = 500, 60.0, 10
_FAILURES = ("Error", "Fatal", "Panic")
#: How many steps of many ways are asked for at once; what goes on longer is asked one by one.
_STEPS_MAX = 50


def program(name: str) -> str | None:
    """The path of a server's program, or None if it isn't installed."""
    for folder in (*os.environ.get("PATH", "").split(":"), *_SEARCH):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return None


def run(
    argv: Sequence[str],
    stdin: str = "",
    pass_fds: Iterable[int] = (),
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program. Raises ServiceFailed if it can't run or hangs."""
    path = _installed(argv[0])
    import subprocess

    try:
        done = subprocess.run(
            [path, *argv[1:]],
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=timeout_s,
            pass_fds=tuple(pass_fds),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceFailed(f"{argv[0]} did not end within {timeout_s:g} seconds") from None
    except OSError as error:
        raise ServiceFailed(f"{argv[0]}: {error}") from None
    out, err = (raw.decode("utf-8", "surrogateescape") for raw in (done.stdout, done.stderr))
    return done.returncode, out, err


def start(argv: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a program that leaves a daemon behind.

    The daemon may keep the output open, so it goes to a file: a pipe would never end.
    """
    import signal
    import subprocess
    import tempfile

    path = _installed(argv[0])
    _allow_open_files()
    with tempfile.TemporaryFile() as output:
        try:
            starter = subprocess.Popen(
                [path, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = starter.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                # With all that it has started; a daemon leads a session of its own by then.
                os.killpg(starter.pid, signal.SIGKILL)
                starter.wait()
                raise
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceFailed(f"{argv[0]}: {error}") from None
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def _allow_open_files() -> None:
    """Raises the soft limit for what this process starts, up to the hard limit: often it is 1024,
    and each connection is an open file of a Dovecot that serves many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _installed(name: str) -> str:
    path = program(name)
    if path is None:
        raise ServiceFailed(f"{name} is not installed")
    return path


class NoPcre(ServiceFailed):
    """There is no postmap here that knows pcre tables: nobody can tell what a pattern matches."""


class Answers(NamedTuple):
    """What a pcre table makes of some addresses, and what Postfix finds wrong with it."""

    results: dict[str, str]
    findings: list[Finding]


def ask_regexp(text: str, addresses: Iterable[str]) -> Answers:
    """Postfix's own answers from a pcre table with a text: `postmap -q - pcre:…`.

    Raises NoPcre where nobody can tell, ServiceFailed where postmap fails.
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
        kind = NoPcre if "unsupported dictionary type" in words else ServiceFailed
        raise kind(f"postmap: {words.strip()}")
    return Answers(results_of(out, keys), findings_of(err, name))


def results_of(stdout: str, keys: Iterable[str]) -> dict[str, str]:
    """What `postmap -q -` prints, as key -> result of those of some keys that have one."""
    results = dict(line.split("\t", 1) for line in stdout.split("\n") if "\t" in line)
    return {key: results[key] for key in keys if key in results}


class Captures:
    """`Router.captured` by Postfix itself: each address asked once, many at a time if primed.

    Where nobody can tell, nothing is captured.
    """

    def __init__(self, document: Document[Rule]) -> None:
        self._document = document
        self._empty = not document.index
        self.is_blind = False  # nobody can tell
        self._known: dict[str, str | None] = {}

    def prime(self, addresses: Iterable[str]) -> None:
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
            self.prime([address])
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


def prime(router: Router, aliases: Iterable[str], others: Iterable[str] = ()) -> None:
    """Asks Postfix at once for all that the way of some aliases, and of other addresses, is likely
    to need; then for what the rules make of these, a few times over."""
    captured = router.captured
    assert isinstance(captured, Captures)
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
        captured.prime(addresses)
        asked.update(addresses)
        results = {result for address in addresses if (result := captured(address))}
        words = {word for result in results for word in result.replace(",", " ").split()}
        addresses = [word for word in map(router.qualified, words) if word not in asked]
        if not addresses:
            break


def prime_addresses(router: Router, addresses: Iterable[str]) -> None:
    """Asks Postfix at once what it makes of some qualified addresses."""
    captured = router.captured
    assert isinstance(captured, Captures)
    captured.prime(map(quoted, addresses))


def prime_ways(router: Router, addresses: Iterable[str]) -> None:
    """Asks Postfix for all that the way of some addresses needs, a process for each step of all."""
    if not router.roster.regexp.index:
        return
    known: set[str] = set()
    waiting = {router.qualified(example(address)) for address in addresses}
    for _ in range(_STEPS_MAX):
        if not waiting:
            return
        known |= waiting
        prime_addresses(router, waiting)
        found: set[str] = set()
        for address in waiting:
            try:
                match = router.lookup(address)
            except Fault:
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
        what = printable(words.split(": skipping this rule")[0].strip())
        where = Location(REGEXP.file, line_number)
        found.append(Finding(where, ERROR, "bad-pattern", what, "mend the rule (pcre_table(5))"))
    return found


def in_memory(name: str, text: str) -> int:
    """A descriptor from which a program can read a text that no path leads to."""
    fd = os.memfd_create(name, 0)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    return fd


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


def ask_quotas(
    layout: Layout, users: Sequence[str], progress: Callable[[int], object] = lambda done: None
) -> tuple[dict[str, Usage], str]:
    """Use and limit of the mailboxes of some users, by `doveadm quota get`; and why some are
    missing, in the words of doveadm, "" if it said none.

    Some users at a time, since doveadm stops at the first whom Dovecot can't look up: that one is
    left out. Not `-A`: Dovecot 2.4.1 cuts a long list of all users short. Raises nothing: a Dovecot
    that fails or hangs leaves the rest unknown.
    """
    found: dict[str, Usage] = {}
    why, failures, start = "", 0, 0
    while start < len(users) and failures < _FAILURES_MAX:
        part = users[start : start + _USERS_AT_ONCE]
        try:
            code, out, err = _quota_get(layout, part)
        except ServiceFailed as error:
            return found, why or str(error)
        its = usages_of(out)
        found.update(its)
        why = why or _reason(code, err)
        last = max((place for place, user in enumerate(part) if user in its), default=-1)
        failures = failures + 1 if code and last < 0 else 0
        start += last + 2 if code else len(part)
        progress(min(start, len(users)))
    return found, why


def _quota_get(layout: Layout, users: Iterable[str]) -> tuple[int, str, str]:
    """What one doveadm says of some users. It reads them from a file: a pipe may still be empty."""
    listed = in_memory("users", "".join(f"{user}\n" for user in users))
    try:
        argv = ["doveadm", "-c", layout.dovecot_conf, "-f", "tab", "quota", "get"]
        path = f"/proc/self/fd/{listed}"
        return run([*argv, "-F", path], pass_fds=[listed], timeout_s=_QUOTAS_TIMEOUT_S)
    finally:
        os.close(listed)


def _reason(code: int, stderr: str) -> str:
    """Why a doveadm failed, for one user or for all: its first error; "" if it did not."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip()]
    errors = (line for line in lines if any(f"{word}: " in line for word in _FAILURES))
    if found := next(errors, ""):
        return printable(found if found.startswith("doveadm") else f"doveadm: {found}")
    return f"doveadm: {printable(lines[0]) if lines else f'exit code {code}'}" if code else ""


def usage(dovecot_conf: str, user: str) -> Usage | None:
    """Use and limit of one mailbox; None if Dovecot does not know it, or not its use."""
    _, out, _ = run(["doveadm", "-c", dovecot_conf, "-f", "tab", "quota", "get", "-u", user])
    # For one user doveadm prints no column of users.
    lines = out.split("\n")
    return usages_of("\n".join(f"{user}\t{line}" for line in lines)).get(user)


def usages_of(stdout: str) -> dict[str, Usage]:
    """What `doveadm -f tab quota get -F -` prints, as user -> use and limit."""
    found = {}
    lines = [line.split("\t") for line in stdout.split("\n")[1:]]
    for user, _, kind, value, limit, percent in (line for line in lines if len(line) == 6):
        used = number(value)
        if kind == "STORAGE" and used is not None:
            found[user] = Usage(used * 1024, (number(limit) or 0) * 1024, number(percent) or 0)
    return found


def number(text: str) -> int | None:
    """The number that a program printed; None for anything else."""
    is_one = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_one else None
