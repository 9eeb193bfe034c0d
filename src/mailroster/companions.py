"""What only the servers can say of the folder, of Sieve scripts, settings and extra fields, for
commands that only look."""

import os
from collections.abc import Callable

from mailroster import installed, overrides, sieve
from mailroster.compile.dovecot import misplaced, unserved, with_fields
from mailroster.config_folder import ConfigFolder
from mailroster.disk import reason
from mailroster.finding import Finding, ServiceFailed
from mailroster.instance.layout import Layout
from mailroster.overlay import Overlay
from mailroster.roster import Roster
from mailroster.settings import Settings


def findings(
    settings: Settings, layout: Layout, roster: Roster, warn: Callable[[str], None]
) -> list[Finding]:
    """Everything that is wrong. `warn` gets a line for what is not judged."""
    for line in overrides.ignored(settings):
        warn(line)
    try:
        found = overrides.judged(overrides.wanted(settings), settings, layout)
    except OSError as error:
        found = [sieve.unreadable(os.path.basename(error.filename), reason(error))]
    except ServiceFailed as error:
        warn(f"the settings for the servers are not checked: {error}")
        found = []
    try:
        config = ConfigFolder(settings.config, settings.linked())
        found += sieve.findings_in(config, installed.conf(layout), roster.accounts)
    except ServiceFailed as error:
        warn(f"the Sieve scripts are not checked: {error}")
    if fielded := list(with_fields(roster.accounts)):
        found += misplaced(roster.accounts, fielded, settings.mail)
        try:
            found += unserved(roster.accounts, fielded, installed.known(layout))
        except ServiceFailed as error:
            warn(f"the extra fields are not checked: {error}")
    return found


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
