"""The key with which Dovecot proves to the listener for login reports that a report is its own: any
user of the machine can connect to a port."""

import os
import re

from mailroster.base.layout import Layout
from mailroster.system.files import Disk, read

_KEY = re.compile(rb"[0-9a-f]{64}\n")


def login_key(layout: Layout) -> str:
    """The key of an instance, made at the first call. Raises OSError."""
    raw = read(layout.login_key)
    if not _KEY.fullmatch(raw):
        raw = os.urandom(32).hex().encode() + b"\n"
        Disk().replace(layout.login_key, raw, mode=0o600)
    return raw.decode().strip()
