"""SRS: senders of other domains are rewritten to an address of this server, so that forwarded mail
passes SPF at its destination; and bounces to such an address find their way back. By postsrsd(8), a
lookup table of Postfix (tcp_table(5)). Pure text.
"""

import re

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings

PROGRAM, PACKAGE, USER = "/usr/sbin/postsrsd", "postsrsd", "postsrsd"
#: The parameter with the names of lists of restrictions, and the list for such an address.
CLASSES = "smtpd_restriction_classes"
_BOUNCES = "mailroster_bounces"
_REFUSAL = "550 5.7.1 This address accepts only bounces"


def domain_of(settings: Settings) -> str:
    """The domain of rewritten addresses."""
    return settings.srs_domain or settings.hostname


def _rewritten(settings: Settings) -> str:
    """Matches a rewritten address, for a pcre table."""
    return rf"/^(SRS[01][-+=].+@{re.escape(domain_of(settings))})$$/"


def argv(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """The command that starts postsrsd in the background."""
    excluded = ",".join(words(settings.srs_exclude_domains))
    return (
        PROGRAM, "-D", "-l", "127.0.0.1", "-d", domain_of(settings), "-s", layout.srs_secret,
        "-f", str(settings.srs_forward_port), "-r", str(settings.srs_reverse_port),
        "-p", layout.srs_pid, "-u", USER, *((f"-X{excluded}",) if excluded else ()),
    )  # fmt: skip


def main_cf(settings: Settings, layout: Layout) -> str:
    """The settings of main.cf. Only the envelope is rewritten. postsrsd gets no question about a
    sender of a served domain (`@domain` as a result keeps the user, canonical(5)), and only about
    recipients that were rewritten: so only such mail waits while it is down."""
    domain = "pcre:{{/@([^@]+)$$/ $$1}}"
    kept = f"pipemap:{{{domain}, lmdb:{layout.table('domains')}, pcre:{{{{/(.*)/ @$$1}}}}}}"
    own = dict.fromkeys((settings.hostname, domain_of(settings)))
    server = f"inline:{{{', '.join(f'{{@{name}=@{name}}}' for name in own)}}}"
    forward = f"tcp:127.0.0.1:{settings.srs_forward_port}"
    rewritten = f"pcre:{{{{{_rewritten(settings)} $$1}}}}"
    return f"""
# Senders of other domains are rewritten (SRS).
sender_canonical_maps = {kept}, {server}, {forward}
sender_canonical_classes = {", ".join(words(settings.srs_sender_classes))}
recipient_canonical_maps = pipemap:{{{rewritten}, tcp:127.0.0.1:{settings.srs_reverse_port}}}
recipient_canonical_classes = envelope_recipient
{CLASSES} = {_BOUNCES}
# A bounce has no sender. Otherwise each rewritten address would be a relay to its author.
{_BOUNCES} = permit_sasl_authenticated,
  check_sender_access pcre:{{{{/^<>$$/ OK}} {{/^/ {_REFUSAL}}}}}
"""


def recipients(settings: Settings) -> str:
    """A restriction that accepts bounces to rewritten recipients, and refuses other mail to them.
    Before it, reject_unlisted_recipient has refused those that this server did not make."""
    return f"check_recipient_access pcre:{{{{{_rewritten(settings)} {_BOUNCES}}}}}"


def relay_domains(settings: Settings, layout: Layout) -> str:
    """relay_domains in main.cf: the domain of rewritten addresses, unless it is the server's own
    name. It has no other recipients. While it is a served domain, it is no relay domain."""
    if not settings.enable_srs or domain_of(settings) == settings.hostname:
        return "relay_domains ="
    return (
        f"relay_domains = !lmdb:{layout.table('domains')}, {domain_of(settings)}\n"
        "relay_recipient_maps = inline:{{@.invalid=none}}"
    )
