"""The settings: an option takes precedence over the environment, the environment over
`mailroster.toml` in the config folder, and that over the default.

Every variable may have `__FILE` behind its name: then it names a file that contains the value.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mailroster.base.findings import Refused, UsageError, printable
from mailroster.base.setting_rules import PORTS, fault, is_everywhere, proxied, words

HOME = "docker-data/dms"
CONTAINER_CONFIG = "/tmp/docker-mailserver"
HOST_CONFIG = "/etc/mailroster"
#: In the state folder: the layout of its tables, if that is `host`; and their domain.
LAYOUT_FILE, ORIGIN = "layout", "origin"
#: In the state folder: exists if `up` was started with `trust_config` off, so that commands without
#: its environment do not trust the config folder either.
UNTRUSTED = "config-not-trusted"
TOML = "mailroster.toml"
#: The sources of the name of the machine (hosts(5), uname(2)), and the domain if it has none.
HOSTS, DOMAIN_NAME, NO_DOMAIN = "/etc/hosts", "/proc/sys/kernel/domainname", "localdomain"
#: The port for reports of logins, if another setting needs them and none is set.
REPORTS_PORT = 940
#: The folder of certbot, with a folder for each domain.
LETS_ENCRYPT = "/etc/letsencrypt/live"
#: The file in which Traefik keeps its certificates, where docker-mailserver expects it.
ACME_JSON = "/etc/letsencrypt/acme.json"


class UnsafeDefault(Refused):
    """A default folder exists, but another user could have filled it."""


class Setting(NamedTuple):
    """One setting. The type of its default is its type."""

    name: str
    variable: str  # "" = not from the environment
    default: str | int | bool
    help: str


FOLDERS = (
    Setting("home", "MAILROSTER_HOME", HOME, "holds all the folders below"),
    Setting("config", "MAILROSTER_CONFIG", "config", "the config files: the only source of truth"),
    Setting("mail", "MAILROSTER_MAIL", "mail-data", "DOMAIN/USER/ Maildirs"),
    Setting("state", "MAILROSTER_STATE", "mail-state", "tables, queue, sockets"),
    Setting("logs", "MAILROSTER_LOGS", "mail-logs", "logs"),
)
#: A folder too, but without a default.
OVERLAY = Setting("overlay", "MAILROSTER_OVERLAY", "", "stores changes if `config` is read-only")
#: Not accepted from `mailroster.toml`: other users may be able to write the config folder.
LINKED = Setting(
    "linked_folders", "MAILROSTER_LINKED_FOLDERS", "",
    "folders outside `config` to which links in it may lead: absolute paths, separated by colons or commas; not in mailroster.toml",
)  # fmt: skip
_IN_CONTAINER = {
    "config": CONTAINER_CONFIG,
    "mail": "/var/mail",
    "state": "/var/mail-state",
    "logs": "/var/log/mail",
}

#: Replaces a default folder that is missing and that another user could create: only root can
#: create this one, so nothing is read from it (Debian's home of users without a home).
NOWHERE = "/nonexistent"

#: The default folders if /etc/mailroster exists, without a home and outside containers.
_ON_HOST = {
    "config": HOST_CONFIG,
    "mail": "/var/mail/vhosts",  # as in Postfix's VIRTUAL_README
    "state": "/var/lib/mailroster",
    "logs": "/var/log/mailroster",
}

SETTINGS = (
    Setting("layout", "MAILROSTER_LAYOUT", "", "the paths and ports of the servers: private, system or host; if empty, detected from the folders"),
    Setting("hostname", "OVERRIDE_HOSTNAME", "", "name of the server; if empty, the name of the machine. On a host: Postfix's $myorigin"),
    Setting("listen", "MAILROSTER_LISTEN", "127.0.0.1", "addresses on which all ports listen, or * for all"),
    Setting("smtp_port", "", 10025, "SMTP, from other servers; each port: 0 switches it off"),
    Setting("submission_port", "", 10587, "submission with STARTTLS"),
    Setting("submissions_port", "", 10465, "submission with TLS"),
    Setting("imap_port", "", 10143, "IMAP with STARTTLS"),
    Setting("imaps_port", "", 10993, "IMAP with TLS"),
    Setting("pop3_port", "", 10110, "POP3 with STARTTLS"),
    Setting("pop3s_port", "", 10995, "POP3 with TLS"),
    Setting("sieve_port", "", 14190, "ManageSieve"),
    Setting("recipient_delimiter", "RECIPIENT_DELIMITER", "+", "what begins the extension of an address: one or more of +-_=, or none"),
    Setting("proxy_protocol", "MAILROSTER_PROXY_PROTOCOL", "", "ports behind a load balancer that speaks the PROXY protocol: smtp, submission, …, sieve, or all"),
    Setting("trusted_proxies", "MAILROSTER_TRUSTED_PROXIES", "", "addresses and networks of these load balancers"),
    Setting("enable_quotas", "ENABLE_QUOTAS", True, "whether quotas are enforced"),
    Setting("spoof_protection", "SPOOF_PROTECTION", False, "users may send only as their own addresses and aliases"),
    Setting("spoof_catch_all", "SPOOF_CATCH_ALL", False, "a catch-all counts as an alias for sending, too"),
    Setting("reject_forged_senders", "REJECT_FORGED_SENDERS", False, "refuse mail from outside whose sender is in a served domain"),
    Setting("hide_client", "HIDE_CLIENT", True, "remove the address and the program of the client from submitted mail"),
    Setting("enable_opendkim", "ENABLE_OPENDKIM", True, "sign outgoing mail with the DKIM keys of the config folder; with enable_rspamd they always sign (docs/topics/dkim.md)"),
    Setting("enable_rspamd", "ENABLE_RSPAMD", False, "filter mail from other servers for spam by Rspamd (docs/topics/spam.md)"),
    Setting("rspamd_process", "MAILROSTER_RSPAMD_PROCESS", True, "whether `up` runs Rspamd; if not, `setup filter` runs it, as in a container of its own"),
    Setting("rspamd_redis", "MAILROSTER_RSPAMD_REDIS", "", "Redis in which Rspamd keeps what it learns: host:port, or the path of a socket; if empty, it does not learn"),
    Setting("enable_srs", "ENABLE_SRS", False, "rewrite the senders of other domains (SRS), so that forwarded mail passes SPF (docs/topics/srs.md)"),
    Setting("srs_exclude_domains", "SRS_EXCLUDE_DOMAINS", "", "more domains whose senders are not rewritten, separated by commas"),
    Setting("srs_domain", "SRS_DOMAINNAME", "", "domain of the rewritten senders; if empty, the name of the server"),
    Setting("srs_sender_classes", "SRS_SENDER_CLASSES", "envelope_sender", "what is rewritten: envelope_sender, header_sender, or both separated by a comma"),
    Setting("srs_secret", "SRS_SECRET", "", "secrets of the rewritten addresses, separated by commas: the first one signs, all of them verify; if empty, one is generated"),
    Setting("srs_forward_port", "", 941, "port of postsrsd on 127.0.0.1, for senders"),
    Setting("srs_reverse_port", "", 942, "port of postsrsd on 127.0.0.1, for recipients"),
    Setting("postmaster_address", "POSTMASTER_ADDRESS", "", "receives mail to postmaster@ and abuse@ of every domain, and to root"),
    Setting("mailbox_size_limit", "POSTFIX_MAILBOX_SIZE_LIMIT", 0, "default quota in bytes; 0: unlimited"),
    Setting("full_text_search", "FULL_TEXT_SEARCH", False, "index the text of all mail, so that searches are quick (docs/topics/search.md)"),
    Setting("trash_room", "TRASH_ROOM", "50M", "extra room for the folder Trash beyond the quota, so that a full mailbox can be emptied; 0: none"),
    Setting("quota_warnings", "QUOTA_WARNINGS", "80,95", "percentages of the quota at which the owner gets a warning by mail, or none"),
    Setting("message_size_limit", "POSTFIX_MESSAGE_SIZE_LIMIT", 10240000, "largest message in bytes"),
    Setting("relayhost", "DEFAULT_RELAY_HOST", "", "server that relays mail to other domains: [host]:port"),
    Setting("relay_tls_level", "", "may", "TLS to relays: may, encrypt, verify or secure"),
    Setting("logs_to_stdout", "MAILROSTER_LOGS_TO_STDOUT", False, "whether `up` also prints the logs of the servers"),
    Setting("dns_server", "MAILROSTER_DNS_SERVER", "", "DNS server for questions about your own records: an IP address, or address:port; if empty those of /etc/resolv.conf"),
    Setting("log_level", "LOG_LEVEL", "info", "error, warn, info, debug or trace"),
    Setting("vmail_uid", "DMS_VMAIL_UID", 5000, "uid of the mail"),
    Setting("vmail_gid", "DMS_VMAIL_GID", 5000, "gid of the mail"),
    Setting("password_scheme", "PASSWORD_SCHEME", "SHA512-CRYPT", "scheme of new hashes: SHA512-CRYPT, BLF-CRYPT or ARGON2ID"),
    Setting("password_cost", "PASSWORD_COST", "", "cost of new hashes: 100000, 12 or t=3,m=65536; if empty, the default of the scheme"),
    Setting("password_min_length", "PASSWORD_MIN_LENGTH", 1, "minimum length of a new password in characters"),
    Setting("main_password_services", "MAIN_PASSWORD_SERVICES", "imap,smtp,pop3,sieve", "the protocols that the passwords of accounts open, or none: then only app passwords do (docs/topics/app-passwords.md)"),
    Setting("login_reports_port", "LOGIN_REPORTS_PORT", 0, "port of 127.0.0.1 to which Dovecot reports logins, so that the last use of app passwords is known; 0: off, or 940 if block_guessing is on"),
    Setting("block_guessing", "ENABLE_FAIL2BAN", False, "block clients that guess passwords (docs/topics/blocks.md)"),
    Setting("never_blocked", "NEVER_BLOCKED", "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10, fc00::/7, fe80::/10", "addresses and networks that are never blocked automatically, or none"),
    Setting("password_refused", "PASSWORD_REFUSED", "", "file of refused passwords, one on each line; relative to the config folder"),
    Setting("tls_certificate", "SSL_CERT_PATH", "", "PEM file, or Traefik's acme.json; if empty, a self-signed one is created at the first start"),
    Setting("tls_key", "SSL_KEY_PATH", "", "PEM file of the key"),
    Setting("tls_alt_certificate", "SSL_ALT_CERT_PATH", "", "PEM file of a second certificate, of another type: one RSA, one ECDSA"),
    Setting("tls_alt_key", "SSL_ALT_KEY_PATH", "", "PEM file of its key"),
    Setting("tls_type", "SSL_TYPE", "", "source of the certificate if tls_certificate is empty: letsencrypt, custom, self-signed or manual"),
    Setting("tls_domain", "SSL_DOMAIN", "", "domain of the certificate from letsencrypt, if it is not the name of the server"),
    Setting("trust_config", "MAILROSTER_TRUST_CONFIG", True, "whether mailroster.toml, postfix-main.cf, postfix-master.cf and dovecot.cf in the config folder are used"),
    Setting("index_from_bytes", "", 1 << 18, "size in bytes from which on a config file gets an index"),
    LINKED,
    Setting("settle_seconds", "", 1, "how long the removal of an entry by hand waits"),
    Setting("history_bytes", "", 1 << 22, "maximum size of the history in bytes; 0: no history"),
)  # fmt: skip

#: Settings of the trust in the config folder, which the folder itself can't set.
NOT_IN_TOML = frozenset({"trust_config", "linked_folders"})
#: Paths of files for the servers.
_PATHS = ("tls_certificate", "tls_key", "tls_alt_certificate", "tls_alt_key")
#: Settings with several values, which may be a list in mailroster.toml.
_LISTS = frozenset(
    ("listen", "main_password_services", "never_blocked", "proxy_protocol", "trusted_proxies")
)
LAYOUTS = ("private", "system", "host")
#: Defaults of the layout `system`, and of `host`, where they describe the servers of the host.
SYSTEM: Mapping[str, str | int] = {
    "listen": "*", "smtp_port": 25, "submission_port": 587, "submissions_port": 465,
    "imap_port": 143, "imaps_port": 993, "pop3_port": 110, "pop3s_port": 995, "sieve_port": 4190,
}  # fmt: skip


class Settings(NamedTuple):
    """Every setting, with absolute paths of the folders. Field names are those of SETTINGS. With an
    overlay `config` is the overlay, and `source` is the folder of the setting `config`."""

    config: str
    mail: str
    state: str
    logs: str
    source: str  # "" = no overlay
    layout: str
    hostname: str
    listen: str
    smtp_port: int
    submission_port: int
    submissions_port: int
    imap_port: int
    imaps_port: int
    pop3_port: int
    pop3s_port: int
    sieve_port: int
    recipient_delimiter: str  # "" = addresses have no extensions
    proxy_protocol: str
    trusted_proxies: str
    enable_quotas: bool
    spoof_protection: bool
    spoof_catch_all: bool
    reject_forged_senders: bool
    hide_client: bool
    enable_opendkim: bool
    enable_rspamd: bool
    rspamd_process: bool
    rspamd_redis: str
    enable_srs: bool
    srs_exclude_domains: str
    srs_domain: str
    srs_sender_classes: str
    srs_secret: str
    srs_forward_port: int
    srs_reverse_port: int
    postmaster_address: str
    mailbox_size_limit: int
    full_text_search: bool
    trash_room: str
    quota_warnings: str
    message_size_limit: int
    relayhost: str
    relay_tls_level: str
    logs_to_stdout: bool
    dns_server: str
    log_level: str
    vmail_uid: int
    vmail_gid: int
    password_scheme: str
    password_cost: str
    password_min_length: int
    main_password_services: str
    login_reports_port: int
    block_guessing: bool
    never_blocked: str
    password_refused: str
    tls_certificate: str
    tls_key: str
    tls_alt_certificate: str
    tls_alt_key: str
    tls_type: str
    tls_domain: str
    trust_config: bool
    index_from_bytes: int
    linked_folders: str
    settle_seconds: int
    history_bytes: int

    def reports_port(self) -> int:
        """The port to which Dovecot reports logins; 0 if no feature needs the reports."""
        return self.login_reports_port or (REPORTS_PORT if self.block_guessing else 0)

    def signs(self) -> bool:
        """Whether the keys for DKIM sign. docker-mailserver with Rspamd has ENABLE_OPENDKIM=0, since
        its Rspamd signs; here the same keys sign by OpenDKIM."""
        return self.enable_opendkim or self.enable_rspamd

    def linked(self) -> tuple[str, ...]:
        """The folders of the setting `linked_folders`."""
        return linked_folders(self.linked_folders)

    def names_certificate(self) -> bool:
        """Whether these settings name a TLS certificate, or a part of one."""
        alternative = self.tls_alt_certificate or self.tls_alt_key
        return bool(self.tls_certificate or self.tls_key or self.tls_type or alternative)

    def is_everywhere(self) -> bool:
        """Whether the ports listen on every address of the machine."""
        return is_everywhere(self.listen)

    def near(self) -> tuple[str, ...]:
        """The addresses at which this machine can reach the ports, in the order of `listen`."""
        if self.listen == "::":
            return ("::1",)
        return ("127.0.0.1",) if self.is_everywhere() else tuple(words(self.listen))

    def proxied(self) -> frozenset[str]:
        """The ports of `proxy_protocol`, by the names of setting_rules.PORTS."""
        return proxied(self.proxy_protocol)


class Sources(NamedTuple):
    """The sources of settings. `read` returns the bytes of a file, none if it does not exist.

    `fault` takes the path of a default folder and whether its owner matters. It returns why the
    folder is not safe, and whether it exists (folder_trust.judge). Folders from the command line
    or the environment are not checked."""

    options: Mapping[str, str]  # by the name of the setting
    environment: Mapping[str, str]
    read: Callable[[str], bytes]
    is_folder: Callable[[str], bool]
    fault: Callable[[str, bool], tuple[str, bool]] = lambda path, owned: ("", True)
    in_container: Callable[[], bool] = lambda: False
    is_mount: Callable[[str], bool] = lambda path: False
    is_file: Callable[[str], bool] = lambda path: False
    #: Reads a file of a config folder: takes the folder, the file, and `linked_folders`.
    read_there: Callable[[str, str, Sequence[str]], bytes] | None = None
    #: The name of the machine (uname(2)), and the folder from which relative paths count.
    node: str = "localhost"
    folder: Callable[[], str] = lambda: "/"

    def absolute(self, path: str) -> str:
        return os.path.normpath(path if path[:1] == "/" else os.path.join(self.folder(), path))

    def toml(self, config: str) -> bytes:
        """The bytes of `mailroster.toml`. Raises OSError or UsageError."""
        if self.read_there is None:
            return self.read(os.path.join(config, TOML))
        return self.read_there(config, TOML, linked_folders(self.given(LINKED) or ""))

    def are_of_a_container(self) -> bool:
        """Whether the default folders are those of a container: this is a container, no home is
        set, and only these folders exist."""
        if self.given(FOLDERS[0]) or self.is_folder(HOME):
            return False
        return self.is_folder(CONTAINER_CONFIG) and self.in_container()

    def are_of_a_host(self) -> bool:
        """Whether the default folders are those of a host with its own servers: its config folder
        is set, or exists without the other default folders."""
        if self.given(FOLDERS[0]):
            return False
        if config := self.given(FOLDERS[1]):
            return os.path.normpath(config) == HOST_CONFIG
        others = self.is_folder(HOME) or self.are_of_a_container()
        return not others and self.is_folder(HOST_CONFIG)

    def given(self, setting: Setting) -> str | None:
        """The value of a setting from the options or the environment; None if that is empty."""
        variable = setting.variable
        if value := self.options.get(setting.name) or self.environment.get(variable):
            return value
        path = self.environment.get(f"{variable}__FILE") if variable else ""
        if not path:
            return None
        try:
            if raw := self.read(path):
                return raw.decode("utf-8-sig").strip()
            raise UsageError(printable(f"{setting.variable}__FILE: {path} is missing or empty"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(printable(f"{setting.variable}__FILE: {path}: {error}")) from None


def config_folders(sources: Sources) -> tuple[str, str]:
    """The fields `config` and `source` of the settings, needed to read `mailroster.toml`. Raises
    UsageError and UnsafeDefault."""
    folders = _folders(sources)
    named = sources.absolute(folders["config"])
    if "config" in _defaults(sources) and not _is_mounted_config(named, sources):
        _check_config(named, sources)
    overlay = sources.options.get("overlay")
    # An overlay from the environment belongs to the config folder from the environment.
    if not overlay and not (sources.options.get("config") or sources.options.get("home")):
        overlay = sources.given(OVERLAY)
    if not overlay:
        return named, ""
    if any(char < " " for char in overlay):
        raise UsageError("overlay: the path has a control character")
    overlay = sources.absolute(overlay)
    if named == overlay:
        raise UsageError(f"overlay: {overlay} is the config folder itself; use another folder")
    return overlay, named


def load(sources: Sources) -> Settings:
    """The settings in force. Raises UsageError for an unknown name or an invalid value, and
    UnsafeDefault for a default folder that other users could write."""
    config, source = config_folders(sources)
    trusted = _trusts_config(_folders(sources)["state"], sources)
    toml = _toml(config, sources) if trusted else {}
    _check_toml(toml)
    values: dict[str, Any] = _values(sources, toml, source or config)
    values |= {
        **_folder_paths(sources, toml),
        "config": config,
        "source": source,
        "trust_config": trusted,
    }
    values["layout"] = _layout(values["layout"], values["state"], sources)
    if values["layout"] != "private":
        given = [s.name for s in SETTINGS if s.name in toml or sources.given(s) is not None]
        values |= {name: value for name, value in SYSTEM.items() if name not in given}
    if values["layout"] == "host":
        values["hostname"] = _line(os.path.join(values["state"], ORIGIN), sources.read)
    values["hostname"] = _hostname(values["hostname"], sources.node, sources.read)
    values["recipient_delimiter"] = values["recipient_delimiter"].removeprefix("none")
    default = "127.0.0.1" if values["layout"] == "private" else SYSTEM["listen"]
    values["listen"] = ", ".join(words(values["listen"])) or default
    if values["tls_type"] and not values["tls_certificate"]:
        domain, folder = values["tls_domain"], source or config
        values |= _certificate(values["tls_type"], domain, values, folder, sources)
    percentages(values["quota_warnings"])
    linked_folders(values["linked_folders"])
    _check_ports(values)
    return Settings(**values)


def _check_toml(toml: Mapping[str, Any]) -> None:
    """Raises UsageError for a name that is not allowed in mailroster.toml, or a value of a type
    that no setting has."""
    folders = {setting.name for setting in FOLDERS[2:]}
    known = folders | {setting.name for setting in SETTINGS}
    for name, value in toml.items():
        if name in NOT_IN_TOML:
            variable = next(setting.variable for setting in SETTINGS if setting.name == name)
            why = f"{name!r} can't be set in the config folder itself; set {variable} instead"
            raise UsageError(f"{TOML}: {why}")
        if name not in known:
            raise UsageError(f"{TOML}: unknown setting {name!r}")
        is_list = name in _LISTS and isinstance(value, list) and all(type(v) is str for v in value)
        if is_list:
            continue
        if not isinstance(value, str | int) or (name in folders and not isinstance(value, str)):
            raise UsageError(f"{TOML}: {name!r} can't have the type {type(value).__name__}")
        if isinstance(value, int) and value.bit_length() > 63:
            raise UsageError(f"{TOML}: the number of {name!r} is too large")


def _values(sources: Sources, toml: Mapping[str, Any], config: str) -> dict[str, str | int | bool]:
    """The value of every setting that is not a folder. A relative path in mailroster.toml is
    relative to the config folder. Raises UsageError."""
    values = {}
    for setting in SETTINGS:
        text = sources.given(setting)
        if text is None and setting.name in toml:
            value = toml[setting.name]
            text = ", ".join(value) if isinstance(value, list) else str(value)
            if text and setting.name in _PATHS:
                text = os.path.normpath(os.path.join(config, text))
        values[setting.name] = setting.default if text is None else _checked(setting, text)
    return values


def _folder_paths(sources: Sources, toml: Mapping[str, Any]) -> dict[str, str]:
    """The folders as absolute paths. Checks the default folders, except the config folder: that was
    checked before its mailroster.toml was read. Raises UsageError and UnsafeDefault."""
    folders, defaults = _folders(sources), _defaults(sources) - {"config"}
    for setting in FOLDERS[2:]:
        if setting.name in toml and not (sources.given(setting) or sources.given(FOLDERS[0])):
            folders[setting.name] = os.path.join(folders["config"], toml[setting.name])
            defaults -= {setting.name}
    for name, path in folders.items():
        if any(char < " " for char in path):
            raise UsageError(f"{name}: the path has a control character")
    paths = {name: sources.absolute(path) for name, path in folders.items()}
    for name in sorted(defaults):
        paths[name] = _safe(name, paths[name], sources)
    return paths


def _hostname(given: str, machine: str, read: Callable[[str], bytes]) -> str:
    """The name of the server in lower case: from the setting, or the full name of the machine.
    Raises UsageError."""
    name = given or full_name(machine, read)
    if "." not in name and not given:
        name = f"{name}.{NO_DOMAIN}"
    if error := fault("hostname", name):
        hint = "" if given else ", the name of this machine; set OVERRIDE_HOSTNAME"
        raise UsageError(printable(error + hint))
    return name.lower()


def full_name(machine: str, read: Callable[[str], bytes]) -> str:
    """The full name of a machine, as `hostname -f` prints it: from /etc/hosts (hosts(5)), else with
    the domain name of the kernel. It does not query DNS, which could take long."""
    if "." in machine:
        return machine
    short = machine.lower()
    for line in _text(HOSTS, read).splitlines():
        names = [name.lower() for name in line.partition("#")[0].split()[1:]]
        names = [name for name in names if name.partition(".")[0] != "localhost"]
        if short in names:
            for name in names:
                if name.startswith(f"{short}.") or (name == names[0] and "." in name):
                    return name
    domain = _text(DOMAIN_NAME, read).strip()
    return machine if domain in ("", "(none)") else f"{machine}.{domain}"


def name_warning(hostname: str) -> str:
    """A warning if other servers may refuse mail because of the name of this server, or ""."""
    if "." in hostname and not hostname.endswith(f".{NO_DOMAIN}"):
        return ""
    return (
        f"warning: the name of the server, {hostname}, has no domain, and many servers refuse mail "
        "from such a name; set hostname (OVERRIDE_HOSTNAME) to a full name like mail.example.com"
    )


def relay_warning(relayhost: str) -> str:
    """A warning for a relayhost with a port and without brackets, or "": hardly anyone wants the MX
    of a domain then (postconf(5), relayhost)."""
    for word in words(relayhost):
        host, colon, port = word.rpartition(":")
        if colon and word[0] != "[":
            return (
                f"warning: relayhost {word} has no brackets, so Postfix sends to the mail servers "
                f"(MX) of that domain; write [{host}]:{port} for the host itself"
            )
    return ""


def _certificate(
    kind: str, domain: str, values: Mapping[str, Any], config: str, sources: Sources
) -> dict[str, str]:
    """The paths of the certificate and its key for a `tls_type`, as docker-mailserver has them."""
    host = values["hostname"]
    if kind == "manual":  # the paths are settings of their own
        return {}
    if kind == "custom":
        both = os.path.join(config, "ssl", f"{host}-full.pem")
        return {"tls_certificate": both, "tls_key": both}
    if kind == "self-signed":
        pair = [os.path.join(config, "ssl", f"{host}-{part}.pem") for part in ("cert", "key")]
        return {"tls_certificate": pair[0], "tls_key": pair[1]}
    if sources.is_file(ACME_JSON):
        return {"tls_certificate": ACME_JSON, "tls_key": ACME_JSON}
    names = [domain.removeprefix("*."), host, host.partition(".")[2]]
    folders = [os.path.join(LETS_ENCRYPT, name) for name in names if name]
    folder = next((folder for folder in folders if sources.is_folder(folder)), folders[0])
    keys = [os.path.join(folder, name) for name in ("privkey.pem", "key.pem")]
    key = next((key for key in keys if sources.is_file(key)), keys[0])
    return {"tls_certificate": os.path.join(folder, "fullchain.pem"), "tls_key": key}


def _check_ports(values: Mapping[str, Any]) -> None:
    """Raises UsageError if two services have the same port: the servers could not start."""
    seen: dict[int, str] = {}
    for name in (f"{port}_port" for port in PORTS):
        port = values[name]
        if port and (other := seen.setdefault(port, name)) != name:
            raise UsageError(f"{name}: {port} is already the {other}; set another port")


def _trusts_config(state: str, sources: Sources) -> bool:
    """The setting `trust_config`: as given, else as `up` wrote it to the state folder. `state` is
    the state folder without mailroster.toml, which could name another one."""
    setting = next(setting for setting in SETTINGS if setting.name == "trust_config")
    text = sources.given(setting)
    if text is not None:
        return bool(_checked(setting, text))
    return not _line(os.path.join(state, UNTRUSTED), sources.read)


def linked_folders(text: str) -> tuple[str, ...]:
    """The setting `linked_folders` as absolute paths. Raises UsageError."""
    folders = tuple(word for word in text.replace(",", ":").split(":") if word)
    for folder in folders:
        if not os.path.isabs(folder) or not os.path.normpath(folder).strip("/"):
            raise UsageError(
                f"linked_folders: {folder!r} is not the absolute path of a folder below /"
            )
    return folders


def percentages(text: str) -> tuple[int, ...]:
    """The setting `quota_warnings` as numbers from 1 to 100, the largest first. Raises
    UsageError."""
    words = text.replace(",", " ").split()
    if words == ["none"]:
        return ()
    for word in words:
        if not (word.isascii() and word.isdecimal() and len(word) < 4 and 1 <= int(word) <= 100):
            hint = "write numbers from 1 to 100 with commas between, or none"
            raise UsageError(f"quota_warnings: {word!r} is not a percentage; {hint}")
    return tuple(sorted({int(word) for word in words}, reverse=True))


def _layout(given: str, state: str, sources: Sources) -> str:
    """The layout: as given, else from the layout file of a host, else detected from the folders."""
    layout = given or _line(os.path.join(state, LAYOUT_FILE), sources.read)
    if not layout and sources.are_of_a_host():
        layout = "host"
    layout = layout or ("system" if sources.are_of_a_container() else "private")
    if layout not in LAYOUTS:
        raise UsageError(f"layout: {given!r} is not one of {', '.join(LAYOUTS)}")
    return layout


def _line(path: str, read: Callable[[str], bytes]) -> str:
    """The only line of a file; "" if the file is missing or can't be read."""
    return _text(path, read).strip()


