"""Warns about a config folder that is probably the wrong one."""

import os

from mailroster.system.folder_lock import LOCK_FILE


def warning(config: str, *, makes: bool = False) -> str:
    """The warning about a config folder, "" for none. `makes`: the command creates the folder and
    its files if they are missing."""
    path = os.path.abspath(config)
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return f"{path} does not exist and is created; --config sets another" if makes else ""
    except OSError:
        return ""  # the command itself reports it
    names = [name for name in names if name != LOCK_FILE]  # a refused edit leaves it
    if not names:
        return "" if makes else f"{path} is empty; is it the config folder? --config sets another"
    from mailroster.app.adopt.known_files import OWN_FILES, is_config

    if is_config(names) or any(
        name in OWN_FILES or name.startswith(".mailroster") for name in names
    ):
        return ""
    return (
        f"{path} has none of mailroster's files, such as postfix-accounts.cf; is it the config "
        "folder? --config sets another"
    )
