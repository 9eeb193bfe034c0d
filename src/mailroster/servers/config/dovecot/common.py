"""The parts of dovecot.conf that are the same for all versions of Dovecot. Pure text."""

import os

from mailroster.base import sizes
from mailroster.base.address import LOCAL_CHARS
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
from mailroster.base.settings import Settings, percentages
from mailroster.servers.config import sieve_mail, spam_sieve
from mailroster.servers.config.smtp_safety import SMTPD_PROCESSES

#: Escapes dots in the names of folders, which Maildir++ reads as separators. DEL is the only ASCII
#: character that no existing name can contain: IMAP refuses control characters, and a printable
#: character would hide the folders that contain it.
ESCAPE = "\x7f"
#: The answer to a login without TLS. Dovecot itself refuses only clients with another address than
#: the server: it treats a connection within one address as safe, and no setting changes that (not
#: even `ssl = required`). So it still offers AUTH there, but refuses every password.
TLS_ONLY = "Passwords are accepted over TLS only: use STARTTLS or the port with TLS"
#: The services, as auth(8) names them, that treat such a connection as safe.
_LOGINS = ("imap", "pop3", "sieve")

#: Settings on which accounts depend, so that `check` warns of an override.
RISKY_SETTINGS = frozenset(
    (
        "base_dir", "state_dir", "passdb", "userdb", "auth_username_format", "auth_username_chars",
        "auth_cache_size", "auth_master_user_separator", "mail_home", "mail_uid", "mail_gid",
        "first_valid_uid", "last_valid_uid", "log_path", "protocols", "sendmail_path",
    )
)  # fmt: skip
#: Our file in the folder of a host's dovecot.conf.
DROP_IN = "conf.d/99-mailroster.conf"
DROP_IN_HEADER = """\
# Written by 'mailroster integrate --apply'; 'mailroster integrate --undo' removes it."""
DELIVERY = """\
mail_max_userip_connections = 50
lmtp_save_to_detail_mailbox = no
# A folder that a Sieve script makes is seen in clients that show subscribed folders only.
lda_mailbox_autosubscribe = yes"""


def server(settings: Settings, layout: Layout, trace: str) -> str:
    """The folders, the log and the protocols. `trace`: the setting for the log level `trace`."""
    s = settings
    levels = {
        "error": "info_log_path = /dev/null",
        "warn": "info_log_path = /dev/null",
        "debug": "auth_verbose = yes",
        "trace": trace,
    }
    return f"""\
# Written by mailroster: changes made here are lost.
base_dir = {layout.run}
state_dir = {layout.dovecot_data}
instance_name = mailroster
log_path = {layout.dovecot_log(s)}{_log_timestamp(s)}
{levels.get(s.log_level, "")}
hostname = {s.hostname}
listen = {s.listen}
protocols = {_protocols(s)}
{KEEP_CLIENTS}
"""


#: Without it Dovecot ends all sessions 6 s after a reload.
KEEP_CLIENTS = "shutdown_clients = no"


def _log_timestamp(settings: Settings) -> str:
    """The time format of Postfix, for the log file that both servers write."""
    if settings.layout != "system":
        return ""
    host = settings.hostname.partition(".")[0]
    return f'\nlog_timestamp = "%b %d %H:%M:%S {host} dovecot: "'


def mail_owner(settings: Settings) -> str:
    uid, gid = settings.vmail_uid, settings.vmail_gid
    return f"""\
first_valid_uid = {uid}
last_valid_uid = {uid}
mail_uid = {uid}
mail_gid = {gid}
mail_privileged_group ="""


def postmaster(settings: Settings) -> str:
    return (
        f"postmaster_address = {settings.postmaster_address or f'postmaster@{settings.hostname}'}"
    )


def imap_plugins(settings: Settings) -> list[str]:
    """The plugins for IMAP. The size limit of uploads needs one even without quotas."""
    learning = spam_sieve.imap_plugins(settings)
    if settings.enable_quotas:
        return ["imap_quota", *learning]
    return [*(["quota"] if settings.message_size_limit else []), *learning]


def overrides(layout: Layout) -> str:
    return f"""\
# What the folder adds, last of all.
!include_try {layout.overrides}/dovecot.cf
"""


