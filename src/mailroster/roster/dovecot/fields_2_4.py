"""Extra fields in the form of Dovecot 2.4 (doc.dovecot.org/2.4.1, upgrading from 2.3). Pure."""

import re
from collections.abc import Mapping

from mailroster.base.sizes import UNITS
from mailroster.roster.dovecot.fields import NOT_SERVED, WAITS, Fields, Limit, LostField
from mailroster.roster.dovecot.mail_location import NoSuchOption, settings
from mailroster.roster.formats.extra_fields import allowed

COLUMNS = {
    "userdb_home": "home", "userdb_mail_driver": "mail_driver",
    "userdb_mail_path": "mail_path", "userdb_mail_inbox_path": "mail_inbox_path",
    "userdb_quota/user/storage_size": "storage_size",
}  # fmt: skip
QUOTA = "userdb_quota/user/storage_size"
QUOTAS: tuple[str, ...] = (QUOTA, "userdb_quota_storage_size")
_INBOX = "userdb_mail_inbox_path"
_MESSAGES = "userdb_quota/user/message_count"
_RULE = re.compile(r"userdb_quota_rule\d*")
_LIMIT = re.compile(r"(storage|bytes|messages)=(\d+)([bkmgt]?)", re.IGNORECASE)
_RENAMED = {
    "userdb_quota_max_mail_size": "userdb_quota_mail_size",
    "userdb_mail_attachment_dir": "userdb_mail_ext_attachment_path",
    "userdb_mail_attachment_min_size": "userdb_mail_ext_attachment_min_size",
}
_SIZES = ("quota/user/storage_size", "quota_storage_size")
_COUNTS = ("quota/user/message_count", "quota_message_count")
_UNITS = {unit.upper(): size for unit, size in UNITS.items()}


def quota(size: str) -> str:
    return size


def default(size_bytes: int) -> dict[str, str]:
    return {"quota_storage_size": f"{size_bytes}B"}


def is_limit(name: str) -> bool:
    return name in (*_SIZES, *_COUNTS)


def limit(settings: Mapping[str, str]) -> Limit:
    """The limit that the sizes mean: that of the quota with a name takes precedence."""
    sizes = [settings[name] for name in _SIZES if name in settings]
    counts = [settings[name] for name in _COUNTS if name in settings]
    return Limit(
        _bytes(sizes[0]) if sizes else 0,
        int(counts[0]) if counts and counts[0].isdecimal() else 0,
    )


def _bytes(value: str) -> int | None:
    """The bytes of a size like `7M`, `7 M` or `7` (bytes); None if it is not a size."""
    if value == "unlimited":
        return 0
    digits = value.rstrip("BkKMGT ")
    unit = value[len(digits) :].strip().upper()
    if not digits.isdecimal() or (unit and unit not in _UNITS):
        return None
    return int(digits) * _UNITS.get(unit, 1)


def fields(extra: str) -> Fields:
    """The fields of both forms in the form of 2.4; those written in this form take precedence."""
    written: dict[str, str] = {}
    older: dict[str, str] = {}
    lost: list[LostField] = []
    for field in extra.split():
        name, equals, value = field.partition("=")
        if name.startswith("userdb_plugin/"):
            name = f"userdb_{name.removeprefix('userdb_plugin/')}"
        # Dovecot expands a quota rule twice, so its percent signs are written four times.
        if "%" in value and not _RULE.fullmatch(name):
            value = _variables(name, value, lost)
        if name in ("userdb_mail", "userdb_sieve") or _RULE.fullmatch(name):
            older[name] = value
            continue
        name = _RENAMED.get(name, name)
        rule = allowed(name)
        if rule is not None and "2.4" in rule.versions:
            written[name] = f"{name}{equals}{value}"
        elif name not in NOT_SERVED:
            lost.append(LostField(name, "2.4 has no such setting"))
    for name, value in older.items():
        translate = {"userdb_mail": _mail, "userdb_sieve": _sieve}.get(name, _rule)
        for new, setting in translate(name, value, lost).items():
            written.setdefault(new, f"{new}={setting}")
    if inbox := _inbox(written):
        written.setdefault(_INBOX, f"{_INBOX}={inbox}")
    return Fields(written, tuple(lost))


def _inbox(written: Mapping[str, str]) -> str:
    """The path of INBOX for a mail_path in the extra fields: Dovecot's default for the driver, or
    "" if it has none. Without this field the mail_inbox_path of the server's configuration would
    count; it can't be unset, since with an empty one Maildir puts INBOX into `.INBOX`."""
    path = written.get("userdb_mail_path", "").partition("=")[2]
    driver = written.get("userdb_mail_driver", "").partition("=")[2] or "maildir"
    if not path or path == WAITS:
        return ""
    return {"maildir": path, "mbox": f"{path}/inbox"}.get(driver, "")


def _variables(name: str, value: str, lost: list[LostField]) -> str:
    from mailroster.roster.dovecot.variables import NoSuchVariable, in_2_4

    try:
        return in_2_4(value)
    except NoSuchVariable as error:
        lost.append(LostField(name, f"2.4 has no variable for {error}", waits=True))
        return WAITS


def _mail(name: str, value: str, lost: list[LostField]) -> dict[str, str]:
    if value == WAITS:
        return {"userdb_mail_path": WAITS}
    try:
        return {f"userdb_{name}": text for name, text in settings(value).items()}
    except NoSuchOption as error:
        lost.append(LostField(name, f"2.4 has no setting for its option {error}", waits=True))
        return {"userdb_mail_path": WAITS}


def _sieve(name: str, value: str, lost: list[LostField]) -> dict[str, str]:
    """`file:~/sieve;active=~/.dovecot.sieve`, or a path alone."""
    kind, colon, rest = value.partition(":")
    place, *options = (rest if colon else value).split(";")
    scripts = {"userdb_sieve_script/personal/path": place}
    if colon and kind != "file":
        lost.append(LostField(name, f"2.4 has other settings for scripts from {kind}"))
        return {}
    for option in options:
        word, _, path = option.partition("=")
        if word == "active":
            scripts["userdb_sieve_script/personal/active_path"] = path
        elif word == "bindir":
            scripts["userdb_sieve_script/personal/bin_path"] = path
        else:
            lost.append(LostField(name, f"2.4 has no setting for its option {word}"))
    return scripts


def _rule(name: str, value: str, lost: list[LostField]) -> dict[str, str]:
    """A rule for all mailboxes becomes a limit of the storage and a limit of the messages; one that
    it does not name is unlimited. Other rules have no form in 2.4."""
    mailbox, *limits = value.split(":")
    # `?` is for all mailboxes too, if no other rule is.
    if mailbox not in ("*", "?") or not all(_LIMIT.fullmatch(limit) for limit in limits):
        lost.append(LostField(name, "2.4 has no rules, only a size for all mailboxes"))
        return {}
    translated = {QUOTA: "0"}
    for kind, number, unit in _LIMIT.findall(value):
        if kind.lower() == "messages":
            translated[_MESSAGES] = number
        else:
            translated[QUOTA] = number + (
                unit.upper() or ("K" if kind.lower() == "storage" else "B")
            )
    return translated
