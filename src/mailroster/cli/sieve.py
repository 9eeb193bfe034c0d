"""`setup sieve`: the Sieve scripts of the folder."""

import os

from mailroster.cli.call import Call, print_json, print_list
from mailroster.roster.formats.sieve import AFTER, BEFORE, script_of, scripts_among
from mailroster.servers.sieve import SieveScripts
from mailroster.store.links import ConfigFolder
from mailroster.system.files import read


def show(call: Call) -> int:
    """Each script with the file it stands in, and whether it is in force as it stands."""
    settings, roster = call.settings, call.roster("accounts")
    scripts = SieveScripts(
        settings.config, call.layout(), settings.settle_seconds, linked=settings.linked()
    )
    folder = ConfigFolder(settings.config, settings.linked())
    live, rows = scripts.live(), []
    for name, file in scripts_among(os.listdir(settings.config)).files.items():
        rows.append(
            {
                "name": name,
                "file": file,
                "live": name in live and read(scripts.path(name)) == _text(folder, file),
                "account": None if name in (BEFORE, AFTER) else name in roster.accounts,
            }
        )
    if "--json" in call.options:
        print_json(rows)
        return 0
    print_list(
        [
            f"* {row['name']}"
            + ("" if row["account"] is not False else ", no account")
            + (", live" if row["live"] else ", not live")
            for row in rows
        ]
    )
    return 0


def _text(folder: ConfigFolder, file: str) -> bytes | None:
    """A script of the folder; None for one that can't be read, which `check` reports."""
    try:
        return script_of(folder.read(file))
    except OSError:
        return None
