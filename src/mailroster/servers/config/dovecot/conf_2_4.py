"""dovecot.conf for Dovecot 2.4 (doc.dovecot.org/2.4.1), its SQL queries in it. Pure text."""

from collections.abc import Mapping

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, percentages
from mailroster.roster.dovecot.fields import MESSAGES_MAX
from mailroster.roster.dovecot.served import PASSDB_FIELDS
from mailroster.roster.formats.credentials import DEFAULT_SCHEME
from mailroster.servers.config.dovecot.common import (
    ESCAPE,
    anvil,
    auth_worker,
    cleartext_query,
    inbox,
    listeners,
    log_timestamp,
    ports,
    protocols,
    spelt,
    trash_room,
    username_chars,
    warning_service,
)
from mailroster.servers.config.sieve_mail import senders, sendmail_path
from mailroster.servers.config.sieve_mail import services as sieve_services

ADD_PLUGIN = "mail_plugins { NAME = yes } in three lines"
#: Any part of a word is found, as without an index.
_FTS = """\
mail_plugins {
  fts = yes
  fts_flatcurve = yes
}
fts flatcurve {
  substring_search = yes
}
fts_autoindex = yes
language en {
  default = yes
}
language_filters = normalizer-icu
language_tokenizers = generic email-address
"""
#: It reads no table, so that it waits for nobody who writes to one.
_CLEARTEXT = f"""\
# Before all others: no password counts that was sent in clear.
passdb cleartext {{
  driver = sql
  sqlite_path = :memory:
  result_success = return-fail
  sql_query = {cleartext_query("%{protocol}", "%{secured}", "%{remote_ip}", "%{local_ip}")}
}}
"""
#: What `full_text_search` needs: the Debian package, and a file that it brings.
SEARCH_PACKAGE = ("dovecot-flatcurve", "/usr/lib/dovecot/modules/lib21_fts_flatcurve_plugin.so")
MANUAL = "doc.dovecot.org/2.4.1"
MINIMAL = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
NOT_ENFORCED = "quota_enforce=no"
PILLARS = frozenset(
    (
        "dovecot_config_version", "dovecot_storage_version", "base_dir", "state_dir", "passdb",
        "userdb", "auth_username_format", "auth_username_chars", "auth_cache_size",
        "auth_master_user_separator", "mail_driver", "mail_path", "mail_inbox_path", "mail_home",
        "mail_uid", "mail_gid", "first_valid_uid", "last_valid_uid", "log_path", "protocols",
        "sieve_script", "auth_allow_cleartext", "sql_driver", "sqlite_path", "sendmail_path",
    )
)  # fmt: skip


def files(settings: Settings, layout: Layout) -> dict[str, str]:
    """Contents by name, for the folder `dovecot` below the state folder."""
    return {"dovecot.conf": _dovecot_conf(settings, layout)}


def _dovecot_conf(settings: Settings, layout: Layout) -> str:
    s = settings
    certificate, key = layout.certificate(s)
    postmaster = s.postmaster_address or f"postmaster@{s.hostname}"
    return f"""\
{MINIMAL}
# Written by mailroster: changes made here are lost.
base_dir = {layout.run}
state_dir = {layout.dovecot_data}
instance_name = mailroster
log_path = {layout.dovecot_log(s)}{log_timestamp(s)}
{_log_level(s)}
hostname = {s.hostname}
listen = {s.listen}
protocols = {protocols(s)}
shutdown_clients = yes

ssl = yes
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
ssl_min_protocol = TLSv1.2
auth_allow_cleartext = no

auth_mechanisms = plain login
{_names()}recipient_delimiter = {s.recipient_delimiter}

first_valid_uid = {s.vmail_uid}
last_valid_uid = {s.vmail_uid}
mail_uid = {s.vmail_uid}
mail_gid = {s.vmail_gid}
mail_privileged_group =
mail_driver = maildir
mail_path = {s.mail}/%{{user | domain}}/%{{user | username}}
mail_home = {s.mail}/%{{user | domain}}/%{{user | username}}/home
mail_max_userip_connections = 50
lmtp_save_to_detail_mailbox = no
# A folder that a Sieve script makes is seen in clients that show subscribed folders only.
lda_mailbox_autosubscribe = yes
lmtp_user_concurrency_limit = unlimited
mailbox_list_storage_escape_char = "{ESCAPE}"
postmaster_address = {postmaster}
{_quota(s, layout)}{_FTS if s.full_text_search else ""}
{_CLEARTEXT}{_databases(s, layout)}
{inbox(_trash(s))}
protocol imap {{
{_plugins(*_imap_plugins(s))}{_upload_limit(s)}}}
# Not in dovecot-lda, which delivers the warnings: no script of the owner's may file, forward or
# answer a warning.
protocol lmtp {{
{_plugins("sieve")}  sendmail_path = {sendmail_path(s, layout, "%{user}")}
}}

{ports(s, "restart_request_count = unlimited")}{listeners(layout)}{_services(s, layout)}
{_sieve(s, layout)}
# What the folder adds, last of all.
!include_try {layout.overrides}/dovecot.cf
"""