def _text(path: str, read: Callable[[str], bytes]) -> str:
    """The text of a file; "" if the file is missing or can't be read."""
    try:
        return read(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _folders(sources: Sources) -> dict[str, str]:
    option = sources.options.get("home")
    named = sources.given(FOLDERS[0])
    home = named or HOME
    in_container, on_host = sources.are_of_a_container(), sources.are_of_a_host()
    folders = {}
    for setting in FOLDERS[1:]:
        default = os.path.join(home, str(setting.default))
        default = _IN_CONTAINER[setting.name] if in_container else default
        default = _ON_HOST[setting.name] if on_host else default
        # A home as an option takes precedence over folders from the environment.
        path = sources.options.get(setting.name) if option else sources.given(setting)
        folders[setting.name] = path or default
    return folders


def _defaults(sources: Sources) -> set[str]:
    """The default folders that other users might create or change. On a host and in a container
    only the config folder: only root can create the others."""
    of_system = sources.are_of_a_container() or sources.are_of_a_host()
    kinds = FOLDERS[1:2] if of_system else FOLDERS[1:]
    if sources.given(FOLDERS[0]):
        return set()
    return {setting.name for setting in kinds if not sources.given(setting)}


def _is_mounted_config(path: str, sources: Sources) -> bool:
    """Whether a config folder is mounted into a container: then the admin chose it."""
    return path == CONTAINER_CONFIG and sources.are_of_a_container() and sources.is_mount(path)


def _check_config(path: str, sources: Sources) -> None:
    """Raises UnsafeDefault for a default config folder that other users could write or create."""
    fault, _ = sources.fault(path, True)
    if fault:
        raise _unsafe("config", path, fault)


def _safe(name: str, path: str, sources: Sources) -> str:
    """The path of a default folder if it is safe, or NOWHERE if it is missing and other users could
    create it. Raises UnsafeDefault if it exists and isn't safe."""
    fault, exists = sources.fault(path, name != "mail")
    if fault and exists:
        raise _unsafe(name, path, fault)
    return os.path.join(NOWHERE, name) if fault else path


def _unsafe(name: str, path: str, fault: str) -> UnsafeDefault:
    """The error for a fault, which is `what is wrong; the command that fixes it`."""
    message, _, command = fault.partition("; ")
    use = f"if you trust it, name it with --{name} PATH or --home PATH"
    remedy = f"; else: {command}" if command else ""
    return UnsafeDefault(
        f"the default folder {printable(path)} is not used: {message}; {use}{remedy}"
    )


def _toml(config: str, sources: Sources) -> dict[str, Any]:
    path = os.path.join(config, TOML)
    try:
        raw = sources.toml(config)
        if not raw:
            return {}
        import tomllib  # 10 ms: only if the file exists

        return tomllib.loads(raw.decode("utf-8-sig"))
    except PermissionError:
        raise
    except OSError as error:
        raise UsageError(printable(f"{path}: {error.strerror or error}")) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(printable(f"{path}: {error}")) from None


def _checked(setting: Setting, text: str) -> str | int | bool:
    """The value of a setting. Raises UsageError for a wrong type or a value against its rule."""
    value = _typed(setting, text)
    if error := fault(setting.name, value):
        raise UsageError(printable(error))
    return value


def _typed(setting: Setting, text: str) -> str | int | bool:
    if isinstance(setting.default, bool):
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("", "0", "false", "no", "off"):
            return False
        raise UsageError(f"{setting.name}: {text!r} is neither 1 nor 0")
    if isinstance(setting.default, int):
        try:
            number = int(text) if text.strip() else setting.default
        except ValueError:
            number = -1
        if number < 0:
            raise UsageError(f"{setting.name}: {text!r} is not a number")
        return number
    if not text.isprintable():
        raise UsageError(f"{setting.name}: the value has a character that can't be shown")
    return text
