"""What the former owner of an address has left: mail, and Sieve scripts in two places.

`email del -y` removes the script from the config folder, and `undo` restores it: so the script
stays there under a name that is never served. Scripts of ManageSieve are deleted with the mail.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from mailroster.base.address import Address, fold
from mailroster.base.settings import Settings
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.servers.mailboxes import folder

#: Stands behind the name of a script whose account was deleted, before the ID of that change.
DELETED = ".deleted-"
#: The script of ManageSieve that is active, below the folder of a mailbox.
_ACTIVE = "home/.dovecot.sieve"


def left(settings: Settings, address: Address) -> list[str]:
    """What lies where a new account of an address would have its own, as `mail in PATH`."""
    place = folder(settings.mail, address)
    found = [f"mail in {place}"] if _has_something(place) else []
    active = os.path.join(place, _ACTIVE)
    found += [f"an active Sieve script, {active}"] if os.path.lexists(active) else []
    return found + [f"a Sieve script, {path}" for path in scripts(settings, address)]


def had_owner(settings: Settings, addresses: Sequence[Address]) -> list[Address]:
    """Those of many addresses for which something is left."""
    config = settings.config
    names = os.listdir(config) if addresses and os.path.isdir(config) else []
    scripts = {fold(name.removesuffix(SUFFIX)) for name in names if name.endswith(SUFFIX)}
    return [
        address
        for address in addresses
        if address in scripts or _has_something(folder(settings.mail, address))
    ]


def scripts(settings: Settings, address: Address) -> list[str]:
    """The paths of the Sieve scripts of an address in the config folder, in any spelling."""
    files = _files(settings.config, address, SUFFIX)
    return [os.path.join(settings.config, file) for file in files]


def set_scripts_aside(settings: Settings, address: Address, change: int) -> None:
    """Takes the script of an address away; `bring_back` of the same change undoes it. Raises
    OSError."""
    for path in scripts(settings, address):
        with suppress(FileNotFoundError):
            os.replace(path, f"{path}{DELETED}{change}")


def bring_back(settings: Settings, address: Address, change: int) -> str:
    """The path of a script that is back in its place; "" if the change has taken none away, or
    another one is in its place. Raises OSError."""
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


def _has_something(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(True for _ in entries)
    except FileNotFoundError:
        return False
    except OSError:
        return os.path.lexists(path)
