"""main.cf and master.cf of a private Postfix (postconf(5), master(5)). Pure text."""

from collections.abc import Mapping, Sequence

from mailroster.base.layout import Layout
from mailroster.base.setting_rules import PORTS, RELAY_TLS_LEVELS, words
from mailroster.base.settings import Settings
from mailroster.servers.config import dkim, rspamd, srs
from mailroster.servers.config.lookups import (
    Lookups,
    login_check,
    lookups,
    policy,
    quota_status,
    recipient_questions,
    sender_questions,
)
from mailroster.servers.config.relays import RELAYED, RELAYED_TLS, transport
from mailroster.servers.config.smtp_safety import (
    CLEANUP,
    CONNECTIONS_OF_ONE_CLIENT,
    DATA_RESTRICTIONS,
    NOT_OFFERED,
    SAFE,
    SMTPD_PROCESSES,
    cleanup_service,
    forged_senders,
    hidden_headers,
    submission_checks,
)

#: Postfix reads a key and its certificates from one file, so they always belong together.
CHAIN_FILES = "smtpd_tls_chain_files"


def main_cf(settings: Settings, layout: Layout, signers: Sequence[str] = ()) -> str:
    """main.cf. It doesn't change with the accounts, which are in the tables. `signers`: the kinds
    of keys with which OpenDKIM signs what leaves."""
    tables = lookups(settings, layout)
    return "".join(
        (
            _machine(settings, layout),
            _recipients(settings, layout, tables),
            _relays(settings, tables),
            _clients(settings, layout, tables),
            _restrictions(settings, layout, tables),
            _hidden(settings),
            _signed(layout, signers) if signers else "",
            _filtered(layout) if settings.enable_rspamd else "",
            srs.main_cf(settings, layout) if settings.enable_srs else "",
        )
    )


def _machine(settings: Settings, layout: Layout) -> str:
    s = settings
    return f"""\
# Written by mailroster: changes made here are lost.
compatibility_level = 3.6

queue_directory = {layout.spool}
data_directory = {layout.postfix_data}
maillog_file = {s.logs}/mail.log
maillog_file_prefixes = {s.logs}
meta_directory = /etc/postfix
setgid_group = postdrop
mail_owner = postfix

myhostname = {s.hostname}
myorigin = $myhostname
inet_interfaces = {"all" if s.is_everywhere() else s.listen}
inet_protocols = all
# No client may do more because of its address, not even one on this machine.
mynetworks =
smtpd_client_event_limit_exceptions = 127.0.0.0/8
# Idle clients of many addresses must not keep the others out; each port has so many processes.
default_process_limit = {SMTPD_PROCESSES}
smtpd_client_connection_count_limit = {CONNECTIONS_OF_ONE_CLIENT}

"""


def _recipients(settings: Settings, layout: Layout, tables: Lookups) -> str:
    return f"""\
# No local(8) world: every address is one of the tables. What is sent to an IP address is nobody's.
mydestination =
local_transport = error:5.1.1 User unknown
alias_maps =
alias_database =
local_recipient_maps =
{srs.relay_domains(settings, layout)}
biff = no
append_dot_mydomain = no
# An address is what it says: '!' and '%' before the '@' are no routes.
swap_bangpath = no
allow_percent_hack = no
recipient_delimiter = {settings.recipient_delimiter}{_owners(settings)}
message_size_limit = {settings.message_size_limit}
mailbox_size_limit = 0
virtual_mailbox_limit = 0

# The server's own name is served too, for aliases without a domain.
virtual_mailbox_domains = {", ".join(tables.domains)}, $myhostname
virtual_mailbox_maps = {", ".join(tables.mailboxes)}
virtual_alias_domains =
virtual_alias_maps = {", ".join(tables.aliases)}
virtual_transport = lmtp:unix:{layout.from_postfix(layout.lmtp)}
# An alias of /dev/null leads to a domain of its own, whose mail is discarded.
mailroster_transports = {", ".join(tables.transports)}
transport_maps = $mailroster_transports

"""


def _relays(settings: Settings, tables: Lookups) -> str:
    return f"""\
# The way out. Only the services to relays ever log in, so that no other server is told a password,
# and never in clear. A relay for all is no relayhost: nothing could make an exception to that.
relayhost =
default_transport = {transport(settings.relayhost.replace(",", " ").split())}
sender_dependent_default_transport_maps = {", ".join(tables.relays)}
{_lines(tables.relay_logins)}smtp_sasl_auth_enable = no

"""


