"""What dovecot.conf says alike to all versions of Dovecot. Pure text."""

from mailroster.instance.layout import Layout
from mailroster.settings import Settings, percentages

INBOX = """\
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Junk {
    auto = subscribe
    special_use = \\Junk
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
}
"""


def ports(settings: Settings) -> str:
    """Where clients log in."""
    return f"""\
service imap-login {{
  inet_listener imap {{
    port = {settings.imap_port}
  }}
  inet_listener imaps {{
    port = {settings.imaps_port}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {settings.pop3_port}
  }}
  inet_listener pop3s {{
    port = {settings.pop3s_port}
    ssl = yes
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {settings.sieve_port}
  }}
}}
"""


def listeners(layout: Layout) -> str:
    """Where Postfix delivers, asks for logins, and for room in a mailbox."""
    sockets = {"lmtp": layout.lmtp, "auth": layout.auth, "quota-status": layout.quota_status}
    more = {"quota-status": "  executable = quota-status -p postfix\n  client_limit = 1\n"}
    return "".join(
        f"""\
service {service} {{
{more.get(service, "")}  unix_listener {layout.from_dovecot(socket)} {{
    mode = 0600
    user = postfix
  }}
}}
"""
        for service, socket in sockets.items()
    )


def penalty(settings: Settings) -> str:
    """On loopback all clients look alike: one's wrong password would slow them all."""
    if not settings.listen.startswith("127."):
        return ""
    return """\
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""


def warning_service(settings: Settings, layout: Layout) -> str:
    """Runs our script as root, which dovecot-lda wants to be; asked by who writes the mail. A
    listener can't belong to a number without a name, so that its folder lets only the group of the
    mail in."""
    if not settings.enable_quotas or not percentages(settings.quota_warnings):
        return ""
    return f"""\
service quota-warning {{
  executable = script {layout.quota_warning}
  unix_listener {layout.from_dovecot(layout.warning)}/quota-warning {{
    mode = 0666
  }}
}}
"""


def auth_worker(user: str) -> str:
    """What looks up our databases runs as Dovecot's own user. By default it is root, for the sake
    of shadow(5), which is not asked here. `user`: how that user is named."""
    return f"""\
service auth-worker {{
  user = {user}
}}
"""


def log_timestamp(settings: Settings) -> str:
    """In a log that is Postfix's too, lines that begin as its lines do."""
    if settings.layout != "system":
        return ""
    host = settings.hostname.partition(".")[0]
    return f'\nlog_timestamp = "%b %d %H:%M:%S {host} dovecot: "'
