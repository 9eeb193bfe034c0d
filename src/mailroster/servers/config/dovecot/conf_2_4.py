"""dovecot.conf for Dovecot 2.4 (doc.dovecot.org/2.4.1), its SQL queries in it. Pure text."""

from collections.abc import Mapping

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, percentages
from mailroster.roster.dovecot.fields import MESSAGES_MAX
from mailroster.roster.formats.credentials import DEFAULT_SCHEME
from mailroster.servers.config import spam_sieve
from mailroster.servers.config.dovecot import blocks, common, schema
from mailroster.servers.config.sieve_mail import senders, sendmail_path

_TRACE = "log_debug = category=mail OR category=auth"
ADD_PLUGIN = "mail_plugins { NAME = yes } in three lines"
#: A search matches any part of a word, as without an index.
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
_QUERY = common.cleartext_query("%{protocol}", "%{secured}", "%{remote_ip}", "%{local_ip}")
_CLEARTEXT = f"""\
# Before all others: no password counts that was sent in clear.
passdb cleartext {{
  driver = sql
  sqlite_path = :memory:
  result_success = return-fail
  sql_query = {common.continued(_QUERY, "  ")}
}}
"""
SEARCH_PACKAGE = ("dovecot-flatcurve", "/usr/lib/dovecot/modules/lib21_fts_flatcurve_plugin.so")
MANUAL = "doc.dovecot.org/2.4.1"
MINIMAL = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
NOT_ENFORCED = "quota_enforce=no"
_AT_ONCE = "lmtp_user_concurrency_limit = unlimited"
RISKY_SETTINGS = common.RISKY_SETTINGS | {
    "dovecot_config_version", "dovecot_storage_version", "mail_driver", "mail_path",
    "mail_inbox_path", "sieve_script", "auth_allow_cleartext", "sql_driver", "sqlite_path",
}  # fmt: skip


def files(settings: Settings, layout: Layout) -> dict[str, str]:
    """As Dialect.files."""
    return {"dovecot.conf": _dovecot_conf(settings, layout)}


def _dovecot_conf(settings: Settings, layout: Layout) -> str:
    s = settings
    worker = common.auth_worker("$SET:default_internal_user", queues=False)
    return f"""\
{MINIMAL}
{common.server(s, layout, _TRACE)}
ssl = yes
{_certificates(s, layout)}\
ssl_min_protocol = TLSv1.2
auth_allow_cleartext = no

auth_mechanisms = plain login
{_names()}recipient_delimiter = {s.recipient_delimiter}

{common.mail_owner(s)}
mail_driver = maildir
mail_path = {s.mail}/%{{user | domain}}/%{{user | username}}
mail_home = {s.mail}/%{{user | domain}}/%{{user | username}}/home
{common.DELIVERY}
{_AT_ONCE}
mailbox_list_storage_escape_char = "{common.ESCAPE}"
{common.postmaster(s)}
{_quota(s, layout)}{_FTS if s.full_text_search else ""}
{common.include_reports(s, layout)}{_CLEARTEXT}{_blocks(s, layout)}{_databases(s, layout)}
{common.inbox(_trash(s))}
protocol imap {{
{_plugins(*common.imap_plugins(s))}{_upload_limit(s)}}}
# Not in dovecot-lda, which delivers the warnings: no script of the owner's may file, forward or
# answer a warning.
protocol lmtp {{
{_plugins("sieve")}  sendmail_path = {sendmail_path(s, layout, "%{user}")}
}}

{common.ports(s, "restart_request_count = unlimited")}{common.listeners(layout)}\
{common.own_services(s, layout, worker)}
{_sieve(s, layout)}
{common.overrides(layout)}"""


def _certificates(settings: Settings, layout: Layout) -> str:
    return "".join(
        f"ssl_server_{kind}cert_file = {path}\nssl_server_{kind}key_file = {path}\n"
        for kind, path in zip(("", "alt_"), layout.active_certificates(settings), strict=False)
    )


