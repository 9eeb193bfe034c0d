"""dovecot.conf and its SQL queries for Dovecot 2.3 (doc.dovecot.org/2.3). Pure text."""

from collections.abc import Iterable, Mapping
from textwrap import indent

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, percentages
from mailroster.roster.dovecot.fields_2_3 import MESSAGES, UNLIMITED
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

_CLEARTEXT = """\
# Before all others: no password counts that was sent in clear.
passdb {{
  driver = sql
  args = {}/cleartext.sql.conf
  result_success = return-fail
}}
"""
ADD_PLUGIN = "mail_plugins = $mail_plugins NAME"
#: Xapian has more open than the 256 MB that Dovecot allows a process.
_INDEXER = "service indexer-worker {\n  vsz_limit = 2G\n}\n"
#: Any part of a word with three letters or more is found, as without an index. `enforced`: what is
#: not indexed yet is indexed by the search itself.
_FTS = """\
  fts = xapian
  fts_xapian = partial=3 full=20
  fts_autoindex = yes
  fts_enforced = yes
"""
#: What `full_text_search` needs: the Debian package, and a file that it brings.
SEARCH_PACKAGE = ("dovecot-fts-xapian", "/usr/lib/dovecot/modules/lib21_fts_xapian_plugin.so")
MANUAL = "doc.dovecot.org/2.3"
MINIMAL = "ssl = no\n"
NOT_ENFORCED = "plugin/quota=maildir:User quota:noenforcing"
PILLARS = frozenset(
    (
        "base_dir", "state_dir", "passdb", "userdb", "auth_username_format", "auth_username_chars",
        "auth_cache_size", "auth_master_user_separator", "mail_location", "mail_home", "mail_uid",
        "mail_gid", "first_valid_uid", "last_valid_uid", "log_path", "protocols", "sieve",
        "sieve_before", "sieve_after", "sieve_default", "disable_plaintext_auth", "sendmail_path",
    )
)  # fmt: skip


def files(settings: Settings, layout: Layout) -> dict[str, str]:
    """Contents by name, for the folder `dovecot` below the state folder."""
    return {
        "dovecot.conf": _dovecot_conf(settings, layout),
        "accounts.sql.conf": _accounts_sql(settings, layout),
        "masters.sql.conf": _masters_sql(layout),
        **({"cleartext.sql.conf": _cleartext_sql()} if layout.kind != "host" else {}),
    }


def _accounts_sql(settings: Settings, layout: Layout) -> str:
    mail = settings.mail.replace("'", "''").replace("%", "%%")
    uid, gid = settings.vmail_uid, settings.vmail_gid
    address = spelt("%Lu", "%Ln", "%Ld")
    return f"""\
# Written by mailroster: changes made here are lost.
driver = sqlite
connect = {layout.database}
default_pass_scheme = {DEFAULT_SCHEME}
password_query = SELECT address AS user, password, {", ".join(PASSDB_FIELDS)} \\
  FROM account WHERE address = {address} AND password IS NOT NULL
user_query = SELECT coalesce(home, '{mail}/' || maildir || '/home') AS home, \\
  coalesce(mail, 'maildir:{mail}/' || maildir) AS mail, \\
  {uid} AS uid, {gid} AS gid, CASE quota_rule WHEN '{UNLIMITED}' THEN '{UNLIMITED}{MESSAGES}' \\
  ELSE quota_rule END AS quota_rule, address AS user FROM account WHERE address = {address}
iterate_query = SELECT address AS user FROM account WHERE password IS NOT NULL
"""


def _masters_sql(layout: Layout) -> str:
    return f"""\
# Written by mailroster: changes made here are lost.
driver = sqlite
connect = {layout.database}
default_pass_scheme = {DEFAULT_SCHEME}
password_query = SELECT name AS user, password FROM master WHERE name = '%Lu'
"""