def _imap_plugins(settings: Settings) -> list[str]:
    if settings.enable_quotas:
        return ["imap_quota"]
    return ["quota"] if settings.message_size_limit else []


def _upload_limit(settings: Settings) -> str:
    """For a client's own upload; what arrives by SMTP has a few headers more by then."""
    limit = settings.message_size_limit
    return f"  quota_mail_size = {limit} B\n" if limit else ""


def _services(settings: Settings, layout: Layout) -> str:
    worker = auth_worker("$SET:default_internal_user", counts_itself=False)
    return f"{worker}{anvil(settings)}{warning_service(settings, layout)}{sieve_services(layout)}"


def no_sieve(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """As Dialect.no_sieve."""
    return ("mail_plugins/sieve=no", NOT_ENFORCED)


def drop_in(settings: Settings, layout: Layout, had: Mapping[str, str]) -> str:
    """What a Dovecot that somebody else configures has to read last of all (Dialect.drop_in).

    Lists of plugins and mechanisms add up by themselves here.
    """
    s = settings
    return f"""\
# Written by 'mailroster integrate --apply'; 'mailroster integrate --undo' takes it away.
auth_mechanisms {{
  plain = yes
  login = yes
}}
{_names()}recipient_delimiter = {s.recipient_delimiter}
{_quota(s, layout)}
protocol imap {{
{_plugins("imap_quota" if s.enable_quotas else "")}}}
# Debian's takes the domain away.
protocol lmtp {{
  auth_username_format = %{{user | lower}}
{_plugins("sieve")}  sendmail_path = {sendmail_path(s, layout, "%{user}")}
}}

{_databases(s, layout)}
{listeners(layout)}{warning_service(s, layout)}{sieve_services(layout)}
{_sieve(s, layout)}"""


def _names() -> str:
    """Which names may log in, by which hashes, and how they are looked up."""
    return f"""\
auth_allow_weak_schemes = yes
auth_cache_size = 0
auth_username_format = %{{user | lower}}
auth_username_chars = {_quoted(username_chars())}
auth_master_user_separator = *
"""


def _sieve(settings: Settings, layout: Layout) -> str:
    return f"""\
{senders(settings)}\
sieve_script personal {{
  path = ~/sieve
  active_path = ~/.dovecot.sieve
}}
sieve_script default {{
  type = default
  path = {layout.sieve_accounts}/%{{user}}.sieve
}}
sieve_script before {{
  type = before
  path = {layout.sieve}/before.sieve
}}
sieve_script after {{
  type = after
  path = {layout.sieve}/after.sieve
}}
"""


def _databases(settings: Settings, layout: Layout) -> str:
    """A master is checked first, then the account as whom it logs in. Where somebody else has other
    databases and another place of mail, they are theirs, and ours is said of each of our own."""
    mail = settings.mail.replace("'", "''")
    uid, gid = settings.vmail_uid, settings.vmail_gid
    user = "%{user | username | lower}"
    address = spelt("%{user | lower}", user, "%{user | domain | lower}")
    database = f"sql_driver = sqlite\nsqlite_path = {layout.database}\n"
    scheme = f"passdb_default_password_scheme = {DEFAULT_SCHEME}\n"
    shared, inside, hashes, fields = f"{database}{scheme}\n", "", "", ""
    driver, inbox = "mail_driver", "mail_inbox_path"
    if layout.kind == "host":
        shared, inside, hashes = "", _indented(database), _indented(scheme)
        place = f"{settings.mail}/%{{user | domain}}/%{{user | username}}"
        fields = f"""\
    home:default = {place}/home
    mail_driver:default = maildir
    mail_path:default = {place}
    mail_inbox_path:default = {place}
"""
        driver = "coalesce(mail_driver, 'maildir') AS mail_driver"
        inbox = f"coalesce(mail_inbox_path, '{mail}/' || maildir) AS mail_inbox_path"
    return f"""\
{shared}\
# A master is checked first, then the account as whom it logs in.
passdb masters {{
  driver = sql
{inside}{hashes}  master = yes
  result_success = continue
  sql_query = SELECT name AS user, password FROM master WHERE name = '%{{user | lower}}'
}}
passdb exceptions {{
  driver = passwd-file
{hashes}  passwd_file_path = {layout.exceptions}
}}
passdb spelt-exceptions {{
  driver = passwd-file
{hashes}  passwd_file_path = {layout.spelt_exceptions}
}}
passdb accounts {{
  driver = sql
{inside}{hashes}  sql_query = SELECT address AS user, password, {", ".join(PASSDB_FIELDS)} \\
    FROM account WHERE address = {address} AND password IS NOT NULL
}}
userdb exceptions {{
  driver = passwd-file
  passwd_file_path = {layout.exceptions}
  fields {{
    uid:default = {uid}
    gid:default = {gid}
{fields}  }}
}}
userdb accounts {{
  driver = sql
{inside}  sql_query = SELECT coalesce(home, '{mail}/' || maildir || '/home') AS home, \\
    coalesce(mail_path, '{mail}/' || maildir) AS mail_path, {driver}, {inbox}, \\
    {uid} AS uid, {gid} AS gid, storage_size AS "quota/user/storage_size", \\
    address AS user FROM account WHERE address = {address}
  sql_iterate_query = SELECT address AS user FROM account WHERE password IS NOT NULL
}}
"""


def _trash(settings: Settings) -> str:
    room = trash_room(settings)
    return f"    quota_storage_extra = {room}\n" if room else ""


def _indented(lines: str) -> str:
    return "".join(f"  {line}\n" for line in lines.splitlines())


def _quoted(value: str) -> str:
    """A value in which a dollar sign names no other setting."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plugins(*names: str) -> str:
    """Plugins for a protocol, besides those of all."""
    lines = "".join(f"    {name} = yes\n" for name in names if name)
    return f"  mail_plugins {{\n{lines}  }}\n" if lines else ""


def _quota(settings: Settings, layout: Layout) -> str:
    """quota-status before the delivery, and the mailbox itself for what was under way. What is not
    set for quota-status would be an empty answer, with which Postfix accepts."""
    if not settings.enable_quotas:
        return ""
    return f"""\
mail_plugins {{
  quota = yes
}}
quota_storage_size = {settings.mailbox_size_limit} B
quota_storage_grace = 0
quota_message_count = {MESSAGES_MAX}
quota_exceeded_message = Quota exceeded (mailbox for user is full)
quota_status_success = DUNNO
quota_status_nouser = DUNNO
quota_status_overquota = 552 5.2.2 Mailbox is full
quota_status_toolarge = 552 5.2.2 Mailbox is full
quota user {{
{_warnings(settings, layout)}}}
"""


def _warnings(settings: Settings, layout: Layout) -> str:
    """The highest first: of those that a message crosses at once, Dovecot tells the first."""
    return "".join(
        f"""\
  warning at-{percent} {{
    quota_storage_percentage = {percent}
    execute quota-warning {{
      unix_socket_path = {layout.warning}/quota-warning
      args = {percent} %{{user}}
    }}
  }}
"""
        for percent in percentages(settings.quota_warnings)
    )


def _log_level(settings: Settings) -> str:
    return {
        "error": "info_log_path = /dev/null",
        "warn": "info_log_path = /dev/null",
        "debug": "auth_verbose = yes",
        "trace": "log_debug = category=mail OR category=auth",
    }.get(settings.log_level, "")
