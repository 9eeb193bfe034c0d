"""Runs postsrsd, which rewrites the senders of forwarded mail (`config/srs`)."""

import os
import secrets

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.config import srs
from mailroster.system import processes
from mailroster.system.files import Disk, read


def check_installed(settings: Settings) -> None:
    """Raises Refused if the setting is on, and postsrsd is not installed."""
    if settings.enable_srs and not (os.path.exists(srs.PROGRAM) and processes.uids(srs.USER)):
        raise Refused(
            f"enable_srs needs the Debian package {srs.PACKAGE}; install it (apt-get install "
            f"{srs.PACKAGE}), or switch the setting off"
        )


def ensure_secret(layout: Layout) -> None:
    """Creates the secret with which addresses are signed, unless there is one: with another one
    the bounces of mail that was forwarded before would be refused."""
    if not read(layout.srs_secret).strip():
        Disk().replace(layout.srs_secret, f"{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
