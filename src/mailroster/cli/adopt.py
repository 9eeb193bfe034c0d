"""`mailroster adopt`: what would be served from the folder of a docker-mailserver."""

import os
from collections.abc import Iterable
from typing import Any

from mailroster.analysis.checks.secrets import is_known, scheme_of
from mailroster.app.adopt import environment, locate
from mailroster.app.adopt.compose_project import Value
from mailroster.app.adopt.locate import Place
from mailroster.app.adopt.remark import DIFFERS, MEND, MISSING, NOTE, OTHER_WAY, Remark, named
from mailroster.app.adopt.report import Outlook, in_order, of_paths, outlook, roster_of
from mailroster.base.findings import ERROR, WARNING, Finding, Refused, ServiceFailed
from mailroster.base.settings import FOLDERS, NOWHERE, Settings, Sources, load
from mailroster.cli import adopt_report
from mailroster.cli.call import Call, sources_of
from mailroster.cli.check import findings
from mailroster.cli.shown import shown
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import quoted
from mailroster.system.programs import Captures, prime, run

_FOLDERS = tuple(setting.name for setting in FOLDERS[1:])


def adopt(call: Call) -> int:
    """Tells it, and changes nothing; exit 1 if something has to be mended first, or with --strict
    if anything else is to be done or known."""
    found = locate.find(call.arguments[0], _said(call))
    if found.config == call.settings.config:
        here = {name: getattr(call.settings, name) for name in ("mail", "state", "logs")}
        found = found._replace(**{k: v for k, v in here.items() if v and not getattr(found, k)})
        found.project.variables.update(environment.inherited(os.environ))
    _take_hostname(found)
    judged = environment.judged(found.project.variables)
    settings = _settings(call, found, judged.honoured)
    call = call._replace(settings=settings)
    roster, unreadable = roster_of(found.config)
    captures = Captures(roster.regexp)
    router = call.router(roster, captures).remembering()
    prime(
        router,
        [*roster.virtual.index, *roster.local_aliases.index],
        map(quoted, roster.accounts.counted()),
    )
    said = outlook(found, router, settings, call.layout())
    more = [
        *unreadable,
        *judged.remarks,
        *of_paths(judged.honoured, settings, _trouble(settings, call)),
    ]
    said = said._replace(remarks=in_order([*said.remarks, *more, *_schemes(roster)]))
    theirs = shown(findings(call, roster, found.config)).findings
    bad = MEND in {r.kind for r in said.remarks} or ERROR in {f.severity for f in theirs}
    steps = [] if bad else adopt_report.steps(found, settings, judged.honoured)
    adopt_report.show(call, found, said, theirs, steps)
    return _status(call, said, theirs)


def _take_hostname(found: Place) -> None:
    """Takes the host name of a compose project as the variable that it stands for."""
    variables, name = found.project.variables, found.project.hostname
    given = variables.get("OVERRIDE_HOSTNAME")
    if name and (given is None or given.text == ""):
        variables.pop("OVERRIDE_HOSTNAME", None)  # an empty one; the next commands name this last
        variables["OVERRIDE_HOSTNAME"] = Value(name, "the compose file")


def _said(call: Call) -> dict[str, str]:
    """The folders that are named besides: by options, or by the environment."""
    usual = load(Sources({}, {}, lambda path: b"", os.path.isdir))
    names = ("mail", "state", "logs")
    said = {name: str(getattr(call.settings, name)) for name in names}
    return {
        name: path for name, path in said.items()
        if path != getattr(usual, name) and not path.startswith(NOWHERE)
    }  # fmt: skip


def _settings(call: Call, found: Place, honoured: dict[str, str]) -> Settings:
    """The settings with which it would be served."""
    paths = {name: getattr(found, name) for name in _FOLDERS}
    options = {name: path or str(getattr(call.settings, name)) for name, path in paths.items()}
    return load(sources_of(options, honoured))


def _trouble(settings: Settings, call: Call) -> str:
    """Why a start would refuse the folders, "" if it wouldn't."""
    from mailroster.servers.prepare import check_paths

    try:
        check_paths(settings, call.layout())
    except Refused as error:
        return str(error)
    return ""


def _schemes(roster: Roster) -> Iterable[Remark]:
    """Hashes that the Dovecot of this machine can't read."""
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
    except ServiceFailed:
        known = set()
    if not known:
        what = "no Dovecot here tells which schemes it knows"
        yield Remark(NOTE, "hashes", what)
        return
    for scheme in sorted(lines.keys() - known):
        if is_known(scheme):
            what = f"the Dovecot of this machine knows no scheme {scheme}"
            yield Remark(MEND, named(lines[scheme]), what, "set new passwords")


def _status(call: Call, said: Outlook, theirs: list[Finding]) -> int:
    bad: set[str] = {MEND, ERROR}
    if "--strict" in call.options:
        bad |= {DIFFERS, OTHER_WAY, MISSING, WARNING}
    told = [remark.kind for remark in said.remarks] + [finding.severity for finding in theirs]
    return 1 if bad.intersection(told) else 0
