"""dovecot.conf and its SQL queries for Dovecot 2.3 (doc.dovecot.org/2.3). Pure text."""

from collections.abc import Iterable, Mapping
from textwrap import indent

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, percentages
from mailroster.roster.dovecot.fields_2_3 import MESSAGES, UNLIMITED
from mailroster.roster.formats.credentials import DEFAULT_SCHEME
from mailroster.servers.config import spam_sieve
from mailroster.servers.config.dovecot import blocks, common, schema
from mailroster.servers.config.sieve_mail import senders, sendmail_path

_CLEARTEXT = """\
# Before all others: no password counts that was sent in clear.
passdb {{
  driver = sql
  args = {}/cleartext.sql.conf
  result_success = return-fail
}}
"""
#: With Dovecot's default of 30, a client with many connections gets most of its passwords checked
#: and answered before its block begins. The others wait in a queue, in the order of their arrival.
_FEW_WORKERS = """\
# A block begins before many of the passwords are checked that a client sends at once.
auth_worker_max_count = 8
"""
_TRACE = "mail_debug = yes\nauth_debug = yes"
ADD_PLUGIN = "mail_plugins = $mail_plugins NAME"
#: Xapian needs more memory than the 256 MB that Dovecot allows a process.
_INDEXER = "service indexer-worker {\n  vsz_limit = 2G\n}\n"
#: A search matches any part of a word with three letters or more, as without an index. `enforced`:
#: a search first indexes new messages.
_FTS = """\
  fts = xapian
  fts_xapian = partial=3 full=20
  fts_autoindex = yes
  fts_enforced = yes
"""
SEARCH_PACKAGE = ("dovecot-fts-xapian", "/usr/lib/dovecot/modules/lib21_fts_xapian_plugin.so")
MANUAL = "doc.dovecot.org/2.3"
MINIMAL = "ssl = no\n"
NOT_ENFORCED = "plugin/quota=maildir:User quota:noenforcing"
RISKY_SETTINGS = common.RISKY_SETTINGS | {
    "mail_location", "sieve", "sieve_before", "sieve_after", "sieve_default",
    "disable_plaintext_auth",
}  # fmt: skip


def files(settings: Settings, layout: Layout) -> dict[str, str]:
    """As Dialect.files."""
    address = schema.account_address("%Lu", "%Ln", "%Ld")
    scheme = {"default_pass_scheme": DEFAULT_SCHEME}
    accounts = scheme | {
        "password_query": schema.password_query(address, "%s"),
        "user_query": schema.user_query_2_3(settings, address, UNLIMITED, MESSAGES),
        "iterate_query": schema.ACCOUNTS_QUERY,
    }
    result = {
        "dovecot.conf": _dovecot_conf(settings, layout),
        "accounts.sql.conf": _sql_conf(layout.database, accounts),
        "app-passwords.sql.conf": _sql_conf(
            layout.database,
            {
                "password_query": schema.app_password_query(
                    address,
                    "%{sha256:password}",
                    "%s",
                    reports=common.has_reports(settings),
                )
            },
        ),
        "masters.sql.conf": _sql_conf(
            layout.database, scheme | {"password_query": schema.master_query("%Lu")}
        ),
    }
    if layout.kind != "host":
        query = common.cleartext_query("%s", "%{secured}", "%{rip}", "%{lip}")
        result["cleartext.sql.conf"] = _sql_conf(":memory:", {"password_query": query})
    if settings.block_guessing:
        query = blocks.query("%{rip}", "%Lu", "%Ln", "%Ld")
        result["blocks.sql.conf"] = _sql_conf(layout.blocks, {"password_query": query})
    return result


def login_reports(settings: Settings, key: str) -> str:
    """As Dialect.login_reports."""
    attributes = (
        "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} protocol=%s "
        "app=%{userdb:app}"
    )
    if settings.block_guessing:
        attributes += f" user=%{{user}} master=%{{master_user}} blocked=%{{passdb:{blocks.FIELD}}}"
    return f"{common.reports(settings, key)}auth_policy_request_attributes = {attributes}\n"


