"""Classifies the files in the config folder of a docker-mailserver: what mailroster does with each."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from mailroster.app.adopt.remark import MISSING, NOTE, OTHER_WAY, Remark, named
from mailroster.base.findings import printable
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.roster.roster import Roster
from mailroster.servers.config.overrides import FILES as OVERRIDES

#: Files that mailroster reads, besides those of the roster, Sieve scripts and overrides.
OWN_FILES = ("mailroster.toml", "quota-warning.txt")
ROSTER = tuple(document.format.file for document in Roster())


class KnownFiles(NamedTuple):
    """Files with one remark. `names` are patterns with `*` for any text."""

    names: str
    kind: str  # "" = no remark
    message: str = ""
    hint: str = ""


#: Files that docker-mailserver reads and mailroster does not, and usual other files. The first match
#: counts.
KNOWN = (
    KnownFiles(".mailroster* *.mailroster-unapplied", ""),
    KnownFiles("README* LICENSE* .git* .DS_Store *~ *.bak *.orig *.swp *.svbin *.example *.dist", ""),
    KnownFiles("mailserver.env env-mailserver .env compose.y*ml docker-compose*.y*ml", ""),
    KnownFiles("opendkim rspamd", ""),
    KnownFiles(
        "opendmarc* policyd-spf*", MISSING, "DMARC and SPF of incoming mail are not checked",
        "set ENABLE_RSPAMD=1 (docs/topics/spam.md)",
    ),
    KnownFiles(
        "amavis.cf spamassassin-* clamav* sa-*", MISSING,
        "mail is not scanned for spam and viruses",
        "set ENABLE_RSPAMD=1 (docs/topics/spam.md)",
    ),
    KnownFiles(
        "whitelist_clients* whitelist_recipients* postgrey*", MISSING, "there is no greylisting",
        "run a separate postgrey and name it in postfix-main.cf",
    ),
    KnownFiles(
        "fail2ban*", OTHER_WAY, "not read: 'setup block' and ENABLE_FAIL2BAN=1 do without fail2ban",
        "write networks that are never blocked into the setting never_blocked",
    ),
    KnownFiles(
        "ldap*", MISSING, "accounts and aliases of an LDAP server are not served",
        "add each of them to postfix-accounts.cf: 'setup import' reads a CSV file",
    ),
    KnownFiles(
        "user-patches.sh", OTHER_WAY, "this script is not run",
        "move its settings of the servers to postfix-main.cf, postfix-master.cf and dovecot.cf",
    ),
    KnownFiles(
        "ssl", NOTE, "its certificate is used only with SSL_TYPE=custom or SSL_TYPE=self-signed",
        "set SSL_TYPE, or SSL_CERT_PATH and SSL_KEY_PATH",
    ),
    KnownFiles(
        "sieve-filter sieve-pipe sieve-execute", MISSING, "Sieve scripts can't run programs",
        "filter with Sieve alone, or let a program fetch the mail by IMAP",
    ),
    KnownFiles(
        "fetchmail* getmail*", MISSING, "no mail is fetched from other servers",
        "run a separate fetchmail or getmail that delivers by SMTP",
    ),
    KnownFiles(
        "*oauth2* auth-*.conf.ext *.lua", MISSING, "users log in only with a password from the config folder",
        "give the others an account with a password",
    ),
    KnownFiles(
        "logwatch* pflogsumm* logrotate*", MISSING, "no reports of the logs are made",
        "run pflogsumm on mail.log",
    ),
    KnownFiles("dhparam* dh*.pem", "", ""),
)  # fmt: skip


def is_config(names: Iterable[str]) -> bool:
    """Whether a folder with files of these names looks like a config folder."""
    sure = {*ROSTER, *OVERRIDES, "opendkim", "user-patches.sh"}
    return any(name in sure or name.endswith(SUFFIX) for name in names)


def remarks(names: Iterable[str]) -> Iterator[Remark]:
    """The remarks about the names in a config folder."""
    used = {*ROSTER, *OVERRIDES, *OWN_FILES}
    rest = sorted(name for name in names if name not in used and not name.endswith(SUFFIX))
    groups: dict[KnownFiles, list[str]] = {}
    unknown = []
    for name in rest:
        group = next((group for group in KNOWN if _matches(name, group)), None)
        if group is None:
            unknown.append(printable(name))
        elif group.kind:
            groups.setdefault(group, []).append(printable(name))
    for group, files in groups.items():
        yield Remark(group.kind, named(files), group.message, group.hint)
    misspelled = {name: like for name in unknown[:1000] if (like := _similar(name))}
    for name, like in misspelled.items():
        yield Remark(OTHER_WAY, name, "the file is not read", f"rename it if you mean {like}")
    if others := [name for name in unknown if name not in misspelled]:
        message = "not read, neither by mailroster nor by docker-mailserver"
        yield Remark(NOTE, named(others), message)


def _matches(name: str, group: KnownFiles) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in group.names.split())


def _similar(name: str) -> str:
    """The file of a config folder whose name is similar, "" if there is none."""
    if not name.endswith((".cf", ".txt", ".conf")) and "." in name:
        return ""
    from difflib import get_close_matches

    stem = name.lower().rsplit(".", 1)[0]
    stems = {file.rsplit(".", 1)[0]: file for file in (*ROSTER, *OVERRIDES)}
    return next((stems[like] for like in get_close_matches(stem, stems, 1, 0.88)), "")
