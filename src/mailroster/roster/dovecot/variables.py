"""The variables in extra fields, in the form of each version of Dovecot. Pure.

    %u  %Ld  %2.1n  %{orig_user}  %{sha256:user}          doc.dovecot.org/2.3, config variables
    %{user}  %{user|domain|lower}  %{user|sha256|hexlify}  doc.dovecot.org/2.4.1, settings variables

The config files may have both forms; `%%` is a percent sign. An extra field ends at a blank, so
the form of 2.4 is written without blanks.
"""

import re

from mailroster.roster.formats.extra_fields import VARIABLE

#: 2.3's letters and long names, as 2.4's names and filters.
_LETTERS = {
    "a": "local_port", "b": "remote_port", "c": "secured", "d": "user|domain", "h": "home",
    "k": "cert", "l": "local_ip", "m": "mechanism", "n": "user|username", "p": "client_pid",
    "r": "remote_ip", "s": "protocol", "u": "user", "w": "password",
}  # fmt: skip
_NAMES = {
    "user": "user", "username": "user|username", "domain": "user|domain",
    "domain_first": "domain_first", "domain_last": "domain_last", "master_user": "master_user",
    "orig_user": "original_user", "orig_username": "original_user|username",
    "orig_domain": "original_user|domain", "auth_user": "auth_user",
    "auth_username": "auth_user|username", "auth_domain": "auth_user|domain",
    "login_user": "login_user", "login_username": "login_user|username",
    "login_domain": "login_user|domain", "service": "protocol", "home": "home",
    "lip": "local_ip", "rip": "remote_ip", "lport": "local_port", "rport": "remote_port",
    "real_lip": "real_local_ip", "real_rip": "real_remote_ip",
    "real_lport": "real_local_port", "real_rport": "real_remote_port",
    "pid": "client_pid", "session_pid": "session_pid", "password": "password", "cert": "cert",
    "secured": "secured", "mech": "mechanism", "session": "session",
    "hostname": "system:hostname", "client_id": "client_id",
}  # fmt: skip
_OLD_NAMES = {new: old for old, new in _NAMES.items()}
_FILTERS = {"L": "lower", "U": "upper", "R": "reverse", "M": "md5|hexlify"}
_OLD_FILTERS = {"lower": "L", "upper": "U", "reverse": "R"}
_HASHES = ("md5", "sha1", "sha256", "sha512")
_PARTS = re.compile(r"%([A-Z]*)(?:(-?\d+)(?:\.(\d+))?)?(?:(\w)|\{(.*)\})")


class NoSuchVariable(Exception):
    """A version of Dovecot has no such variable; the text is the variable as written."""


def in_2_4(value: str) -> str:
    """A value with the variables of 2.4. Raises NoSuchVariable."""
    return VARIABLE.sub(_new, value)


def in_2_3(value: str) -> str:
    """A value with the variables of 2.3. Raises NoSuchVariable."""
    return VARIABLE.sub(lambda match: _old(match[0]), value)


def _new(match: re.Match[str]) -> str:
    written = match[0]
    if written == "%%":
        # A single percent sign is enough, except before a brace.
        return "%%" if match.string[match.end() :].startswith("{") else "%"
    parts = _PARTS.fullmatch(written)
    assert parts is not None, written
    modifiers, first, second, letter, name = parts.groups()
    kind, _, rest = (name or "").partition(":")
    if letter:
        variable = _LETTERS[letter]
    elif kind in ("passdb", "userdb", "env"):
        variable = name
    elif rest and kind in _HASHES:
        variable = f"{_NAMES[rest]}|{kind}|hexlify"
    elif not rest and name in _NAMES:
        variable = _NAMES[name]
    elif _is_new(name):
        variable = name
    else:
        raise NoSuchVariable(written)
    if not modifiers.strip("LURM") == "":
        raise NoSuchVariable(written)
    filters = [variable, *(_FILTERS[modifier] for modifier in modifiers)]
    if first is not None:
        offset, width = (first, second) if second is not None else ("0", first)
        if width.startswith(("0", "-")):  # padded, or counted from the end
            raise NoSuchVariable(written)
        filters.append(f"substr({offset},{width})")
    return f"%{{{'|'.join(filters)}}}"


def _is_new(name: str) -> bool:
    """Whether the text in braces has the form of 2.4."""
    return name.partition("|")[0] in (*_OLD_NAMES, "user") or "|" in name or name in _ONLY_NEW


_ONLY_NEW = frozenset(value.partition("|")[0] for value in (*_LETTERS.values(), *_NAMES.values()))


def _old(written: str) -> str:
    if "{" not in written or not _only_new(written[2:-1]):
        return written
    variable, *filters = written[2:-1].split("|")
    if filters[:1] in (["username"], ["domain"]):
        variable = f"{variable}|{filters.pop(0)}"
    name = _OLD_NAMES.get(variable, variable)
    if name == variable and variable not in _NAMES and ":" not in variable:
        raise NoSuchVariable(written)
    if filters[:1] and filters[0] in _HASHES and name in ("user", "username", "domain"):
        name = f"{filters.pop(0)}:{name}"
        filters = filters[1:] if filters[:1] == ["hexlify"] else filters
    if not all(word in _OLD_FILTERS for word in filters):
        raise NoSuchVariable(written)
    modifiers = "".join(_OLD_FILTERS[word] for word in filters)
    return f"%{modifiers}{{{name}}}"


def _only_new(name: str) -> bool:
    """Whether 2.3 does not know the text in braces."""
    return "|" in name or (name in _OLD_NAMES and name not in _NAMES)
