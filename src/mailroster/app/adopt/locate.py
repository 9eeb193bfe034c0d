"""Where a docker-mailserver has what: its config folder, its mail, its state, its project."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from mailroster.app.adopt import compose_project as project
from mailroster.app.adopt.compose_project import Project
from mailroster.app.adopt.known_files import ROSTER, is_config
from mailroster.base.findings import Refused
from mailroster.base.settings import FOLDERS, HOME

#: The folders of a home, by the name of the setting.
_NAMES = {setting.name: str(setting.default) for setting in FOLDERS[1:]}


class Place(NamedTuple):
    """Absolute paths; "" for what isn't to be found."""

    folder: str
    home: str
    config: str
    mail: str
    state: str
    logs: str
    project: Project


def find(folder: str, said: Mapping[str, str]) -> Place:
    """What lies where for a folder that somebody names: a config folder, a home with one, or the
    folder of a compose project. `said` are folders that are named besides, by setting.

    Raises Refused for a folder that is none of these, OSError for one that can't be read.
    """
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise Refused(f"there is no folder {folder}")
    home = _home(folder)
    found = _project(folder, home)
    if not home and not is_config(os.listdir(folder)) and "config" not in found.mounts:
        raise Refused(
            f"{folder} is no config folder of docker-mailserver: it has neither "
            f"{ROSTER[0]} nor config/ nor {HOME}/config/, and no compose file that mounts one"
        )
    paths = dict.fromkeys(_NAMES, "")
    if home:
        paths |= {name: os.path.join(home, below) for name, below in _NAMES.items()}
    else:
        paths["config"] = folder
    paths |= {**found.mounts, **{name: os.path.abspath(path) for name, path in said.items()}}
    if not os.path.isdir(paths["config"]):
        raise Refused(f"there is no config folder {paths['config']}")
    for name in ("mail", "state", "logs"):
        if not os.path.isdir(paths[name]) and name not in said:
            paths[name] = ""
    return Place(folder, home, paths["config"], paths["mail"], paths["state"], paths["logs"], found)


def _home(folder: str) -> str:
    """The home that a folder is, holds, or lies in; "" for none."""
    for path in (folder, os.path.join(folder, HOME)):
        config = os.path.join(path, _NAMES["config"])
        if os.path.isdir(config) and (is_config(os.listdir(config)) or _has_volumes(path)):
            return path
    above, name = os.path.split(folder)
    return above if name == _NAMES["config"] and _has_volumes(above) else ""


def _has_volumes(home: str) -> bool:
    return any(os.path.isdir(os.path.join(home, _NAMES[name])) for name in ("mail", "state"))


def _project(folder: str, home: str) -> Project:
    """The project that the folder is, or that holds its home."""
    above = [home, os.path.dirname(home)] if home else []
    if home.endswith(f"/{HOME}"):
        above.append(home.removesuffix(f"/{HOME}") or "/")
    for path in (folder, *above):
        if project.files_in(path):
            return project.read(path)
    return project.none()


def near(path: str) -> str:
    """A path as seen from the current folder, if it lies below that."""
    below = os.path.relpath(path)
    return path if below.startswith(os.pardir) else below