#: Above the passdb of the blocked clients. If its database can't be read, logins go on.
BLOCKS = """\
# Before all others: no password of a blocked client is checked.
"""
#: The file with the settings for reports of logins, and with their key.
REPORTS_FILE = "login-reports.conf"


def has_reports(settings: Settings) -> bool:
    """Whether Dovecot reports logins."""
    return settings.reports_port() > 0


def renewable(settings: Settings, certificates: str) -> str:
    """Certificates for the Dovecot of a host, if the settings name any."""
    return f"{certificates}{KEEP_CLIENTS}\n" if settings.names_certificate() else ""


def looks_again(settings: Settings) -> str:
    """The line of a passdb of accounts behind which a block is looked up again, as it may have
    begun while the password was checked. An account is in one of these passdbs only, and the others
    do not change the result. `skip = authenticated` would skip them for a master as well."""
    return "  result_success = continue-ok\n" if settings.block_guessing else ""


def include_reports(settings: Settings, layout: Layout) -> str:
    """The line that includes REPORTS_FILE. On a host, programs of other users read the
    configuration too: `include_try` skips a file that they can't open. The path is relative to the
    drop-in there."""
    if not has_reports(settings):
        return ""
    if layout.kind == "host":
        return f"!include_try ../{os.path.basename(layout.dovecot)}/{REPORTS_FILE}\n"
    return f"!include {layout.dovecot}/{REPORTS_FILE}\n"


def late_blocks_end(layout: Layout) -> str:
    """The last lines of the passdb behind that of the accounts: no passdb of a host's administrator
    that follows is asked after a login has succeeded."""
    return "  result_failure = return-ok\n" if layout.kind == "host" else ""


def reports(settings: Settings, key: str) -> str:
    """The settings that are the same for all versions. Dovecot only reports: as a gate it would
    delay each login while nobody listens."""
    return f"""\
# Written by mailroster: changes made here are lost.
auth_policy_server_url = http://127.0.0.1:{settings.reports_port()}/
auth_policy_server_api_header = "X-Mailroster-Key: {key}"
auth_policy_hash_nonce = {key[:32]}
auth_policy_check_before_auth = no
auth_policy_check_after_auth = no
auth_policy_report_after_auth = yes
"""


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
    """The folders of every mailbox. `trash`: more lines for Trash."""
    return _INBOX.replace("__TRASH__", trash)


def trash_room(settings: Settings) -> str:
    """How much Trash may exceed the quota, "" for not at all. Clients that copy a message to Trash
    before they delete it can then empty a full mailbox."""
    size = sizes.normal_size(settings.trash_room)
    return size if settings.enable_quotas and size != "0" else ""


def cleartext_query(service: str, secured: str, client: str, server: str) -> str:
    """The query that answers a login without TLS from the server's own address with TLS_ONLY. The
    arguments are Dovecot's variables. It reads no table, so it never waits for a writer. A network
    that an override trusts is another address."""
    return f"""\
SELECT NULL AS password, 'Y' AS nopassword, '{TLS_ONLY}' AS reason
WHERE '{service}' IN ({", ".join(map(repr, _LOGINS))}) AND '{secured}' = 'secured'
AND '{client}' = '{server}'"""


#: The ports of each protocol, by their names in setting_rules.PORTS.
_PORTS = {"imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s"), "managesieve": ("sieve",)}
#: Clients of one login process, at 50 kB each with TLS; login processes of one protocol.
_LOGIN_CLIENTS, _LOGIN_PROCESSES = 1000, 8
#: More than all processes of Dovecot and Postfix that connect to auth(8) or anvil(8) at once.
_INTERNAL_CLIENTS = 4096
#: One for each smtpd(8) process on Postfix's three ports, since each keeps a connection.
_QUOTA_STATUS_PROCESSES = 3 * SMTPD_PROCESSES
#: Workers of auth(8) in Dovecot 2.4: more than the logins that arrive at one moment.
_WORKERS = 400


def username_chars() -> str:
    """The characters of a login name: those of an account's address, the separators of a domain and
    a master, and every octet of UTF-8, for a domain that is not ASCII."""
    return f"{LOCAL_CHARS}{LOCAL_CHARS[:26].upper()}@+*{_octets()}"


