"""Compares the explanation of an address with the answers of the running Postfix and Dovecot."""

from typing import NamedTuple

from mailroster.analysis.explain import Explanation
from mailroster.app.comparison import dovecot, postfix
from mailroster.app.comparison.disagreement import Disagreement
from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.doveadm_quota import Usage
from mailroster.servers.running import dovecot_pid, postfix_pid


class Agreement(NamedTuple):
    """The result of a comparison. `servers` were queried; `silent` says for each other server why
    it was not. `full` is the answer of smtpd if the mailbox is full."""

    servers: tuple[str, ...]
    silent: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]
    usages: dict[str, Usage]
    full: str


def compare(explanation: Explanation, settings: Settings, layout: Layout) -> Agreement:
    """Queries the running servers of an instance. Raises nothing for a server that fails."""
    servers: list[str] = []
    silent: list[str] = []
    disagreements: list[Disagreement] = []
    usages: dict[str, Usage] = {}
    full = ""
    if postfix_pid(layout) is None:
        silent.append("Postfix: it is not running")
    else:
        try:
            disagreements += postfix.compare_tables(explanation, layout)
            answer = postfix.rcpt(settings, layout, explanation.trace.address)
            full = answer if postfix.is_full(answer) else ""
            disagreements += postfix.compare_rcpt(explanation, answer, layout)
            servers.append("Postfix")
            disagreements += postfix.compare_senders(explanation, settings, layout)
        except (ServerError, OSError) as error:
            silent.append(f"Postfix: {error}")
    if dovecot_pid(layout) is None:
        silent.append("Dovecot: it is not running")
    else:
        try:
            disagreements += dovecot.compare_users(explanation, settings, layout)
            if settings.enable_quotas:
                report = dovecot.usages(explanation, settings, layout)
                usages = report.by_address
                silent += [f"Dovecot: {report.why}"] if report.why else []
            servers.append("Dovecot")
        except (ServerError, OSError) as error:
            silent.append(f"Dovecot: {error}")
    return Agreement(tuple(servers), tuple(silent), tuple(disagreements), usages, full)
