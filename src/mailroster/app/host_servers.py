"""Configures the host's own Postfix and Dovecot to read the tables: plan, write, undo."""

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.integrate.apply import Integration
from mailroster.servers.integrate.plan import Change, Plan
from mailroster.servers.prerequisites import check_host

__all__ = ["Change", "HostServers", "Plan"]


class HostServers:
    """Postfix and Dovecot of the host. Raises Refused if they can't use the folders of the
    settings."""

    def __init__(self, settings: Settings) -> None:
        layout = Layout(settings.state, settings.layout)
        check_host(settings, layout)
        self._integration = Integration(settings, layout)

    def plan(self, *, keep_system_users: bool) -> Plan:
        """The changes that are necessary. Changes nothing."""
        return self._integration.plan(keep_system_users=keep_system_users)

    def apply(self, *, keep_system_users: bool) -> Plan:
        """Writes the changes and returns them. Raises as Integration.apply does."""
        planned = self._integration.plan(keep_system_users=keep_system_users)
        if planned.changes:
            self._integration.apply(planned, keep_system_users=keep_system_users)
        return planned

    def undo(self, *, force: bool) -> list[str]:
        """Restores every file and returns the paths. `force`: discard later changes."""
        return self._integration.undo(force=force)

    def reload(self) -> list[str]:
        """Reloads the running servers and returns their names."""
        return self._integration.reload()
