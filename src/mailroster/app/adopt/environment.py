"""Checks the variables of a docker-mailserver: which are settings of mailroster, and remarks about
the others. No remark contains a value, since some are passwords."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from mailroster.app.adopt.compose_project import Value
from mailroster.app.adopt.remark import FIX, NOTE, Remark, named
from mailroster.app.adopt.variables import DETAILS, VARIABLES
from mailroster.base.findings import UsageError, printable
from mailroster.base.settings import FOLDERS, SETTINGS, Sources, load

FILE = "__FILE"
#: The variables that are settings of mailroster.
HONOURED = frozenset(s.variable for s in (*FOLDERS, *SETTINGS) if s.variable)


class Environment(NamedTuple):
    """The variables that are settings, with their values, and the remarks about the others."""

    honoured: dict[str, str]
    remarks: list[Remark]


def judge(variables: Mapping[str, Value]) -> Environment:
    """Checks the variables of a project. Without variables there is no project, and no remark."""
    result = Environment({}, [])
    if variables:
        for name, value in variables.items():
            if name.removesuffix(FILE) in HONOURED:
                result.remarks.extend(_use(name, value, result.honoured))
        result.remarks.extend(_others(variables))
    return result


def inherited(environment: Mapping[str, str]) -> dict[str, Value]:
    """The variables of docker-mailserver in the environment of a process, such as a container that
    gets those of the old container."""
    known = {name for row in VARIABLES for name in row.names.split()}
    known.update(name for name in HONOURED if not name.startswith("MAILROSTER_"))
    return {
        name: Value(text, "the environment")
        for name, text in environment.items()
        if name.removesuffix(FILE) in known
    }


def _use(name: str, value: Value, honoured: dict[str, str]) -> Iterator[Remark]:
    """Adds a setting to `honoured`; yields a remark if its value is invalid or unknown."""
    if value.text is None or name.endswith(FILE):
        if value.text != "":
            message = f"its value in {value.source} is unknown to this command, and not checked"
            yield Remark(NOTE, name, message)
    elif value.text:
        try:
            load(Sources({}, {name: value.text}, lambda path: b"", lambda path: False))
            honoured[name] = value.text
        except UsageError as error:
            yield Remark(FIX, name, printable(str(error)), f"correct it in {value.source}")


def _others(variables: Mapping[str, Value]) -> Iterator[Remark]:
    """Yields the remarks about variables that are no settings."""
    names = {name.removesuffix(FILE) for name in variables}
    listed = set[str]()
    for row in VARIABLES:
        group = row.names.split()
        listed.update(group)
        active = [name for name in group if _is_active(variables, name, row.default, row.idle)]
        if active and not _is_replaced(row.replaced_by, variables):
            subject = ", ".join(
                f"{name}{FILE}" if f"{name}{FILE}" in variables else name for name in active
            )
            if not names.intersection(active):
                subject += ", on by default"
            yield Remark(row.kind, subject, row.message, row.hint)
    unknown = [
        printable(name) for name in sorted(names - listed - HONOURED)
        if not any(fnmatchcase(name, detail) for detail in DETAILS.split())
    ]  # fmt: skip
    if unknown:
        yield Remark(NOTE, named(unknown), "unknown to mailroster, so without effect")


def without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """One line for each variable of docker-mailserver in the environment that switches something on
    and has no effect in mailroster."""
    variables = inherited(environment)
    for row in VARIABLES:
        for name in () if _is_replaced(row.replaced_by, variables) else row.names.split():
            if _is_active(variables, name, "", row.idle):
                given = name if name in variables else f"{name}{FILE}"
                yield f"warning: {given} has no effect: {row.message}; {row.hint}"


def _is_replaced(variable: str, variables: Mapping[str, Value]) -> bool:
    """Whether a variable that replaces another is set, and not empty or 0."""
    values = (variables.get(name) for name in (variable, variable + FILE) if variable)
    return any(value is not None and value.text not in ("", "0") for value in values)


def _is_active(variables: Mapping[str, Value], name: str, default: str, idle: str) -> bool:
    """Whether a variable switches something on. An unknown value counts as one that does."""
    value = variables.get(name) or variables.get(name + FILE)
    if value is None:
        return bool(default)
    if value.text is None:
        return True
    text = (value.text or default).lower()
    return text not in ("", *idle.lower().split())
