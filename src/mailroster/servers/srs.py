"""Runs postsrsd, which rewrites the senders of forwarded mail (`config/srs`)."""

import os
import secrets

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.setting_rules import words
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


def ensure_secret(settings: Settings, layout: Layout) -> bool:
    """Writes the secrets with which addresses are signed, a line for each: those of the setting;
    else a new one, unless there is one: with another one the bounces of mail that was forwarded
    before would be refused. Returns whether the file changed, which postsrsd reads at its start."""
    before = read(layout.srs_secret)
    given = words(settings.srs_secret)
    text = "".join(f"{secret}\n" for secret in given or [secrets.token_urlsafe(24)]).encode()
    if text == before or (before.strip() and not given):
        return False
    Disk().replace(layout.srs_secret, text, mode=0o600)
    return True
