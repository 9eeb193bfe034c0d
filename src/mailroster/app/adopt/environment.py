"""The variables of a docker-mailserver: which of them count here, and what is to be said of the
others. Values are never told, as some are passwords."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from mailroster.app.adopt.compose_project import Value
from mailroster.app.adopt.remark import FIX, NOTE, Remark, named
from mailroster.app.adopt.variables import DETAILS, VARIABLES
from mailroster.base.findings import UsageError, printable
from mailroster.base.settings import FOLDERS, SETTINGS, Sources, load

FILE = "__FILE"
HONOURED = frozenset(s.variable for s in (*FOLDERS, *SETTINGS) if s.variable)


class Environment(NamedTuple):
    """What of some variables counts here, with its values; and what is to be said of the others."""

    honoured: dict[str, str]
    remarks: list[Remark]


def judged(variables: Mapping[str, Value]) -> Environment:
    """Variables as they stand in a project; none are judged as by nobody's project."""
    found = Environment({}, [])
    if not variables:
        return found
    for name, value in variables.items():
        if name.removesuffix(FILE) in HONOURED:
            found.remarks.extend(_taken(name, value, found.honoured))
    found.remarks.extend(_others(variables))
    return found


def inherited(environment: Mapping[str, str]) -> dict[str, Value]:
    """The variables of docker-mailserver that a process has been given, as in a container that was
    told of the old one's."""
    known = {name for row in VARIABLES for name in row.names.split()}
    known.update(name for name in HONOURED if not name.startswith("MAILROSTER_"))
    return {
        name: Value(text, "the environment")
        for name, text in environment.items()
        if name.removesuffix(FILE) in known
    }


def _taken(name: str, value: Value, honoured: dict[str, str]) -> Iterator[Remark]:
    """Takes a variable that is a setting, unless it is one that can't be."""
    if value.text is None or name.endswith(FILE):
        if value.text != "":
            message = f"its value is not known here, so it is not judged (in {value.source})"
            yield Remark(NOTE, name, message)
    elif value.text:
        try:
            load(Sources({}, {name: value.text}, lambda path: b"", lambda path: False))
            honoured[name] = value.text
        except UsageError as error:
            yield Remark(FIX, name, printable(str(error)), f"fix it in {value.source}")


def _others(variables: Mapping[str, Value]) -> Iterator[Remark]:
    names = {name.removesuffix(FILE) for name in variables}
    listed = set[str]()
    for row in VARIABLES:
        listed.update(row.names.split())
        asking = [
            name for name in row.names.split() if _asks(variables, name, row.default, row.idle)
        ]
        if asking and not _is_answered(row.answer, variables):
            subject = ", ".join(name + FILE * (name + FILE in variables) for name in asking)
            if not names.intersection(asking):
                subject += ", on by default"
            yield Remark(row.kind, subject, row.message, row.hint)
    strange = [
        printable(name) for name in sorted(names - listed - HONOURED)
        if not any(fnmatchcase(name, detail) for detail in DETAILS.split())
    ]  # fmt: skip
    if strange:
        yield Remark(NOTE, named(strange), "no variable that is known here; it does nothing")


def without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """One line for each variable of docker-mailserver that a process has been given, that asks for
    something, and that has no effect here."""
    variables = inherited(environment)
    for row in VARIABLES:
        for name in () if _is_answered(row.answer, variables) else row.names.split():
            if _asks(variables, name, "", row.idle):
                given = name + FILE * (name not in variables)
                yield f"warning: {given} has no effect: {row.message}; {row.hint}"


def _is_answered(answer: str, variables: Mapping[str, Value]) -> bool:
    """Whether a variable makes up for another one; an empty one is as if not set."""
    values = (variables.get(name) for name in (answer, answer + FILE) if answer)
    return any(value is not None and value.text != "" for value in values)


def _asks(variables: Mapping[str, Value], name: str, default: str, idle: str) -> bool:
    """Whether a variable asks for anything; one whose value only Docker knows may."""
    value = variables.get(name) or variables.get(name + FILE)
    if value is None:
        return bool(default)
    if value.text is None:
        return True
    text = (value.text or default).lower()
    return text not in ("", *idle.lower().split())
