"""The environment variables of docker-mailserver that are no settings of mailroster, each with its
remark. The others are in mailroster.base.settings and have the same effect.
"""

from typing import NamedTuple

from mailroster.app.adopt.remark import FIX, MISSING, NOTE, OTHER_WAY


class Variable(NamedTuple):
    """Variables with one remark."""

    names: str
    idle: str  # values that switch nothing on, besides ""
    kind: str
    message: str
    hint: str
    default: str = ""  # the default of docker-mailserver, if that switches something on
    replaced_by: str = ""  # a variable that replaces it, unless that is empty or 0


_ACCOUNTS = "add each of them to postfix-accounts.cf: 'setup import' reads a CSV file"
_RSPAMD = "set ENABLE_RSPAMD=1 (docs/topics/spam.md)"

VARIABLES = (
    Variable(
        "ACCOUNT_PROVISIONER", "FILE", FIX, "accounts that are not in the files are not served",
        _ACCOUNTS,
    ),
    Variable("ENABLE_LDAP", "0", FIX, "accounts of an LDAP server are not served", _ACCOUNTS),
    Variable(
        "ENABLE_SASLAUTHD", "0", FIX, "users can't log in through saslauthd", _ACCOUNTS,
    ),
    Variable(
        "DOVECOT_MAILBOX_FORMAT", "maildir", FIX, "mailboxes are Maildirs unless an account sets another format",
        "give each account the extra field userdb_mail=FORMAT:MAIL/%d/%n (docs/guide/migrate.md)",
    ),
    Variable(
        "TLS_LEVEL", "modern", OTHER_WAY, "every port needs TLS 1.2 or later",
        "set ssl_min_protocol in dovecot.cf, smtpd_tls_protocols in postfix-main.cf",
    ),
    Variable(
        "RELAY_HOST RELAY_PORT", "25", OTHER_WAY, "this variable is ignored",
        "set DEFAULT_RELAY_HOST=[HOST]:PORT for all mail, or run 'setup relay add-domain' for a domain",
        replaced_by="DEFAULT_RELAY_HOST",
    ),
    Variable(
        "RELAY_USER RELAY_PASSWORD SASL_PASSWD", "", OTHER_WAY, "this variable is ignored",
        "run 'setup relay add-auth DOMAIN USER' for each domain of senders",
    ),
    Variable(
        "PERMIT_DOCKER", "none container", OTHER_WAY, "no client can send without a login",
        "give the sending program an account",
    ),
    Variable(
        "POSTFIX_INET_PROTOCOLS", "all", OTHER_WAY, "this variable is ignored", "set inet_protocols in postfix-main.cf",
    ),
    Variable(
        "DOVECOT_INET_PROTOCOLS", "all", OTHER_WAY, "this variable is ignored",
        "set MAILROSTER_LISTEN, the address on which all ports listen",
    ),
    Variable(
        "POSTFIX_REJECT_UNKNOWN_CLIENT_HOSTNAME", "0", OTHER_WAY, "this variable is ignored",
        "set smtpd_client_restrictions = reject_unknown_client_hostname in postfix-main.cf",
    ),
    Variable(
        "POSTFIX_DAGENT ENABLE_POSTFIX_VIRTUAL_TRANSPORT", "0", OTHER_WAY,
        "mail is delivered to the mailboxes of this server", "set virtual_transport in postfix-main.cf",
    ),
    Variable(
        "SMTP_ONLY", "0", OTHER_WAY, "IMAP, POP3 and ManageSieve are on, too",
        "switch their ports off in mailroster.toml: imap_port = 0, imaps_port = 0, …",
    ),
    Variable(
        "ENABLE_IMAP ENABLE_POP3 ENABLE_MANAGESIEVE", "1", OTHER_WAY, "the service is on",
        "switch its ports off in mailroster.toml: imap_port = 0, imaps_port = 0, …",
    ),
    Variable(
        "LOGROTATE_INTERVAL LOGROTATE_COUNT REPORT_INTERVAL", "", OTHER_WAY, "logs are not rotated",
        "use logrotate for the folder of the logs, with 'postfix logrotate' (docs/guide/operations.md)",
    ),
    Variable(
        "ENABLE_OPENDMARC ENABLE_POLICYD_SPF", "0", MISSING,
        "DMARC and SPF of incoming mail are not checked", _RSPAMD, default="1",
        replaced_by="ENABLE_RSPAMD",
    ),
    Variable(
        "ENABLE_SPAMASSASSIN ENABLE_SPAMASSASSIN_KAM",
        "0", MISSING, "mail is not scanned for spam", _RSPAMD, replaced_by="ENABLE_RSPAMD",
    ),
    Variable(
        "ENABLE_CLAMAV", "0", MISSING, "mail is not scanned for viruses",
        "set ENABLE_RSPAMD=1, and name a ClamAV in rspamd/override.d/antivirus.conf",
    ),
    Variable(
        "ENABLE_RSPAMD_REDIS", "0", OTHER_WAY, "no Redis is started, so Rspamd does not learn",
        "run a Redis, and set MAILROSTER_RSPAMD_REDIS to its HOST:PORT (docs/topics/spam.md)",
    ),
    Variable(
        "RSPAMD_GREYLISTING RSPAMD_LEARN", "0", OTHER_WAY,
        "Rspamd delays suspicious mail, and learns, if it has a Redis",
        "set MAILROSTER_RSPAMD_REDIS to the HOST:PORT of a Redis (docs/topics/spam.md)",
        replaced_by="MAILROSTER_RSPAMD_REDIS",
    ),
    Variable(
        "RSPAMD_HFILTER", "1", OTHER_WAY, "this variable is ignored",
        "write 'disable-module hfilter' into rspamd/custom-commands.conf",
    ),
    Variable(
        "RSPAMD_HFILTER_HOSTNAME_UNKNOWN_SCORE", "6", OTHER_WAY, "this variable is ignored",
        "write the score into rspamd/override.d/hfilter_group.conf",
    ),
    Variable(
        "RSPAMD_NEURAL", "0", OTHER_WAY, "this variable is ignored",
        "write 'enable-module neural' into rspamd/custom-commands.conf",
    ),
    Variable(
        "RSPAMD_CHECK_AUTHENTICATED", "0", MISSING, "what users submit does not pass Rspamd",
        "remove this variable (docs/topics/spam.md)",
    ),
    Variable(
        "MOVE_SPAM_TO_JUNK", "1", OTHER_WAY, "with ENABLE_RSPAMD=1 spam goes to Junk",
        "raise the score of add_header in rspamd/override.d/actions.conf, so that less mail is spam",
    ),
    Variable(
        "MARK_SPAM_AS_READ SPAM_SUBJECT", "0", MISSING, "spam in Junk is unread, and keeps its subject",
        "remove this variable (docs/topics/spam.md)",
    ),
    Variable(
        "FAIL2BAN_BLOCKTYPE", "drop", NOTE, "Dovecot refuses the logins of blocked clients, without a firewall",
        "remove this variable (docs/topics/blocks.md)",
    ),
    Variable(
        "ENABLE_POSTGREY", "0", MISSING, "there is no greylisting",
        "run a separate postgrey and name it in postfix-main.cf",
    ),
    Variable(
        "ENABLE_DNSBL", "0", MISSING, "block lists are not used, and there is no postscreen",
        "add reject_rbl_client to smtpd_client_restrictions in postfix-main.cf",
    ),
    Variable(
        "ENABLE_MTA_STS", "0", MISSING, "policies of MTA-STS are not checked",
        "run a separate postfix-mta-sts-resolver and name it as smtp_tls_policy_maps in postfix-main.cf",
    ),
    Variable(
        "ENABLE_FETCHMAIL ENABLE_GETMAIL", "0", MISSING, "no mail is fetched from other servers",
        "run a separate fetchmail or getmail that delivers by SMTP",
    ),
    Variable(
        "ENABLE_OAUTH2", "0", MISSING, "users log in only with a password from the config folder",
        "give the others an account with a password",
    ),
    Variable(
        "PFLOGSUMM_TRIGGER LOGWATCH_INTERVAL REPORT_RECIPIENT", "none 0", MISSING,
        "no reports of the logs are made", "run pflogsumm on mail.log",
    ),
)  # fmt: skip