def _cleartext_sql() -> str:
    """It reads no table, so that it waits for nobody who writes to one."""
    return f"""\
# Written by mailroster: changes made here are lost.
driver = sqlite
connect = :memory:
password_query = {cleartext_query("%s", "%{secured}", "%{rip}", "%{lip}")}
"""


def _dovecot_conf(settings: Settings, layout: Layout) -> str:
    s = settings
    certificate, key = layout.certificate(s)
    quota = "quota " if s.enable_quotas else ""
    quota_imap = "imap_quota " if s.enable_quotas else "quota " * bool(s.message_size_limit)
    return f"""\
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
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes

auth_mechanisms = plain login
{_names()}recipient_delimiter = {s.recipient_delimiter}

first_valid_uid = {s.vmail_uid}
last_valid_uid = {s.vmail_uid}
mail_uid = {s.vmail_uid}
mail_gid = {s.vmail_gid}
mail_privileged_group =
mail_location = maildir:{s.mail.replace("%", "%%")}/%d/%n
mail_home = {s.mail.replace("%", "%%")}/%d/%n/home
# dovecot-lda, which delivers the warnings, has no more than these: no script of the owner's may
# file, forward or answer a warning.
mail_plugins = {quota}listescape{" fts fts_xapian" if s.full_text_search else ""}
mail_max_userip_connections = 50
lmtp_save_to_detail_mailbox = no
# A folder that a Sieve script makes is seen in clients that show subscribed folders only.
lda_mailbox_autosubscribe = yes
postmaster_address = {s.postmaster_address or f"postmaster@{s.hostname}"}

{_CLEARTEXT.format(layout.dovecot)}{_databases(s, layout)}
{inbox()}
{_upload_limit(s)}\
{ports(s, "service_count = 0")}{listeners(layout)}{_services(s, layout)}
{_plugin(s, layout)}
# What the folder adds, last of all.
!include_try {layout.overrides}/dovecot.cf

# A protocol has a copy of mail_plugins, so that it takes over what the folder adds to them.
protocol imap {{
  mail_plugins = $mail_plugins {quota_imap}imap_zlib
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
  sendmail_path = {sendmail_path(s, layout, "%u")}
}}
"""


def _upload_limit(settings: Settings) -> str:
    """For a client's own upload; what arrives by SMTP has a few headers more by then."""
    limit = settings.message_size_limit
    rule = f"protocol imap {{\n  plugin {{\n    quota_max_mail_size = {limit}B\n  }}\n}}\n"
    return rule if limit else ""


def _services(settings: Settings, layout: Layout) -> str:
    worker = auth_worker("$default_internal_user", counts_itself=True)
    worker += _INDEXER if settings.full_text_search else ""
    return f"{worker}{anvil(settings)}{warning_service(settings, layout)}{sieve_services(layout)}"


