"""Plans the changes of a host's own Postfix and Dovecot with which they use our tables.

The changes are made in a copy of their files, by Postfix's own postconf, and both programs read the
copy: files that they can't read are never written. This module changes nothing on the host.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from mailroster.base.findings import Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers import running, signer, version
from mailroster.servers.config import host, rspamd
from mailroster.servers.config.dovecot.common import DROP_IN, REPORTS_FILE, has_reports
from mailroster.servers.config.dovecot.doveconf import printed
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.config.smtp_safety import UNSAFE
from mailroster.servers.login_key import known_key, new_key
from mailroster.servers.ports import srs_ports_in_use
from mailroster.servers.prerequisites import origin
from mailroster.system.files import Disk, read
from mailroster.system.programs import run

#: Our files for Dovecot that only some settings need.
OPTIONAL = (REPORTS_FILE, "blocks.sql.conf")
#: Settings of Dovecot with the key of the reports of logins.
_SECRETS = frozenset(("auth_policy_server_api_header", "auth_policy_hash_nonce"))
_OWN_TRANSPORT = "lmtp:unix:private/mailroster-"
#: Our lines in master.cf are between these.
_BEGIN, _END = "# mailroster: services of ours begin", "# mailroster: and end"
#: The restrictions of mail to other servers.
_RELAY_RESTRICTIONS = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions")
#: The prefix of a line of the administrator that is switched off.
OFF = "#mailroster: "
#: The lists of the domains for which Postfix takes mail, and a domain in one.
_OWN_DOMAINS = (
    "mydestination",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
    "relay_domains",
)
_DOMAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_SYSTEM_USERS = re.compile(
    r"^[ \t]*!include(?:_try)?[ \t]+(?:\S*/)?auth-system\.conf\.ext[ \t]*$", re.M
)


class Change(NamedTuple):
    """A file with its present and its planned content; None if it does not exist. Only root may
    read it, and nothing shows its content, if it `is_secret`."""

    path: str
    old: bytes | None
    new: bytes | None
    is_secret: bool = False


class SettingChange(NamedTuple):
    """A setting with its present and its planned value; "" if it is not set."""

    file: str
    name: str
    old: str
    new: str


class Plan(NamedTuple):
    """The planned changes, and warnings for the administrator."""

    changes: list[Change]
    settings: list[SettingChange]
    warnings: list[str]


def make_plan(settings: Settings, layout: Layout, *, keep_system_users: bool) -> Plan:
    """The changes that the host's files still need. Raises Refused for a problem that the
    administrator must solve first, ServerError if the servers can't read the result."""
    for path in (f"{layout.postfix}/main.cf", f"{layout.postfix}/master.cf", layout.dovecot_conf):
        if not os.path.isfile(path):
            raise Refused(f"{path} does not exist; install and configure Postfix and Dovecot first")
    settings = settings._replace(hostname=origin(layout))
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        postfix = _postfix(settings, layout, folder)
        dovecot = _dovecot(settings, layout, folder, keep_system_users)
    return Plan(
        postfix.changes + dovecot.changes,
        postfix.settings + dovecot.settings,
        postfix.warnings + dovecot.warnings,
    )


# -- Postfix


def _postfix(settings: Settings, layout: Layout, folder: str) -> Plan:
    copy = os.path.join(folder, "postfix")
    os.mkdir(copy)
    old = {name: _text(f"{layout.postfix}/{name}") for name in ("main.cf", "master.cf")}
    master_cf = _without_block(old["master.cf"])
    for name, text in old.items():
        Disk().replace(f"{copy}/{name}", _bytes(text))
    current = _parameters(_postconf(copy, "-n"))  # of our own only those that our services use
    Disk().replace(f"{copy}/master.cf", _bytes(master_cf))
    services = {"/".join(line.split()[:2]) for line in _postconf(copy, "-M").split("\n") if line}
    submits = host.submits(current, services)
    signers = signer.planned(settings, layout)
    entries = host.services(settings, layout, services, submits=submits, signs=bool(signers))
    default = _postconf(copy, "-dh", "mydestination").strip()
    hides = f"{host.CLEANUP}/unix" in entries
    networks = [] if _is_filtered(copy, current) else signer.networks_of_host(layout)
    domains, tables = list[str](), list[str]()
    if settings.enable_srs:
        _check_srs(settings, layout, current)
        domains, tables = _own_domains(copy, layout, settings.hostname)
    wanted = host.parameters(
        settings, layout, current, default,
        submits=submits, hides=hides, signers=signers, networks=networks,
        own_domains=domains,
    )  # fmt: skip
    if conflicts := sorted(services & entries.keys()):
        raise Refused(
            f"{layout.postfix}/master.cf already has a service {conflicts[0]}, a name that "
            "mailroster needs; rename that service"
        )
    if stale := host.stale(current, wanted):
        _postconf(copy, "-X", *stale)
    if changed := [name for name, value in wanted.items() if current.get(name) != value]:
        _postconf(copy, "-e", *(f"{name} = {wanted[name]}" for name in changed))
    Disk().replace(f"{copy}/master.cf", _bytes(_with_block(master_cf, entries)))
    new = _parameters(_postconf(copy, "-n"))
    _postconf(copy, "-M")
    changes = _changes(layout.postfix, {name: _text(f"{copy}/{name}") for name in old})
    settings_changes = _setting_changes(f"{layout.postfix}/main.cf", current, new, (*new, *stale))
    settings_changes += [
        SettingChange(f"{layout.postfix}/master.cf", service, "", text)
        for service, text in entries.items()
        if text not in old["master.cf"]
    ]
    warnings = [*_postfix_warnings(current, copy)]
    if settings.enable_srs:
        warnings += _srs_warnings(settings, copy, layout, tables)
    if settings.enable_rspamd:
        warnings += _filter_warnings(copy, services)
    if signers:
        warnings += _signing_warnings(current, copy, services)
    return Plan(changes, settings_changes, warnings)


