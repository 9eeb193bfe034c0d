"""Finds the mail and the Sieve scripts that a former owner of an address left.

`email del -y` renames the script in the config folder to a name that is never served, so that
`undo` can restore it. Scripts of ManageSieve are deleted with the mail.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from mailroster.base.address import Address, fold
from mailroster.base.settings import Settings
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.servers.mailboxes import folder

#: Follows the name of a script whose account was deleted; the ID of that change follows.
DELETED = ".deleted-"
#: The active script of ManageSieve, below the folder of a mailbox.
_ACTIVE = "home/.dovecot.sieve"


def leftovers(settings: Settings, address: Address) -> list[str]:
    """What a new account with this address would inherit, as `mail in PATH`."""
    mailbox = folder(settings.mail, address)
    result = [f"mail in {mailbox}"] if _has_entries(mailbox) else []
    active = os.path.join(mailbox, _ACTIVE)
    result += [f"an active Sieve script, {active}"] if os.path.lexists(active) else []
    return result + [f"a Sieve script, {path}" for path in scripts(settings, address)]


def with_leftovers(settings: Settings, addresses: Sequence[Address]) -> list[Address]:
    """Those of many addresses that have leftovers of a former owner."""
    config = settings.config
    names = os.listdir(config) if addresses and os.path.isdir(config) else []
    scripts = {fold(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)}
    return [
        address
        for address in addresses
        if address in scripts or _has_entries(folder(settings.mail, address))
    ]


def scripts(settings: Settings, address: Address) -> list[str]:
    """The paths of the Sieve scripts of an address in the config folder, in any spelling."""
    files = _files(settings.config, address, SUFFIX)
    return [os.path.join(settings.config, file) for file in files]


def set_scripts_aside(settings: Settings, address: Address, change: int) -> None:
    """Renames the script of an address; `restore_script` with the same change undoes it. Raises
    OSError."""
    for path in scripts(settings, address):
        with suppress(FileNotFoundError):
            os.replace(path, f"{path}{DELETED}{change}")


def restore_script(settings: Settings, address: Address, change: int) -> str:
    """Restores the script that a change set aside; returns its path, or "" if there is none, or if
    the address has another script. Raises OSError."""
    if scripts(settings, address):
        return ""
    end = f"{DELETED}{change}"
    for file in _files(settings.config, address, SUFFIX + end):
        path = os.path.join(settings.config, file.removesuffix(end))
        os.rename(path + end, path)
        return path
    return ""


def _files(config: str, address: Address, end: str) -> list[str]:
    names = sorted(os.listdir(config)) if os.path.isdir(config) else []
    return [
        name for name in names if name.endswith(end) and fold(name.removesuffix(end)) == address
    ]


def _has_entries(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(True for _ in entries)
    except FileNotFoundError:
        return False
    except OSError:
        return os.path.lexists(path)
