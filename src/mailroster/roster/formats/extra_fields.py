"""The extra fields in the third column of `postfix-accounts.cf`: which are allowed.

    extra-fields = field *( blanks field )
    field        = name [ "=" value ]

    allow_nets=10.0.0.0/8 userdb_mail=maildir:~/Maildir userdb_quota_rule=*:storage=5G

They belong to Dovecot (doc.dovecot.org/2.3 and 2.4.1, extra fields), in the form of 2.3 or of 2.4.
With `userdb_` in front Dovecot accepts nearly every setting: plugins, folders of programs, sockets,
users and groups. So only the fields below are allowed, each with certain values; all others are
refused. An allowed field runs no program, loads no code, names no socket and no host, changes no
user, uid or gid, and reads and writes nothing outside the mail folder. Each rule has a case in
tests/integration/test_extra_fields.py.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mailroster.base.findings import ParseError
from mailroster.base.services import services_of
from mailroster.base.sizes import SIZE_MAX_BYTES, UNITS
from mailroster.roster.dovecot.fields import OWNER
from mailroster.roster.formats import places

#: Dovecot's reply to a lookup is one line of at most 8192 octets, with home and mail.
MAX_BYTES = 4096
#: The longest value of a variable, which is an address.
_VARIABLE_BYTES = 254

_UNITS = {unit.upper(): size for unit, size in UNITS.items()}

_MODIFIERS = r"[LURHXTMDN]*(?:-?\d{1,2}(?:\.\d{1,2})?)?"
_USER = (
    r"(?:(?:orig|auth|login)_)?(?:user|username|domain)|domain_(?:first|last)|master_user|"
    r"original_user"
)
_SESSION = (
    r"service|home|(?:real_)?[lr](?:ip|port)|pid|session_pid|secured|mech|session|hostname|"
    r"client_id|mechanism|protocol|(?:real_)?(?:remote|local)_(?:ip|port)|client_pid|local_name|"
    r"system:hostname"
)
_HASH = r"md[45]|sha(?:1|256|512)"
_FILTER = rf"lower|upper|reverse|username|domain|hexlify|{_HASH}|substr\(-?\d{{1,3}},-?\d{{1,3}}\)"
#: A variable of Dovecot 2.3, or of 2.4 without blanks, or a percent sign. The password (`%w`), the
#: environment of a server (`%{env:…}`), files and other lookups are not allowed.
VARIABLE = re.compile(
    rf"%(?:%|{_MODIFIERS}(?:[abcdhklmnprsu]|\{{(?:{_USER}|{_SESSION}|"
    rf"(?:{_HASH}):(?:user|username|domain))\}})|"
    rf"\{{(?:{_USER}|{_SESSION})(?:\|(?:{_FILTER}))+\}})"
)
#: The beginning of a variable in a text that Dovecot expands twice.
_BEGINS_VARIABLE = re.compile(r"%[\w{-]")


class _Unfit(Exception):
    """A value that a field can't have: code, message and hint of the finding."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def _unfit(message: str, hint: str) -> _Unfit:
    return _Unfit("malformed-field", message, hint)


# -- checks of values: each raises _Unfit

_Check = Callable[[str], None]


def _anything(value: str) -> None:
    """Any text, without effect beyond itself."""


def _fits(pattern: str, message: str, hint: str, flags: int = re.ASCII) -> _Check:
    fits = re.compile(pattern, flags).fullmatch

    def check_form(value: str) -> None:
        if not fits(value):
            raise _unfit(message, hint)

    return check_form


