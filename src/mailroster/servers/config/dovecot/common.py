"""What dovecot.conf says alike to all versions of Dovecot. Pure text."""

from mailroster.base import sizes
from mailroster.base.address import LOCAL_CHARS
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings, percentages
from mailroster.servers.config.smtp_safety import SMTPD_PROCESSES

#: Escapes the dots in the name of a folder, which Maildir++ reads as separators. DEL is the one
#: character of ASCII that no folder can have in its name yet: IMAP refuses control characters, and
#: any printable character would hide the folders that have it.
ESCAPE = "\x7f"
#: What a login without TLS hears. Dovecot itself refuses it only where client and server have
#: different addresses: it takes a connection within one address for safe, and no setting changes
#: that (`ssl = required` neither). So it still offers AUTH there, but accepts nothing.
TLS_ONLY = "Passwords are accepted over TLS only: use STARTTLS or the port with TLS"
#: The services, as auth(8) names them, in which that connection counts as safe.
_LOGINS = ("imap", "pop3", "sieve")

_INBOX = """\
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
  mailbox Archive {
    auto = subscribe
    special_use = \\Archive
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
__TRASH__  }
}
"""


def inbox(trash: str = "") -> str:
    """The folders that every mailbox has; `trash` are more lines for Trash."""
    return _INBOX.replace("__TRASH__", trash)


def trash_room(settings: Settings) -> str:
    """What Trash may hold beyond the quota, so that clients which copy mail there before they
    delete it can empty a full mailbox; "" for nothing."""
    size = sizes.normal_size(settings.trash_room)
    return size if settings.enable_quotas and size != "0" else ""


def cleartext_query(service: str, secured: str, client: str, server: str) -> str:
    """Finds whoever logs in without TLS from the server's own address, and says why that fails. The
    arguments are Dovecot's variables. A network that an override trusts is another address."""
    return f"""\
SELECT NULL AS password, 'Y' AS nopassword, '{TLS_ONLY}' AS reason \\
  WHERE '{service}' IN ({", ".join(map(repr, _LOGINS))}) AND '{secured}' = 'secured' \\
  AND '{client}' = '{server}'"""


#: Clients of one login process, at 50 kB each with TLS; and login processes of one protocol.
_LOGIN_CLIENTS, _LOGIN_PROCESSES = 1000, 8
#: More than all processes of Dovecot and Postfix that ask auth(8) or anvil(8) at once.
_ASKING = 4096
#: As many as Postfix has smtpd(8) processes on its three ports, each of which keeps a connection.
_QUOTA_STATUS_PROCESSES = 3 * SMTPD_PROCESSES
#: Workers of auth(8) in Dovecot 2.4: more than the logins that arrive at the same moment.
_WORKERS = 400


def username_chars() -> str:
    """What a login name may have: the characters of an account's address, with those that set off a
    domain and a master, and every octet of UTF-8, for a domain that is not ASCII."""
    return f"{LOCAL_CHARS}{LOCAL_CHARS[:26].upper()}@+*{_octets()}"


def _octets() -> str:
    """Characters that together have every octet of UTF-8 (RFC 3629): Dovecot looks at octets. One
    for each octet that begins a character, and 64 for those that follow."""
    codes = [*range(0x400, 0x440)]
    codes += [lead << 6 | 0x21 for lead in range(0x02, 0x20)]
    codes += [0x821, *(lead << 12 | 0x721 for lead in range(0x01, 0x10))]
    codes += [*range(0x10021, 0x100021, 0x40000), 0x100021]
    return "".join(map(chr, codes))


def spelt(name: str, user: str, domain: str) -> str:
    """The address of a login name in SQL, with the A-labels of a domain that is spelt otherwise
    (table `spelling`). Each argument is how a query names that part, in lower case."""
    other = f"'{domain}' GLOB '*[^ -~]*'"
    spelling = f"('{domain}' GLOB composed OR '{domain}' GLOB decomposed)"
    found = f"SELECT '{user}@' || domain FROM spelling WHERE {other} AND {spelling}"
    return f"coalesce(({found}), '{name}')"