def _clients(settings: Settings, layout: Layout, tables: Lookups) -> str:
    """TLS, logins and the protocol."""
    return f"""\
{CHAIN_FILES} = {", ".join(layout.active_certificates(settings))}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtp_tls_security_level = may
smtp_tls_mandatory_protocols = >=TLSv1.2

smtpd_sasl_type = dovecot
smtpd_sasl_path = {layout.from_postfix(layout.auth)}
smtpd_sasl_auth_enable = no
smtpd_sasl_security_options = noanonymous
smtpd_sender_login_maps = {", ".join(tables.sender_logins)}

# Dovecot's LMTP knows no SMTPUTF8, so mail that needs it would be accepted and bounce.
smtputf8_enable = no
smtpd_command_filter = {", ".join(tables.commands)}
smtpd_helo_required = yes
disable_vrfy_command = yes
show_user_unknown_table_name = no
# Only CRLF.CRLF ends a message, and TLS is 1.2 or newer.
{_lines(SAFE)}smtpd_data_restrictions = {DATA_RESTRICTIONS}
"""


def _restrictions(settings: Settings, layout: Layout, tables: Lookups) -> str:
    s = settings
    # Restrictions that refuse come first: one that permits ends the list.
    submission_restrictions = [login_check(layout), *tables.senders]
    if s.spoof_protection:
        # It knows the targets of patterns and domain aliases; the tables contain only names.
        submission_restrictions.append(policy(layout, sender_questions(s)))
        submission_restrictions.append("reject_authenticated_sender_login_mismatch")
    sender_restrictions = tables.senders[:1]
    if s.reject_forged_senders:
        sender_restrictions.append(forged_senders(layout))
    # Our service comes last, since it answers OK for what it has checked. If it gives no answer,
    # Dovecot answers for the mailboxes that it knows by that very name.
    rewritten = [srs.accepted(s, layout)] if s.enable_srs else []
    recipient_restrictions = ["reject_unlisted_recipient", *rewritten, *tables.recipients]
    recipient_restrictions.append(policy(layout, recipient_questions(s)))
    if s.enable_quotas:
        recipient_restrictions.append(quota_status(layout))
    return f"""\
# Strangers are offered no delivery notices.
smtpd_discard_ehlo_keywords = {NOT_OFFERED}
smtpd_sender_restrictions = {", ".join(sender_restrictions)}
submission_sender_restrictions = {", ".join(submission_restrictions)}
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = {", ".join(recipient_restrictions)}
# With Dovecot down for a moment mail goes on; the mailbox itself still refuses what is too much.
smtpd_policy_service_default_action = DUNNO
"""


def _owners(settings: Settings) -> str:
    """With `-` as a delimiter, `owner-list` and `list-request` get no special treatment."""
    return "\nowner_request_special = no" if "-" in settings.recipient_delimiter else ""


def _hidden(settings: Settings) -> str:
    if not settings.hide_client:
        return ""
    return f"""
# Submitted mail loses the address and the program of the client.
{_lines(hidden_headers())}{_lines(submission_checks({}))}"""


def _signed(layout: Layout, signers: Sequence[str]) -> str:
    """The signer of submissions, and of what the server itself sends. Mail from other servers does
    not pass it: it never waits for it, and is never signed."""
    return f"""
# Nothing leaves without its signature: while OpenDKIM is down, it is refused for now, or waits.
{dkim.MILTER} = {dkim.milter(layout, signers)}
{dkim.SUBMISSION_MILTERS} = ${dkim.MILTER}
{dkim.NON_SMTPD} = ${dkim.MILTER}
{dkim.FILTER_CLASSES} = {dkim.OWN_MAIL}
"""


def _filtered(layout: Layout) -> str:
    """The spam filter of mail from other servers. Submissions, and what the server itself sends, do
    not pass it."""
    return f"""
# Mail from other servers never waits for Rspamd: while that is down, mail is accepted without it.
{rspamd.MILTER} = {rspamd.milter(layout)}
{rspamd.MILTERS} = ${rspamd.MILTER}
"""


def _lines(parameters: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in parameters.items())


