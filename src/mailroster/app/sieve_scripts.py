"""The Sieve scripts of the config folder and their states."""

import os
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.roster.formats.sieve import AFTER, BEFORE, script_of, scripts_among
from mailroster.servers.sieve import SieveScripts
from mailroster.store.links import ConfigFolder


class ScriptState(NamedTuple):
    """A script. `account`: its account exists; None for a script of all accounts."""

    name: str
    file: str
    live: bool
    account: bool | None


def scripts_of(home: Home) -> SieveScripts:
    """The scripts of a home; they put themselves in force."""
    s = home.settings
    return SieveScripts(s.config, home.layout, s.settle_seconds, linked=s.linked())


def states(home: Home) -> list[ScriptState]:
    """The states of all scripts in the config folder."""
    settings, roster, scripts = home.settings, home.roster("accounts"), scripts_of(home)
    folder = ConfigFolder(settings.config, settings.linked())
    result = []
    for name, file in scripts_among(os.listdir(settings.config)).files.items():
        is_live = scripts.live.has(name, _script(folder, file))
        account = None if name in (BEFORE, AFTER) else name in roster.accounts
        result.append(ScriptState(name, file, is_live, account))
    return result


def _script(folder: ConfigFolder, file: str) -> bytes | None:
    """A script of the folder; None if it can't be read, which `check` reports."""
    try:
        return script_of(folder.read(file))
    except OSError:
        return None