def ports(settings: Settings, never_ends: str) -> str:
    """Where clients log in. `never_ends` is the setting with which a process serves any number.

    A login process serves many clients, as Dovecot's LoginProcess page calls the high-performance
    mode: with one process for each, which stays as long as a session with TLS lasts, a hundred
    connections keep all others out. Of too many, the oldest that has not logged in is dropped.
    """
    found = {protocol: _PORTS[protocol] for protocol in _PORTS if _is_on(settings, protocol)}
    trusted = ", ".join(words(settings.trusted_proxies))
    proxies = f"haproxy_trusted_networks = {trusted}\n" if trusted else ""
    return proxies + "".join(
        f"""\
service {protocol}-login {{
  {never_ends}
  client_limit = {_LOGIN_CLIENTS}
  process_limit = {_LOGIN_PROCESSES}
  process_min_avail = {2 if protocol == "imap" else 1}
{"".join(_listener(settings, name) for name in names)}}}
"""
        for protocol, names in found.items()
    )


#: The ports of each protocol, by the names of setting_rules.PORTS.
_PORTS = {"imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s"), "managesieve": ("sieve",)}


def _is_on(settings: Settings, protocol: str) -> bool:
    return any(getattr(settings, f"{name}_port") for name in _PORTS[protocol])


def protocols(settings: Settings) -> str:
    """The protocols with a port that is on, and the delivery by Postfix."""
    imap, pop3 = (f"{name} " if _is_on(settings, name) else "" for name in ("imap", "pop3"))
    return f"{imap}{pop3}lmtp{' sieve' if _is_on(settings, 'managesieve') else ''}"


def _listener(settings: Settings, name: str) -> str:
    """A port; Dovecot has each of its own by default, so that 0 must be said."""
    lines = [f"port = {getattr(settings, f'{name}_port')}"]
    if name in ("imaps", "pop3s"):
        lines.append("ssl = yes")
    if name in settings.proxied():
        lines.append("haproxy = yes")
    return f"  inet_listener {name} {{\n{''.join(f'    {line}{chr(10)}' for line in lines)}  }}\n"


def listeners(layout: Layout) -> str:
    """Where Postfix delivers, asks for logins, and for room in a mailbox."""
    sockets = {"lmtp": layout.lmtp, "auth": layout.auth, "quota-status": layout.quota_status}
    quota_status = "  executable = quota-status -p postfix\n  client_limit = 1\n"
    more = {"quota-status": quota_status}
    if layout.kind != "host":  # where limits are the administrator's
        more["quota-status"] += f"  process_limit = {_QUOTA_STATUS_PROCESSES}\n"
        more["auth"] = f"  client_limit = {_ASKING}\n"
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


def anvil(settings: Settings) -> str:
    """Counts connections, and slows wrong passwords down. On loopback all clients look alike: the
    wrong password of one would slow them all."""
    penalty = ""
    if all(address.startswith("127.") or address == "::1" for address in words(settings.listen)):
        penalty = "  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n"
    return f"service anvil {{\n  client_limit = {_ASKING}\n{penalty}}}\n"


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


def auth_worker(user: str, *, counts_itself: bool) -> str:
    """What looks up our databases runs as Dovecot's own user. By default it is root, for the sake
    of shadow(5), which is not asked here. `user`: how that user is named.

    `counts_itself`: Dovecot 2.3 makes logins wait while all workers are busy; 2.4 drops them once
    there are 30, its default.
    """
    limit = "" if counts_itself else f"  process_limit = {_WORKERS}\n"
    return f"service auth-worker {{\n  user = {user}\n{limit}}}\n"


def log_timestamp(settings: Settings) -> str:
    """In a log that is Postfix's too, lines that begin as its lines do."""
    if settings.layout != "system":
        return ""
    host = settings.hostname.partition(".")[0]
    return f'\nlog_timestamp = "%b %d %H:%M:%S {host} dovecot: "'
