"""Where mail is: 2.3's one `mail`, and 2.4's settings. Pure.

mbox:~/mail:INBOX=~/inbox                             doc.dovecot.org/2.3, mail location
mail_driver=mbox mail_path=~/mail mail_inbox_path=~/inbox    doc.dovecot.org/2.4.1, mail location
"""

import re
from collections.abc import Mapping

from mailroster.roster.formats.places import FLAGS, OPTIONS

#: The settings of 2.4 that make a place of mail.
SETTINGS = ("mail_driver", "mail_path", *OPTIONS.values(), *FLAGS.values())
_OLD = {setting: option for option, setting in {**OPTIONS, **FLAGS}.items()}


class NoSuchOption(Exception):
    """2.4 has no setting for an option; the text is its name."""


def settings(mail: str) -> dict[str, str]:
    """2.3's `mail` as settings of 2.4. Raises NoSuchOption."""
    parts = [part.replace("\0", ":") for part in mail.replace("::", "\0").split(":")]
    if not re.fullmatch(r"[a-z0-9]+", parts[0]):
        parts.insert(0, "auto")
    found = {"mail_driver": parts[0]}
    if parts[1:]:
        found["mail_path"] = parts[1]
    for option in parts[2:]:
        name, _, value = option.partition("=")
        if name in OPTIONS:
            found[OPTIONS[name]] = value
        elif name in FLAGS:
            found[FLAGS[name]] = "yes"
        elif name:
            raise NoSuchOption(name)
    return found


def location(settings: Mapping[str, str]) -> str:
    """Settings of 2.4 as 2.3's `mail`; the driver is that of all, unless they name one."""

    def plain(name: str) -> str:
        return settings[name].replace(":", "::")

    parts = [
        settings.get("mail_driver", "maildir"),
        plain("mail_path") if "mail_path" in settings else "",
    ]
    for name in settings:
        if name in FLAGS.values():
            parts += [_OLD[name]] if settings[name] == "yes" else []
        elif name in OPTIONS.values():
            parts.append(f"{_OLD[name]}={plain(name)}")
    return ":".join(parts)