_NETS = r"(?:local|[0-9a-f.:]+(?:/\d{1,3})?)(?:,(?:local|[0-9a-f.:]+(?:/\d{1,3})?))*"
_nets = _fits(
    _NETS, "is not a list of networks", "write for example 10.0.0.0/8,::1", re.IGNORECASE | re.ASCII
)
_number = _fits(r"\d{1,9}", "is not a number", "write digits")
_time = _fits(r"\d{1,9}[a-z]{0,8}", "is not a time", "write for example 30d")
_moment = _fits(r"\d{1,11}(?:\+\d{1,5})?", "is not a time", "write seconds since 1970")
_switch = _fits("yes|no", "is neither yes nor no", "write yes or no")
_size_form = _fits(r"\d{1,18}[BkKMGT]?", "is not a size", "write for example 5G, or 0 for no limit")
_grace = _fits(r"\d{1,18}(?:%%%%|[BkKMGT])?", "is not a size", "write for example 10M")
_nice = _fits(r"1?\d", "is not a niceness", "write 0 to 19")
_groups = _fits(r"[\w.@,-]+", "is not a list of groups", "write names with commas between")
_separator = _fits("[./]", "is not a separator", "write / or .")
_made = _fits("no|create|subscribe", "is not one of no, create and subscribe", "write one of them")
_driver = _fits(
    "|".join(places.DRIVERS),
    "is not a driver that keeps mail in files",
    "write for example maildir",
)
_layout = _fits(
    r"maildir\+\+|fs|index", "is not a layout", "write Maildir++, fs or index", re.IGNORECASE
)
_file_name = _fits(r"(?!\.\.?$)[\w.@+-]{0,64}", "is not a file name", "write a plain name")
#: quota_rule: a mailbox and its limits. Limits for all mailboxes (`*`, `?`) are plain sizes, those
#: for one mailbox may be relative. Dovecot expands the rule twice, so `%%%%` is a percent sign.
_LIMIT = "(?:storage|bytes|messages)="
_rule_form = _fits(
    rf"[*?](?::ignore|(?::{_LIMIT}\d+[bkmgt]?)+)|"
    rf"(?![*?]:)[^:]+(?::ignore|(?::{_LIMIT}[+-]?\d+(?:%{{4}}|[bkmgt]?))+)",
    "is not a quota rule",
    "write for example *:storage=5G or Trash:storage=+50M",
    re.IGNORECASE,
)


def _size(value: str) -> None:
    _size_form(value)
    _check_size(value, "")


def _services(value: str) -> None:
    try:
        services_of(value)
    except ParseError as fault:
        raise _unfit("is not a list of protocols", fault.hint) from None


def _rule(value: str) -> None:
    _rule_form(value)
    for name, number in re.findall(r":(\w+)=[+-]?(\d+[a-z]?)", value.lower()):
        _check_size(number, "k" if name == "storage" else "")


def _check_size(number: str, usual_unit: str) -> None:
    """Raises _Unfit for a size that is too large for Dovecot. Without a unit the usual one
    counts."""
    digits = number.rstrip("BkKMGTbmgt")
    unit = (number[len(digits) :] or usual_unit or "b").upper()
    if len(digits) > 18 or int(digits) * _UNITS[unit] > SIZE_MAX_BYTES:
        raise _unfit("is more than 2^63-1 bytes", "write a smaller size")


def _place(value: str) -> None:
    kind = places.kind(value)
    if kind == places.RELATIVE:
        raise _unfit("is not a mail location", "begin it with / or ~/")
    if kind == places.LEAVING:
        hint = "write it without '..', and without variables except %u, %n, %d and their hashes"
        raise _Unfit("unsafe-field", "may lead out of the mail folder", hint)


def _index_place(value: str) -> None:
    if value != places.IN_MEMORY:
        _place(value)


def _home(value: str) -> None:
    if not value:
        return  # the same as without the field
    if value[0] != "/":
        raise _unfit("is not an absolute path", "begin it with /")
    _place(value)


def _location(value: str) -> None:
    kind = value.partition(":")[0]
    if kind in ("imapc", "pop3c"):
        raise _Unfit("unsafe-field", "gets the mail from another server", "remove it")
    if not places.driver(value):
        raise _unfit("is not a mail location", "write for example maildir:~/Maildir, or remove it")
    for place in places.places(value):
        _place(place)
    for name, option in places.options(value):
        if name in places.NAMES:
            _file_name(option)
        elif name == "LAYOUT":
            _layout(option)
        elif name not in places.PLACES and (name not in places.FLAGS or option):
            raise _unfit("has an option that is not allowed", "remove the option")


def _sieve(value: str) -> None:
    """`file:~/sieve;active=~/.dovecot.sieve`, or a path alone."""
    kind, colon, _ = value.partition(":")
    if colon and kind != "file":
        raise _Unfit(
            "unsafe-field", "names scripts that are not files", "write for example file:~/sieve"
        )
    for option in value.split(";")[1:]:
        if option.partition("=")[0] not in ("active", "bindir"):
            raise _unfit("has an option that is not allowed", "remove the option")
    for place in _sieve_places(value):
        _place(place)


# -- the places that a field names

_Places = Callable[[str], Iterable[str]]


def _no_place(value: str) -> Iterable[str]:
    return ()


def _itself(value: str) -> Iterable[str]:
    return (value,) if value not in ("", places.IN_MEMORY) else ()


def _sieve_places(value: str) -> Iterable[str]:
    place, *options = value.removeprefix("file:").split(";")
    return (place, *(option.partition("=")[2] for option in options))


class Field(NamedTuple):
    """An allowed field: the versions of Dovecot with this name, the check of its value, and the
    places in it."""

    versions: tuple[str, ...]
    check: _Check
    places: _Places = _no_place


