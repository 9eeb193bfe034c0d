"""Whether Postfix and Dovecot say of an address what the folder says: each lookup on its way is
asked of the tables that are served (`postmap -q`), the whole of it of smtpd (RCPT, no message), and
every user of Dovecot's own auth."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mailroster.analysis.explain import Explanation
from mailroster.analysis.mailbox import plain
from mailroster.base.address import split, split_extension
from mailroster.base.findings import ServerError, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.publish.tables.postfix import ALIASES, DOMAINS, LOCAL_ALIASES, MAILBOXES, ROLES
from mailroster.publish.tables.table import Row, Table
from mailroster.roster.dovecot.mail_location import SETTINGS, location
from mailroster.routing import senders
from mailroster.routing.router import POSTMASTER_SETTING, quoted
from mailroster.routing.trace import LEADS_NOWHERE, NOWHERE
from mailroster.servers import in_force, quota_usage
from mailroster.servers.config.endpoints import PROXY
from mailroster.servers.config.lookups import RECIPIENT, sender_questions
from mailroster.servers.doveadm_quota import Usage
from mailroster.servers.dovecot_auth import (
    FAILED,
    FOUND,
    NOT_FOUND,
    PASSDB,
    USERDB,
    Known,
    Question,
    ask,
)
from mailroster.servers.patterns import results_of
from mailroster.servers.quota_usage import Report
from mailroster.servers.running import dovecot_pid, postfix_pid
from mailroster.system.programs import run
from mailroster.system.sockets import connected

#: Of so many hops and mailboxes the servers are asked; a way may have a thousand.
ASKED_MAX = 100
#: Somebody who may send as nobody here.
STRANGER = "nobody@invalid"
_TIMEOUT_S = 20.0
_LINE_MAX = 4096
#: What smtpd answers when the mailbox has no room.
_FULL = ("5.2.2", "4.2.2")


class Disagreement(NamedTuple):
    """What was asked of a server, what the folder says, and what the server says."""

    asked: str
    ours: str
    theirs: str


class Agreement(NamedTuple):
    """What came of asking. `silent`: why a server could not be asked. `full`: smtpd's own words
    if there is no room in the mailbox."""

    asked: tuple[str, ...]
    silent: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]
    usages: dict[str, Usage]
    full: str


def compare(found: Explanation, settings: Settings, layout: Layout) -> Agreement:
    """Asks the servers of an instance that run. Raises nothing for one that fails."""
    asked: list[str] = []
    silent: list[str] = []
    told: list[Disagreement] = []
    usages: dict[str, Usage] = {}
    full = ""
    if postfix_pid(layout) is None:
        silent.append("Postfix does not run")
    else:
        try:
            told += _tables(found, layout)
            answer = rcpt(settings, layout, found.way.address)
            full = answer if _is_full(answer) else ""
            told += _rcpt(found, answer, layout)
            asked.append("Postfix")
            told += _senders(found, settings, layout)
        except (ServerError, OSError) as error:
            silent.append(f"Postfix: {error}")
    if dovecot_pid(layout) is None:
        silent.append("Dovecot does not run")
    else:
        try:
            told += _users(found, settings, layout)
            if settings.enable_quotas:
                report = _usages(found, settings, layout)
                usages = report.by_address
                silent += [f"Dovecot: {report.why}"] if report.why else []
            asked.append("Dovecot")
        except (ServerError, OSError) as error:
            silent.append(f"Dovecot: {error}")
    return Agreement(tuple(asked), tuple(silent), tuple(told), usages, full)


# -- Postfix


def _tables(found: Explanation, layout: Layout) -> Iterator[Disagreement]:
    """Every key of every hop, in the table in which it stands."""
    router, roster = found.router, found.router.roster
    tables: dict[str, Table] = {
        roster.virtual.format.file: ALIASES,
        roster.local_aliases.format.file: LOCAL_ALIASES,
        roster.accounts.format.file: MAILBOXES,
        POSTMASTER_SETTING: ROLES,
    }
    keys: dict[str, dict[str, Row | None]] = {table.name: {} for table in tables.values()}
    keys["regexp"] = {}
    for hop in found.way.hops[:ASKED_MAX]:
        asked = [(lookup.file, lookup.key) for lookup in hop.tried]
        if hop.where is not None:
            asked.append((hop.where.file, hop.key))
        for file, key in asked:
            if file in tables:
                table = tables[file]
                of = found.whole if table is ROLES else router
                keys[table.name][key] = table.row(of, key)
            else:
                keys["regexp"][quoted(hop.address)] = router.captured(quoted(hop.address))
    if not roster.regexp.index:
        keys["regexp"] = dict.fromkeys(keys["regexp"])
    ends = [end.address for end in found.way.recipients[:ASKED_MAX]]
    domains = {split(address)[1].lower() for address in (found.way.address, *ends)}
    keys["domains"] = {name: DOMAINS.row(found.whole, name) for name in domains - {""}}
    for name, rows in keys.items():
        kind = "pcre" if name == "regexp" else "lmdb"
        served = look_up(layout, [f"{kind}:{layout.table(name)}"], rows)
        for key, row in rows.items():
            theirs = served.get(key)
            if theirs != row:
                what = f"Postfix's table {name}, {key}"
                yield Disagreement(what, str(row or "no entry"), theirs or "no entry")


def look_up(layout: Layout, maps: Sequence[str], keys: Iterable[str]) -> dict[str, str]:
    """What the first of some lookup tables that has a key answers, for each that has an answer."""
    asked = [key for key in keys if key and "\n" not in key]
    if not asked:
        return {}
    argv = ["postmap", "-c", layout.postfix, "-q", "-", *maps]
    _, out, err = run(argv, "".join(f"{key}\n" for key in asked))
    _, fatal, words = err.partition("fatal: ")
    if fatal:
        raise ServerError(f"postmap: {words.strip()}")
    return results_of(out, asked)


def _senders(found: Explanation, settings: Settings, layout: Layout) -> Iterator[Disagreement]:
    """Who may send as the address: by the policy service if a pattern catches it, else by the
    tables that smtpd is told to ask. Raises ServerError if the service does not answer."""
    if found.senders is None:
        return
    address = found.way.address
    what = f"who may send as {address}"
    if senders.by_route(found.router, address, catch_all=settings.spoof_catch_all) is None:
        theirs = _owners(address, settings, layout)
        if theirs is not None and theirs != found.senders:
            yield Disagreement(what, _named(found.senders), _named(theirs))
        return
    wanted = {**dict.fromkeys(found.senders[:ASKED_MAX], True), STRANGER: False}
    permitted = may_send(layout, settings, address, wanted)
    if permitted != wanted:
        ours, theirs = (
            tuple(login for login, may in some.items() if may) for some in (wanted, permitted)
        )
        yield Disagreement(what, _named(ours), _named(theirs))


def _named(logins: tuple[str, ...]) -> str:
    return " ".join(logins) or "nobody"


def _owners(address: str, settings: Settings, layout: Layout) -> tuple[str, ...] | None:
    """The logins that smtpd finds in its tables for a sender, in the order of its lookups; None if
    somebody's own configuration has other ones."""
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
    found = look_up(layout, maps, [quoted(address)]).get(quoted(address))
    if found is None:
        answers = look_up(layout, indexed, parts)
        found = next((answers[key] for key in parts if key in answers), "")
    return tuple(found.replace(",", " ").split())