def no_sieve(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """As Dialect.no_sieve. dovecot-lda has no Sieve by our own configuration."""
    if layout.kind != "host":
        return (NOT_ENFORCED,)
    return ("mail_plugins=quota", NOT_ENFORCED) if settings.enable_quotas else ("mail_plugins=",)


def drop_in(settings: Settings, layout: Layout, had: Mapping[str, str]) -> str:
    """What a Dovecot that somebody else configures has to read last of all (Dialect.drop_in)."""
    s = settings
    everywhere, imap = (["quota"], ["quota", "imap_quota"]) if s.enable_quotas else ([], [])
    return f"""\
# Written by 'mailroster integrate --apply'; 'mailroster integrate --undo' takes it away.
auth_mechanisms = {_joined(had["auth_mechanisms"], ["plain", "login"])}
{_names()}recipient_delimiter = {s.recipient_delimiter}

mail_plugins = {_joined(had["mail_plugins"], everywhere)}
protocol imap {{
  mail_plugins = {_joined(had["imap/mail_plugins"], imap)}
}}
protocol lmtp {{
  mail_plugins = {_joined(had["lmtp/mail_plugins"], [*everywhere, "sieve"])}
  sendmail_path = {sendmail_path(s, layout, "%u")}
}}

{_databases(s, layout)}
{listeners(layout)}{warning_service(s, layout)}{sieve_services(layout)}
{_plugin(s, layout)}"""


def _joined(words: str, more: Iterable[str]) -> str:
    return " ".join(dict.fromkeys([*words.split(), *more]))


def _names() -> str:
    """Which names may log in, and how they are looked up."""
    chars = username_chars().replace("$", "\\\\$")
    return f"""\
auth_cache_size = 0
auth_username_format = %Lu
auth_username_chars = "{chars}"
auth_master_user_separator = *
"""


def _databases(settings: Settings, layout: Layout) -> str:
    s, fields = settings, ""
    if layout.kind == "host":  # which has a mail_location of its own
        mail = s.mail.replace("%", "%%")
        fields = f" home={mail}/%d/%n/home mail=maildir:{mail}/%d/%n"
    return f"""\
# A master is checked first, then the account as whom it logs in.
passdb {{
  driver = sql
  master = yes
  result_success = continue
  args = {layout.dovecot}/masters.sql.conf
}}
passdb {{
  driver = passwd-file
  args = scheme={DEFAULT_SCHEME} username_format=%Lu {layout.exceptions}
}}
passdb {{
  driver = passwd-file
  args = scheme={DEFAULT_SCHEME} username_format=%Lu {layout.spelt_exceptions}
}}
passdb {{
  driver = sql
  args = {layout.dovecot}/accounts.sql.conf
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {layout.exceptions}
  default_fields = uid={s.vmail_uid} gid={s.vmail_gid}{fields}
}}
userdb {{
  driver = sql
  args = {layout.dovecot}/accounts.sql.conf
}}
"""


def _plugin(settings: Settings, layout: Layout) -> str:
    return f"""\
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
  sieve_default = file:{layout.sieve_accounts}/%u.sieve
  sieve_before = {layout.sieve}/before.sieve
  sieve_after = {layout.sieve}/after.sieve
{_escape(layout)}{_search(settings, layout)}{indent(senders(settings), "  ")}\
{_quota_plugin(settings, layout)}}}
"""


def _search(settings: Settings, layout: Layout) -> str:
    return _FTS if settings.full_text_search and layout.kind != "host" else ""


def _escape(layout: Layout) -> str:
    """Where the administrator has another Dovecot, its namespaces have another separator too."""
    return "" if layout.kind == "host" else f"  listescape_char = {ESCAPE}\n"


def _quota_plugin(settings: Settings, layout: Layout) -> str:
    """quota-status before the delivery, and the mailbox itself for what was under way."""
    if not settings.enable_quotas:
        return ""
    size = settings.mailbox_size_limit
    trash = trash_room(settings)
    return f"""\
  quota = maildir:User quota
  quota_rule = *:bytes={size}{"" if size else MESSAGES}
{f"  quota_rule2 = Trash:storage=+{trash}" + chr(10) if trash else ""}\
  quota_grace = 0
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  quota_status_overquota = "552 5.2.2 Mailbox is full"
{_warnings(settings, layout)}"""


def _warnings(settings: Settings, layout: Layout) -> str:
    """The highest first: of those that a message crosses at once, Dovecot tells the first."""
    socket = f"{layout.warning}/quota-warning"
    return "".join(
        f"  quota_warning{place or ''} = storage={percent}%% {socket} {percent} %u\n"
        for place, percent in enumerate(percentages(settings.quota_warnings), 1)
    ).replace("quota_warning1 ", "quota_warning ")


def _log_level(settings: Settings) -> str:
    return {
        "error": "info_log_path = /dev/null",
        "warn": "info_log_path = /dev/null",
        "debug": "auth_verbose = yes",
        "trace": "mail_debug = yes\nauth_debug = yes",
    }.get(settings.log_level, "")
