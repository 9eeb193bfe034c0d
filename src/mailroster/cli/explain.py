"""`setup explain` and `setup map`."""

import sys
from collections.abc import Iterable

from mailroster.analysis.charts import map_chart, way_chart
from mailroster.analysis.explain import Explanation, explain
from mailroster.analysis.graph import Graph, dot
from mailroster.app.comparison import Agreement, compare
from mailroster.base import address as addresses
from mailroster.base.findings import NotUnderstood, ServiceFailed
from mailroster.cli.call import Call, any_address, finding_fields, print_json, warn
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router, quoted
from mailroster.routing.trace import Hop, Recipient
from mailroster.servers.pattern_trace import winners
from mailroster.servers.running import is_running
from mailroster.servers.version import meant
from mailroster.system.programs import Captures, NoPcre, ask_regexp, prime

#: Levels of aliases whose addresses Postfix is asked about at once.
_LEVELS = 8
_ADDRESSES_MAX = 5000


def show(call: Call) -> int:
    """Where mail to an address goes; exit 1 if a running server says something else."""
    settings, layout = call.settings, call.layout()
    roster = call.roster()
    address = any_address(call.arguments[0], settings.hostname)
    router = call.router(roster)
    _look_ahead(router, address)

    def lines_of_rules(asked: Iterable[str]) -> dict[str, int]:
        return winners(roster.regexp, asked)

    found = explain(router, settings, address, lines_of_rules, meant(layout))
    agreement = compare(found, settings, layout) if is_running(layout) else None
    status = 1 if agreement is not None and agreement.disagreements else 0
    _tell_unjudged(roster)
    if _draw(call, way_chart(found.way)):
        return status
    if "--json" in call.options:
        print_json(_fields(found, agreement))
        return status
    from mailroster.cli.explain_text import story

    for line in story(found, agreement, settings):
        print(line)
    return status


def draw(call: Call) -> int:
    """The map of the roster, or of one domain."""
    if "--dot" not in call.options and "--svg" not in call.options:
        raise NotUnderstood("give --svg FILE or --dot")
    domain = addresses.fold_domain(call.arguments[0].lstrip("@")) if call.arguments else ""
    roster = call.roster().in_memory()
    captures = Captures(roster.regexp)
    router = call.router(roster, captures).remembering()
    try:
        prime(
            router,
            [*roster.virtual.index, *roster.local_aliases.index],
            map(quoted, roster.accounts.counted()),
        )
    except ServiceFailed as error:
        captures.give_up()
        warn(f"warning: what the patterns take is not marked: {error}")
    _draw(call, map_chart(router, domain))
    return 0


def _draw(call: Call, graph: Graph) -> bool:
    """Draws as the options say; whether standard output is taken by it."""
    if "--dot" in call.options:
        print(dot(graph), end="")
    if "--svg" not in call.options:
        return "--dot" in call.options
    from mailroster.cli.svg import svg

    drawn, path = svg(dot(graph)), call.options["--svg"]
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(drawn)
        return True
    with open(path, "wb") as file:
        file.write(drawn)
    return "--dot" in call.options


def _look_ahead(router: Router, address: str) -> None:
    """Asks Postfix at once for all that the way of an address is likely to need."""
    if not router.roster.regexp.index:
        return
    level = [address.lower()]
    seen: set[str] = set()
    for _ in range(_LEVELS):
        level = [key for key in level if key not in seen][:_ADDRESSES_MAX]
        if not level or len(seen) > _ADDRESSES_MAX:
            return
        seen.update(level)
        prime(router, level)
        aliases = (router.roster.virtual.get(key) for key in level)
        level = [
            router.qualified(w).lower() for alias in aliases if alias for w in alias.recipients
        ]


def _tell_unjudged(roster: Roster) -> None:
    """A warning where nobody can tell what the rules take."""
    if roster.regexp.index:
        try:
            ask_regexp("", ())
        except NoPcre as error:
            warn(f"warning: the rules of {roster.regexp.format.file} are left out: {error}")


def _fields(found: Explanation, agreement: Agreement | None) -> dict[str, object]:
    """An explanation as --json shows it."""
    way, login = found.way, found.login
    boxes = {box.account: box for box in found.mailboxes}
    usages = agreement.usages if agreement is not None else {}

    def recipient(end: Recipient) -> dict[str, object]:
        box = boxes.get(end.mailbox)
        mailbox = None
        if box is not None:
            usage = usages.get(box.account)
            mailbox = {
                "account": box.account,
                "where": box.where._asdict(),
                "place": box.place or None,
                "limit": box.limit or None,
                "messages": box.messages or None,
                "quota": None if usage is None else usage._asdict(),
            }
        return {"address": end.address, "kind": end.kind, "mailbox": mailbox}

    return {
        "address": way.address,
        "answer": {**way.answer._asdict(), "full": agreement.full if agreement else ""},
        "hops": [_hop_fields(hop) for hop in way.hops],
        "recipients": [recipient(end) for end in way.recipients],
        "findings": [finding_fields(finding) for finding in found.findings],
        "left_out": [finding_fields(finding) for finding in found.left_out],
        "login": {"allowed": login.allowed, "why": login.why, "nets": login.nets or None},
        "senders": None if found.senders is None else list(found.senders),
        "restrictions": [
            {**entry._asdict(), "where": entry.where._asdict()} for entry in found.restrictions
        ],
        "notes": [
            {"where": where._asdict(), "comment": notes.comment, "until": notes.until}
            for where, notes in found.notes
        ],
        "asked": list(agreement.asked) if agreement else [],
        "silent": list(agreement.silent) if agreement else [],
        "disagreements": [d._asdict() for d in agreement.disagreements] if agreement else [],
    }


def _hop_fields(hop: Hop) -> dict[str, object]:
    return {
        "address": hop.address,
        "where": None if hop.where is None else hop.where._asdict(),
        "form": hop.form or None,
        "key": hop.key or None,
        "results": list(hop.results),
        "tried": [lookup._asdict() for lookup in hop.tried],
    }
