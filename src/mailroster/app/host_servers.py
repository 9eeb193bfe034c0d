"""What the host's own Postfix and Dovecot need to read the tables: plan, write, undo."""

from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.integrate.apply import Integration
from mailroster.servers.integrate.plan import Planned
from mailroster.servers.prepare import check_host


class FileChange(NamedTuple):
    """A file of the host: what is in it, None if there is none, and what is to be."""

    path: str
    old: bytes | None
    new: bytes


class SettingChange(NamedTuple):
    """One setting of a file with its old and its new value; "" is none."""

    file: str
    name: str
    old: str
    new: str


class HostPlan(NamedTuple):
    """Everything that has to change, and what an admin has to know of it."""

    files: list[FileChange]
    settings: list[SettingChange]
    warnings: list[str]


class HostServers:
    """Postfix and Dovecot of the host. Raises Refused if the folders of the settings can't serve
    them."""

    def __init__(self, settings: Settings) -> None:
        layout = Layout(settings.state, settings.layout)
        check_host(settings, layout)
        self._integration = Integration(settings, layout)

    def plan(self, *, keep_system_users: bool) -> HostPlan:
        """What has to change. Changes nothing."""
        return _host_plan(self._integration.planned(keep_system_users=keep_system_users))

    def apply(self, *, keep_system_users: bool) -> HostPlan:
        """Writes what has to change, and returns it. Raises as Integration.apply does."""
        planned = self._integration.planned(keep_system_users=keep_system_users)
        if planned.changes:
            self._integration.apply(planned, keep_system_users=keep_system_users)
        return _host_plan(planned)

    def undo(self, *, force: bool) -> list[str]:
        """Puts every file back as it was; their paths. `force`: also over changes of others."""
        return self._integration.undo(force=force)

    def reload(self) -> list[str]:
        """Has the servers that run read their files again; their names."""
        return self._integration.reload()


def _host_plan(planned: Planned) -> HostPlan:
    return HostPlan(
        [FileChange(*change) for change in planned.changes],
        [SettingChange(*one) for one in planned.settings],
        planned.warnings,
    )
