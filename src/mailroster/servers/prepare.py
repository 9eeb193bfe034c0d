"""Writes the folders and files that Postfix and Dovecot of an instance read at their start."""

import os
import pwd
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, name_warning, relay_warning
from mailroster.servers import (
    certificates,
    in_force,
    mail_owner,
    ownership,
    quota_warning,
    srs,
    system_links,
    version,
)
from mailroster.servers.config import dkim, host, overrides, postfix, sieve_mail
from mailroster.servers.config.dovecot.common import REPORTS_FILE, has_reports
from mailroster.servers.config.dovecot.versions import Dialect, dialect
from mailroster.servers.folders import (
    certificate_folder,
    make_folders,
    server_folders,
    table_folders,
)
from mailroster.servers.listening import listening
from mailroster.servers.login_key import login_key
from mailroster.servers.overrides import activate, in_folder
from mailroster.servers.signer import Signer, networks_of_host
from mailroster.servers.spam_filter import SpamFilter
from mailroster.store.links import ConfigFolder
from mailroster.system import log_file
from mailroster.system.files import Disk, mode_for_all, read
from mailroster.system.programs import HOT_MAIN_CF_S

#: Receives a message for the administrator.
Report = Callable[[str], object]


def prepare_host(settings: Settings, layout: Layout, report: Report = lambda text: None) -> None:
    """Creates what the tables of a host need, and records that the layout is `host`. `report`
    receives warnings about certificates that the settings name.

    Raises Refused for a folder or a certificate that an administrator has to fix.
    """
    make_folders(settings, layout, table_folders(settings, layout))
    if settings.names_certificate():
        make_folders(settings, layout, [certificate_folder(layout)])
        certificates.ensure(settings, layout, report)
    _write_postmap_config(settings, layout)
    _record_trust(settings, layout)
    signers = Signer(settings, layout).begin(networks_of_host(layout))
    milters = host.SUBMISSION_MILTERS if signers else ""
    _write_programs(settings, layout, dialect(version.version()), milters)
    if has_reports(settings):
        login_key(layout)  # `integrate` writes it for Dovecot
    if settings.enable_srs:
        srs.ensure_secret(settings, layout)
    spam_filter = SpamFilter(settings, layout)
    spam_filter.begin()
    spam_filter.compile(layout.dovecot_conf)
    Disk().replace(layout.layout_file, f"{layout.kind}\n".encode(), mode=0o644)


def prepare(settings: Settings, layout: Layout, report: Report = lambda text: None) -> bool:
    """Creates what is missing; returns whether a file changed that the servers read at a start.

    `report` receives the findings in the overrides, and the owner of a mail folder that is not the
    mail's user: such a folder is not changed.

    Raises Refused for a folder or a certificate that an administrator has to fix.
    """
    dovecot = dialect(version.version())
    ownership.hand_over_queue(layout)
    folders = [*table_folders(settings, layout), *server_folders(layout)]
    make_folders(settings, layout, folders)
    _write_postmap_config(settings, layout)
    _record_trust(settings, layout)
    _create_mail_log(f"{settings.logs}/mail.log", pwd.getpwnam("postfix").pw_uid)
    if os.path.exists(layout.layout_file):  # the layout was `host` before
        Disk().remove(layout.layout_file)
    for foreign in mail_owner.foreign(settings.mail, settings.vmail_uid, settings.vmail_gid):
        report(str(foreign))
    system_links.claim(layout.links, report)
    is_new_secret = settings.enable_srs and srs.ensure_secret(settings, layout)
    warnings = [name_warning(settings.hostname), relay_warning(settings.relayhost)]
    for warning in filter(None, warnings):
        report(warning)
    certificates.ensure(settings, layout, report)
    return _write_configuration(settings, layout, dovecot, report) or is_new_secret


def _write_configuration(
    settings: Settings, layout: Layout, dovecot: Dialect, report: Report
) -> bool:
    """Writes the configuration of both servers; returns whether it changed."""
    resolved = settings._replace(listen=_addresses(settings.listen))
    before = read(f"{layout.overrides}/dovecot.cf")
    activation = activate(resolved, layout)
    for finding in activation.findings:
        report(str(finding))
    signers = _signers(settings, layout, activation.overrides)
    files = _configuration(resolved, layout, dovecot, activation.overrides, signers=signers)
    _write_programs(resolved, layout, dovecot, dkim.SUBMISSION_MILTERS if signers else "")
    is_open = _is_open(resolved, layout, activation.overrides.main)
    if layout.kind == "system" and not is_open:
        report(
            f"warning: {overrides.MAIN} is closed to other users, so main.cf is closed too, and "
            f"their sendmail and mailq fail; if it has no secret in it: chmod o+r {overrides.MAIN}"
        )
    changed = before != read(f"{layout.overrides}/dovecot.cf")
    spam_filter = SpamFilter(settings, layout)
    spam_filter.begin()
    changed = _write_files(layout, files, is_open=is_open) or changed
    spam_filter.compile(layout.dovecot_conf)
    in_force.write(settings, layout, listening(settings, layout, activation.overrides))
    return changed


def configure_signer(settings: Settings, layout: Layout) -> None:
    """Makes Postfix use OpenDKIM from its next reload on, while the servers run: with the overrides
    that are in force. Raises as `prepare` does."""
    own = in_folder(layout.overrides)
    dovecot = dialect(version.version())
    resolved = settings._replace(listen=_addresses(settings.listen))
    signers = _signers(settings, layout, own)
    files = _configuration(resolved, layout, dovecot, own, signers=signers)
    files = {path: text for path, text in files.items() if path.startswith(f"{layout.postfix}/")}
    _write_files(layout, files, is_open=_is_open(resolved, layout, own.main))
    _write_programs(resolved, layout, dovecot, dkim.SUBMISSION_MILTERS if signers else "")


