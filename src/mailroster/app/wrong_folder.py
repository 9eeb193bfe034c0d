"""The warning about a config folder that is probably not the one that was meant."""

import os

from mailroster.system.folder_lock import LOCK_FILE


def warning(config: str, *, makes: bool = False) -> str:
    """What to say of a config folder before a command works on it, "" for nothing. `makes`: the
    command makes the folder and its files if they are missing."""
    path = os.path.abspath(config)
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return f"{path} does not exist, and is made now; --config names another" if makes else ""
    except OSError:
        return ""  # the command itself says so
    names = [name for name in names if name != LOCK_FILE]  # a refused edit leaves one
    if not names:
        return "" if makes else f"{path} is empty; is it the config folder? --config names another"
    from mailroster.app.adopt.known_files import OURS, is_config

    if is_config(names) or any(name in OURS or name.startswith(".mailroster") for name in names):
        return ""
    return (
        f"{path} has none of mailroster's files, such as postfix-accounts.cf; is it the config "
        "folder? --config names another"
    )
