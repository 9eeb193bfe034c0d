"""Compares an explanation with Postfix: each lookup with the published tables (`postmap -q`), the
whole route with smtpd (RCPT, without a message), the senders with the policy service or the tables.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from mailroster.analysis.explain import Explanation
from mailroster.app.comparison.disagreement import COMPARED_MAX, Disagreement
from mailroster.base.address import split, split_extension
from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.publish.tables.postfix import ALIASES, DOMAINS, LOCAL_ALIASES, MAILBOXES, ROLES
from mailroster.publish.tables.table import Row, Table
from mailroster.routing import senders
from mailroster.routing.lookups import POSTMASTER_SETTING, quoted
from mailroster.routing.trace import LEADS_NOWHERE
from mailroster.servers import in_force
from mailroster.servers.config.endpoints import PROXY
from mailroster.servers.config.lookups import RECIPIENT, sender_questions
from mailroster.servers.patterns import results_of
from mailroster.system.programs import run
from mailroster.system.sockets import connected

#: A login that may not send as any address of the roster.
STRANGER = "nobody@invalid"
_TIMEOUT_S = 20.0
_LINE_MAX = 4096
#: The status codes of smtpd for a full mailbox.
_FULL = ("5.2.2", "4.2.2")


# -- lookup tables


def compare_tables(explanation: Explanation, layout: Layout) -> Iterator[Disagreement]:
    """Compares the rows of every key of every hop, and of the domains."""
    for name, rows in _expected_rows(explanation).items():
        kind = "pcre" if name == "regexp" else "lmdb"
        published = look_up(layout, [f"{kind}:{layout.table(name)}"], rows)
        for key, row in rows.items():
            actual = published.get(key)
            if actual != row:
                query = f"Postfix's table {name}, {key}"
                yield Disagreement(query, str(row or "no entry"), actual or "no entry")


def _expected_rows(explanation: Explanation) -> dict[str, dict[str, Row | None]]:
    """The rows that the tables should have, by table and key."""
    router, roster = explanation.router, explanation.router.roster
    tables: dict[str, Table] = {
        roster.virtual.format.file: ALIASES,
        roster.local_aliases.format.file: LOCAL_ALIASES,
        roster.accounts.format.file: MAILBOXES,
        POSTMASTER_SETTING: ROLES,
    }
    expected: dict[str, dict[str, Row | None]] = {table.name: {} for table in tables.values()}
    expected["regexp"] = {}
    for hop in explanation.trace.hops[:COMPARED_MAX]:
        lookups = [(lookup.file, lookup.key) for lookup in hop.tried]
        if hop.where is not None:
            lookups.append((hop.where.file, hop.key))
        for file, key in lookups:
            if file in tables:
                table = tables[file]
                source = explanation.whole if table is ROLES else router
                expected[table.name][key] = table.row(source, key)
            else:
                expected["regexp"][quoted(hop.address)] = router.captured(quoted(hop.address))
    if not roster.regexp.index:
        expected["regexp"] = dict.fromkeys(expected["regexp"])
    recipients = [end.address for end in explanation.trace.recipients[:COMPARED_MAX]]
    domains = {split(address)[1].lower() for address in (explanation.trace.address, *recipients)}
    expected["domains"] = {name: DOMAINS.row(explanation.whole, name) for name in domains - {""}}
    return expected


def look_up(layout: Layout, maps: Sequence[str], keys: Iterable[str]) -> dict[str, str]:
    """The result of some lookup tables for each key that has one; the first table that has the key
    gives it."""
    queries = [key for key in keys if key and "\n" not in key]
    if not queries:
        return {}
    argv = ["postmap", "-c", layout.postfix, "-q", "-", *maps]
    _, out, err = run(argv, "".join(f"{key}\n" for key in queries))
    _, fatal, message = err.partition("fatal: ")
    if fatal:
        raise ServerError(f"postmap: {message.strip()}")
    return results_of(out, queries)


# -- senders


def compare_senders(
    explanation: Explanation, settings: Settings, layout: Layout
) -> Iterator[Disagreement]:
    """Compares who may send as the address. The policy service decides it if a pattern catches the
    address, else the tables of smtpd. Raises ServerError if the service does not answer."""
    expected = explanation.senders
    if expected is None:
        return
    address = explanation.trace.address
    query = f"who may send as {address}"
    catch_all = settings.spoof_catch_all
    if senders.by_route(explanation.router, address, catch_all=catch_all) is None:
        logins = _logins_of_tables(address, settings, layout)
        if logins is not None and logins != expected:
            yield Disagreement(query, _listed(expected), _listed(logins))
        return
    decisions = {**dict.fromkeys(expected[:COMPARED_MAX], True), STRANGER: False}
    actual = may_send(layout, settings, address, decisions)
    if actual != decisions:
        yield Disagreement(query, _listed(_permitted(decisions)), _listed(_permitted(actual)))


def _permitted(decisions: dict[str, bool]) -> tuple[str, ...]:
    return tuple(login for login, may_send in decisions.items() if may_send)


def _listed(logins: tuple[str, ...]) -> str:
    return " ".join(logins) or "no account"


def _logins_of_tables(address: str, settings: Settings, layout: Layout) -> tuple[str, ...] | None:
    """The logins that smtpd finds in its tables for a sender, in the order of its lookups; None if
    the administrator's configuration names something other than tables."""
    _, out, _ = run(["postconf", "-c", layout.postfix, "-xh", "smtpd_sender_login_maps"])
    maps = re.findall(r"(?:\{[^{}]*\}|[^\s,{}])+", out)
    if not maps or any(":" not in word for word in maps):
        return None
    local, domain = split(address)
    user, extension = split_extension(local)
    parts = [f"{user}@{domain}"] if extension else []
    parts += [local, user] if domain.lower() == settings.hostname else []
    parts.append(f"@{domain}")
    indexed = [word for word in maps if not word.startswith(("pcre:", "regexp:"))]
    logins = look_up(layout, maps, [quoted(address)]).get(quoted(address))
    if logins is None:
        results = look_up(layout, indexed, parts)
        logins = next((results[key] for key in parts if key in results), "")
    return tuple(logins.replace(",", " ").split())


