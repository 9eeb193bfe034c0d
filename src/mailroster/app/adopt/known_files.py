"""The files of a docker-mailserver's config folder, and what becomes of each here."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from mailroster.app.adopt.remark import MISSING, NOTE, OTHER_WAY, Remark, named
from mailroster.base.findings import printable
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.roster.roster import Roster
from mailroster.servers.config.overrides import FILES as OVERRIDES

#: Files in force here beside those of the roster, the Sieve scripts and the overrides.
OURS = ("mailroster.toml", "quota-warning.txt")
ROSTER = tuple(document.format.file for document in Roster())


class Known(NamedTuple):
    """Names with `*` for any text, and what is to be said of the files that have one."""

    names: str
    kind: str  # "" = nothing
    message: str = ""
    hint: str = ""


#: What docker-mailserver reads and this does not, and what may lie about. The first that fits.
KNOWN = (
    Known(".mailroster* *.mailroster-unapplied", ""),
    Known("README* LICENSE* .git* .DS_Store *~ *.bak *.orig *.swp *.svbin *.example *.dist", ""),
    Known("mailserver.env env-mailserver .env compose.y*ml docker-compose*.y*ml", ""),
    Known(
        "opendkim", MISSING, "outgoing mail is not signed with these DKIM keys",
        "run OpenDKIM or Rspamd with them and name it as smtpd_milters in postfix-main.cf",
    ),
    Known(
        "rspamd", MISSING, "there is no Rspamd here, and so no spam filter and no DKIM of its own",
        "run one with these files beside it and name it as smtpd_milters in postfix-main.cf",
    ),
    Known(
        "opendmarc* policyd-spf*", MISSING, "DMARC and SPF of incoming mail are not looked at",
        "run Rspamd beside it and name it as smtpd_milters in postfix-main.cf",
    ),
    Known(
        "amavis.cf spamassassin-* clamav* sa-*", MISSING,
        "mail is not searched for spam and viruses",
        "run Rspamd beside it and name it as smtpd_milters in postfix-main.cf",
    ),
    Known(
        "whitelist_clients* whitelist_recipients* postgrey*", MISSING, "there is no greylisting",
        "run postgrey beside it and name it in postfix-main.cf",
    ),
    Known(
        "fail2ban*", MISSING, "nobody is banned for wrong passwords",
        "run fail2ban on the logs: mail.log and dovecot.log",
    ),
    Known(
        "ldap*", MISSING, "accounts and aliases of an LDAP server are not served",
        "give each an entry in postfix-accounts.cf: 'setup import' takes them from a CSV file",
    ),
    Known(
        "user-patches.sh", OTHER_WAY, "this script is not run",
        "what it sets for the servers goes into postfix-main.cf, postfix-master.cf and dovecot.cf",
    ),
    Known(
        "ssl", NOTE, "its certificate is used with SSL_TYPE=custom or SSL_TYPE=self-signed only",
        "or name it: SSL_CERT_PATH and SSL_KEY_PATH",
    ),
    Known(
        "sieve-filter sieve-pipe sieve-execute", MISSING, "Sieve scripts can't run programs",
        "sort by a Sieve script, or let a program fetch the mail by IMAP",
    ),
    Known(
        "fetchmail* getmail*", MISSING, "no mail is fetched from other servers",
        "run fetchmail or getmail beside it, with delivery by SMTP",
    ),
    Known(
        "*oauth2* auth-*.conf.ext *.lua", MISSING, "nobody logs in but with a password of the folder",
        "give who did an account with a password",
    ),
    Known(
        "logwatch* pflogsumm* logrotate*", MISSING, "no reports are made of the logs",
        "run pflogsumm on mail.log",
    ),
    Known("dhparam* dh*.pem", "", ""),
)  # fmt: skip


def is_config(names: Iterable[str]) -> bool:
    """Whether a folder with files of these names looks like a config folder."""
    sure = {*ROSTER, *OVERRIDES, "opendkim", "user-patches.sh"}
    return any(name in sure or name.endswith(SUFFIX) for name in names)


def remarks(names: Iterable[str]) -> Iterator[Remark]:
    """What is to be said of the files and folders of a config folder, by name."""
    ours = {*ROSTER, *OVERRIDES, *OURS}
    rest = sorted(name for name in names if name not in ours and not name.endswith(SUFFIX))
    found: dict[Known, list[str]] = {}
    strange = []
    for name in rest:
        known = next((known for known in KNOWN if _fits(name, known)), None)
        if known is None:
            strange.append(printable(name))
        elif known.kind:
            found.setdefault(known, []).append(printable(name))
    for known, files in found.items():
        yield Remark(known.kind, named(files), known.message, known.hint)
    near = [(name, like) for name in strange[:1000] if (like := _alike(name))]
    for name, like in near:
        yield Remark(OTHER_WAY, name, "the file is not read", f"rename it if it is to be {like}")
    slips = {name for name, _ in near}
    if strange := [name for name in strange if name not in slips]:
        yield Remark(NOTE, named(strange), "not read here, and nothing of docker-mailserver's")


def _fits(name: str, known: Known) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in known.names.split())


def _alike(name: str) -> str:
    """The file of the folder that a name was to be, "" if there is none."""
    if not name.endswith((".cf", ".txt", ".conf")) and "." in name:
        return ""
    from difflib import get_close_matches

    stem = name.lower().rsplit(".", 1)[0]
    stems = {file.rsplit(".", 1)[0]: file for file in (*ROSTER, *OVERRIDES)}
    return next((stems[like] for like in get_close_matches(stem, stems, 1, 0.88)), "")
