"""Assesses the folders of a docker-mailserver for `adopt`, without the servers."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mailroster.analysis.checks.secrets import is_known, scheme_of
from mailroster.app.adopt import environment, locate
from mailroster.app.adopt.compose_project import Value
from mailroster.app.adopt.locate import Place
from mailroster.app.adopt.remark import FIX, NOTE, Remark, named
from mailroster.app.adopt.report import Outlook, in_order, of_paths, outlook, roster_of
from mailroster.app.check import each_finding
from mailroster.app.configure import sources_of
from mailroster.app.home import Home
from mailroster.base.findings import Finding, Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import FOLDERS, NOWHERE, Settings, Sources, load
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import quoted
from mailroster.servers.patterns import prefetch
from mailroster.servers.prerequisites import check_paths
from mailroster.system.programs import run

_FOLDERS = tuple(setting.name for setting in FOLDERS[1:])


class Assessment(NamedTuple):
    """The folders, the settings with which mailroster would serve them, the variables that set
    these, the remarks for the administrator, and the findings about the config folder."""

    place: Place
    settings: Settings
    honoured: dict[str, str]
    outlook: Outlook
    findings: list[Finding]


def assess(home: Home, folder: str, variables: Mapping[str, str]) -> Assessment:
    """Assesses a folder. The environment `variables` count if it is the folder of this home.
    Changes nothing. Raises as locate.find does."""
    place = locate.find(folder, _named_folders(home.settings))
    if place.config == home.settings.config:
        own = {name: getattr(home.settings, name) for name in ("mail", "state", "logs")}
        place = place._replace(**{k: v for k, v in own.items() if v and not getattr(place, k)})
        place.project.variables.update(environment.inherited(variables))
    _use_hostname(place)
    judgement = environment.judge(place.project.variables)
    settings = _settings(home.settings, place, judgement.honoured)
    home = home.derive(settings)
    roster, unreadable = roster_of(place.config)
    router = home.router(roster).remembering()
    prefetch(
        router,
        [*roster.virtual.index, *roster.local_aliases.index],
        map(quoted, roster.accounts.counted()),
    )
    forecast = outlook(place, router, settings, home.layout)
    remarks = [
        *forecast.remarks,
        *unreadable,
        *judgement.remarks,
        *of_paths(judgement.honoured, settings, _folders_fault(settings, home.layout)),
        *_schemes(roster),
    ]
    forecast = forecast._replace(remarks=in_order(remarks))
    findings = list(each_finding(home, roster, place.config))
    return Assessment(place, settings, judgement.honoured, forecast, findings)


def _use_hostname(place: Place) -> None:
    """Sets the variable of the host name to the name in the compose project."""
    variables, name = place.project.variables, place.project.hostname
    given = variables.get("OVERRIDE_HOSTNAME")
    if name and (given is None or given.text == ""):
        variables.pop("OVERRIDE_HOSTNAME", None)  # so that the next step names it last
        variables["OVERRIDE_HOSTNAME"] = Value(name, "the compose file")


def _named_folders(settings: Settings) -> dict[str, str]:
    """The folders that options or the environment name."""
    usual = load(Sources({}, {}, lambda path: b"", os.path.isdir, folder=os.getcwd))
    paths = {name: str(getattr(settings, name)) for name in ("mail", "state", "logs")}
    return {
        name: path for name, path in paths.items()
        if path != getattr(usual, name) and not path.startswith(NOWHERE)
    }  # fmt: skip


def _settings(given: Settings, place: Place, honoured: dict[str, str]) -> Settings:
    """The settings with which mailroster would serve the folders."""
    paths = {name: getattr(place, name) for name in _FOLDERS}
    options = {name: path or str(getattr(given, name)) for name, path in paths.items()}
    return load(sources_of(options, honoured))


def _folders_fault(settings: Settings, layout: Layout) -> str:
    """The reason why `up` would refuse the folders, "" for none."""
    try:
        check_paths(settings, layout)
    except Refused as error:
        return str(error)
    return ""


def _schemes(roster: Roster) -> Iterable[Remark]:
    """Reports hashes with a scheme that the Dovecot of this machine does not know."""
    lines: dict[str, list[str]] = {}
    documents: tuple[Document[Any], ...] = (roster.accounts, roster.masters)
    for document in documents:
        for key, position in document.counted().items():
            entry = document.get(key)
            if entry is not None:
                scheme = scheme_of(entry.password).partition(".")[0]
                lines.setdefault(scheme, []).append(str(document.location(position)))
    if not lines:
        return
    try:
        known = set(run(["doveadm", "pw", "-l"])[1].split())
    except ServerError:
        known = set()
    if not known:
        message = "their schemes are not checked, since there is no Dovecot on this machine"
        yield Remark(NOTE, "hashes", message)
        return
    for scheme in sorted(lines.keys() - known):
        if is_known(scheme):
            message = f"the Dovecot of this machine does not know the scheme {scheme}"
            yield Remark(FIX, named(lines[scheme]), message, "set new passwords for these accounts")
