"""Where everything of an instance lies below the state folder."""

import os

from mailroster.base.address import split
from mailroster.base.settings import NOTE, ORIGIN, UNTRUSTED, Settings

#: The longest path of a socket that the kernel takes (unix(7): sun_path), and the longest that
#: Dovecot adds to its base_dir.
SOCKET_PATH_MAX = 107
_DOVECOT_SOCKET = "/login/ssl-parameters-longest"

#: In the config folder: the renames of mail folders that are not completed (servers/mailbox_moves).
MOVES = ".mailroster-moves"


class Layout:
    """Paths, all absolute. `kind` is one of settings.LAYOUTS.

    In the layout `system` everything lies below the state folder too, and the servers' own places
    lead there. In the layout `host` the servers are somebody else's, and so are their places.
    """

    def __init__(self, state: str, kind: str = "private") -> None:
        self.state, self.kind = state, kind
        self.tables = os.path.join(state, "tables")
        self.sql = os.path.join(state, "sql")
        self.database = os.path.join(self.sql, "roster.db")
        self.exceptions = os.path.join(self.sql, "exceptions")
        #: The same accounts by the other spellings of their domains, to log in.
        self.spelt_exceptions = os.path.join(self.sql, "exceptions-spelt")
        #: What is served: copies of the files in the config folder, less what is held back.
        self.served = os.path.join(state, "served")
        self.unfinished = os.path.join(self.served, "unfinished")
        #: The version of the tables, and the run of the machine in which they were made.
        self.built = os.path.join(self.served, "built")
        #: Keys that commands changed, but could not put in force.
        self.asked = os.path.join(self.served, "asked")
        self.origin = os.path.join(state, ORIGIN)
        #: There once the names of all folders in the mail are as Dovecot escapes them now.
        self.escaped = os.path.join(state, "folders-escaped")
        #: The setting `recipient_delimiter` for which the tables are made.
        self.delimiters = os.path.join(state, "recipient-delimiter")
        #: The mail folder for which the tables are made.
        self.mail_folder = os.path.join(state, "mail-folder")
        #: The setting postmaster_address for which the tables are made.
        self.postmaster = os.path.join(state, "postmaster")
        #: There while rows are written that lead from one table to another.
        self.changing = os.path.join(self.tables, "changing")
        #: Made anew whenever the quota of a mailbox may be another than before.
        self.limits = os.path.join(self.tables, "limits")
        self.postfix = os.path.join(state, "postfix")
        #: The version of Dovecot for which the tables are made.
        self.dialect = os.path.join(state, "dovecot-version")
        self.dovecot = os.path.join(state, "dovecot")
        self.dovecot_conf = os.path.join(self.dovecot, "dovecot.conf")
        #: The script that Dovecot runs when a mailbox gets full.
        self.quota_warning = os.path.join(self.dovecot, "quota-warning")
        #: Sieve scripts with their binaries: those of everybody, and those of each account.
        self.sieve = os.path.join(state, "sieve")
        self.sieve_accounts = os.path.join(self.sieve, "accounts")
        #: What is in force of a folder's own settings for the servers.
        self.overrides = os.path.join(state, "overrides")
        self.spool = os.path.join(state, "spool")
        self.postfix_data = os.path.join(state, "lib", "postfix")
        self.dovecot_data = os.path.join(state, "lib", "dovecot")
        self.run = os.path.join(state, "run")
        #: Closed to all but the owner of the mail.
        self.warning = os.path.join(self.run, "warning")
        #: What Sieve scripts send leaves by sockets there; closed to all but the mail's group.
        self.sieve_mail = os.path.join(state, "sieve-mail")
        #: The program that speaks to them, and what Dovecot runs behind each.
        self.sieve_sendmail = os.path.join(self.sieve_mail, "sendmail")
        self.sieve_smtpd = os.path.join(self.sieve_mail, "smtpd")
        self.sieve_keep = os.path.join(self.sieve_mail, "keep")
        #: The socket of our policy service.
        self.policy = os.path.join(self.run, "policy")
        #: Pid files, which their processes keep locked: closed to all but root.
        self.locks = os.path.join(state, "locks")
        self.policy_pid = os.path.join(self.locks, "policy.pid")
        #: Where earlier versions had them.
        self.old_policy_pid = os.path.join(state, "policy.pid")
        self.old_up_pid = os.path.join(state, "up.pid")
        #: A main.cf for the user of Postfix, who asks postmap and can't read the real one.
        self.postmap = os.path.join(state, "postmap")
        #: Those of Dovecot's at which Postfix delivers, asks for logins, and for room.
        self.lmtp = os.path.join(self.run, "lmtp")
        self.auth = os.path.join(self.run, "auth-postfix")
        self.quota_status = os.path.join(self.run, "quota-status")
        self.dovecot_pid = os.path.join(self.run, "master.pid")
        #: There while Dovecot is down and was not killed.
        self.stopped = os.path.join(state, "stopped")
        #: The servers' own places, each a link that leads to ours.
        self.links: dict[str, str] = {}
        if kind == "system":
            self.links = {
                "/etc/postfix/main.cf": os.path.join(self.postfix, "main.cf"),
                "/etc/postfix/master.cf": os.path.join(self.postfix, "master.cf"),
                "/etc/dovecot/dovecot.conf": self.dovecot_conf,
            }
        if kind != "private":
            self.dovecot_conf = "/etc/dovecot/dovecot.conf"
        if kind == "host":
            self._of_a_host()
        self.tls = os.path.join(state, "tls")
        #: Says that the layout is `host`, to commands that nobody tells.
        self.note = os.path.join(state, NOTE)
        #: There if the config folder is not trusted, for commands without the environment of `up`.
        self.untrusted = os.path.join(state, UNTRUSTED)
        #: The settings and ports of the servers that run (mailroster.servers.in_force).
        self.in_force = os.path.join(state, "in-force")
        #: The clock when it was believed last (mailroster.system.clock).
        self.clock = os.path.join(state, "clock")
        #: Held locked by `up` as long as it runs; says which process that is.
        self.up_pid = os.path.join(self.locks, "up.pid")

    def _of_a_host(self) -> None:
        """The places of Debian's packages. Their smtpd runs in its queue folder and sees no other,
        so that the sockets are there."""
        self.postfix, self.spool, self.run = "/etc/postfix", "/var/spool/postfix", "/run/dovecot"
        self.dovecot_pid = f"{self.run}/master.pid"
        self.dovecot = "/etc/dovecot/mailroster"
        self.quota_warning = os.path.join(self.state, "quota-warning")
        self.warning = os.path.join(self.state, "warning")
        sockets = f"{self.spool}/private/mailroster"
        self.policy, self.quota_status = f"{sockets}-policy", f"{sockets}-quota-status"
        self.lmtp, self.auth = f"{sockets}-lmtp", f"{sockets}-auth"

    def from_postfix(self, socket: str) -> str:
        """How main.cf names a socket: in the queue folder from there, for who sees no other."""
        return socket.removeprefix(f"{self.spool}/")

    def from_dovecot(self, path: str) -> str:
        """How dovecot.conf names a socket, or a folder of some: in its base_dir from there."""
        return path.removeprefix(f"{self.run}/")

    def table(self, name: str) -> str:
        return os.path.join(self.tables, name)

    def socket_room(self) -> int:
        """How many octets the path of the state folder is too long for sockets; 0 = it is not."""
        return max(0, len(os.fsencode(self.run)) + len(_DOVECOT_SOCKET) - SOCKET_PATH_MAX)

    def dovecot_log(self, settings: Settings) -> str:
        """Where Dovecot writes its log: where the servers have their own places, to Postfix's."""
        return f"{settings.logs}/{'mail.log' if self.kind == 'system' else 'dovecot.log'}"

    def certificate(self, settings: Settings) -> tuple[str, str]:
        """The PEM files of the TLS certificate and its key: those given, or our own."""
        if settings.tls_certificate:
            return settings.tls_certificate, settings.tls_key or settings.tls_certificate
        return os.path.join(self.tls, "cert.pem"), os.path.join(self.tls, "key.pem")


def maildir(address: str) -> str:
    """The folder of a mailbox below the mail folder."""
    user, domain = split(address)
    return f"{domain}/{user}"
