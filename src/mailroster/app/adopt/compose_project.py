"""What a compose project says of a docker-mailserver: its variables, its host name, and the folders
that it mounts. `compose.yaml` and `mailserver.env`, as far as they make sense without Docker.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mailroster.app.adopt.remark import FIX, NOTE, OTHER_WAY, Remark
from mailroster.base.findings import printable
from mailroster.system.files import opened

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
ENV = ("mailserver.env", "env-mailserver")
#: The mounts of the container, by the name of the setting.
MOUNTS = {
    "config": "/tmp/docker-mailserver",
    "mail": "/var/mail",
    "state": "/var/mail-state",
    "logs": "/var/log/mail",
}
#: More than this no such file has.
_BYTES_MAX = 1 << 20


class Value(NamedTuple):
    """What a variable is set to, and where; None if only Docker knows what it is."""

    text: str | None
    source: str


class Project(NamedTuple):
    """What was found out; paths are absolute."""

    folder: str
    files: list[str]
    variables: dict[str, Value]
    mounts: dict[str, str]  # by the name of the setting
    hostname: str
    remarks: list[Remark]


def none(folder: str = "") -> Project:
    """That of a folder without one."""
    return Project(folder, [], {}, {}, "", [])


def files_in(folder: str) -> list[str]:
    """The files of a project in a folder, none if it holds none."""
    composes = [name for name in COMPOSE if os.path.isfile(os.path.join(folder, name))]
    envs = [name for name in ENV if os.path.isfile(os.path.join(folder, name))]
    return [*composes[:1], *envs]


def read(folder: str) -> Project:
    """The project of a folder."""
    project = none(folder)
    compose = next((name for name in files_in(folder) if name in COMPOSE), "")
    envs = [name for name in files_in(folder) if name in ENV]
    service = _service(folder, compose, project) if compose else None
    if service is not None:
        envs = list(_env_files(service)) or envs
        project = project._replace(hostname=_plain(service.get("hostname")))
        domain = _plain(service.get("domainname"))
        if domain and project.hostname and "." not in project.hostname:
            project = project._replace(hostname=f"{project.hostname}.{domain}")
    for name in envs:
        _take_file(folder, name, project)
    if service is not None:
        for name, text in _environment(service):
            project.variables[name] = Value(text, compose)
        _take_mounts(folder, compose, service, project)
    return project


def variables_of(text: str) -> Iterator[tuple[str, str | None]]:
    """The variables of an env file (docs.docker.com, env_file): a name alone is taken from the
    shell, which only Docker knows."""
    for line in text.split("\n"):
        line = line.strip().removeprefix("export ").lstrip()
        name, equals, value = line.partition("=")
        if not name or line[0] == "#" or not name.strip().replace("_", "").isalnum():
            continue
        yield name.strip(), _value(value.strip()) if equals else None


def _value(text: str) -> str | None:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    text = text.partition(" #")[0].rstrip()
    return None if "${" in text else text


def _take_file(folder: str, name: str, project: Project) -> None:
    try:
        text = _text(os.path.join(folder, name))
    except OSError as error:
        message = f"the file can't be read ({error.strerror})"
        project.remarks.append(
            Remark(FIX, printable(name), message, "its variables are not judged")
        )
        return
    project.files.append(name)
    for variable, value in variables_of(text):
        project.variables[variable] = Value(value, name)


def _text(path: str) -> str:
    """Raises OSError for what is no text file of a sensible size."""
    with opened(path) as file:
        raw = file.read(_BYTES_MAX + 1) or b""
    if len(raw) > _BYTES_MAX or b"\0" in raw:
        raise OSError(0, "it is no such file")
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")


def _service(folder: str, name: str, project: Project) -> Mapping[str, Any] | None:
    """The service of a compose file that is a mail server; None where there is none to be found."""
    try:
        import yaml
    except ImportError:
        message = "not read, as PyYAML is missing: its settings and folders are unknown"
        hint = "apt install python3-yaml, then run this again"
        project.remarks.append(Remark(FIX, name, message, hint))
        return None
    try:
        found = yaml.safe_load(_text(os.path.join(folder, name)))
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        message = f"the file can't be read ({printable(words)})"
        project.remarks.append(Remark(NOTE, name, message, "its variables are not judged"))
        return None
    project.files.append(name)
    services = found.get("services") if isinstance(found, dict) else None
    ours = [s for s in services.values() if _is_mail(s)] if isinstance(services, dict) else []
    if len(ours) == 1:
        service: Mapping[str, Any] = ours[0]
        return service
    message = f"{len(ours) or 'none'} of its services mount {MOUNTS['config']}"
    project.remarks.append(Remark(NOTE, name, message, "its variables are not judged"))
    return None


def _is_mail(service: object) -> bool:
    if not isinstance(service, dict):
        return False
    return "mailserver" in str(service.get("image", "")) or any(
        target == MOUNTS["config"] for _, target in _volumes(service)
    )


def _env_files(service: Mapping[str, Any]) -> Iterator[str]:
    said = service.get("env_file")
    for entry in said if isinstance(said, list) else [said]:
        path = entry.get("path") if isinstance(entry, dict) else entry
        if isinstance(path, str):
            yield path


def _environment(service: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    said = service.get("environment")
    if isinstance(said, dict):
        for name, value in said.items():
            yield str(name), _scalar(value)
    for line in said if isinstance(said, list) else ():
        name, equals, value = str(line).partition("=")
        yield name, (None if "${" in value else value) if equals else None


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None or "${" in str(value) else str(value)


def _volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of each mount."""
    said = service.get("volumes")
    for entry in said if isinstance(said, list) else ():
        if isinstance(entry, dict):
            source, target = str(entry.get("source", "")), str(entry.get("target", ""))
        else:
            source, target = (*str(entry).split(":"), "")[:2]
        yield source, target.rstrip("/")


def _take_mounts(folder: str, name: str, service: Mapping[str, Any], project: Project) -> None:
    """The folders that are mounted, and what is to be said of those that can't be found."""
    for source, target in _volumes(service):
        setting = next((key for key, mount in MOUNTS.items() if mount == target), "")
        if not setting:
            continue
        if source[:1] in (".", "/", "~") and "$" not in source:
            path = os.path.join(folder, os.path.expanduser(source))
            project.mounts[setting] = os.path.normpath(path)
            continue
        message = f"{target} is {printable(source)!r}, a volume that Docker keeps"
        hint = f"name its folder: --{setting} (docker volume inspect says where it is)"
        project.remarks.append(Remark(OTHER_WAY, name, message, hint))


def _plain(value: object) -> str:
    return value if isinstance(value, str) and "$" not in value else ""
