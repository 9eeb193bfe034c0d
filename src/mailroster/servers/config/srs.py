"""SRS: senders of other domains are rewritten to an address of this server, so that forwarded mail
passes SPF at its destination; and bounces to such an address find their way back. By postsrsd(8), a
lookup table of Postfix (tcp_table(5)). Pure text.
"""

import re
from collections.abc import Iterable

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings

PROGRAM, PACKAGE, USER = "/usr/sbin/postsrsd", "postsrsd", "postsrsd"
#: The value of sender_canonical_classes that leaves headers as they are.
ENVELOPE = "envelope_sender"
#: The parameter with the names of lists of restrictions, and the list for a rewritten address.
CLASSES, BOUNCES = "smtpd_restriction_classes", "mailroster_bounces"
_REFUSAL = "550 5.7.1 This address accepts only bounces"


def argv(settings: Settings, layout: Layout, hostname: str) -> tuple[str, ...]:
    """The command that starts postsrsd in the background. `hostname`: Postfix's $myhostname."""
    excluded = ",".join(words(settings.srs_exclude_domains))
    domain = settings.srs_domain or hostname
    return (
        PROGRAM, "-D", "-l", "127.0.0.1", "-d", domain, "-s", layout.srs_secret,
        "-f", str(settings.srs_forward_port), "-r", str(settings.srs_reverse_port),
        "-p", layout.srs_pid, "-u", USER, *((f"-X{excluded}",) if excluded else ()),
    )  # fmt: skip


def _hostname(settings: Settings, layout: Layout) -> str:
    """The name of the server, as main.cf has it. On a host that is up to its administrator."""
    return "$myhostname" if layout.kind == "host" else settings.hostname


def _rewritten(settings: Settings, layout: Layout) -> str:
    """Matches a rewritten address, for a pcre table."""
    domain = settings.srs_domain or _hostname(settings, layout)
    if not domain.startswith("$"):
        domain = re.escape(domain)
    return rf"/^(SRS[01][-+=].+@{domain})$$/"


def senders(settings: Settings, layout: Layout, domains: Iterable[str] = ()) -> str:
    """The lookup tables for senders. postsrsd gets no question about one of a served domain, or of
    `domains` (`@domain` as a result keeps the user, canonical(5)): so only mail of other senders
    waits while it is down."""
    kept = [_kept(f"lmdb:{layout.table('domains')}")]
    if names := ", ".join(f"{{{name}={name}}}" for name in domains):
        kept.append(_kept(f"inline:{{{names}}}"))
    own = dict.fromkeys(filter(None, (_hostname(settings, layout), settings.srs_domain)))
    server = f"inline:{{{', '.join(f'{{@{name}=@{name}}}' for name in own)}}}"
    return ", ".join((*kept, server, f"tcp:127.0.0.1:{settings.srs_forward_port}"))


def _kept(table: str) -> str:
    """A lookup table for senders that keeps those of the domains in another table."""
    return f"pipemap:{{pcre:{{{{/@([^@]+)$$/ $$1}}}}, {table}, pcre:{{{{/(.*)/ @$$1}}}}}}"


def recipients(settings: Settings, layout: Layout) -> str:
    """The lookup table for recipients. postsrsd gets questions about rewritten ones only."""
    rewritten = f"pcre:{{{{{_rewritten(settings, layout)} $$1}}}}"
    return f"pipemap:{{{rewritten}, tcp:127.0.0.1:{settings.srs_reverse_port}}}"


def main_cf(settings: Settings, layout: Layout) -> str:
    """The settings of main.cf."""
    return f"""
# Senders of other domains are rewritten (SRS).
sender_canonical_maps = {senders(settings, layout)}
sender_canonical_classes = {", ".join(words(settings.srs_sender_classes))}
recipient_canonical_maps = {recipients(settings, layout)}
recipient_canonical_classes = envelope_recipient
{CLASSES} = {BOUNCES}
# A bounce has no sender. Otherwise each rewritten address would be a relay to its author.
{BOUNCES} = {bounces("OK")}
"""


def bounces(result: str) -> str:
    """The restrictions of BOUNCES. `result`: that for a bounce (access(5))."""
    senders = f"pcre:{{{{/^<>$$/ {result}}} {{/^/ {_REFUSAL}}}}}"
    return f"permit_sasl_authenticated, check_sender_access {senders}"


def accepted(settings: Settings, layout: Layout) -> str:
    """A restriction that accepts bounces to rewritten recipients, and refuses other mail to them.
    Before it, reject_unlisted_recipient has refused those that this server did not make."""
    return f"check_recipient_access pcre:{{{{{_rewritten(settings, layout)} {BOUNCES}}}}}"


def unless_rewritten(settings: Settings, layout: Layout, restriction_class: str) -> str:
    """As `accepted`, and a class of restrictions for all other recipients."""
    rewritten = f"{{{_rewritten(settings, layout)} {BOUNCES}}}"
    return f"check_recipient_access pcre:{{{rewritten}, {{/^/ {restriction_class}}}}}"


def relay_domains(settings: Settings, layout: Layout) -> str:
    """relay_domains in main.cf: the domain of rewritten addresses, unless it is the server's own
    name. It has no other recipients. While it is a served domain, it is no relay domain."""
    if not settings.enable_srs or settings.srs_domain in ("", settings.hostname):
        return "relay_domains ="
    return (
        f"relay_domains = !lmdb:{layout.table('domains')}, {settings.srs_domain}\n"
        "relay_recipient_maps = inline:{{@.invalid=none}}"
    )
