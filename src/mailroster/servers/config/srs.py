"""SRS: senders of other domains are rewritten to an address of this server, so that forwarded mail
passes SPF at its destination; and bounces to such an address find their way back. By postsrsd(8), a
lookup table of Postfix (tcp_table(5)). Pure text.
"""

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings

PROGRAM, PACKAGE, USER = "/usr/sbin/postsrsd", "postsrsd", "postsrsd"
#: A rewritten address, for a pcre table.
_REWRITTEN = r"/^(SRS[01][-+=].+@$myhostname)$$/"
#: The parameter with the names of lists of restrictions, and the list for such an address.
CLASSES = "smtpd_restriction_classes"
_BOUNCES = "mailroster_bounces"
_REFUSAL = "550 5.7.1 This address accepts only bounces"


def argv(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """The command that starts postsrsd in the background."""
    excluded = ",".join(words(settings.srs_exclude_domains))
    return (
        PROGRAM, "-D", "-l", "127.0.0.1", "-d", settings.hostname, "-s", layout.srs_secret,
        "-f", str(settings.srs_forward_port), "-r", str(settings.srs_reverse_port),
        "-p", layout.srs_pid, "-u", USER, *((f"-X{excluded}",) if excluded else ()),
    )  # fmt: skip


def main_cf(settings: Settings, layout: Layout) -> str:
    """The settings of main.cf. Only the envelope is rewritten. postsrsd gets no question about a
    sender of a served domain (`@domain` as a result keeps the user, canonical(5)), and only about
    recipients that were rewritten: so only such mail waits while it is down."""
    domain = "pcre:{{/@([^@]+)$$/ $$1}}"
    kept = f"pipemap:{{{domain}, lmdb:{layout.table('domains')}, pcre:{{{{/(.*)/ @$$1}}}}}}"
    server = "inline:{{@$myhostname=@$myhostname}}"
    forward = f"tcp:127.0.0.1:{settings.srs_forward_port}"
    rewritten = f"pcre:{{{{{_REWRITTEN} $$1}}}}"
    return f"""
# Senders of other domains are rewritten (SRS).
sender_canonical_maps = {kept}, {server}, {forward}
sender_canonical_classes = envelope_sender
recipient_canonical_maps = pipemap:{{{rewritten}, tcp:127.0.0.1:{settings.srs_reverse_port}}}
recipient_canonical_classes = envelope_recipient
{CLASSES} = {_BOUNCES}
# A bounce has no sender. Otherwise each rewritten address would be a relay to its author.
{_BOUNCES} = permit_sasl_authenticated,
  check_sender_access pcre:{{{{/^<>$$/ OK}} {{/^/ {_REFUSAL}}}}}
"""


def recipients() -> str:
    """A restriction that accepts bounces to rewritten recipients, and refuses other mail to them.
    Before it, reject_unlisted_recipient has refused those that this server did not make."""
    return f"check_recipient_access pcre:{{{{{_REWRITTEN} {_BOUNCES}}}}}"
