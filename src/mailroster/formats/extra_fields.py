"""The extra fields in the third column of `postfix-accounts.cf`.

    extra-fields = field *( blanks field )
    field        = name [ "=" value ]

    allow_nets=10.0.0.0/8 userdb_mail=maildir:/var/mail/%d/%n

They are Dovecot's (doc.dovecot.org/2.3, extra fields), in the form of 2.3 or of 2.4, and served as
in a passwd-file of its own. Refused is what would make one account another, or more than an
account; what stops a process that others depend on; and what leaves the account without a mailbox
and so ends `doveadm -A`, which stops at the first user who can't be looked up. Each rule has a case
in tests/servers/test_extra_fields.py.
"""

import re
from collections.abc import Sequence

from mailroster.finding import Fault
from mailroster.formats.accounts import OWNER

#: Dovecot's answer to a lookup is one line of 8192 octets at most, home and mail included.
MAX_BYTES = 4096
#: The longest that a variable may become; an address is the longest of them.
_VARIABLE_BYTES = 254

#: Names of the user, each for the passdb and with `userdb_` in front.
_IDENTITY = frozenset(
    ("user", "username", "domain", "login_user", "original_user", "master_user", "auth_user")
)
_PASSWORD = frozenset(("password", "password_noscheme", "nopassword"))
#: Rights that no mailbox needs: groups, folders of code, other people's files.
_PRIVILEGES = frozenset(
    (
        "system_groups_user", "system_user", "mail_access_groups", "mail_privileged_group",
        "chroot", "mail_chroot", "mail_plugin_dir", "mail_full_filesystem_access",
    )
)  # fmt: skip
_PROXY = frozenset(("proxy", "proxy_maybe", "proxy_always"))
_NICE_MAX = 19

#: A variable of Dovecot 2.3, or of 2.4 without blanks, or a percent sign.
VARIABLE = re.compile(
    r"%(?:%|[LUERXHTMDN]*(?:-?\d{1,2}(?:\.\d{1,2})?)?(?:[abcdhklmnprsuw]|\{(?:"
    r"(?:(?:orig|auth|login)_)?(?:user|username|domain)|domain_(?:first|last)|master_user|service|"
    r"home|(?:real_)?[lr](?:ip|port)|pid|session_pid|password|cert|secured|mech|session|hostname|"
    r"client_id|(?:passdb|userdb|env):\w+|(?:md[45]|sha(?:1|256|512)):(?:user|username|domain)|"
    r"(?:original_user|mechanism|protocol|(?:real_)?(?:remote|local)_(?:ip|port)|client_pid|"
    r"local_name|system:\w+|process:\w+)|\w+(?::\w+)?(?:\|[\w%]+(?:\([^%{}()|]*\))?)+"
    r")\}))"
)
#: mail_location: a driver that Dovecot has, or none, and it looks for itself.
_MAIL = re.compile(r"(?:auto|maildir|mbox|s?dbox|mdbox|imapc|pop3c|cydir):|[/~%]")
#: Sizes of Dovecot 2.4's, with which it could not open any mailbox if they were none.
_SIZES = frozenset(
    ("userdb_quota/user/storage_size", "userdb_quota_storage_size", "userdb_quota_mail_size")
)
_SIZE = re.compile(r"\d{1,18}[BkKMGT]?")
_RULE_NAME = re.compile(r"userdb_(?:plugin/)?quota_rule\d*")
#: quota_rule: a mailbox, and limits for it. Dovecot expands it twice, so four make a percent sign.
_RULE = re.compile(
    r"[^:]+(?::(?:ignore|(?:storage|bytes|messages)=[+-]?\d+(?:%{4}|[bkmgt])?))+", re.IGNORECASE
)


def check(fields: Sequence[tuple[str, str]]) -> None:
    """Raises Fault for the first field that can't be served; shows no value, which may be a
    secret."""
    for name, value in fields:
        _check_name(name)
        _check_value(name, value)
    last = {_plain(name): value for name, value in fields}
    if not _PROXY.isdisjoint(last) and not _is_host(last.get("host", "")):
        raise _unsafe("proxy", "without host= stops Dovecot's login process", "add host=")
    octets = [len(f"{name}={value}".encode()) for name, value in fields]
    variables = sum(value.count("%") for _, value in fields)
    if sum(octets) + len(octets) + variables * _VARIABLE_BYTES > MAX_BYTES:
        what = f"the extra fields may become longer than {MAX_BYTES} octets"
        raise Fault("malformed-field", what, "Dovecot takes no longer answers; shorten them")


def _check_name(name: str) -> None:
    plain = _plain(name).removeprefix("userdb_")
    if not plain:
        raise Fault("malformed-field", f"{name!r} is no name of an extra field", "write NAME=VALUE")
    if plain in _IDENTITY:
        raise _unsafe(name, "makes one account another", "remove it, or write an alias")
    if _plain(name) in _PASSWORD:
        raise _unsafe(name, "contradicts the password of the account", "remove it")
    # Dovecot 2.4 takes a setting with the blocks in front in which it stands, too.
    if name.startswith("userdb_") and plain.rpartition("/")[2] in _PRIVILEGES:
        raise _unsafe(name, "gives a mailbox rights that none needs", "remove it")


def _check_value(name: str, value: str) -> None:
    if name in OWNER and value in ("0", "root"):
        raise _unsafe(name, "gives the mail to root", "remove it")
    if name == "userdb_home" and value and value[0] not in "/%":
        raise _malformed(name, "is no absolute path", "write it from / on")
    if name == "userdb_mail" and not _MAIL.match(value):
        raise _malformed(name, "is no place of mail", "write maildir:/PATH, say, or remove it")
    if name == "userdb_nice" and not (value.isascii() and value.isdecimal() and _is_nice(value)):
        raise _malformed(name, "is no niceness", f"write 0 to {_NICE_MAX}")
    if name == "userdb_mail_driver" and not _MAIL.match(f"{value}:"):
        raise _malformed(name, "is no driver of mail", "write maildir, say, or remove it")
    if name == "userdb_mail_path" and not value.startswith(("/", "~/", "%")):
        raise _malformed(name, "is no place of mail", "write it from / or ~/ on")
    if name in _SIZES and not _SIZE.fullmatch(value):
        raise _malformed(name, "is no size", "write 5G, say, or 0 for no limit")
    if _RULE_NAME.fullmatch(name) and not _RULE.fullmatch(value):
        raise _malformed(name, "is no quota rule", "write *:storage=5G, say")
    if "%" in VARIABLE.sub("", value):
        mend = "write %% for a percent sign, or a variable such as %u, %d or %n"
        raise _malformed(name, "has a % that begins no variable of Dovecot's", mend)


def _is_host(value: str) -> bool:
    """Whether a host is never empty, whatever its variables become."""
    return bool(VARIABLE.sub("", value)) or any(known in value for known in ("%d", "%n", "%u"))


def _is_nice(value: str) -> bool:
    return int(value) <= _NICE_MAX


def _plain(name: str) -> str:
    """A name without Dovecot's marks behind it, such as `:protected`."""
    return name.partition(":")[0]


def _unsafe(name: str, what: str, mend: str) -> Fault:
    return Fault("unsafe-field", f"the extra field {name!r} {what}", mend)


def _malformed(name: str, what: str, mend: str) -> Fault:
    return Fault("malformed-field", f"the value of the extra field {name!r} {what}", mend)
