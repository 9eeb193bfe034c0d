"""Compares an explanation with Dovecot: the login, the mailboxes, the users that do not exist."""

import os
import re
from collections.abc import Iterator, Mapping

from mailroster.analysis.explain import Explanation
from mailroster.analysis.mailbox import plain
from mailroster.app.comparison.disagreement import COMPARED_MAX, Disagreement
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.roster.dovecot.mail_location import SETTINGS, location
from mailroster.routing.trace import NOWHERE
from mailroster.servers import quota_usage
from mailroster.servers.dovecot_auth import (
    FAILED,
    FOUND,
    NOT_FOUND,
    PASSDB,
    USERDB,
    Question,
    Reply,
    ask,
)
from mailroster.servers.quota_usage import Report


def compare_users(
    explanation: Explanation, settings: Settings, layout: Layout
) -> Iterator[Disagreement]:
    """Compares the login of the address, the place of each mailbox, and that recipients that do not
    exist are no users of Dovecot."""
    recipients = explanation.trace.recipients
    boxes = explanation.mailboxes[:COMPARED_MAX]
    missing = [end.address for end in recipients if end.kind == NOWHERE][:COMPARED_MAX]
    users = [*(box.account for box in boxes), *missing]
    queries = [Question(PASSDB, explanation.trace.address)]
    login, *answers = ask(layout, queries + [Question(USERDB, user) for user in users])
    yield from _compare_login(explanation, login)
    for box, answer in zip(boxes, answers, strict=False):
        if answer.outcome != FOUND:
            yield Disagreement(f"Dovecot's user {box.account}", box.place, answer.outcome)
            continue
        home = plain(settings.mail, box.account).home
        expected, actual = box.place, place_of({"home": home, **answer.fields})
        if expected and actual and not same_place(actual, expected):
            yield Disagreement(f"the mail of {box.account}", expected, actual)
    for user, answer in zip(missing, answers[len(boxes) :], strict=True):
        if answer.outcome != NOT_FOUND:
            yield Disagreement(f"Dovecot's user {user}", NOT_FOUND, answer.outcome)


def place_of(fields: Mapping[str, str]) -> str:
    """The mail location of a user by the fields of Dovecot's userdb, in the form of 2.3's `mail`
    with `~` expanded; 2.4 has several fields. "" if they do not name it."""
    mail = fields.get("mail", "")
    if "mail_path" in fields:
        mail = location({name: value for name, value in fields.items() if name in SETTINGS})
    home = fields.get("home", "")
    return re.sub(r"(?<=[:=])(?:~|%h)(?=/|:|$)", lambda _: home, f":{mail}")[1:]


def same_place(actual: str, expected: str) -> bool:
    """Whether two mail locations are the same folder, which may have several paths. `expected` may
    be the bare path of a Maildir."""
    if not re.match(r"[a-z]+:", expected):
        expected = f"maildir:{expected}"
    return _parts(actual) == _parts(expected)


def _parts(location: str) -> tuple[str, str, frozenset[str]]:
    """The driver, the path and the options, without INBOX if it has its usual path."""
    driver, path, *options = (*location.split(":"), "")
    path, real = _real(path), set(map(_real, filter(None, options)))
    usual = {"maildir": path, "mbox": f"{path}/inbox"}.get(driver)
    return driver, path, frozenset(real - {f"INBOX={usual}"})


def _real(part: str) -> str:
    """A path, or an option with a path, without links and double slashes."""
    name, equals, value = part.partition("=") if "=" in part else ("", "", part)
    return f"{name}{equals}{os.path.realpath(value) if value[:1] == '/' else value}"


def _compare_login(explanation: Explanation, answer: Reply) -> Iterator[Disagreement]:
    """Compares whether the address is a login; a lookup can't show whether its hash is locked."""
    query = f"the login {explanation.trace.address}"
    account = explanation.router.roster.accounts.get(explanation.trace.address.lower())
    if account is None:
        if answer.outcome != NOT_FOUND:
            yield Disagreement(query, NOT_FOUND, answer.outcome)
        return
    names = {name for name, _ in account.fields()}
    if answer.outcome == FAILED and "allow_nets" in names:
        return  # the lookup comes from no network
    if answer.outcome != FOUND:
        yield Disagreement(query, FOUND, answer.outcome)
    elif "nologin" in names and "nologin" not in answer.fields:
        yield Disagreement(query, "nologin", "logs in")
    elif "nologin" in answer.fields and "nologin" not in names:
        yield Disagreement(query, "logs in", "nologin")


def usages(explanation: Explanation, settings: Settings, layout: Layout) -> Report:
    """The use and the limit of the mailboxes, as `quota list` shows them."""
    boxes = [box.account for box in explanation.mailboxes[:COMPARED_MAX]]
    if not boxes:
        return Report({}, {}, "")
    return quota_usage.usages(settings, layout, explanation.whole.roster, boxes)
