"""The key with which Dovecot proves to the listener for login reports that a report is its own: any
user of the machine can connect to a port."""

import os
import re

from mailroster.base.layout import Layout
from mailroster.system.files import Disk, read

_KEY = re.compile(rb"[0-9a-f]{64}\n")


def login_key(layout: Layout) -> str:
    """The key of an instance, made at the first call. Raises OSError."""
    key = known_key(layout)
    if not key:
        key = new_key()
        Disk().replace(layout.login_key, f"{key}\n".encode(), mode=0o600)
    return key


def known_key(layout: Layout) -> str:
    """The key of an instance, "" if it has none yet."""
    raw = read(layout.login_key)
    return raw.decode().strip() if _KEY.fullmatch(raw) else ""


def new_key() -> str:
    return os.urandom(32).hex()
