"""The manual page mailroster(8), in roff (man(7)), from the tables of commands and settings."""

from mailroster.base.settings import FOLDERS, SETTINGS, Setting
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command

_HEAD = r""".\" Written by script/generate-docs; change the tables of commands and settings.
.TH MAILROSTER 8 "" "mailroster" "Mail accounts in plain text files"
.SH NAME
mailroster, setup \- mail accounts in plain text files, live on Postfix and Dovecot
.SH SYNOPSIS
.B setup
.RI [ FOLDER ...]
.I COMMAND
.RI [ OPTION ...]
.RI [ ARGUMENT ...]
.SH DESCRIPTION
Mail accounts, aliases and quotas are lines of text files in one folder. A command changes the
files; when it ends, the change is live on the servers of that folder. An edit by hand is live a
moment after it is saved.
.B mailroster
and
.B setup
are two names of one program.
.PP
.B setup help
shows the groups of commands,
.BI "setup help " GROUP
the commands of a group,
.BI "setup help " COMMAND
one of them.
.SH FOLDERS
These options come before the command; a variable of the environment can replace each. Their
defaults are
.I docker\-data/dms
in the current folder if that exists, else a container's
.I /tmp/docker\-mailserver
and
.IR /var ,
else a host's
.I /etc/mailroster
and
.IR /var/lib/mailroster .
A default folder is used only if it and all folders above it belong to root or to the caller, and no
other user can write to them.
"""
_TAIL = r""".SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Refused.
.TP
.B 2
Usage error.
.TP
.B 75
Try again later.
.SH FILES
.TP
.I /etc/mailroster
The text files of a host with its own Postfix and Dovecot.
.TP
.I /var/lib/mailroster
Its tables, which can be rebuilt at any time.
.TP
.I /var/mail/vhosts
Its mail.
.TP
.I mailroster.toml
In the folder of the text files: settings.
.SH SEE ALSO
.BR postconf (5),
.BR virtual (5),
.BR doveconf (1),
.BR sievec (1)
"""


def manpage() -> str:
    """The whole page."""
    parts = [_HEAD]
    parts += [_item(f"--{s.name} DIR", f"{s.help}. Variable {s.variable}.") for s in FOLDERS]
    parts += [".SH COMMANDS\n", *map(_command, COMMANDS)]
    parts.append(".SH SETTINGS\n")
    parts.append("In mailroster.toml, or by the variable that is named here.\n")
    parts += map(_setting, SETTINGS)
    return "".join([*parts, _TAIL])


def _command(command: Command) -> str:
    lines = [f".SS {_roff(command.name())}\n", f".B {_roff(command.usage())}\n.PP\n"]
    lines.append(f"{_roff(_sentence(command.summary))}\n")
    if command.detail:
        lines.append(f"{_roff(command.detail)}\n")
    lines += [_item(str(option), f"{_sentence(option.help)}") for option in command.options]
    return "".join(lines)


def _setting(setting: Setting) -> str:
    variable = f" Variable {setting.variable}." if setting.variable else ""
    return _item(setting.name, f"{_sentence(setting.help)}{variable}")


def _item(tag: str, text: str) -> str:
    return f".TP\n.B {_roff(tag)}\n{_roff(_sentence(text.removesuffix('.')))}\n"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _roff(text: str) -> str:
    """Text escaped for roff; no line of it begins a request."""
    for character, escaped in (("\\", "\\e"), ("-", "\\-"), ("…", "..."), ("'", "\\(aq")):
        text = text.replace(character, escaped)
    return f"\\&{text}" if text[:1] in (".", "\\(aq") else text