def _sql_conf(database: str, settings: Mapping[str, str]) -> str:
    return f"""\
# Written by mailroster: changes made here are lost.
driver = sqlite
connect = {database}
""" + "".join(f"{name} = {common.continued(value, '  ')}\n" for name, value in settings.items())


def _dovecot_conf(settings: Settings, layout: Layout) -> str:
    s = settings
    plugins = ["quota"] if s.enable_quotas else []
    plugins += ["listescape", *(["fts", "fts_xapian"] if s.full_text_search else [])]
    worker = common.auth_worker("$default_internal_user", queues=True)
    worker += _INDEXER if s.full_text_search else ""
    return f"""\
{common.server(s, layout, _TRACE)}
ssl = yes
{_certificates(s, layout)}\
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes

auth_mechanisms = plain login
{_names()}recipient_delimiter = {s.recipient_delimiter}

{common.mail_owner(s)}
mail_location = maildir:{s.mail.replace("%", "%%")}/%d/%n
mail_home = {s.mail.replace("%", "%%")}/%d/%n/home
# dovecot-lda, which delivers the warnings, has no more than these: no script of the owner's may
# file, forward or answer a warning.
mail_plugins = {" ".join(plugins)}
{common.DELIVERY}
{common.postmaster(s)}

{common.include_reports(s, layout)}\
{_CLEARTEXT.format(layout.dovecot)}{_blocks(s, layout)}{_databases(s, layout)}
{common.inbox()}
{_upload_limit(s)}\
{common.ports(s, "service_count = 0")}{common.listeners(layout)}\
{common.own_services(s, layout, worker)}
{_plugin(s, layout)}
{common.overrides(layout)}
# A protocol has a copy of mail_plugins, so that it takes over what the folder adds to them.
protocol imap {{
  mail_plugins = {" ".join(["$mail_plugins", *common.imap_plugins(s), "imap_zlib"])}
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
  sendmail_path = {sendmail_path(s, layout, "%u")}
}}
"""


def _certificates(settings: Settings, layout: Layout) -> str:
    return "".join(
        f"ssl_{kind}cert = <{path}\nssl_{kind}key = <{path}\n"
        for kind, path in zip(("", "alt_"), layout.active_certificates(settings), strict=False)
    )


def _blocks(settings: Settings, layout: Layout) -> str:
    if not settings.block_guessing:
        return ""
    return (
        _FEW_WORKERS
        + common.BLOCKS
        + "".join(
            f"""\
passdb {{
  driver = sql
{is_master}  args = {layout.dovecot}/blocks.sql.conf
  result_success = return-fail
}}
"""
            for is_master in ("  master = yes\n", "")
        )
    )


def _late_blocks(settings: Settings, layout: Layout) -> str:
    """The passdb behind those of the accounts: a client that tries many passwords at once is
    refused as well if its block begins while they are checked."""
    if not settings.block_guessing:
        return ""
    return f"""\
passdb {{
  driver = sql
  args = {layout.dovecot}/blocks.sql.conf
  skip = unauthenticated
  result_success = return-fail
{common.late_blocks_end(layout)}}}
"""


def _upload_limit(settings: Settings) -> str:
    """The size limit of IMAP uploads. Not of deliveries: Postfix has checked their size, and their
    headers make them larger."""
    limit = settings.message_size_limit
    rule = f"protocol imap {{\n  plugin {{\n    quota_max_mail_size = {limit}B\n  }}\n}}\n"
    return rule if limit else ""


def no_sieve(settings: Settings, layout: Layout) -> tuple[str, ...]:
    """As Dialect.no_sieve. In our own configuration dovecot-lda has no Sieve plugin anyway."""
    if layout.kind != "host":
        return (NOT_ENFORCED,)
    return ("mail_plugins=quota", NOT_ENFORCED) if settings.enable_quotas else ("mail_plugins=",)