#: Details of these variables, or of docker-mailserver's own container: no remark. `*` is any text.
DETAILS = (
    "TZ ONE_DIR NETWORK_INTERFACE SUPERVISOR_LOGLEVEL DMS_DEBUG DMS_CONFIG_POLL ENABLE_UPDATE_CHECK "
    "UPDATE_CHECK_INTERVAL POSTSCREEN_ACTION VIRUSMAILS_DELETE_DELAY ENABLE_AMAVIS AMAVIS_LOGLEVEL "
    "CLAMAV_MESSAGE_SIZE_LIMIT SPAMASSASSIN_SPAM_TO_INBOX PFLOGSUMM_RECIPIENT PFLOGSUMM_SENDER "
    "LOGWATCH_RECIPIENT LOGWATCH_SENDER REPORT_SENDER SA_* POSTGREY_* FETCHMAIL_* GETMAIL_* OAUTH2_* "
    "LDAP_* SASLAUTHD_* DOVECOT_TLS DOVECOT_BASE DOVECOT_DEFAULT_PASS_SCHEME DOVECOT_DN "
    "DOVECOT_DNPASS DOVECOT_URIS DOVECOT_HOSTS DOVECOT_LDAP_VERSION DOVECOT_AUTH_BIND DOVECOT_USER_* "
    "DOVECOT_PASS_*"
)
