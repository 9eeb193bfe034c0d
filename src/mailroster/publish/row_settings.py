"""The settings that rows depend on, recorded in the state folder: commands run without the
environment of `up`."""

import os
from collections.abc import Mapping

from mailroster.base import address
from mailroster.base.layout import Layout
from mailroster.base.services import SERVICES, services_of
from mailroster.servers.version import tables_version
from mailroster.system.files import Disk, read


class RowSettings:
    """The recorded settings of one instance."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout, self._disk = layout, disk
        self._version = ""

    def record_version(self, version: str) -> None:
        """Records the version of Dovecot. The stamp of the tables names it too, so that another
        version rebuilds them."""
        if not os.path.exists(self._layout.dialect) or self.version() != version:
            self._disk.replace(self._layout.dialect, f"{version}\n".encode(), mode=0o644)
        self._version = version

    def changed(self, origin: str, mail: str, postmaster: str, services: str) -> dict[str, str]:
        """Path -> new value of each setting that differs from the recorded one. The delimiters of
        extensions are those in use."""
        layout = self._layout
        current = {
            layout.origin: origin,
            layout.mail_folder: mail,
            layout.postmaster: postmaster,
            layout.main_services: services,
            layout.delimiters: address.delimiters(),
        }
        return {p: v for p, v in current.items() if not os.path.exists(p) or _line(p) != v}

    def record(self, changed: Mapping[str, str]) -> None:
        """Records what `changed` returned. Rows of the old settings are wrong from now on."""
        public = (self._layout.origin, self._layout.mail_folder)
        for path, value in changed.items():
            self._disk.replace(path, f"{value}\n".encode(), mode=0o644 if path in public else 0o600)

    def origin(self) -> str:
        """The server's own domain."""
        return _line(self._layout.origin)

    def mail(self) -> str:
        """The mail folder."""
        return _line(self._layout.mail_folder)

    def postmaster(self) -> str:
        """The setting postmaster_address, "" for none."""
        return _line(self._layout.postmaster)

    def main_services(self) -> tuple[str, ...] | None:
        """The setting main_password_services; None for every protocol."""
        services = services_of(_line(self._layout.main_services) or ",".join(SERVICES))
        return None if services == SERVICES else services

    def version(self) -> str:
        """The version of Dovecot."""
        self._version = self._version or tables_version(self._layout)
        return self._version


def _line(path: str) -> str:
    return read(path).decode("utf-8", "surrogateescape").rstrip("\n")