def may_send(
    layout: Layout, settings: Settings, address: str, logins: Iterable[str]
) -> dict[str, bool]:
    """What the policy service says of each of some logins that would send as an address. Raises
    ServerError if it does not answer."""
    found = {}
    context = f"policy_context={sender_questions(settings)}\n"
    try:
        with connected(layout.policy, _TIMEOUT_S) as session:
            file = session.makefile("rb")
            for login in logins:
                asked = f"{context}sender={address}\nsasl_username={login}\n\n"
                session.sendall(asked.encode("utf-8", "surrogateescape"))
                answer = file.readline(_LINE_MAX).decode("utf-8", "replace").strip()
                if not answer.startswith("action=") or file.readline(_LINE_MAX) != b"\n":
                    raise ServerError("the policy service does not answer")
                found[login] = answer == "action=OK"
    except OSError as error:
        raise ServerError(f"the policy service does not answer: {error}") from None
    return found


def rcpt(settings: Settings, layout: Layout, address: str) -> str:
    """What smtpd answers to RCPT for an address, in a session that sends no message; the last line
    of the answer. Raises ServerError or OSError."""
    import socket

    smtp = next((port for port in in_force.ports(settings, layout) if port.name == "smtp"), None)
    if smtp is None:
        raise ServerError("the port of SMTP is off")
    with socket.create_connection((smtp.addresses[0], smtp.port), _TIMEOUT_S) as session:
        if smtp.proxy:
            session.sendall(PROXY)
        file = session.makefile("rb")

        def answered(command: str) -> str:
            if command:
                session.sendall(f"{command}\r\n".encode("utf-8", "surrogateescape"))
            while True:
                line = file.readline(_LINE_MAX).decode("utf-8", "replace").rstrip("\r\n")
                if not line[:3].isdigit():
                    raise ServerError("smtpd does not answer")
                if line[3:4] != "-":
                    return line

        for command in ("", "EHLO localhost", "MAIL FROM:<>"):
            line = answered(command)
            if line[0] != "2":
                raise ServerError(f"smtpd says to {command or 'a new session'}: {line}")
        answer = answered(f"RCPT TO:<{quoted(address)}>")
        session.sendall(b"QUIT\r\n")
    return answer