_SERVICES = """\
# service   type  private unpriv chroot wakeup maxproc command
pickup      unix  n       -      n      60     1       pickup
cleanup     unix  n       -      n      -      0       cleanup
qmgr        unix  n       -      n      300    1       qmgr
tlsmgr      unix  -       -      n      1000?  1       tlsmgr
rewrite     unix  -       -      n      -      -       trivial-rewrite
bounce      unix  -       -      n      -      0       bounce
defer       unix  -       -      n      -      0       bounce
trace       unix  -       -      n      -      0       bounce
verify      unix  -       -      n      -      1       verify
flush       unix  n       -      n      1000?  0       flush
proxymap    unix  -       -      n      -      -       proxymap
proxywrite  unix  -       -      n      -      1       proxymap
smtp        unix  -       -      n      -      100     smtp
relay       unix  -       -      n      -      100     smtp
showq       unix  n       -      n      -      -       showq
error       unix  -       -      n      -      -       error
retry       unix  -       -      n      -      -       error
discard     unix  -       -      n      -      -       discard
lmtp        unix  -       -      n      -      100     lmtp
anvil       unix  -       -      n      -      1       anvil
scache      unix  -       -      n      -      1       scache
postlog     unix-dgram n  -      n      -      1       postlogd
"""


def submission_options(settings: Settings, cleanup: str = CLEANUP, milters: str = "") -> str:
    """Options of an smtpd(8) to which users submit mail. `milters`: the parameter with its milters,
    "" for those of all smtpd(8)."""
    signed = f"  -o smtpd_milters=${milters}\n" if milters else ""
    signed += rspamd.WITHOUT if settings.enable_rspamd else ""
    hidden = f"  -o cleanup_service_name={cleanup}\n" if settings.hide_client else ""
    return f"""\
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o {{ smtpd_client_restrictions = permit_sasl_authenticated, reject }}
  -o {{ smtpd_relay_restrictions = permit_sasl_authenticated, reject }}
  -o smtpd_discard_ehlo_keywords=
{hidden}{signed}"""


def listeners(settings: Settings) -> dict[str, str]:
    """The open ports: the service of master.cf, and the name of the port. With several addresses a
    service has none of its own, and listens on those of inet_interfaces."""
    addresses = [] if settings.is_everywhere() else words(settings.listen)
    prefix = ""
    if len(addresses) == 1:
        prefix = f"[{addresses[0]}]:" if ":" in addresses[0] else f"{addresses[0]}:"
    ports = {name: getattr(settings, f"{name}_port") for name in PORTS[:3]}
    return {f"{prefix}{port}": name for name, port in ports.items() if port}


def master_cf(settings: Settings, *, signs: bool = False) -> str:
    """master.cf: Debian's services, those for relays, and the open ports. `signs`: OpenDKIM
    signs what users submit."""
    s = settings
    milters = dkim.SUBMISSION_MILTERS if signs else ""
    cleanup = f"{cleanup_service(CLEANUP)}\n\n" if s.hide_client else ""
    ports = "".join(_listener(s, service, name, milters) for service, name in listeners(s).items())
    return f"""\
# Written by mailroster: changes made here are lost.
{_SERVICES}
{RELAYED}     unix  -       -      n      -      100     smtp
  -o smtp_sasl_auth_enable=yes
{relay_tls(s)}
{RELAYED_TLS} unix - -  n      -      100     smtp
  -o smtp_sasl_auth_enable=yes
  -o smtp_tls_wrappermode=yes
{relay_tls(s, at_least="encrypt")}

{cleanup}{ports}"""


def _listener(settings: Settings, service: str, name: str, milters: str) -> str:
    """The entry of master.cf for one of our ports."""
    proxied = "  -o smtpd_upstream_proxy_protocol=haproxy\n" if name in settings.proxied() else ""
    entry = f"{service} inet n - n - - smtpd\n{proxied}"
    if name == "smtp":
        return entry
    starttls = name == "submission"
    tls = "smtpd_tls_security_level=encrypt" if starttls else "smtpd_tls_wrappermode=yes"
    return f"""\
{entry}  -o syslog_name=postfix/{name}
  -o {tls}
  -o smtpd_sender_restrictions=$submission_sender_restrictions
{submission_options(settings, milters=milters)}{chr(10) if starttls else ""}"""


def relay_tls(settings: Settings, at_least: str = "") -> str:
    """The options for the TLS level of a relay. `at_least`: the lowest level to use."""
    level = settings.relay_tls_level
    if at_least and level not in RELAY_TLS_LEVELS[1:]:
        level = at_least
    lines = [f"  -o smtp_tls_security_level={level}"]
    if level in RELAY_TLS_LEVELS[2:]:
        lines.append("  -o smtp_tls_CApath=/etc/ssl/certs")
    return "\n".join(lines)
