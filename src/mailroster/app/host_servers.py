"""Configures the host's own Postfix and Dovecot to read the tables: plan, write, undo."""

from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.integrate.apply import Integration
from mailroster.servers.integrate.plan import Plan
from mailroster.servers.prerequisites import check_host


class FileChange(NamedTuple):
    """A file of the host with its old content, None if it does not exist, and its new one."""

    path: str
    old: bytes | None
    new: bytes


class SettingChange(NamedTuple):
    """A setting of a file with its old and its new value, "" for none."""

    file: str
    name: str
    old: str
    new: str


class HostPlan(NamedTuple):
    """All changes that are necessary, and warnings for the administrator."""

    files: list[FileChange]
    settings: list[SettingChange]
    warnings: list[str]


class HostServers:
    """Postfix and Dovecot of the host. Raises Refused if they can't use the folders of the
    settings."""

    def __init__(self, settings: Settings) -> None:
        layout = Layout(settings.state, settings.layout)
        check_host(settings, layout)
        self._integration = Integration(settings, layout)

    def plan(self, *, keep_system_users: bool) -> HostPlan:
        """The changes that are necessary. Changes nothing."""
        return _host_plan(self._integration.plan(keep_system_users=keep_system_users))

    def apply(self, *, keep_system_users: bool) -> HostPlan:
        """Writes the changes and returns them. Raises as Integration.apply does."""
        planned = self._integration.plan(keep_system_users=keep_system_users)
        if planned.changes:
            self._integration.apply(planned, keep_system_users=keep_system_users)
        return _host_plan(planned)

    def undo(self, *, force: bool) -> list[str]:
        """Restores every file and returns the paths. `force`: discard later changes."""
        return self._integration.undo(force=force)

    def reload(self) -> list[str]:
        """Reloads the running servers and returns their names."""
        return self._integration.reload()


def _host_plan(planned: Plan) -> HostPlan:
    return HostPlan(
        [FileChange(*change) for change in planned.changes],
        [SettingChange(*setting) for setting in planned.settings],
        planned.warnings,
    )
