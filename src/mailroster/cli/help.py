"""`setup help` and `setup version`.

`setup help` shows the groups of commands on one screen; `setup help GROUP` the commands of a group;
`setup help COMMAND` everything about one command.
"""

from collections.abc import Sequence

from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command
from mailroster.cli.groups import GROUPS, HEADINGS, Group

_HEAD = """\
setup edits the text files of a mail server, and publishes them at once.
usage: setup [--home DIR] [OPTION…] COMMAND [ARGUMENT…]
"""
_TAIL = "More: setup help GROUP, setup help COMMAND, setup help options"
_USAGE = "usage: "
_STATUS = "Exit status: 0 done, 1 refused, 2 usage error, 75 try again later"
_WIDTH = 79
_NAME_WIDTH = max(map(len, GROUPS))
#: The topic of the options before a command.
OPTIONS = "options"


def commands_of(group: Group) -> list[Command]:
    words = group.words or (group.name,)
    return [c for word in words for c in COMMANDS if c.words[0] == word]


def show(words: str) -> int:
    """Prints the help on a group or on the commands that begin with some words; the overview for no
    words. Raises UsageError."""
    if not words:
        print(overview(), end="")
        return 0
    if words == OPTIONS:
        print(options(), end="")
        return 0
    if words in GROUPS:
        commands = commands_of(GROUPS[words])
    else:
        commands = [c for c in COMMANDS if f"{c.name()} ".startswith(f"{words} ")]
    if not commands:
        from mailroster.base.findings import UsageError
        from mailroster.cli.hints import did_you_mean, unknown_command

        message = unknown_command(words.split(), [c.words for c in COMMANDS])
        if hint := did_you_mean(words, [group.name for group in GROUPS.values() if group.words]):
            message = f"there is no group {words!r}{hint}"
        message += " The groups are: " if message.endswith("?") else "; the groups are: "
        raise UsageError(message + ", ".join(GROUPS))
    print(text(commands[0]) if len(commands) == 1 else summary(commands), end="")
    return 0


def overview() -> str:
    """The groups of commands under their headings."""
    lines = [_HEAD.rstrip()]
    for heading, groups in HEADINGS.items():
        lines += [heading, *map(_group_line, groups)]
    return "\n".join([*lines, "", _TAIL, ""])


def _group_line(group: Group) -> str:
    """`email   accounts: add, update, del, …`, cut to the width."""
    words = group.words or tuple(dict.fromkeys(c.words[1] for c in commands_of(group)))
    start, end = f"  {group.name:{_NAME_WIDTH}}  {group.summary}: ", ""
    while len(line := f"{start}{', '.join(words)}{end}") > _WIDTH:
        words, end = words[:-1], ", …"
    return line


def summary(commands: Sequence[Command]) -> str:
    """A line for each of some commands."""
    rows = [(command.name(), command.summary) for command in commands]
    return "\n".join([*_rows(rows), "", "More: setup help COMMAND", ""])


def options() -> str:
    """The options before the command, and the exit statuses."""
    from mailroster.base.settings import FOLDERS, OVERLAY

    rows = [(f"--{setting.name} DIR", setting.help) for setting in (*FOLDERS, OVERLAY)]
    return "\n".join(["Options before the command:", *_rows(rows), "", _STATUS, ""])


def text(command: Command) -> str:
    """Everything about one command."""
    usage = _filled(command.usage(), _WIDTH - len(_USAGE))
    lines = [_USAGE + f"\n{' ' * len(_USAGE)}".join(usage), ""]
    lines += _filled(f"{command.summary[:1].upper()}{command.summary[1:]}.")
    if command.detail:
        lines += ["", *_filled(command.detail)]
    if command.options:
        lines += ["", *_rows([(str(option), option.help) for option in command.options])]
    return "\n".join([*lines, ""])


def version(call: object) -> int:
    from mailroster import __version__

    print(f"mailroster {__version__}")
    return 0


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    """Two columns; the second one is filled."""
    width = max(len(left) for left, _ in rows) + 4
    return [
        f"  {left:{width - 2}}" + f"\n{'':{width}}".join(_filled(right, _WIDTH - width))
        for left, right in rows
    ]


def _filled(text: str, width: int = _WIDTH) -> list[str]:
    """The lines of a text, broken at blanks."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
