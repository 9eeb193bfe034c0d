"""What `setup explain` tells, as lines for people."""

from collections.abc import Iterable, Iterator

from mailroster.analysis.explain import Explanation, Mailbox, Restricted
from mailroster.app.comparison import Agreement
from mailroster.base.findings import printable
from mailroster.base.settings import Settings
from mailroster.base.sizes import human_size
from mailroster.routing.trace import (
    DISCARDED,
    ELSEWHERE,
    MAILBOX,
    Hop,
    Lookup,
    form_told,
    lead_nowhere,
)

#: Hops and recipients that are told one by one; --json has all of them.
TOLD_MAX = 20


def story(found: Explanation, agreement: Agreement | None, settings: Settings) -> Iterator[str]:
    """The lines, without escapes that no terminal should get."""
    way = found.way
    yield printable(way.address)
    yield f"  {_verdict(found, agreement)}"
    for finding in found.findings:
        yield f"  {printable(str(finding))}"
    for finding in found.left_out:
        yield f"  left out of the tables: {printable(str(finding))}"
    if way.hops:
        yield "Route"
    empty = {d.format.file for _, d in found.router.roster.documents() if not d.size_hint()}
    for hop in way.hops[:TOLD_MAX]:
        yield from (f"  {printable(line)}" for line in _hop(hop, empty))
    yield from _more(len(way.hops), "more steps")
    if way.recipients:
        yield "Recipients"
    boxes = {box.account: box for box in found.mailboxes}
    for end in way.recipients[:TOLD_MAX]:
        if end.kind == MAILBOX:
            yield f"  {printable(end.address)}: the mailbox of {end.mailbox}"
            yield f"    {printable(_mailbox(boxes[end.mailbox], agreement, settings))}"
        elif end.kind == ELSEWHERE:
            yield f"  {printable(end.address)}: elsewhere; Postfix sends it on"
        elif end.kind == DISCARDED:
            yield f"  {printable(end.address)}: discarded, by /dev/null in postfix-aliases.cf"
        else:
            yield f"  {printable(end.address)}: does not exist here; its mail bounces"
    yield from _more(len(way.recipients), "more recipients")
    yield "Login"
    yield f"  {printable(_login(found))}"
    yield "Who may send as it"
    yield f"  {printable(_senders(found))}"
    if found.restrictions:
        yield "Restrictions"
    yield from (f"  {printable(_restriction(entry))}" for entry in found.restrictions)
    if found.notes:
        yield "Notes"
    for where, notes in found.notes:
        until = f"until {notes.until}" if notes.until else ""
        yield f"  {where}: {printable('; '.join(filter(None, (notes.comment, until))))}"
    yield from _asked(agreement)


def _verdict(found: Explanation, agreement: Agreement | None) -> str:
    answer, count = found.way.answer, len(found.way.recipients)
    if agreement is not None and agreement.full:
        return f"refused at RCPT: {printable(agreement.full)}"
    if answer.rcpt == 0:
        return f"it is for Postfix to say: {printable(answer.why)}"
    if answer.rcpt != 250:
        return f"refused at RCPT with {answer.rcpt}: {printable(answer.why)}"
    if answer.data != 250:
        return f"deferred after DATA with {answer.data}: {printable(answer.why)}"
    if lead_nowhere(found.way.recipients):
        return "accepted with 250, and bounces later: no recipient exists"
    if all(end.kind == DISCARDED for end in found.way.recipients):
        return "accepted with 250, and discarded"
    return f"accepted with 250, for {count} recipient{'' if count == 1 else 's'}"


def _hop(hop: Hop, empty: Iterable[str]) -> Iterator[str]:
    results = ", ".join(hop.results[:TOLD_MAX])
    if len(hop.results) > TOLD_MAX:
        results += f" and {len(hop.results) - TOLD_MAX} more"
    if hop.where is None:
        yield f"{hop.address} stays as it is: no match"
    elif hop.stays() and len(hop.results) == 1:
        yield f"{hop.address} is delivered here"
    else:
        yield f"{hop.address} becomes {results}"
    if hop.where is not None:
        yield f"  by {hop.where}: {hop.key}{form_told(hop.form)}"
    if tried := _tried(hop.tried, empty):
        yield f"  tried{' before' if hop.where is not None else ''}: {tried}"


def _tried(lookups: Iterable[Lookup], empty: Iterable[str]) -> str:
    """What was asked for in vain, by key; files without entries are left out."""
    files: dict[str, list[str]] = {}
    for lookup in lookups:
        if lookup.file not in empty:
            files.setdefault(lookup.key, []).append(lookup.file)
    return "; ".join(f"{key} in {', '.join(where)}: no" for key, where in files.items())


def _mailbox(box: Mailbox, agreement: Agreement | None, settings: Settings) -> str:
    place = box.place or "where Dovecot finds it by the extra fields"
    told = f"{box.where}; {place}"
    if not settings.enable_quotas:
        return told
    usage = agreement.usages.get(box.account) if agreement is not None else None
    if usage is not None:
        limit = human_size(usage.limit) if usage.limit else "~"
        told += f"; {human_size(usage.used)} of {limit} used ({usage.percent}%)"
    elif box.limit:
        size = {"0": "any size", "?": "what Dovecot makes of its fields"}.get(box.limit, box.limit)
        told += f"; may hold {size}"
    else:
        default = settings.mailbox_size_limit
        told += f"; may hold {human_size(default) if default else 'any size'}, the default"
    if box.messages:
        told += f", {box.messages} messages at most"
    return f"{told} by {box.limit_where}" if box.limit_where is not None else told


def _login(found: Explanation) -> str:
    login = found.login
    told = f"{'yes' if login.allowed else 'no'}: {login.why}"
    return f"{told}; only from {login.nets}" if login.nets else told


def _senders(found: Explanation) -> str:
    if found.senders is None:
        return "anybody who logs in: spoof_protection is off"
    return ", ".join(found.senders) or "nobody"


def _restriction(entry: Restricted) -> str:
    what = "mail from it" if entry.direction == "send" else "mail to it"
    return f"{what}: {entry.action}, by {entry.where}: {entry.key}"


def _asked(agreement: Agreement | None) -> Iterator[str]:
    if agreement is None:
        yield "Not compared with Postfix and Dovecot: no server runs here"
        return
    for why in agreement.silent:
        yield f"Could not ask {printable(why)}"
    for asked, ours, theirs in agreement.disagreements:
        yield f"DISAGREEMENT about {printable(asked)}"
        yield f"  the folder says: {printable(ours)}"
        yield f"  the server says: {printable(theirs)}"
    if agreement.asked and not agreement.disagreements:
        yield f"{' and '.join(agreement.asked)} say{'' if agreement.asked[1:] else 's'} the same"


def _more(count: int, what: str) -> Iterator[str]:
    if count > TOLD_MAX:
        yield f"  and {count - TOLD_MAX:,} {what}"
