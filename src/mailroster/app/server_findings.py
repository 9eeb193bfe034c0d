"""Findings that need the programs of the servers: about Sieve scripts, overrides, extra fields and
the postmaster. For commands that change nothing."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from mailroster.analysis.checks.subject import first_few
from mailroster.app import dkim
from mailroster.base.findings import INFO, Finding, Location, ParseError, ServerError, unreadable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.publish.tables.postfix import DOMAINS
from mailroster.roster.dovecot.served import misplaced, unserved, with_fields
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import POSTMASTER_SETTING
from mailroster.routing.router import Router
from mailroster.routing.trace import end_of, lead_nowhere
from mailroster.servers import overrides, running, sieve, spam_filter, version
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.patterns import PatternMatcher
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay.overlay import Overlay
from mailroster.system.files import Disk, reason
from mailroster.system.programs import program, run

#: The number of missing addresses that are named.
_NAMED = 5


def findings(
    settings: Settings, layout: Layout, roster: Roster, warn: Callable[[str], None]
) -> list[Finding]:
    """The findings about a roster. `warn` gets a line for each part that is not checked."""
    for line in overrides.ignored(settings):
        warn(line)
    try:
        result = overrides.check(overrides.in_config(settings), settings, layout)
    except OSError as error:
        result = [unreadable(os.path.basename(error.filename), reason(error))]
    except ServerError as error:
        warn(f"the settings for the servers are not checked: {error}")
        result = []
    try:
        config = ConfigFolder(settings.config, settings.linked())
        with _sieve_settings(settings, layout) as conf:
            result += sieve.findings_in(config, conf, roster.accounts)
    except ServerError as error:
        warn(f"the Sieve scripts are not checked: {error}")
    result += without_postmaster(settings, roster)
    result += dkim.findings(settings, roster)
    if settings.enable_rspamd:
        result += spam_filter.without_redis(settings)
        result += spam_filter.SpamFilter(settings, layout).check()
    if accounts := list(with_fields(roster.accounts)):
        result += misplaced(roster.accounts, accounts, settings.mail)
        try:
            result += unserved(roster.accounts, accounts, version.current_version(layout))
        except ServerError as error:
            warn(f"the extra fields are not checked: {error}")
    return result


def without_postmaster(settings: Settings, roster: Roster) -> Iterator[Finding]:
    """Reports required addresses that do not exist: the postmaster of each domain (RFC 5321 4.5.1),
    and root of the server, which gets the mail of cron. Names a few of them."""
    matcher = PatternMatcher(roster.regexp)
    postmaster = settings.postmaster_address
    router = Router(roster, settings.hostname, matcher, postmaster=postmaster)
    domains = DOMAINS.keys(router)
    if not domains:
        return
    required = [f"root@{router.origin}", *(f"postmaster@{domain}" for domain in sorted(domains))]
    plain = router._replace(captured=lambda address: None).remembering()
    missing = list(islice((address for address in required if _is_missing(plain, address)), _NAMED))
    try:
        matcher.evaluate(missing)
        missing = [address for address in missing if matcher(address) is None]
    except ServerError:
        pass  # `check` reports that the patterns are not checked
    if missing:
        message = f"mail to {first_few(missing)} is refused, since the address does not exist"
        hint = "set postmaster_address to the address of an account, or add an alias"
        if postmaster:
            message = f"mail to {first_few(missing)} is refused: {postmaster!r} does not exist"
            hint = "correct postmaster_address, or add the account"
        yield Finding(Location(POSTMASTER_SETTING), INFO, "no-postmaster", message, hint)


def _is_missing(router: Router, address: str) -> bool:
    try:
        return lead_nowhere([end_of(router, end) for end in router.expand(address)])
    except ParseError:
        return False  # `check` reports it by another finding


@contextmanager
def _sieve_settings(settings: Settings, layout: Layout) -> Iterator[str]:
    """The path of the configuration for checking Sieve scripts: that of the servers. If these are
    not running and dovecot.cf has changed since the last start, it is a file with only the settings
    of dovecot.cf, if Dovecot can read them. "" for none."""
    try:
        text = overrides.in_config(settings).dovecot
    except OSError:
        text = ""  # the file is reported as unreadable
    conf = version.conf(layout)
    is_in_force = layout.kind == "host" or text == overrides.in_folder(layout.overrides).dovecot
    if (conf and (is_in_force or running.is_running(layout))) or not program("doveconf"):
        yield conf
        return
    with tempfile.TemporaryDirectory(prefix="mailroster-") as folder:
        conf = f"{folder}/dovecot.conf"
        raw = f"{dialect(version.version()).MINIMAL}{text}\n"
        Disk().replace(conf, raw.encode("utf-8", "surrogateescape"))
        yield conf if text and not run(["doveconf", "-n", "-c", conf])[0] else ""


def waiting(settings: Settings, layout: Layout) -> tuple[Finding, ...]:
    """Findings about scripts, overrides and files of an overlay that are not in force."""
    if not os.path.isdir(settings.config):
        return ()
    scripts = sieve.SieveScripts(
        settings.config, layout, settings.settle_seconds, linked=settings.linked()
    )
    pending = overrides.PendingChanges(settings, layout)
    return (*scripts.waiting(), *pending.findings(), *overlay_findings(settings))


def overlay_findings(settings: Settings) -> tuple[Finding, ...]:
    """Findings about files of an overlay that can't follow the source."""
    if not settings.source:
        return ()
    return Overlay(settings.source, settings.config, linked=settings.linked()).findings()