def login_reports(settings: Settings, key: str) -> str:
    """As Dialect.login_reports. The attributes are added to Dovecot's own."""
    blocked = ""
    if settings.block_guessing:
        blocked = f"  blocked = %{{passdb:{blocks.FIELD} | default}}\n"
        blocked += "  user = %{user | default}\n  master = %{master_user | default}\n"
    return f"""\
{common.reports(settings, key)}auth_policy_request_attributes {{
  app = %{{userdb:app | default}}
{blocked}}}
"""


def _late_blocks(settings: Settings, layout: Layout) -> str:
    """The passdb behind those of the accounts: a client that tries many passwords at once is
    refused as well if its block begins while they are checked."""
    if not settings.block_guessing:
        return ""
    return f"""\
passdb late-blocks {{
  driver = sql
  skip = unauthenticated
{_blocks_query(layout)}{common.late_blocks_end(layout)}}}
"""


def _blocks_query(layout: Layout) -> str:
    domain = "%{user | domain | lower}"
    query = blocks.query("%{remote_ip}", "%{user | lower}", "%{user | username | lower}", domain)
    return f"""\
  sql_driver = sqlite
  sqlite_path = {layout.blocks}
  result_success = return-fail
  sql_query = {common.continued(query, "    ")}
"""


def _blocks(settings: Settings, layout: Layout) -> str:
    if not settings.block_guessing:
        return ""
    return common.BLOCKS + "".join(
        f"""\
passdb {name} {{
  driver = sql
{is_master}{_blocks_query(layout)}}}
"""
        for name, is_master in (("blocked-masters", "  master = yes\n"), ("blocks", ""))
    )


def _upload_limit(settings: Settings) -> str:
    """The size limit of IMAP uploads. Not of deliveries: Postfix has checked their size, and their
    headers make them larger."""
    limit = settings.message_size_limit
    return f"  quota_mail_size = {limit} B\n" if limit else ""


