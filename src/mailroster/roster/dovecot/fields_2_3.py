"""Extra fields in the form of Dovecot 2.3 (doc.dovecot.org/2.3, extra fields). Pure."""

import re
from collections.abc import Mapping

from mailroster.base.sizes import UNITS
from mailroster.roster.dovecot.fields import (
    MESSAGES_MAX,
    NOT_SERVED,
    WAITS,
    Fields,
    Limit,
    LostField,
)
from mailroster.roster.dovecot.mail_location import SETTINGS, location
from mailroster.roster.formats.extra_fields import allowed

COLUMNS = {"userdb_home": "home", "userdb_mail": "mail", "userdb_quota_rule": "quota_rule"}
QUOTA = "userdb_quota_rule"
QUOTAS: tuple[str, ...] = (QUOTA,)
_STORAGE = ("userdb_quota/user/storage_size", "userdb_quota_storage_size")
_MESSAGES = ("userdb_quota/user/message_count", "userdb_quota_message_count")
_TRANSLATED = frozenset((*_STORAGE, *_MESSAGES, *(f"userdb_{name}" for name in SETTINGS)))
_RULE = re.compile(r"quota_rule(\d*)")
_UNITS = {unit.lower(): size for unit, size in UNITS.items()}


#: The rule of a mailbox without a limit, and the addition that gives it a quota root.
UNLIMITED, MESSAGES = "*:storage=0", f":messages={MESSAGES_MAX}"


def quota(size: str) -> str:
    rule = f"*:storage={size}"
    return rule + MESSAGES if rule == UNLIMITED else rule


def default(size_bytes: int) -> dict[str, str]:
    return {"quota_rule": f"*:bytes={size_bytes}"}


def is_limit(name: str) -> bool:
    return _RULE.fullmatch(name) is not None


def limit(settings: Mapping[str, str]) -> Limit:
    """The limit that the rules for all mailboxes mean, in their order (doc.dovecot.org/2.3, quota).

    Its size is None for a rule that reads limits from the file `maildirsize` (`?`), a rule that
    ignores all, and a rule behind a gap in the numbers, which Dovecot may not reach.
    """
    rules = {int(_RULE.fullmatch(name)[1] or 1): rule for name, rule in settings.items()}  # type: ignore[index]
    limit = Limit(0)
    for nth, (number, rule) in enumerate(sorted(rules.items()), 1):
        kind, *limits = rule.split(":")
        if kind == "?" or (kind == "*" and number != nth):
            return Limit(None)
        for name, _, value in (word.partition("=") for word in limits if kind == "*"):
            amount = _amount(name.lower(), value)
            if amount is None:
                return Limit(None)
            if name.lower() == "messages":
                limit = limit._replace(messages=amount)
            else:
                limit = limit._replace(size=amount)
    return limit


def _amount(name: str, value: str) -> int | None:
    """The bytes of a storage limit, or the number of messages; None for anything else."""
    digits, unit = value.rstrip("bkmgtBKMGT"), value[-1:].lower()
    if name not in ("storage", "bytes", "messages") or not digits.isdecimal():
        return None
    if name == "messages" or unit.isdecimal():
        return int(digits) * (1024 if name == "storage" else 1)
    return int(digits) * _UNITS[unit]


def fields(extra: str) -> Fields:
    written: dict[str, str] = {}
    newer: dict[str, str] = {}
    lost = []
    for field in extra.split():
        name, equals, value = field.partition("=")
        if name.startswith("userdb_plugin/quota_rule"):  # which would not override QUOTA
            name = f"userdb_{name.removeprefix('userdb_plugin/')}"
        if "%{" in value:
            from mailroster.roster.dovecot.variables import NoSuchVariable, in_2_3

            try:
                value = in_2_3(value)
            except NoSuchVariable as error:
                lost.append(LostField(name, f"2.3 has no variable for {error}", waits=True))
                value = WAITS
        if name in _TRANSLATED:
            newer[name] = value
        elif (field_rule := allowed(name)) is not None and "2.3" in field_rule.versions:
            # As written: Dovecot decides what a name without "=" means.
            written[name] = f"{name}{equals}{value}"
        elif name not in NOT_SERVED:
            lost.append(LostField(name, "it is a setting of 2.4"))
    for name, value in _translated(newer).items():
        written.setdefault(name, f"{name}={value}")
    return Fields(written, tuple(lost))


def _translated(newer: dict[str, str]) -> dict[str, str]:
    """Settings of 2.4 as fields of 2.3."""
    translated = {}
    mail = {name: newer[f"userdb_{name}"] for name in SETTINGS if f"userdb_{name}" in newer}
    if mail:
        translated["userdb_mail"] = location(mail)
    limits: list[str] = []
    for name in _STORAGE:
        if not limits and name in newer:
            size = newer[name]
            limits.append(f"storage={size}" if size[-1:].isalpha() else f"bytes={size}")
    if messages := [newer[name] for name in _MESSAGES if name in newer]:
        limits.append(f"messages={messages[0]}")
    if limits:
        translated[QUOTA] = ":".join(("*", *limits))
    return translated