def _check_srs(settings: Settings, layout: Layout, current: Mapping[str, str]) -> None:
    """Raises Refused if the administrator's settings and SRS exclude each other."""
    if host.rewrites_headers(current):
        raise Refused(
            f"enable_srs: your {host.SENDER_MAPS} would rewrite envelopes only; set "
            f"{host.SENDER_CLASSES} = envelope_sender in main.cf if that is right, or move them to "
            "canonical_maps, which rewrites headers as well"
        )
    if running.srs_pid(layout) is None and (used := srs_ports_in_use(settings)):
        raise Refused(f"enable_srs: {used[0]}")


def _own_domains(copy: str, layout: Layout, origin: str) -> tuple[list[str], list[str]]:
    """The domains for which the administrator's Postfix takes mail, and the tables of domains whose
    entries are not known here."""
    domains, tables = [origin], list[str]()
    for word in _postconf(copy, "-xh", *_OWN_DOMAINS).replace(",", " ").split():
        if _DOMAIN.fullmatch(word):
            domains.append(word.lower())
        elif re.match(r"\w+:|/", word) and layout.tables not in word:
            tables.append(word)
    return [*dict.fromkeys(domains)], [*dict.fromkeys(tables)]


def _srs_warnings(
    settings: Settings, copy: str, layout: Layout, tables: Iterable[str]
) -> Iterator[str]:
    for table in tables:
        yield (
            f"senders of the domains in {table} are rewritten (enable_srs); name these domains in "
            "srs_exclude_domains"
        )
    name = settings.srs_domain or _postconf(copy, "-xh", "myhostname").strip()
    destination = _postconf(copy, "-xh", "mydestination")
    is_local = name in destination.replace(",", " ").split()
    query = ["postmap", "-c", copy, "-q", name, f"lmdb:{layout.table('domains')}"]
    if not is_local and run(query)[0]:
        yield (
            f"bounces of forwarded mail come to {name}, for which Postfix takes no mail; add "
            "it to mydestination"
        )


def _is_filtered(copy: str, current: Mapping[str, str]) -> bool:
    """Whether a content filter hands mail back to Postfix: then a client of this machine may bring
    mail of strangers, which must get no signature."""
    services = _postconf(copy, "-P")
    return any(
        current.get(name) or f"/{name} = " in services
        for name in ("content_filter", "smtpd_proxy_filter")
    )


def _filter_warnings(copy: str, services: set[str]) -> Iterator[str]:
    """The services whose submissions pass the spam filter."""
    options = _postconf(copy, "-P").split("\n")
    for name in host.own_submissions(services):
        if not any(line.startswith(f"{name}/{rspamd.MILTER} =") for line in options):
            yield (
                f"{name} of master.cf is yours, so what users submit passes Rspamd, too; add "
                f"-o {rspamd.MILTER}="
            )