def _octets() -> str:
    """Characters that together contain every octet of UTF-8 (RFC 3629), since Dovecot compares
    octets: one for each first octet, and 64 for the following octets."""
    codes = [*range(0x400, 0x440)]
    codes += [lead << 6 | 0x21 for lead in range(0x02, 0x20)]
    codes += [0x821, *(lead << 12 | 0x721 for lead in range(0x01, 0x10))]
    codes += [*range(0x10021, 0x100021, 0x40000), 0x100021]
    return "".join(map(chr, codes))


def continued(query: str, indent: str) -> str:
    """The lines of a query as one setting."""
    return query.replace("\n", f" \\\n{indent}")


def ports(settings: Settings, never_ends: str) -> str:
    """The services to which clients connect. `never_ends`: the setting with which a process serves
    any number of clients.

    A login process serves many clients (the high-performance mode of Dovecot's LoginProcess page).
    With one process for each client, which runs as long as its TLS session, a hundred connections
    would block all others. If there are too many, the oldest one without a login is closed.
    """
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
        for protocol, names in _PORTS.items()
        if _is_on(settings, protocol)
    )


def _is_on(settings: Settings, protocol: str) -> bool:
    return any(getattr(settings, f"{name}_port") for name in _PORTS[protocol])


def _protocols(settings: Settings) -> str:
    """The protocols that have an open port, and LMTP for Postfix."""
    names = [name for name in ("imap", "pop3") if _is_on(settings, name)]
    return " ".join([*names, "lmtp", *(["sieve"] if _is_on(settings, "managesieve") else [])])


def _listener(settings: Settings, name: str) -> str:
    """A port. Dovecot opens its default ports unless they are set to 0."""
    port = getattr(settings, f"{name}_port")
    tls = "    ssl = yes\n" if name in ("imaps", "pop3s") else ""
    proxy = "    haproxy = yes\n" if name in settings.proxied() else ""
    return f"  inet_listener {name} {{\n    port = {port}\n{tls}{proxy}  }}\n"


def listeners(layout: Layout) -> str:
    """The sockets for Postfix: deliveries, logins and quotas."""
    sockets = {"lmtp": layout.lmtp, "auth": layout.auth, "quota-status": layout.quota_status}
    quota_status = "  executable = quota-status -p postfix\n  client_limit = 1\n"
    more = {"quota-status": quota_status}
    if layout.kind != "host":  # there the administrator sets the limits
        more["quota-status"] += f"  process_limit = {_QUOTA_STATUS_PROCESSES}\n"
        more["auth"] = f"  client_limit = {_INTERNAL_CLIENTS}\n"
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


def own_services(settings: Settings, layout: Layout, worker: str) -> str:
    """The services of a private Dovecot that no client connects to. `worker`: the auth worker."""
    return f"{worker}{_anvil(settings)}{shared_services(settings, layout)}"


def shared_services(settings: Settings, layout: Layout) -> str:
    """The services that a host's own Dovecot needs as well."""
    return f"{_warning_service(settings, layout)}{sieve_mail.services(layout)}"


def _anvil(settings: Settings) -> str:
    """The service that counts connections and delays clients after a wrong password. It delays none
    if the server listens on loopback only, where all clients have the same address."""
    penalty = ""
    if all(address.startswith("127.") or address == "::1" for address in words(settings.listen)):
        penalty = "  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n"
    return f"service anvil {{\n  client_limit = {_INTERNAL_CLIENTS}\n{penalty}}}\n"


def _warning_service(settings: Settings, layout: Layout) -> str:
    """The service that runs our script as root, which dovecot-lda requires, for processes of the
    mail's user. A listener can't have an owner without a name, so its folder admits only the mail's
    group."""
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


def auth_worker(user: str, *, queues: bool) -> str:
    """The service that reads the databases, as Dovecot's own user. By default it is root, only to
    read shadow(5). `user`: the configuration's name of that user.

    `queues`: Dovecot 2.3 queues logins while all workers are busy; 2.4 drops them, by default at 30
    workers.
    """
    limit = "" if queues else f"  process_limit = {_WORKERS}\n"
    return f"service auth-worker {{\n  user = {user}\n{limit}}}\n"
