"""`setup explain` and `setup map`."""

import sys

from mailroster.analysis.charts import map_chart, route_chart
from mailroster.analysis.explain import Explanation
from mailroster.analysis.graph import Graph, dot
from mailroster.app.comparison import Agreement
from mailroster.app.explanation import explain_address, patterns_fault, router_of_all
from mailroster.base import address as addresses
from mailroster.base.findings import UsageError
from mailroster.cli.call import Call, any_address, finding_fields, print_json
from mailroster.cli.streams import warn
from mailroster.routing.trace import Hop, Recipient


def show(call: Call) -> int:
    """Prints where mail to an address goes; exits with 1 if a running server disagrees."""
    roster = call.home.roster()
    address = any_address(call.arguments[0], call.settings.hostname)
    explanation, agreement = explain_address(call.home, roster, address)
    status = 1 if agreement is not None and agreement.disagreements else 0
    if fault := patterns_fault(roster):
        file = roster.regexp.format.file
        warn(f"warning: the rules of {file} are left out: {fault}")
    if _draw(call, route_chart(explanation.trace)):
        return status
    if "--json" in call.options:
        print_json(_fields(explanation, agreement))
        return status
    from mailroster.cli.explain_text import explanation_lines

    for line in explanation_lines(explanation, agreement, call.settings):
        print(line)
    return status


def draw(call: Call) -> int:
    """Draws the map of all domains, or of one."""
    if "--dot" not in call.options and "--svg" not in call.options:
        raise UsageError("give --svg FILE or --dot")
    domain = addresses.fold_domain(call.arguments[0].lstrip("@")) if call.arguments else ""
    router = router_of_all(call.home, call.home.roster())
    _draw(call, map_chart(router, domain))
    return 0


def _draw(call: Call, graph: Graph) -> bool:
    """Draws as the options say; returns whether the drawing went to standard output."""
    if "--dot" in call.options:
        print(dot(graph), end="")
    if "--svg" not in call.options:
        return "--dot" in call.options
    from mailroster.cli.svg import svg

    picture, path = svg(dot(graph)), call.options["--svg"]
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(picture)
        return True
    with open(path, "wb") as file:
        file.write(picture)
    return "--dot" in call.options


def _fields(explanation: Explanation, agreement: Agreement | None) -> dict[str, object]:
    """The JSON fields of an explanation."""
    trace, login = explanation.trace, explanation.login
    boxes = {box.account: box for box in explanation.mailboxes}
    usages = agreement.usages if agreement is not None else {}

    def recipient_fields(recipient: Recipient) -> dict[str, object]:
        box = boxes.get(recipient.mailbox)
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
        return {"address": recipient.address, "kind": recipient.kind, "mailbox": mailbox}

    return {
        "address": trace.address,
        "answer": {**trace.answer._asdict(), "full": agreement.full if agreement else ""},
        "hops": [_hop_fields(hop) for hop in trace.hops],
        "recipients": [recipient_fields(recipient) for recipient in trace.recipients],
        "findings": [finding_fields(finding) for finding in explanation.findings],
        "left_out": [finding_fields(finding) for finding in explanation.left_out],
        "login": {
            "allowed": login.allowed,
            "why": login.why,
            "nets": login.nets or None,
            "services": None if login.services is None else list(login.services),
            "app_passwords": list(login.app_passwords),
        },
        "senders": None if explanation.senders is None else list(explanation.senders),
        "restrictions": [
            {**entry._asdict(), "where": entry.where._asdict()}
            for entry in explanation.restrictions
        ],
        "notes": [
            {"where": where._asdict(), "comment": notes.comment, "until": notes.until}
            for where, notes in explanation.notes
        ],
        "servers": list(agreement.servers) if agreement else [],
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