def _signers(settings: Settings, layout: Layout, own: overrides.Overrides) -> list[str]:
    """The kinds of keys with which OpenDKIM signs; sets its files up."""
    values = {entry.name: entry.value for entry in overrides.entries(overrides.MAIN, own.main)}
    return Signer(settings, layout).begin(dkim.networks(values.get("mynetworks", "")))


def _write_files(layout: Layout, files: Mapping[str, str], *, is_open: bool) -> bool:
    """Writes configuration files; returns whether one has changed. `is_open`: see _is_open."""
    changed = False
    for path, text in files.items():
        raw = text.encode("utf-8", "surrogateescape")
        # All programs of Postfix that read main.cf start as root.
        mode = 0o644 if is_open and path == f"{layout.postfix}/main.cf" else 0o600
        if read(path) != raw:
            _replace_config(path, raw, mode)
            changed = True
        else:  # an earlier version may have written it with another owner or mode
            os.chown(path, 0, 0)
            os.chmod(path, mode)
    return changed


def _configuration(
    settings: Settings,
    layout: Layout,
    dovecot: Dialect,
    own: overrides.Overrides,
    *,
    signers: Sequence[str],
) -> dict[str, str]:
    """The texts of all configuration files, by path, with the overrides merged. `signers`: see
    postfix.main_cf."""
    names = postfix.listeners(settings)
    main = overrides.main_cf(postfix.main_cf(settings, layout, signers), own.main)
    master = overrides.master_cf(
        postfix.master_cf(settings, signs=bool(signers)), own.master, names
    )
    files = {f"{layout.postfix}/main.cf": main, f"{layout.postfix}/master.cf": master}
    limit = overrides.message_size_limit(own.main, settings.message_size_limit)
    for name, text in dovecot.files(settings._replace(message_size_limit=limit), layout).items():
        files[os.path.join(layout.dovecot, name)] = text
    if has_reports(settings):
        reports = dovecot.login_reports(settings, login_key(layout))
        files[os.path.join(layout.dovecot, REPORTS_FILE)] = reports
    return files


def _is_open(settings: Settings, layout: Layout, override: str) -> bool:
    """Whether every user of the machine may read main.cf: only where it is the machine's own, which
    sendmail(1) and mailq(1) of every user read, and only if its override is readable too."""
    source = os.path.join(settings.config, overrides.MAIN)
    return layout.kind == "system" and (not override or mode_for_all(source) is not None)


def _addresses(listen: str) -> str:
    """The value of `listen` for Dovecot, which fails on `::` where the machine has no IPv6."""
    if listen != "*":
        return listen
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "*"
    return "*, ::"


def _replace_config(path: str, raw: bytes, mode: int, group: int = 0) -> None:
    """Replaces a configuration file. Postfix's programs wait while main.cf is a few seconds old, so
    it gets an older date."""
    mtime_s = int(time.time()) - HOT_MAIN_CF_S
    Disk().replace(path, raw, mode, group=group, mtime_s=mtime_s)


def _write_programs(settings: Settings, layout: Layout, dovecot: Dialect, milters: str) -> None:
    """Writes the script for quota warnings, and the programs through which Sieve scripts send mail:
    one for the mail's user, two for root. `milters`: see sieve_mail.smtpd_script."""
    sender = settings.postmaster_address or f"postmaster@{settings.hostname}"
    config = ConfigFolder(settings.config, settings.linked())
    warning = quota_warning.script(config, layout.dovecot_conf, sender, dovecot.NOT_ENFORCED)
    options = dovecot.no_sieve(settings, layout)
    for path, script, mode in (
        (layout.quota_warning, warning, 0o700),
        (layout.sieve_sendmail, sieve_mail.SENDMAIL, 0o644),
        (layout.sieve_smtpd, sieve_mail.smtpd_script(settings, layout, milters), 0o700),
        (layout.sieve_keep, sieve_mail.keep_script(layout, options), 0o700),
    ):
        Disk().replace(path, script.encode(), mode=mode)


def _record_trust(settings: Settings, layout: Layout) -> None:
    """Records that the config folder is not trusted, for commands without our environment."""
    is_recorded = os.path.lexists(layout.untrusted)
    if settings.trust_config and is_recorded:
        Disk().remove(layout.untrusted)
    if not settings.trust_config and not is_recorded:
        Disk().replace(layout.untrusted, b"trust_config is off\n", mode=0o644)


def _write_postmap_config(settings: Settings, layout: Layout) -> None:
    """Writes the main.cf with which postmap runs as the user of Postfix."""
    text = f"""\
# Written by mailroster, for the user of Postfix.
compatibility_level = 3.6
meta_directory = /etc/postfix
smtputf8_enable = no
myhostname = {settings.hostname}
"""
    path, raw = f"{layout.postmap}/main.cf", text.encode("utf-8", "surrogateescape")
    if read(path) != raw:
        _replace_config(path, raw, 0o640, group=-1)


def _create_mail_log(path: str, uid: int) -> None:
    """Creates Postfix's log, owned by Postfix's user: before postlogd runs, postsuper logs which
    queue files it renamed (after a copy or a restore), and a start fails if it can't."""
    if not log_file.is_elsewhere(path):
        os.close(log_file.opened(path, uid))