def drop_in(settings: Settings, layout: Layout, current: Mapping[str, str]) -> str:
    """As Dialect.drop_in."""
    s = settings
    everywhere, imap = (["quota"], ["quota", "imap_quota"]) if s.enable_quotas else ([], [])
    imap += spam_sieve.imap_plugins(s)
    return f"""\
{common.DROP_IN_HEADER}
auth_mechanisms = {_union(current["auth_mechanisms"], ["plain", "login"])}
{_names()}recipient_delimiter = {s.recipient_delimiter}
{common.renewable(s, _certificates(s, layout))}
mail_plugins = {_union(current["mail_plugins"], everywhere)}
protocol imap {{
  mail_plugins = {_union(current["imap/mail_plugins"], imap)}
}}
protocol lmtp {{
  mail_plugins = {_union(current["lmtp/mail_plugins"], [*everywhere, "sieve"])}
  sendmail_path = {sendmail_path(s, layout, "%u")}
}}

{common.include_reports(s, layout)}{_blocks(s, layout)}{_databases(s, layout)}
{common.listeners(layout)}{common.shared_services(s, layout)}
{_plugin(s, layout)}"""


def _union(words: str, more: Iterable[str]) -> str:
    return " ".join(dict.fromkeys([*words.split(), *more]))


def _names() -> str:
    """The names that may log in, and how they are looked up."""
    chars = common.username_chars().replace("$", "\\\\$")
    return f"""\
auth_cache_size = 0
auth_username_format = %Lu
auth_username_chars = "{chars}"
auth_master_user_separator = *
"""


def _databases(settings: Settings, layout: Layout) -> str:
    s, fields = settings, ""
    again = common.looks_again(settings)
    if layout.kind == "host":  # its mail_location is the administrator's
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
# Before the accounts: an app password needs no slow hash.
passdb {{
  driver = sql
  args = {layout.dovecot}/app-passwords.sql.conf
}}
passdb {{
  driver = passwd-file
  args = scheme={DEFAULT_SCHEME} username_format=%Lu {layout.exceptions}
{again}}}
passdb {{
  driver = passwd-file
  args = scheme={DEFAULT_SCHEME} username_format=%Lu {layout.spelt_exceptions}
{again}}}
passdb {{
  driver = passwd-file
  args = scheme={DEFAULT_SCHEME} username_format=%Lu/%s {layout.exceptions_by_service}
{again}}}
passdb {{
  driver = sql
  args = {layout.dovecot}/accounts.sql.conf
{again}}}
{_late_blocks(settings, layout)}userdb {{
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
{spam_sieve.settings_2_3(settings, layout)}\
{_escape(layout)}{_search(settings, layout)}{indent(senders(settings), "  ")}\
{_quota_plugin(settings, layout)}}}
"""


def _search(settings: Settings, layout: Layout) -> str:
    return _FTS if settings.full_text_search and layout.kind != "host" else ""


def _escape(layout: Layout) -> str:
    """Not on a host: the namespaces of its own Dovecot may have another separator."""
    return "" if layout.kind == "host" else f"  listescape_char = {common.ESCAPE}\n"


def _quota_plugin(settings: Settings, layout: Layout) -> str:
    """quota-status checks before the delivery, the mailbox itself during it."""
    if not settings.enable_quotas:
        return ""
    size = settings.mailbox_size_limit
    trash = common.trash_room(settings)
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
    """The highest first: if a message exceeds several, Dovecot warns of the first."""
    socket = f"{layout.warning}/quota-warning"
    return "".join(
        f"  quota_warning{place or ''} = storage={percent}%% {socket} {percent} %u\n"
        for place, percent in enumerate(percentages(settings.quota_warnings), 1)
    ).replace("quota_warning1 ", "quota_warning ")
