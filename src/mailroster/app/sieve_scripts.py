"""The Sieve scripts of the config folder, and whether each is in force."""

import os
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.roster.formats.sieve import AFTER, BEFORE, script_of, scripts_among
from mailroster.servers.sieve import SieveScripts
from mailroster.store.links import ConfigFolder
from mailroster.system.files import read


class ScriptState(NamedTuple):
    """One script. `account`: whether it belongs to an account that exists; None for a script of
    all accounts."""

    name: str
    file: str
    live: bool
    account: bool | None


def scripts_of(home: Home) -> SieveScripts:
    """What puts the scripts of a home in force."""
    s = home.settings
    return SieveScripts(s.config, home.layout, s.settle_seconds, linked=s.linked())


def states(home: Home) -> list[ScriptState]:
    """Each script of the config folder."""
    settings, roster, scripts = home.settings, home.roster("accounts"), scripts_of(home)
    folder = ConfigFolder(settings.config, settings.linked())
    live, result = scripts.live(), []
    for name, file in scripts_among(os.listdir(settings.config)).files.items():
        is_live = name in live and read(scripts.path(name)) == _script(folder, file)
        account = None if name in (BEFORE, AFTER) else name in roster.accounts
        result.append(ScriptState(name, file, is_live, account))
    return result


def _script(folder: ConfigFolder, file: str) -> bytes | None:
    """A script of the folder; None for one that can't be read, which `check` reports."""
    try:
        return script_of(folder.read(file))
    except OSError:
        return None
