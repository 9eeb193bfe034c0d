"""The result of `setup explain` as lines for people."""

from collections.abc import Iterable, Iterator

from mailroster.analysis.explain import AddressRestriction, Explanation, Mailbox
from mailroster.app.comparison import Agreement
from mailroster.base.findings import and_more, printable
from mailroster.base.settings import Settings
from mailroster.base.sizes import human_size
from mailroster.routing.trace import (
    DISCARDED,
    ELSEWHERE,
    MAILBOX,
    Hop,
    Lookup,
    Recipient,
    form_text,
    lead_nowhere,
)

#: How many hops and recipients are printed; --json has all of them.
SHOWN_MAX = 20


def explanation_lines(
    explanation: Explanation, agreement: Agreement | None, settings: Settings
) -> Iterator[str]:
    """All lines, without control characters."""
    return map(printable, _lines(explanation, agreement, settings))


def _lines(
    explanation: Explanation, agreement: Agreement | None, settings: Settings
) -> Iterator[str]:
    trace = explanation.trace
    yield trace.address
    yield f"  {_verdict(explanation, agreement)}"
    for finding in explanation.findings:
        yield f"  {finding}"
    for finding in explanation.left_out:
        yield f"  left out of the tables: {finding}"
    if trace.hops:
        yield "Route"
    roster = explanation.router.roster
    empty = {d.format.file for _, d in roster.documents() if not d.size_hint()}
    for hop in trace.hops[:SHOWN_MAX]:
        yield from (f"  {line}" for line in _hop(hop, empty))
    yield from _more(len(trace.hops), "more steps")
    if trace.recipients:
        yield "Recipients"
    boxes = {box.account: box for box in explanation.mailboxes}
    for recipient in trace.recipients[:SHOWN_MAX]:
        yield f"  {recipient.address}: {_destination(recipient)}"
        if recipient.kind == MAILBOX:
            yield f"    {_mailbox(boxes[recipient.mailbox], agreement, settings)}"
    yield from _more(len(trace.recipients), "more recipients")
    yield "Login"
    yield f"  {_login(explanation)}"
    yield "Who may send as this address"
    yield f"  {_senders(explanation)}"
    if explanation.restrictions:
        yield "Restrictions"
    yield from (f"  {_restriction(entry)}" for entry in explanation.restrictions)
    if explanation.notes:
        yield "Notes"
    for where, notes in explanation.notes:
        until = f"until {notes.until}" if notes.until else ""
        yield f"  {where}: {'; '.join(filter(None, (notes.comment, until)))}"
    yield from _comparison(agreement)


def _verdict(explanation: Explanation, agreement: Agreement | None) -> str:
    answer, recipients = explanation.trace.answer, explanation.trace.recipients
    if agreement is not None and agreement.full:
        return f"refused at RCPT: {agreement.full}"
    if answer.rcpt == 0:
        return f"only Postfix can decide: {answer.why}"
    if answer.rcpt != 250:
        return f"refused at RCPT with {answer.rcpt}: {answer.why}"
    if answer.data != 250:
        return f"deferred after DATA with {answer.data}: {answer.why}"
    if lead_nowhere(recipients):
        return "accepted with 250, and bounces later: no recipient exists"
    if all(recipient.kind == DISCARDED for recipient in recipients):
        return "accepted with 250, and discarded"
    count = len(recipients)
    return f"accepted with 250, for {count} recipient{'' if count == 1 else 's'}"


def _hop(hop: Hop, empty: Iterable[str]) -> Iterator[str]:
    results = and_more(hop.results, SHOWN_MAX)
    if hop.where is None:
        yield f"{hop.address} does not change"
    elif hop.stays() and len(hop.results) == 1:
        yield f"{hop.address} is delivered here"
    else:
        yield f"{hop.address} becomes {results}"
    if hop.where is not None:
        yield f"  by {hop.where}: {hop.key}{form_text(hop.form)}"
    if misses := _misses(hop.tried, empty):
        yield f"  no match{' before' if hop.where is not None else ''}: {misses}"


def _misses(lookups: Iterable[Lookup], empty: Iterable[str]) -> str:
    """The lookups without a match, by key; empty files are left out."""
    files: dict[str, list[str]] = {}
    for lookup in lookups:
        if lookup.file not in empty:
            files.setdefault(lookup.key, []).append(lookup.file)
    return "; ".join(f"{key} in {', '.join(names)}" for key, names in files.items())


def _destination(recipient: Recipient) -> str:
    if recipient.kind == MAILBOX:
        return f"the mailbox of {recipient.mailbox}"
    if recipient.kind == ELSEWHERE:
        return "elsewhere; Postfix sends it on"
    if recipient.kind == DISCARDED:
        return "discarded, by /dev/null in postfix-aliases.cf"
    return "does not exist here; its mail bounces"


def _mailbox(box: Mailbox, agreement: Agreement | None, settings: Settings) -> str:
    """`postfix-accounts.cf:1; /var/mail/…; 0 of 1.0G used (0%) by dovecot-quotas.cf:1`."""
    text = f"{box.where}; {box.place or 'the folder that the extra fields name'}"
    if not settings.enable_quotas:
        return text
    usage = agreement.usages.get(box.account) if agreement is not None else None
    if usage is not None:
        limit = human_size(usage.limit) if usage.limit else "~"
        text += f"; {human_size(usage.used)} of {limit} used ({usage.percent}%)"
    elif box.limit:
        size = {"0": "any size", "?": "a size that only Dovecot knows"}.get(box.limit, box.limit)
        text += f"; may hold {size}"
    else:
        default = settings.mailbox_size_limit
        text += f"; may hold {human_size(default) if default else 'any size'}, the default"
    if box.messages:
        text += f", {box.messages} messages at most"
    return f"{text} by {box.limit_where}" if box.limit_where is not None else text


def _login(explanation: Explanation) -> str:
    login = explanation.login
    text = f"{'yes' if login.allowed else 'no'}: {login.why}"
    if login.services is not None:
        text += f"; its main password opens {', '.join(login.services) or 'nothing'}"
    if login.app_passwords:
        text += f"; also by app password: {', '.join(login.app_passwords)}"
    return f"{text}; only from {login.nets}" if login.nets else text


def _senders(explanation: Explanation) -> str:
    if explanation.senders is None:
        return "every account: spoof_protection is off"
    return ", ".join(explanation.senders) or "no account"


def _restriction(entry: AddressRestriction) -> str:
    direction = "mail from it" if entry.direction == "send" else "mail to it"
    return f"{direction}: {entry.action}, by {entry.where}: {entry.key}"


def _comparison(agreement: Agreement | None) -> Iterator[str]:
    if agreement is None:
        yield "Not compared with Postfix and Dovecot: no server is running"
        return
    for why in agreement.silent:
        yield f"Could not ask {why}"
    for query, expected, actual in agreement.disagreements:
        yield f"DISAGREEMENT about {query}"
        yield f"  the folder says: {expected}"
        yield f"  the server says: {actual}"
    servers = agreement.servers
    if servers and not agreement.disagreements:
        yield f"{' and '.join(servers)} say{'' if servers[1:] else 's'} the same"


def _more(count: int, noun: str) -> Iterator[str]:
    if count > SHOWN_MAX:
        yield f"  and {count - SHOWN_MAX:,} {noun}"
