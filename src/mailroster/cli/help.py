"""`setup help` and `setup version`."""

from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command

_HEAD = """\
setup keeps the accounts of a mail server as plain text files, and makes them live.

usage: setup [--home DIR] [--config DIR] [--mail DIR] [--state DIR] [--logs DIR] COMMAND …
"""
_TAIL = "More on each: setup COMMAND help"
_WIDTH = 78


def show(words: str) -> int:
    """Prints the help on the commands that begin with some words; on all of them for none."""
    matches = [c for c in COMMANDS if not words or f"{c.name()} ".startswith(f"{words} ")]
    if not matches:
        from mailroster.finding import NotUnderstood

        raise NotUnderstood(f"there is no command {words!r}; see 'setup help'")
    if len(matches) == 1:
        print(text(matches[0]), end="")
    else:
        print(overview(matches), end="")
    return 0


def overview(commands: list[Command]) -> str:
    """Usage and summary of some commands, a line each."""
    lines = [_HEAD] if len(commands) == len(COMMANDS) else []
    wide = max(len(f"{c.name()} {c.arguments}") for c in commands)
    lines += [f"  {f'{c.name()} {c.arguments}':{wide}}  {c.summary}" for c in commands]
    return "\n".join([*lines, "", _TAIL, ""])


def text(command: Command) -> str:
    """Everything about one command."""
    lines = [
        f"usage: {command.usage()}",
        "",
        *_filled(f"{command.summary[:1].upper()}{command.summary[1:]}."),
    ]
    if command.detail:
        lines += ["", *_filled(command.detail)]
    if command.options:
        wide = max(len(str(option)) for option in command.options)
        lines += ["", *(f"  {option!s:{wide}}  {option.help}" for option in command.options)]
    return "\n".join([*lines, ""])


def version(call: object) -> int:
    from mailroster import __version__

    print(f"mailroster {__version__}")
    return 0


def _filled(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