def _asks_us(layout: Layout) -> bool:
    """Whether Postfix asks our policy service if a recipient exists."""
    _, out, _ = run(["postconf", "-c", layout.postfix, "-xh", "smtpd_recipient_restrictions"])
    return f"policy_context={RECIPIENT}" in out


def _is_full(answer: str) -> bool:
    return answer[4:].startswith(_FULL)


def _rcpt(found: Explanation, answer: str, layout: Layout) -> Iterator[Disagreement]:
    wanted = found.way.answer.rcpt
    if _is_full(answer) and wanted == 250:
        return
    if found.way.answer.why == LEADS_NOWHERE and answer[:3] == "250" and not _asks_us(layout):
        return  # the administrator's own tables may have the recipient
    if wanted and answer[:3] != str(wanted):
        yield Disagreement(f"RCPT TO:<{found.way.address}>", str(wanted), printable(answer))


# -- Dovecot


def _users(found: Explanation, settings: Settings, layout: Layout) -> Iterator[Disagreement]:
    """The login of the address, each mailbox, and whether those who get nothing are nobody."""
    address = found.way.address
    boxes = found.mailboxes[:ASKED_MAX]
    nowhere = [end.address for end in found.way.recipients if end.kind == NOWHERE][:ASKED_MAX]
    questions = [Question(PASSDB, address), *(Question(USERDB, box.account) for box in boxes)]
    questions += [Question(USERDB, end) for end in nowhere]
    answers = ask(layout, questions)
    yield from _login(found, answers[0])
    for box, known in zip(boxes, answers[1:], strict=False):
        if known.outcome != FOUND:
            yield Disagreement(f"Dovecot's user {box.account}", box.place, known.outcome)
            continue
        home = plain(settings.mail, box.account).home
        ours, theirs = box.place, place_of({"home": home, **known.fields})
        if ours and theirs and not same_place(theirs, ours):
            yield Disagreement(f"the mail of {box.account}", ours, theirs)
    for end, known in zip(nowhere, answers[1 + len(boxes) :], strict=True):
        if known.outcome != NOT_FOUND:
            yield Disagreement(f"Dovecot's user {end}", NOT_FOUND, known.outcome)


def place_of(fields: Mapping[str, str]) -> str:
    """Where a user's mail is, by the fields of Dovecot's userdb, in the form of 2.3's `mail` with
    `~` put in; 2.4 has several fields. "" if they do not say it."""
    mail = fields.get("mail", "")
    if "mail_path" in fields:
        mail = location({name: value for name, value in fields.items() if name in SETTINGS})
    home = fields.get("home", "")
    return re.sub(r"(?<=[:=])(?:~|%h)(?=/|:|$)", lambda _: home, f":{mail}")[1:]


def same_place(theirs: str, ours: str) -> bool:
    """Whether two mail locations are the same; ours may be the path of a Maildir alone. A folder
    may have several paths."""
    return _parts(theirs) == _parts(ours if re.match(r"[a-z]+:", ours) else f"maildir:{ours}")


def _parts(location: str) -> tuple[str, str, frozenset[str]]:
    """Driver, path, and options, of which INBOX is none where it is at its usual place."""
    driver, path, *options = (*location.split(":"), "")
    path, known = _real(path), set(map(_real, filter(None, options)))
    usual = {"maildir": path, "mbox": f"{path}/inbox"}.get(driver)
    return driver, path, frozenset(known - {f"INBOX={usual}"})


def _real(part: str) -> str:
    """A path, or an option with one, without links and double slashes."""
    name, equals, value = part.partition("=") if "=" in part else ("", "", part)
    return f"{name}{equals}{os.path.realpath(value) if value[:1] == '/' else value}"


def _login(found: Explanation, known: Known) -> Iterator[Disagreement]:
    """Whether Dovecot has a login of the name; if its hash is locked, no lookup can tell."""
    what = f"the login {found.way.address}"
    account = found.router.roster.accounts.get(found.way.address.lower())
    if account is None:
        if known.outcome != NOT_FOUND:
            yield Disagreement(what, NOT_FOUND, known.outcome)
        return
    names = {name for name, _ in account.fields()}
    if known.outcome == FAILED and "allow_nets" in names:
        return  # we ask from no network at all
    if known.outcome != FOUND:
        yield Disagreement(what, FOUND, known.outcome)
    elif ("nologin" in names) != ("nologin" in known.fields):
        told = ("logs in", "nologin")
        yield Disagreement(what, told["nologin" in names], told["nologin" in known.fields])


def _usages(found: Explanation, settings: Settings, layout: Layout) -> Report:
    """Use and limit of the mailboxes, as `quota list` has them."""
    boxes = [box.account for box in found.mailboxes[:ASKED_MAX]]
    if not boxes:
        return Report({}, {}, "")
    return quota_usage.usages(settings, layout, found.whole.roster, boxes)
