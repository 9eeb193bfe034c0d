"""Where everything of an instance lies below the state folder."""

import os

from mailroster.settings import Settings

#: The longest path of a socket that the kernel takes (unix(7): sun_path), and the longest that
#: Dovecot adds to its base_dir.
SOCKET_PATH_MAX = 107
_DOVECOT_SOCKET = "/login/ssl-parameters-longest"


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
        #: What is served: copies of the files in the config folder, less what is held back.
        self.served = os.path.join(state, "served")
        self.unfinished = os.path.join(self.served, "unfinished")
        #: The version of the tables, and the run of the machine in which they were made.
        self.built = os.path.join(self.served, "built")
        #: Keys that commands changed, but could not put in force.
        self.asked = os.path.join(self.served, "asked")
        self.origin = os.path.join(state, "origin")
        self.postfix = os.path.join(state, "postfix")
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
        #: The socket of our policy service, and its pid file, which it keeps locked.
        self.policy = self._socket("policy")
        self.policy_pid = os.path.join(state, "policy.pid")
        #: Those of Dovecot's at which Postfix delivers, asks for logins, and for room.
        self.lmtp = self._socket("lmtp")
        self.auth = self._socket("auth-postfix")
        self.quota_status = self._socket("quota-status")
        self.dovecot_pid = os.path.join(self.run, "master.pid")
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
            self.postfix, self.spool = "/etc/postfix", "/var/spool/postfix"
            self.dovecot_pid = "/run/dovecot/master.pid"
        self.tls = os.path.join(state, "tls")
        #: Held locked by `up` as long as it runs; says which process that is.
        self.up_pid = os.path.join(state, "up.pid")

    def _socket(self, name: str) -> str:
        """The path of a socket between Postfix and others."""
        return os.path.join(self.run, name)

    def from_postfix(self, socket: str) -> str:
        """How Postfix names a socket."""
        return socket

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