def may_send(
    layout: Layout, settings: Settings, address: str, logins: Iterable[str]
) -> dict[str, bool]:
    """The decisions of the policy service: which logins may send as an address. Raises ServerError
    if it does not answer."""
    decisions = {}
    context = f"policy_context={sender_questions(settings)}\n"
    try:
        with connected(layout.policy, _TIMEOUT_S) as session:
            file = session.makefile("rb")
            for login in logins:
                request = f"{context}sender={address}\nsasl_username={login}\n\n"
                session.sendall(request.encode("utf-8", "surrogateescape"))
                answer = file.readline(_LINE_MAX).decode("utf-8", "replace").strip()
                if not answer.startswith("action=") or file.readline(_LINE_MAX) != b"\n":
                    raise ServerError("the policy service does not answer")
                decisions[login] = answer == "action=OK"
    except OSError as error:
        raise ServerError(f"the policy service does not answer: {error}") from None
    return decisions


# -- smtpd


def rcpt(settings: Settings, layout: Layout, address: str) -> str:
    """The last line of smtpd's answer to RCPT for an address, in a session that sends no message.
    Raises ServerError or OSError."""
    import socket

    smtp = next((port for port in in_force.ports(settings, layout) if port.name == "smtp"), None)
    if smtp is None:
        raise ServerError("the port of SMTP is off")
    with socket.create_connection((smtp.addresses[0], smtp.port), _TIMEOUT_S) as session:
        if smtp.proxy:
            session.sendall(PROXY)
        file = session.makefile("rb")

        def send(command: str) -> str:
            """Sends a command and returns the last line of the answer."""
            if command:
                session.sendall(f"{command}\r\n".encode("utf-8", "surrogateescape"))
            while True:
                line = file.readline(_LINE_MAX).decode("utf-8", "replace").rstrip("\r\n")
                if not line[:3].isdigit():
                    raise ServerError("smtpd does not answer")
                if line[3:4] != "-":
                    return line

        for command in ("", "EHLO localhost", "MAIL FROM:<>"):
            line = send(command)
            if line[0] != "2":
                raise ServerError(f"smtpd answers {command or 'a new session'} with: {line}")
        answer = send(f"RCPT TO:<{quoted(address)}>")
        session.sendall(b"QUIT\r\n")
    return answer


def compare_rcpt(explanation: Explanation, answer: str, layout: Layout) -> Iterator[Disagreement]:
    """Compares the answer of smtpd to RCPT."""
    expected = explanation.trace.answer.rcpt
    if is_full(answer) and expected == 250:
        return
    if (
        explanation.trace.answer.why == LEADS_NOWHERE
        and answer[:3] == "250"
        and not _checks_recipients(layout)
    ):
        return  # the administrator's own tables may have the recipient
    if expected and answer[:3] != str(expected):
        query = f"RCPT TO:<{explanation.trace.address}>"
        yield Disagreement(query, str(expected), printable(answer))


def is_full(answer: str) -> bool:
    """Whether an answer of smtpd refuses mail because the mailbox is full."""
    return answer[4:].startswith(_FULL)


def _checks_recipients(layout: Layout) -> bool:
    """Whether Postfix asks mailroster's policy service if a recipient exists."""
    _, out, _ = run(["postconf", "-c", layout.postfix, "-xh", "smtpd_recipient_restrictions"])
    return f"policy_context={RECIPIENT}" in out
