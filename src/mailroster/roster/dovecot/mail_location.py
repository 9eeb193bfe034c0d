"""Mail locations: the setting `mail` of 2.3, and the settings of 2.4. Pure.

mbox:~/mail:INBOX=~/inbox                             doc.dovecot.org/2.3, mail location
mail_driver=mbox mail_path=~/mail mail_inbox_path=~/inbox    doc.dovecot.org/2.4.1, mail location
"""

import re
from collections.abc import Mapping

from mailroster.roster.formats.places import FLAGS, OPTIONS

#: The settings of 2.4 that make a mail location.
SETTINGS = ("mail_driver", "mail_path", *OPTIONS.values(), *FLAGS.values())
_OLD = {setting: option for option, setting in {**OPTIONS, **FLAGS}.items()}


class NoSuchOption(Exception):
    """2.4 has no setting for an option, whose name is the text."""


def settings(mail: str) -> dict[str, str]:
    """The setting `mail` of 2.3 as settings of 2.4. Raises NoSuchOption."""
    parts = [part.replace("\0", ":") for part in mail.replace("::", "\0").split(":")]
    if not re.fullmatch(r"[a-z0-9]+", parts[0]):
        parts.insert(0, "auto")
    translated = {"mail_driver": parts[0]}
    if parts[1:]:
        translated["mail_path"] = parts[1]
    for option in parts[2:]:
        name, _, value = option.partition("=")
        if name in OPTIONS:
            translated[OPTIONS[name]] = value
        elif name in FLAGS:
            translated[FLAGS[name]] = "yes"
        elif name:
            raise NoSuchOption(name)
    return translated


def location(settings: Mapping[str, str]) -> str:
    """Settings of 2.4 as the setting `mail` of 2.3. Without a driver it is maildir."""

    def escaped(name: str) -> str:
        return settings[name].replace(":", "::")

    parts = [
        settings.get("mail_driver", "maildir"),
        escaped("mail_path") if "mail_path" in settings else "",
    ]
    for name in settings:
        if name in FLAGS.values():
            parts += [_OLD[name]] if settings[name] == "yes" else []
        elif name in OPTIONS.values():
            parts.append(f"{_OLD[name]}={escaped(name)}")
    return ":".join(parts)