_BOTH, _OLD, _NEW = ("2.3", "2.4"), ("2.3",), ("2.4",)

#: By name, as `listed_name` writes it: `#` is a number or none, `*` a mailbox.
ALLOWED: dict[str, Field] = {
    # The login: each of them can only refuse it, or give the reason.
    "nologin": Field(_BOTH, _anything),
    "reason": Field(_BOTH, _anything),
    "allow_nets": Field(_BOTH, _nets),
    "allow_real_nets": Field(_BOTH, _nets),
    "fail": Field(_BOTH, _anything),
    "noauthenticate": Field(_BOTH, _anything),
    # The protocols that the password opens: not Dovecot's field, see publish.tables.dovecot.
    "services": Field((), _services),
    # The delay of a refusal; Dovecot waits at most five minutes.
    "nodelay": Field(_BOTH, _anything),
    "delay_until": Field(_BOTH, _moment),
    # The owner of the mail on disk: left out, with a warning. Never root.
    **dict.fromkeys(sorted(OWNER), Field((), _anything)),
    # The mail location: below the home or the mail folder, in files.
    "userdb_home": Field(_BOTH, _home, _itself),
    "userdb_mail": Field(_OLD, _location, places.places),
    "userdb_mail_driver": Field(_NEW, _driver),
    "userdb_mail_path": Field(_NEW, _place, _itself),
    **{
        f"userdb_{setting}": Field(_NEW, _index_place if option == "INDEX" else _place, _itself)
        for option, setting in places.PLACES.items()
    },
    **{f"userdb_{setting}": Field(_NEW, _file_name) for setting in places.NAMES.values()},
    "userdb_mailbox_list_layout": Field(_NEW, _layout),
    **{f"userdb_{setting}": Field(_NEW, _switch) for setting in places.FLAGS.values()},
    "userdb_mail_attachment_dir": Field(_OLD, _place, _itself),
    "userdb_mail_attachment_min_size": Field(_OLD, _size),
    "userdb_mail_ext_attachment_path": Field(_NEW, _place, _itself),
    "userdb_mail_ext_attachment_min_size": Field(_NEW, _size),
    # Quotas: numbers.
    "userdb_quota_rule#": Field(_OLD, _rule),
    "userdb_quota_grace": Field(_OLD, _grace),
    "userdb_quota_max_mail_size": Field(_OLD, _size),
    "userdb_quota/user/storage_size": Field(_NEW, _size),
    "userdb_quota/user/message_count": Field(_NEW, _number),
    "userdb_quota_storage_size": Field(_NEW, _size),
    "userdb_quota_storage_grace": Field(_NEW, _size),
    "userdb_quota_message_count": Field(_NEW, _number),
    "userdb_quota_mail_size": Field(_NEW, _size),
    # The folders: a client can do the same to its own.
    "userdb_namespace/inbox/separator": Field(_BOTH, _separator),
    "userdb_namespace/inbox/mailbox/*/auto": Field(_BOTH, _made),
    "userdb_namespace/inbox/mailbox/*/autoexpunge": Field(_BOTH, _time),
    "userdb_namespace/inbox/mailbox/*/autoexpunge_max_mails": Field(_BOTH, _number),
    # Groups for the ACL plugin, which only dovecot.cf can load.
    "userdb_acl_groups": Field(_OLD, _groups),
    # Its own Sieve scripts, which ManageSieve writes: files below the home.
    "userdb_sieve": Field(_OLD, _sieve, _sieve_places),
    "userdb_sieve_script/personal/path": Field(_NEW, _place, _itself),
    "userdb_sieve_script/personal/active_path": Field(_NEW, _place, _itself),
    "userdb_sieve_script/personal/bin_path": Field(_NEW, _place, _itself),
    # Its sessions: priority, number, duration, logging.
    "userdb_nice": Field(_BOTH, _nice),
    "userdb_mail_max_userip_connections": Field(_BOTH, _number),
    "userdb_imap_hibernate_timeout": Field(_BOTH, _time),
    "userdb_mail_debug": Field(_OLD, _switch),
}