def _signing_warnings(current: Mapping[str, str], copy: str, services: set[str]) -> Iterator[str]:
    """What leaves without a DKIM signature, though it should have one."""
    options = _postconf(copy, "-P").split("\n")
    for name in host.own_submissions(services):
        line = next((one for one in options if one.startswith(f"{name}/smtpd_milters = ")), "")
        if f"${host.SUBMISSION_MILTERS}" not in line:
            yield (
                f"{name} of master.cf is yours, so its mail gets no DKIM signature; add "
                f"-o smtpd_milters=${host.SUBMISSION_MILTERS}"
            )
    if current.get("smtpd_sasl_auth_enable") == "yes":
        yield (
            "users can log in on port 25 (smtpd_sasl_auth_enable), where mail gets no DKIM "
            "signature; let them use submission, and remove the setting from main.cf"
        )
    if _is_filtered(copy, current):
        yield (
            "main.cf or master.cf has a content filter, so mail of programs that send through port "
            "25 gets no DKIM signature: it can't be told from mail that the filter hands back"
        )


def _postfix_warnings(current: Mapping[str, str], copy: str) -> Iterator[str]:
    transport = current.get("virtual_transport")
    has_domains = bool(host.without_own(current.get("virtual_mailbox_domains", "")))
    if transport is not None and not transport.startswith(_OWN_TRANSPORT) and has_domains:
        yield (
            "Dovecot would also deliver the mail of your own virtual_mailbox_domains: "
            "virtual_transport applies to all of them"
        )
    if current.get("relayhost"):
        yield (
            f"relayhost is {current['relayhost']}: mail of domains that you exclude with "
            "'setup relay exclude-domain' still goes through it"
        )
    for name, values in UNSAFE.items():
        if current.get(name) in values:
            yield (
                f"{name} is {current[name]!r}: a client can hide a second message in the first; "
                "remove the setting from main.cf"
            )
    trusted = " ".join(_postconf(copy, "-xh", "mynetworks").split())
    allowed = _postconf(copy, "-xh", *_RELAY_RESTRICTIONS)
    if trusted and "permit_mynetworks" in allowed:
        yield (
            f"clients of mynetworks ({trusted}) can send to any address without a login; remove "
            f"permit_mynetworks from {' and '.join(_RELAY_RESTRICTIONS)} if no program needs it"
        )
    for line in _postconf(copy, "-P").split("\n"):
        path, _, value = line.partition(" = ")
        service, _, name = path.rpartition("/")
        if name not in ("smtpd_sender_restrictions", "smtpd_recipient_restrictions"):
            continue
        if "$mailroster_" not in value:
            own = f"$mailroster_{name.removeprefix('smtpd_')}"
            yield f"{service} of master.cf has its own {name}; put {own} in front of its value"


def _postconf(folder: str, *words: str) -> str:
    """The output of postconf for the files in a folder. Raises ServerError with its message."""
    code, out, err = run(["postconf", "-c", folder, *words])
    if code or ": fatal: " in err:
        raise ServerError(f"Postfix can't read its configuration: {err.strip()}")
    return out


def _parameters(text: str) -> dict[str, str]:
    pairs = (line.partition(" =") for line in text.split("\n"))
    return {
        name: value.strip()
        for name, equals, value in pairs
        if equals and name != "config_directory"  # in Postfix 3.10 that of the copy
    }


def _without_block(text: str) -> str:
    before, begin, rest = text.partition(f"{_BEGIN}\n")
    _, end, after = rest.partition(f"{_END}\n")
    return before + after if begin and end else text


def _with_block(text: str, entries: Mapping[str, str]) -> str:
    if not entries:
        return text
    between = "" if text.endswith("\n") else "\n"
    return "\n".join((f"{text}{between}{_BEGIN}", *entries.values(), f"{_END}\n"))


# -- Dovecot


def _dovecot(settings: Settings, layout: Layout, folder: str, keep_system_users: bool) -> Plan:
    original, copy = os.path.dirname(layout.dovecot_conf), os.path.join(folder, "dovecot")
    conf = os.path.join(copy, os.path.basename(layout.dovecot_conf))
    # The copy must not contain private keys.
    shutil.copytree(original, copy, ignore=_all_but_conf_files, ignore_dangling_symlinks=True)
    before = _doveconf(conf, "-n")
    if os.path.exists(drop_in := os.path.join(copy, DROP_IN)):
        os.unlink(drop_in)
    config, own_folder = dialect(version.version()), os.path.basename(layout.dovecot)
    files = {DROP_IN: config.drop_in(settings, layout, _current(conf))}
    for name, text in config.files(settings, layout).items():
        if name != "dovecot.conf":
            files[f"{own_folder}/{name}"] = text
    if has_reports(settings):
        _check_no_other_reports(conf)
        key = known_key(layout) or new_key()
        files[f"{own_folder}/{REPORTS_FILE}"] = config.login_reports(settings, key)
    for path in _conf_files(copy):
        text = _text(os.path.join(copy, path))
        if (new_text := _switch_system_users(text, keep_system_users)) != text:
            files[path] = new_text
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
        Disk().replace(os.path.join(copy, path), _bytes(text))
    after = _doveconf(conf, "-n")
    if layout.exceptions not in after:
        raise Refused(
            f"{layout.dovecot_conf} does not include {original}/{DROP_IN}; "
            "add the line '!include conf.d/*.conf' at its end"
        )
    changes = _changes(original, files)
    changes += _removals(original, [f"{own_folder}/{name}" for name in OPTIONAL], files)
    current = _settings(before)
    file = f"{original}/{DROP_IN}"
    settings_changes = _setting_changes(file, current, _settings(after), current) if changes else []
    return Plan(changes, settings_changes, [*_dovecot_warnings(after)])


