"""Reads the compose project of a docker-mailserver: its variables, its host name, and the folders
that it mounts, from `compose.yaml` and `mailserver.env`. Values that only Docker knows are None.
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
#: A larger file is no project file.
_BYTES_MAX = 1 << 20


class Value(NamedTuple):
    """The value of a variable, and the file that sets it."""

    text: str | None  # None: only Docker knows it
    source: str


class Project(NamedTuple):
    """A compose project; the paths of `mounts` are absolute."""

    folder: str
    files: list[str]
    variables: dict[str, Value]
    mounts: dict[str, str]  # by the name of the setting
    hostname: str
    remarks: list[Remark]


def none(folder: str = "") -> Project:
    """The project of a folder without project files."""
    return Project(folder, [], {}, {}, "", [])


def files_in(folder: str) -> list[str]:
    """The names of the project files in a folder."""
    composes = [name for name in COMPOSE if os.path.isfile(os.path.join(folder, name))]
    envs = [name for name in ENV if os.path.isfile(os.path.join(folder, name))]
    return [*composes[:1], *envs]


def read(folder: str) -> Project:
    """Reads the project of a folder."""
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
        _read_env_file(folder, name, project)
    if service is not None:
        for name, text in _environment(service):
            project.variables[name] = Value(text, compose)
        _read_mounts(folder, compose, service, project)
    return project


def variables_of(text: str) -> Iterator[tuple[str, str | None]]:
    """The variables of an env file (docs.docker.com, env_file). A name without a value gets its
    value from the shell of Docker: None."""
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


def _read_env_file(folder: str, name: str, project: Project) -> None:
    try:
        text = _text(os.path.join(folder, name))
    except OSError as error:
        message = f"the file can't be read ({error.strerror})"
        project.remarks.append(
            Remark(FIX, printable(name), message, "correct it, so that its variables are checked")
        )
        return
    project.files.append(name)
    for variable, value in variables_of(text):
        project.variables[variable] = Value(value, name)


def _text(path: str) -> str:
    """The content of a text file. Raises OSError if it is too large, or no text."""
    with opened(path) as file:
        raw = file.read(_BYTES_MAX + 1) or b""
    if len(raw) > _BYTES_MAX or b"\0" in raw:
        raise OSError(0, "it is too large or no text file")
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")


def _service(folder: str, name: str, project: Project) -> Mapping[str, Any] | None:
    """The service of a compose file that is the mail server; None if there is not exactly one."""
    try:
        import yaml
    except ImportError:
        message = "the file is not read, since PyYAML is missing: settings and folders are unknown"
        hint = "run 'apt install python3-yaml', then run this command again"
        project.remarks.append(Remark(FIX, name, message, hint))
        return None
    try:
        content = yaml.safe_load(_text(os.path.join(folder, name)))
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"the file can't be read, its variables are not checked ({printable(reason)})"
        project.remarks.append(Remark(NOTE, name, message, "correct the file"))
        return None
    project.files.append(name)
    services = content.get("services") if isinstance(content, dict) else None
    mail = [s for s in services.values() if _is_mail(s)] if isinstance(services, dict) else []
    if len(mail) == 1:
        service: Mapping[str, Any] = mail[0]
        return service
    count = f"{len(mail)} mail servers" if mail else "no mail server"
    message = f"its variables are not checked, since it has {count}"
    project.remarks.append(Remark(NOTE, name, message))
    return None


def _is_mail(service: object) -> bool:
    if not isinstance(service, dict):
        return False
    return "mailserver" in str(service.get("image", "")) or any(
        target == MOUNTS["config"] for _, target in _volumes(service)
    )


def _env_files(service: Mapping[str, Any]) -> Iterator[str]:
    files = service.get("env_file")
    for entry in files if isinstance(files, list) else [files]:
        path = entry.get("path") if isinstance(entry, dict) else entry
        if isinstance(path, str):
            yield path


def _environment(service: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    variables = service.get("environment")
    if isinstance(variables, dict):
        for name, value in variables.items():
            yield str(name), _scalar(value)
    for line in variables if isinstance(variables, list) else ():
        name, equals, value = str(line).partition("=")
        yield name, (None if "${" in value else value) if equals else None


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None or "${" in str(value) else str(value)


def _volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The source and the target of each mount."""
    volumes = service.get("volumes")
    for entry in volumes if isinstance(volumes, list) else ():
        if isinstance(entry, dict):
            source, target = str(entry.get("source", "")), str(entry.get("target", ""))
        else:
            source, target = (*str(entry).split(":"), "")[:2]
        yield source, target.rstrip("/")


def _read_mounts(folder: str, name: str, service: Mapping[str, Any], project: Project) -> None:
    """Adds the folders that are mounted, and a remark for each volume that Docker manages."""
    for source, target in _volumes(service):
        setting = next((key for key, mount in MOUNTS.items() if mount == target), "")
        if not setting:
            continue
        if source[:1] in (".", "/", "~") and "$" not in source:
            path = os.path.join(folder, os.path.expanduser(source))
            project.mounts[setting] = os.path.normpath(path)
            continue
        message = f"{target} is the volume {printable(source)!r}, which Docker manages"
        hint = f"name its folder with --{setting} ('docker volume inspect' shows it)"
        project.remarks.append(Remark(OTHER_WAY, name, message, hint))


def _plain(value: object) -> str:
    return value if isinstance(value, str) and "$" not in value else ""