def no_sieve(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """As Dialect.no_sieve."""
    return ("mail_plugins/sieve=no", NOT_ENFORCED)


def drop_in(settings: Settings, layout: Layout, current: Mapping[str, str]) -> str:
    """As Dialect.drop_in. It needs no `current`: Dovecot 2.4 adds to lists by itself."""
    s = settings
    return f"""\
{common.DROP_IN_HEADER}
auth_mechanisms {{
  plain = yes
  login = yes
}}
{_names()}recipient_delimiter = {s.recipient_delimiter}
{common.renewable(s, _certificates(s, layout))}{_quota(s, layout)}
protocol imap {{
{_plugins("imap_quota" if s.enable_quotas else "", *spam_sieve.imap_plugins(s))}}}
# Postfix delivers up to 20 messages to a mailbox at once. Dovecot's limit of 10 would defer the
# others for five minutes.
{_AT_ONCE}
# Debian's removes the domain.
protocol lmtp {{
  auth_username_format = %{{user | lower}}
{_plugins("sieve")}  sendmail_path = {sendmail_path(s, layout, "%{user}")}
}}

{common.include_reports(s, layout)}{_blocks(s, layout)}{_databases(s, layout)}
{common.listeners(layout)}{common.shared_services(s, layout)}
{_sieve(s, layout)}"""


def _names() -> str:
    """The names that may log in, their hashes, and how they are looked up."""
    return f"""\
auth_allow_weak_schemes = yes
auth_cache_size = 0
auth_username_format = %{{user | lower}}
auth_username_chars = {_quoted(common.username_chars())}
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
{spam_sieve.settings_2_4(settings, layout)}"""


def _databases(settings: Settings, layout: Layout) -> str:
    """On a host the database and the scheme are set in each passdb and userdb of ours, since the
    global settings are the administrator's."""
    user = "%{user | username | lower}"
    address = schema.account_address("%{user | lower}", user, "%{user | domain | lower}")
    database = f"sql_driver = sqlite\nsqlite_path = {layout.database}\n"
    scheme = f"passdb_default_password_scheme = {DEFAULT_SCHEME}\n"
    if layout.kind != "host":
        userdbs = _userdbs(settings, layout, address, "")
        return f"{database}{scheme}\n{_passdbs(settings, layout, address, '', '')}{userdbs}"
    database, scheme = _indented(database), _indented(scheme)
    userdbs = _userdbs(settings, layout, address, database)
    return f"{_passdbs(settings, layout, address, database, scheme)}{userdbs}"


def _passdbs(settings: Settings, layout: Layout, address: str, database: str, scheme: str) -> str:
    """`database` and `scheme`: settings of each passdb, "" where they are global."""
    reports = common.has_reports(settings)
    app_passwords = schema.app_password_query(
        address, "%{password | sha256}", "%{protocol}", reports=reports
    )
    accounts = schema.password_query(address, "%{protocol}")
    again = common.looks_again(settings)
    return f"""\
# A master is checked first, then the account as whom it logs in.
passdb masters {{
  driver = sql
{database}{scheme}  master = yes
  result_success = continue
  sql_query = {schema.master_query("%{user | lower}")}
}}
# Before the accounts: an app password needs no slow hash.
passdb app-passwords {{
  driver = sql
{database}  sql_query = {common.continued(app_passwords, "    ")}
}}
passdb exceptions {{
  driver = passwd-file
{scheme}  passwd_file_path = {layout.exceptions}
{again}}}
passdb spelt-exceptions {{
  driver = passwd-file
{scheme}  passwd_file_path = {layout.spelt_exceptions}
{again}}}
passdb exceptions-by-service {{
  driver = passwd-file
  auth_username_format = %{{user | lower}}/%{{protocol}}
{scheme}  passwd_file_path = {layout.exceptions_by_service}
{again}}}
passdb accounts {{
  driver = sql
{database}{scheme}  sql_query = {common.continued(accounts, "    ")}
{again}}}
{_late_blocks(settings, layout)}"""


def _userdbs(settings: Settings, layout: Layout, address: str, database: str) -> str:
    """`database`: as for the passdbs. On a host the mail location is set here, too."""
    is_host = layout.kind == "host"
    place = f"{settings.mail}/%{{user | domain}}/%{{user | username}}"
    location = f"""\
    home:default = {place}/home
    mail_driver:default = maildir
    mail_path:default = {place}
    mail_inbox_path:default = {place}
"""
    query = schema.user_query_2_4(settings, address, has_location=not is_host)
    return f"""\
userdb exceptions {{
  driver = passwd-file
  passwd_file_path = {layout.exceptions}
  fields {{
    uid:default = {settings.vmail_uid}
    gid:default = {settings.vmail_gid}
{location if is_host else ""}  }}
}}
userdb accounts {{
  driver = sql
{database}  sql_query = {common.continued(query, "    ")}
  sql_iterate_query = {schema.ACCOUNTS_QUERY}
}}
"""


def _trash(settings: Settings) -> str:
    room = common.trash_room(settings)
    return f"    quota_storage_extra = {room}\n" if room else ""


def _indented(lines: str) -> str:
    return "".join(f"  {line}\n" for line in lines.splitlines())


def _quoted(value: str) -> str:
    """A value in which `$` does not refer to another setting."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plugins(*names: str) -> str:
    """Plugins for a protocol, in addition to the global ones."""
    lines = "".join(f"    {name} = yes\n" for name in names if name)
    return f"  mail_plugins {{\n{lines}  }}\n" if lines else ""


def _quota(settings: Settings, layout: Layout) -> str:
    """quota-status checks before the delivery, the mailbox itself during it. An answer that is not
    set would be empty, and Postfix would accept the message."""
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
    """The highest first: if a message exceeds several, Dovecot warns of the first."""
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
