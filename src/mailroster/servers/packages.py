"""Debian's packages that the servers need."""

import os

from mailroster.base.findings import Refused
from mailroster.servers.config import sieve_mail

#: Packages, each with a file that it installs.
PACKAGES = {
    "postfix": "/usr/sbin/postfix",
    "postfix-lmdb": "/usr/lib/postfix/postfix-lmdb.so",
    "postfix-pcre": "/usr/lib/postfix/postfix-pcre.so",
    "dovecot-core": "/usr/sbin/dovecot",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-pop3d": "/usr/lib/dovecot/pop3",
    "dovecot-lmtpd": "/usr/lib/dovecot/lmtp",
    "dovecot-sieve": "/usr/lib/dovecot/modules/lib90_sieve_plugin.so",
    "dovecot-managesieved": "/usr/lib/dovecot/managesieve",
    "dovecot-sqlite": "/usr/lib/dovecot/modules/auth/libdriver_sqlite.so",
    "openssl": "/usr/bin/openssl",
    "perl-base": sieve_mail.PERL,
}
#: The packages that the servers of a host need to read the tables.
TABLE_PACKAGES = (
    "postfix", "postfix-lmdb", "postfix-pcre", "dovecot-core", "dovecot-lmtpd", "dovecot-sieve",
    "dovecot-sqlite", "perl-base",
)  # fmt: skip


def check_packages(*packages: str) -> None:
    """Raises Refused if some of PACKAGES are not installed."""
    if missing := [name for name in packages if not os.path.exists(PACKAGES[name])]:
        raise Refused(f"these Debian packages are missing: {' '.join(missing)}; install them")
