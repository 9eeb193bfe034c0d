"""SRS: senders of other domains are rewritten to an address of this server, so that forwarded mail
passes SPF at its destination; and bounces to such an address find their way back. By postsrsd(8), a
lookup table of Postfix (tcp_table(5)). Pure text.
"""

from collections.abc import Iterable

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings

#: Which addresses of senders are rewritten.
CLASSES = "envelope_sender"
PROGRAM, PACKAGE, USER = "/usr/sbin/postsrsd", "postsrsd", "postsrsd"
#: A rewritten address, for a pcre table.
_REWRITTEN = r"/^(SRS[01][-+=].+@$myhostname)$$/"


def argv(settings: Settings, layout: Layout, domain: str) -> tuple[str, ...]:
    """The command that starts postsrsd in the background. `domain`: that of rewritten addresses,
    Postfix's $myhostname."""
    excluded = ",".join(words(settings.srs_exclude_domains))
    return (
        PROGRAM, "-D", "-l", "127.0.0.1", "-d", domain, "-s", layout.srs_secret,
        "-f", str(settings.srs_forward_port), "-r", str(settings.srs_reverse_port),
        "-p", layout.srs_pid, "-u", USER, *((f"-X{excluded}",) if excluded else ()),
    )  # fmt: skip


def senders(settings: Settings, layout: Layout, domains: Iterable[str] = ()) -> str:
    """The lookup tables for senders. postsrsd gets no question about one of a served domain, or of
    `domains` (`@domain` as a result keeps the user, canonical(5)): so only mail of other senders
    waits while it is down."""
    kept = [_kept(f"lmdb:{layout.table('domains')}")]
    if names := ", ".join(f"{{{name}={name}}}" for name in domains):
        kept.append(_kept(f"inline:{{{names}}}"))
    server = "inline:{{@$myhostname=@$myhostname}}"
    return ", ".join((*kept, server, f"tcp:127.0.0.1:{settings.srs_forward_port}"))


def _kept(table: str) -> str:
    """A lookup table for senders that keeps those of the domains in another table."""
    return f"pipemap:{{pcre:{{{{/@([^@]+)$$/ $$1}}}}, {table}, pcre:{{{{/(.*)/ @$$1}}}}}}"


def recipients(settings: Settings) -> str:
    """The lookup table for recipients. postsrsd gets questions about rewritten ones only."""
    rewritten = f"pcre:{{{{{_REWRITTEN} $$1}}}}"
    return f"pipemap:{{{rewritten}, tcp:127.0.0.1:{settings.srs_reverse_port}}}"


def main_cf(settings: Settings, layout: Layout) -> str:
    """The settings of main.cf. Only the envelope is rewritten."""
    return f"""
# Senders of other domains are rewritten (SRS).
sender_canonical_maps = {senders(settings, layout)}
sender_canonical_classes = {CLASSES}
recipient_canonical_maps = {recipients(settings)}
recipient_canonical_classes = envelope_recipient
"""


def accepted() -> str:
    """A restriction that accepts rewritten recipients. Before it, reject_unlisted_recipient has
    refused those that this server did not make."""
    return f"check_recipient_access pcre:{{{{{_REWRITTEN} OK}}}}"


def unless_rewritten(restriction_class: str) -> str:
    """A class of restrictions that applies to all recipients but the rewritten ones."""
    return f"check_recipient_access pcre:{{{{{_REWRITTEN} DUNNO}}, {{/^/ {restriction_class}}}}}"