def _check_no_other_reports(conf: str) -> None:
    """Raises Refused if Dovecot reports logins to a program of the administrator: it has only one
    place for that. doveconf of 2.4 prints `auth_policy { server_url = … }`."""
    own = {"_".join(path): value for path, value in printed(_doveconf(conf, "-n"))}
    if url := own.get("auth_policy_server_url"):
        raise Refused(
            f"Dovecot already reports logins to {url}; remove auth_policy_server_url, or switch "
            "login_reports_port and block_guessing off"
        )


def _dovecot_warnings(after: str) -> Iterator[str]:
    if re.search(r"driver = pam$|^passdb pam\b", after, re.M):
        yield "Dovecot checks the system users first (PAM), which delays every failed login"


def _all_but_conf_files(folder: str, names: list[str]) -> list[str]:
    """The names that copytree must ignore."""
    return [
        name
        for name in names
        if name == "private" or not (".conf" in name or os.path.isdir(os.path.join(folder, name)))
    ]


def _conf_files(folder: str) -> Iterator[str]:
    for subfolder in ("", "conf.d"):
        path = os.path.join(folder, subfolder)
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                if name.endswith(".conf"):
                    yield os.path.join(subfolder, name)


def _switch_system_users(text: str, on: bool) -> str:
    """A file of Dovecot with the logins of system users switched on or off."""
    text = text.replace(OFF, "")
    return text if on else _SYSTEM_USERS.sub(lambda match: f"{OFF}{match[0]}", text)


def _current(conf: str) -> dict[str, str]:
    """The settings that Dialect.drop_in needs."""
    values = {name: _doveconf(conf, "-h", name) for name in ("auth_mechanisms", "mail_plugins")}
    for protocol in ("imap", "lmtp"):
        filter = ("-f", f"protocol={protocol}")
        values[f"{protocol}/mail_plugins"] = _doveconf(conf, *filter, "-h", "mail_plugins")
    return {name: value.strip() for name, value in values.items()}


def _doveconf(conf: str, *words: str) -> str:
    """The output of doveconf. Raises ServerError with its message."""
    code, out, err = run(["doveconf", "-c", conf, *words])
    if code:
        raise ServerError(f"Dovecot can't read its configuration: {err.strip()}")
    return out


def _settings(text: str) -> dict[str, str]:
    """The settings in the output of `doveconf -n` by name, with a plugin or a protocol as a prefix.
    Settings in other blocks are left out, and secrets."""
    return {
        "/".join(path): value
        for path, value in printed(text)
        if value and _is_named(path) and "_".join(path) not in _SECRETS
    }


def _is_named(path: tuple[str, ...]) -> bool:
    return len(path) == 1 or (len(path) == 2 and path[0].split()[0] in ("plugin", "protocol"))


# -- files


def _changes(folder: str, files: Mapping[str, str]) -> list[Change]:
    """The files of a folder that differ from their planned text."""
    changes = []
    for name, text in files.items():
        path, is_secret = f"{folder}/{name}", os.path.basename(name) == REPORTS_FILE
        changes.append(Change(path, _content(path), _bytes(text), is_secret))
    return [change for change in changes if change.old != change.new]


def _removals(folder: str, names: Iterable[str], files: Collection[str]) -> list[Change]:
    """The removal of the files that exist and are not planned."""
    changes = []
    for name in names:
        path, is_secret = f"{folder}/{name}", os.path.basename(name) == REPORTS_FILE
        if name not in files and (old := _content(path)) is not None:
            changes.append(Change(path, old, None, is_secret))
    return changes


def _content(path: str) -> bytes | None:
    return _bytes(_text(path)) if os.path.exists(path) else None


def _setting_changes(
    file: str, old: Mapping[str, str], new: Mapping[str, str], names: Iterable[str]
) -> list[SettingChange]:
    changes = (SettingChange(file, name, old.get(name, ""), new.get(name, "")) for name in names)
    return [change for change in changes if change.old != change.new]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None


def _text(path: str) -> str:
    with _refusing():
        return read(path).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
