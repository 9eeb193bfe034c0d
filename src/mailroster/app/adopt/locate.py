"""Finds the folders of a docker-mailserver: config, mail, state, logs and the compose project."""

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
    """Absolute paths, "" for a folder that was not found."""

    folder: str
    home: str
    config: str
    mail: str
    state: str
    logs: str
    project: Project


def find(folder: str, named: Mapping[str, str]) -> Place:
    """Finds the folders that belong to a config folder, to a home or to a compose project. `named`
    are the folders that options or variables name, by setting.

    Raises Refused for any other folder, OSError for a folder that can't be read.
    """
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise Refused(f"there is no folder {folder}")
    home = _home(folder)
    compose = _project(folder, home)
    if not home and not is_config(os.listdir(folder)) and "config" not in compose.mounts:
        raise Refused(
            f"{folder} is no config folder of docker-mailserver: it has no {ROSTER[0]}, no "
            f"config/, no {HOME}/config/, and no compose file that mounts a config folder"
        )
    paths = dict.fromkeys(_NAMES, "")
    if home:
        paths |= {name: os.path.join(home, below) for name, below in _NAMES.items()}
    else:
        paths["config"] = folder
    paths |= {**compose.mounts, **{name: os.path.abspath(path) for name, path in named.items()}}
    if not os.path.isdir(paths["config"]):
        raise Refused(f"there is no config folder {paths['config']}")
    for name in ("mail", "state", "logs"):
        if not os.path.isdir(paths[name]) and name not in named:
            paths[name] = ""
    return Place(folder, home, **paths, project=compose)


def _home(folder: str) -> str:
    """The home: the folder itself, a folder in it, or its parent; "" for none."""
    for path in (folder, os.path.join(folder, HOME)):
        config = os.path.join(path, _NAMES["config"])
        if os.path.isdir(config) and (is_config(os.listdir(config)) or _has_volumes(path)):
            return path
    parent, name = os.path.split(folder)
    return parent if name == _NAMES["config"] and _has_volumes(parent) else ""


def _has_volumes(home: str) -> bool:
    return any(os.path.isdir(os.path.join(home, _NAMES[name])) for name in ("mail", "state"))


def _project(folder: str, home: str) -> Project:
    """The compose project in the folder, or in a folder above the home."""
    parents = [home, os.path.dirname(home)] if home else []
    if home.endswith(f"/{HOME}"):
        parents.append(home.removesuffix(f"/{HOME}") or "/")
    for path in (folder, *parents):
        if project.files_in(path):
            return project.read(path)
    return project.none()


def near(path: str) -> str:
    """A path, relative to the current folder if it is below that, and that is not the root."""
    if os.getcwd() == "/":
        return path
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
