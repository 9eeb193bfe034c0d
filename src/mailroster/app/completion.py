"""The roster for the completion of a shell."""

from collections.abc import Mapping

from mailroster.app.configure import sources_of
from mailroster.base.findings import Refused, TryAgain, UsageError
from mailroster.base.settings import load
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store

#: How long a completion waits for the lock of the folder.
_WAIT_S = 1.0


def roster_at_once(options: Mapping[str, str], environment: Mapping[str, str]) -> Roster:
    """The roster of the config folder that options name; empty if it can't be read soon."""
    try:
        settings = load(sources_of(options, environment))
        store = Store(settings.config, wait_s=_WAIT_S, linked=settings.linked())
        return store.read().roster
    except (TryAgain, UsageError, Refused, OSError):
        return Roster()
