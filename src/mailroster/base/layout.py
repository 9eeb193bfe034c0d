"""The paths of the files of an instance."""

import os
from typing import NamedTuple

from mailroster.base.address import split
from mailroster.base.settings import LAYOUT_FILE, ORIGIN, UNTRUSTED, Settings

#: The longest path of a socket that the kernel accepts (unix(7): sun_path), and the longest name
#: that Dovecot adds to its base_dir.
SOCKET_PATH_MAX = 107
_DOVECOT_SOCKET = "/login/ssl-parameters-longest"

#: In the config folder: the renames of mail folders that are not completed (servers/move_journal).
MOVES = ".mailroster-moves"


class SignerPaths(NamedTuple):
    """The files of one OpenDKIM."""

    folder: str
    conf: str
    key_table: str
    signing_table: str
    pid: str
    socket: str


class Layout:
    """Paths, all absolute. `kind` is one of settings.LAYOUTS.

    `private`: everything is below the state folder. `system`: the same, and the usual places of the
    servers' files are links to ours. `host`: the administrator configures the servers, which have
    their own folders.
    """

    def __init__(self, state: str, kind: str = "private") -> None:
        self.state, self.kind = state, kind
        self._set_tables()
        self._set_table_inputs()
        self._set_server_folders()
        self._set_sockets()
        self._set_markers()
        self._set_process_files()
        self._set_signer()
        self._set_filter()
        self._set_links()
        if kind == "host":
            self._set_host_paths()

    _below = staticmethod(os.path.join)

    def _set_tables(self) -> None:
        self.tables = self._below(self.state, "tables")
        self.sql = self._below(self.state, "sql")
        self.database = self._below(self.sql, "roster.db")
        #: The blocked clients (mailroster.publish.block_table).
        self.blocks = self._below(self.sql, "blocks.db")
        self.exceptions = self._below(self.sql, "exceptions")
        #: The same accounts by the other spellings of their domains, for logins.
        self.spelt_exceptions = self._below(self.sql, "exceptions-spelt")
        #: Those whose password opens some protocols only, for logins: `address/protocol`.
        self.exceptions_by_service = self._below(self.sql, "exceptions-by-service")
        #: The published files: copies of the config files as last published.
        self.served = self._below(self.state, "served")
        self.unfinished = self._below(self.served, "unfinished")
        #: The version of the tables, and the boot of the machine in which they were made.
        self.built = self._below(self.served, "built")
        #: Keys that commands changed and that are not live yet. The name is that of older releases.
        self.intents = self._below(self.served, "asked")
        #: Exists while rows are written that refer to rows of another table.
        self.changing = self._below(self.tables, "changing")
        #: Written again whenever the quota of a mailbox may have changed.
        self.limits = self._below(self.tables, "limits")

    def _set_table_inputs(self) -> None:
        """The values, other than the config files, for which the tables are made."""
        self.origin = self._below(self.state, ORIGIN)
        self.delimiters = self._below(self.state, "recipient-delimiter")
        self.mail_folder = self._below(self.state, "mail-folder")
        self.postmaster = self._below(self.state, "postmaster")
        self.main_services = self._below(self.state, "main-password-services")
        self.dialect = self._below(self.state, "dovecot-version")

    def _set_server_folders(self) -> None:
        self.postfix = self._below(self.state, "postfix")
        self.dovecot = self._below(self.state, "dovecot")
        self.dovecot_conf = self._below(self.dovecot, "dovecot.conf")
        #: The script that Dovecot runs when a mailbox is almost full.
        self.quota_warning = self._below(self.dovecot, "quota-warning")
        #: Sieve scripts with their binaries: the global ones, and those of each account.
        self.sieve = self._below(self.state, "sieve")
        self.sieve_accounts = self._below(self.sieve, "accounts")
        #: The overrides that are in force: settings of the config folder for the servers.
        self.overrides = self._below(self.state, "overrides")
        self.spool = self._below(self.state, "spool")
        self.postfix_data = self._below(self.state, "lib", "postfix")
        self.dovecot_data = self._below(self.state, "lib", "dovecot")
        #: A main.cf for Postfix's user, who runs postmap and can't read the real one.
        self.postmap = self._below(self.state, "postmap")
        self.tls = self._below(self.state, "tls")
        #: The checksum of the certificates that the servers were told to load.
        self.loaded_certificates = self._below(self.tls, "loaded")

    def _set_sockets(self) -> None:
        self.run = self._below(self.state, "run")
        #: Only the owner of the mail can enter.
        self.warning = self._below(self.run, "warning")
        #: The sockets by which messages of Sieve scripts leave; only the mail's group can enter.
        self.sieve_mail = self._below(self.state, "sieve-mail")
        #: The program that connects to them, and what Dovecot runs behind each.
        self.sieve_sendmail = self._below(self.sieve_mail, "sendmail")
        self.sieve_smtpd = self._below(self.sieve_mail, "smtpd")
        self.sieve_keep = self._below(self.sieve_mail, "keep")
        #: The socket of our policy service.
        self.policy = self._below(self.run, "policy")
        #: Dovecot's sockets to which Postfix connects: for delivery, logins and quotas.
        self.lmtp = self._below(self.run, "lmtp")
        self.auth = self._below(self.run, "auth-postfix")
        self.quota_status = self._below(self.run, "quota-status")

    def _set_markers(self) -> None:
        #: Exists once the names of all mail folders have Dovecot's present escapes.
        self.escaped = self._below(self.state, "folders-escaped")
        #: Contains `host` in that layout, for commands without the environment of `up`.
        self.layout_file = self._below(self.state, LAYOUT_FILE)
        #: Exists if the config folder is not trusted, for the same commands.
        self.untrusted = self._below(self.state, UNTRUSTED)
        #: The settings and ports of the running servers (mailroster.servers.in_force).
        self.in_force = self._below(self.state, "in-force")
        #: The last trusted time (mailroster.system.clock).
        self.clock = self._below(self.state, "clock")

    def _set_process_files(self) -> None:
        #: Pid files, which their processes keep locked; only root can enter.
        self.locks = self._below(self.state, "locks")
        self.policy_pid = self._below(self.locks, "policy.pid")
        #: `up` keeps it locked while it runs; it contains the pid.
        self.up_pid = self._below(self.locks, "up.pid")
        #: The pid files of earlier versions.
        self.old_policy_pid = self._below(self.state, "policy.pid")
        self.old_up_pid = self._below(self.state, "up.pid")
        #: The key of the reports of logins, and the last use of each app password.
        self.login_key = self._below(self.locks, "login-reports.key")
        self.last_use = self._below(self.locks, "last-use.db")
        self.dovecot_pid = self._below(self.run, "master.pid")
        #: Exists while Dovecot is down because it was stopped, not killed.
        self.stopped = self._below(self.state, "stopped")

    def _set_signer(self) -> None:
        """The files of OpenDKIM, which exist only if it signs."""
        self.signer_folder = self._below(self.state, "dkim")
        #: Copies of the keys, each readable only by OpenDKIM's user.
        self.signer_keys = self._below(self.signer_folder, "keys")
        #: Its sockets, in a folder that only it and Postfix can enter.
        self.signer_sockets = self._below(self.signer_folder, "run")

        #: The secret of postsrsd, and its pid.
        self.srs_secret = self._below(self.state, "srs-secret")
        self.srs_pid = self._below(self.locks, "postsrsd.pid")

    def signer(self, kind: str) -> SignerPaths:
        """The files of the OpenDKIM for one kind of keys: a process has one algorithm only."""
        folder = self._below(self.signer_folder, kind)
        return SignerPaths(
            folder,
            self._below(folder, "opendkim.conf"),
            self._below(folder, "KeyTable"),
            self._below(folder, "SigningTable"),
            self._below(self.locks, f"opendkim-{kind}.pid"),
            self._below(self.signer_sockets, kind),
        )

    def _set_filter(self) -> None:
        """The files of Rspamd, which exist only if it filters."""
        self.filter_folder = self._below(self.state, "rspamd")
        #: Its configuration, and the copies of the overrides of the config folder.
        self.filter_config = self._below(self.filter_folder, "config")
        self.filter_overrides = self._below(self.filter_config, "override.d")
        #: `setup filter` keeps it locked while it runs.
        self.filter_lock = self._below(self.locks, "filter.pid")
        #: Its own files; it works in this folder.
        self.filter_data = self._below(self.filter_folder, "data")
        self.filter_pid = self._below(self.filter_data, "rspamd.pid")
        #: The milter, in a folder that only it and Postfix can enter.
        self.filter_socket = self._below(self.filter_folder, "run", "milter")
        #: By which it learns, in a folder that only it and the mail's group can enter.
        self.filter_control = self._below(self.filter_folder, "control", "controller")
        #: Sieve scripts of ours for spam, and the program that they run.
        self.spam_sieve = self._below(self.state, "spam-sieve")
        self.spam_programs = self._below(self.spam_sieve, "programs")

    def _set_links(self) -> None:
        """Links from the usual places of the servers' files to ours."""
        self.links: dict[str, str] = {}
        if self.kind == "system":
            self.links = {
                "/etc/postfix/main.cf": self._below(self.postfix, "main.cf"),
                "/etc/postfix/master.cf": self._below(self.postfix, "master.cf"),
                "/etc/dovecot/dovecot.conf": self.dovecot_conf,
            }
        if self.kind != "private":
            self.dovecot_conf = "/etc/dovecot/dovecot.conf"

    def _set_host_paths(self) -> None:
        """The paths of Debian's packages. Their smtpd is chrooted in the queue folder, so the
        sockets are there."""
        self.postfix, self.spool, self.run = "/etc/postfix", "/var/spool/postfix", "/run/dovecot"
        self.dovecot_pid = f"{self.run}/master.pid"
        self.dovecot = "/etc/dovecot/mailroster"
        self.quota_warning = self._below(self.state, "quota-warning")
        self.warning = self._below(self.state, "warning")
        sockets = f"{self.spool}/private/mailroster"
        self.policy, self.quota_status = f"{sockets}-policy", f"{sockets}-quota-status"
        self.lmtp, self.auth = f"{sockets}-lmtp", f"{sockets}-auth"
        # OpenDKIM can't enter `private`.
        self.signer_sockets = f"{self.spool}/mailroster-dkim"
        self.filter_socket = f"{self.spool}/mailroster-rspamd/milter"

    def from_postfix(self, socket: str) -> str:
        """A socket as main.cf names it: relative to the queue folder, for a chrooted service."""
        return socket.removeprefix(f"{self.spool}/")

    def from_dovecot(self, path: str) -> str:
        """A socket, or a folder of sockets, as dovecot.conf names it: relative to base_dir."""
        return path.removeprefix(f"{self.run}/")

    def table(self, name: str) -> str:
        return os.path.join(self.tables, name)

    def socket_room(self) -> int:
        """How many octets the path of the state folder is too long for sockets; 0 if it fits."""
        return max(0, len(os.fsencode(self.run)) + len(_DOVECOT_SOCKET) - SOCKET_PATH_MAX)

    def dovecot_log(self, settings: Settings) -> str:
        """Dovecot's log file; in the layout `system` the same as Postfix's."""
        return f"{settings.logs}/{'mail.log' if self.kind == 'system' else 'dovecot.log'}"

    def certificates(self, settings: Settings) -> list[tuple[str, str]]:
        """The files of each TLS certificate and its key: those of the settings, or our own."""
        s = settings
        if not s.tls_certificate:
            return [(self._below(self.tls, "cert.pem"), self._below(self.tls, "key.pem"))]
        pairs = [(s.tls_certificate, s.tls_key or s.tls_certificate)]
        if s.tls_alt_certificate:
            pairs.append((s.tls_alt_certificate, s.tls_alt_key or s.tls_alt_certificate))
        return pairs

    def active_certificates(self, settings: Settings) -> list[str]:
        """The copies of these that the servers read: PEM files with a key and certificates."""
        names = ("active.pem", "active-alt.pem")[: len(self.certificates(settings))]
        return [self._below(self.tls, name) for name in names]


def maildir(address: str) -> str:
    """The folder of a mailbox below the mail folder."""
    user, domain = split(address)
    return f"{domain}/{user}"
