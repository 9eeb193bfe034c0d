"""What only the servers can say of the folder, of Sieve scripts, settings and extra fields, for
commands that only look."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from mailroster.analysis.checks.subject import some
from mailroster.base.findings import INFO, Finding, Location, ParseError, ServerError, unreadable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.publish.tables.postfix import DOMAINS
from mailroster.roster.dovecot.served import misplaced, unserved, with_fields
from mailroster.roster.roster import Roster
from mailroster.routing.router import POSTMASTER_SETTING, Router
from mailroster.routing.trace import end_of, lead_nowhere
from mailroster.servers import overrides, running, sieve, version
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.patterns import PatternMatcher
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay.overlay import Overlay
from mailroster.system.files import Disk, reason
from mailroster.system.programs import program, run

#: So many addresses without a recipient are named.
_NAMED = 5


def findings(
    settings: Settings, layout: Layout, roster: Roster, warn: Callable[[str], None]
) -> list[Finding]:
    """Everything that is wrong. `warn` gets a line for what is not judged."""
    for line in overrides.ignored(settings):
        warn(line)
    try:
        found = overrides.judged(overrides.wanted(settings), settings, layout)
    except OSError as error:
        found = [unreadable(os.path.basename(error.filename), reason(error))]
    except ServerError as error:
        warn(f"the settings for the servers are not checked: {error}")
        found = []
    try:
        config = ConfigFolder(settings.config, settings.linked())
        with _sieve_settings(settings, layout) as conf:
            found += sieve.findings_in(config, conf, roster.accounts)
    except ServerError as error:
        warn(f"the Sieve scripts are not checked: {error}")
    found += without_postmaster(settings, roster)
    if fielded := list(with_fields(roster.accounts)):
        found += misplaced(roster.accounts, fielded, settings.mail)
        try:
            found += unserved(roster.accounts, fielded, version.known(layout))
        except ServerError as error:
            warn(f"the extra fields are not checked: {error}")
    return found


def without_postmaster(settings: Settings, roster: Roster) -> Iterator[Finding]:
    """Addresses of the postmaster that do not exist: those of served domains (RFC 5321 4.5.1), and
    the server's own root, to which cron sends mail. Some of them, if there are many."""
    captures = PatternMatcher(roster.regexp)
    postmaster = settings.postmaster_address
    router = Router(roster, settings.hostname, captures, postmaster=postmaster)
    domains = DOMAINS.keys(router)
    if not domains:
        return
    asked = [f"root@{router.origin}", *(f"postmaster@{domain}" for domain in sorted(domains))]
    plain = router._replace(captured=lambda address: None).remembering()
    missing = list(islice((address for address in asked if _is_missing(plain, address)), _NAMED))
    try:
        captures.evaluate(missing)
        missing = [address for address in missing if captures(address) is None]
    except ServerError:
        pass  # `check` says that the patterns are not checked
    if missing:
        message = f"mail to {some(missing)} is refused, since the address does not exist"
        hint = "set postmaster_address to the address of an account, or add an alias"
        if postmaster:
            message = f"mail to {some(missing)} is refused: {postmaster!r} does not exist"
            hint = "correct postmaster_address, or add the account"
        yield Finding(Location(POSTMASTER_SETTING), INFO, "no-postmaster", message, hint)


def _is_missing(router: Router, address: str) -> bool:
    try:
        return lead_nowhere([end_of(router, end) for end in router.expand(address)])
    except ParseError:
        return False  # `check` says so by another finding


@contextmanager
def _sieve_settings(settings: Settings, layout: Layout) -> Iterator[str]:
    """The configuration by which Sieve scripts are judged: that of the servers. While they do not
    run, and dovecot.cf is not that of the last start, it is the settings of that file alone, as far
    as Dovecot can read them. "" for neither."""
    try:
        text = overrides.wanted(settings).dovecot
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
    """What of them is not in force on a server that was started here, and why."""
    if not os.path.isdir(settings.config):
        return ()
    scripts = sieve.SieveScripts(
        settings.config, layout, settings.settle_seconds, linked=settings.linked()
    )
    pending = overrides.Pending(settings, layout)
    return (*scripts.waiting(), *pending.findings(), *apart(settings))


def apart(settings: Settings) -> tuple[Finding, ...]:
    """What keeps the files of an overlay from following its source."""
    if not settings.source:
        return ()
    return Overlay(settings.source, settings.config, linked=settings.linked()).findings()