#: Names of the user, each for the passdb and with `userdb_` in front.
_IDENTITY = frozenset(
    ("user", "username", "domain", "login_user", "original_user", "master_user", "auth_user")
)
_PASSWORD = frozenset(("password", "password_noscheme", "nopassword"))
#: With these Dovecot sends the password of the user, in clear, to another server.
_PROXY = frozenset(("proxy", "proxy_maybe", "proxy_always", "host", "hostip"))
#: The prefix that settings of plugins may have, from the block in which 2.3 has them.
_PLUGIN = "userdb_plugin/"
_OF_PLUGINS = (
    "userdb_quota_rule#", "userdb_quota_grace", "userdb_quota_max_mail_size", "userdb_acl_groups",
    "userdb_sieve",
)  # fmt: skip
#: The form of a name; anything else may be a hash or a password in the wrong column.
_NAME = re.compile(r"[a-z#][a-z0-9_/:.+#%-]{0,59}")
_RULE_NAME = re.compile(r"(userdb_quota_rule)(?:[1-9]\d{0,3})?")
_MAILBOX_NAME = re.compile(r"(userdb_namespace/inbox/mailbox/)\w[\w.+&-]*(/[a-z_]+)", re.ASCII)


def check(fields: Sequence[tuple[str, str]]) -> None:
    """Raises ParseError for the first field that is not allowed. The error shows no value, which
    may be a secret."""
    for name, value in fields:
        _check_field(name, value)
    octets = [len(f"{name}={value}".encode()) for name, value in fields]
    variables = sum(value.count("%") for _, value in fields)
    if sum(octets) + len(octets) + variables * _VARIABLE_BYTES > MAX_BYTES:
        message = f"the extra fields may become longer than {MAX_BYTES} octets"
        hint = "shorten them; Dovecot accepts no more"
        raise ParseError("malformed-field", message, hint)


def check_places(fields: Iterable[tuple[str, str]], mail: str) -> None:
    """Raises ParseError for the first field with a path outside the mail folder `mail`."""
    for name, value in fields:
        if is_outside(name, value, mail):
            message = "names a place outside the mail folder"
            hint = f"write a place below ~/ or {mail}/; you can mount another disk there"
            raise _unsafe(name, message, hint)


def is_outside(name: str, value: str, mail: str) -> bool:
    """Whether an allowed field names a place outside the mail folder `mail`."""
    field = allowed(name)
    return field is not None and not all(
        places.is_below(place, mail) for place in field.places(value)
    )


def allowed(name: str) -> Field | None:
    """The rule for a field; None if the field is not allowed."""
    return ALLOWED.get(listed_name(name))


def listed_name(name: str) -> str:
    """A name as ALLOWED has it: without the block of a plugin, the number of a rule and the name of
    a mailbox."""
    if name.startswith(_PLUGIN):
        plain = _numbered(f"userdb_{name.removeprefix(_PLUGIN)}")
        return plain if plain in _OF_PLUGINS else name
    return _numbered(name)


def _numbered(name: str) -> str:
    if match := _RULE_NAME.fullmatch(name):
        return f"{match[1]}#"
    match = _MAILBOX_NAME.fullmatch(name)
    return f"{match[1]}*{match[2]}" if match else name


def _check_field(name: str, value: str) -> None:
    plain = name.partition(":")[0].removeprefix("userdb_")
    if not plain:
        raise ParseError(
            "malformed-field", f"{name!r} is not the name of an extra field", "write NAME=VALUE"
        )
    if plain in _IDENTITY:
        raise _unsafe(name, "changes the identity of the account", "remove it, or write an alias")
    if plain in _PASSWORD:
        raise _unsafe(name, "contradicts the password of the account", "remove it")
    if plain in _PROXY:
        message = "sends the password of the user to another server"
        raise _unsafe(name, message, "remove it; a proxy can be set up in dovecot.cf")
    if name in OWNER and value in ("0", "root"):
        raise _unsafe(name, "gives the mail to root", "remove it")
    field = allowed(name)
    if field is None:
        hint = "remove it; write settings for all accounts into dovecot.cf"
        raise _unsafe(name, "is not on the list of allowed fields", hint)
    try:
        field.check(value)
    except _Unfit as unfit:
        message = f"the value of the extra field {name!r} {unfit.message}"
        raise ParseError(unfit.code, message, unfit.hint) from None
    _check_variables(name, value)


def _check_variables(name: str, value: str) -> None:
    """Raises ParseError for a `%` that begins no variable, also if Dovecot expands the value
    twice."""
    once, twice = VARIABLE.sub("", value), VARIABLE.sub("", places.unfolded(value))
    if "%" in once or _BEGINS_VARIABLE.search(twice):
        hint = "write %% for a percent sign, or a variable like %u, %d or %n"
        message = f"the value of the extra field {name!r} has a % that begins no allowed variable"
        raise ParseError("malformed-field", message, hint)


def _unsafe(name: str, message: str, hint: str) -> ParseError:
    shown = repr(name) if _NAME.fullmatch(name) else "whose name is not shown"
    return ParseError("unsafe-field", f"the extra field {shown} {message}", hint)
