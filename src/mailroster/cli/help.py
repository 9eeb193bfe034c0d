"""`setup help` and `setup version`."""

from collections.abc import Sequence

from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Command

_HEAD = """\
setup keeps mail accounts as plain text files, and makes them live.

usage: setup [--home DIR] [--config DIR] [--mail DIR] [--state DIR]
             [--logs DIR] COMMAND …
"""
_USAGE = "usage: "
_TAIL = "More on each: setup COMMAND help"
_STATUS = "Exit status: 0 done, 1 refused, 2 not understood, 75 try again later"
_WIDTH = 79


def show(words: str) -> int:
    """Prints the help on the commands that begin with some words; on all of them for none."""
    matches = [c for c in COMMANDS if not words or f"{c.name()} ".startswith(f"{words} ")]
    if not matches:
        from mailroster.base.findings import UsageError
        from mailroster.cli.hints import unknown_command

        raise UsageError(unknown_command(words.split(), [c.words for c in COMMANDS]))
    if len(matches) == 1:
        print(text(matches[0]), end="")
    else:
        print(overview(matches), end="")
    return 0


def overview(commands: Sequence[Command]) -> str:
    """Usage and summary of some commands."""
    every = len(commands) == len(COMMANDS)
    rows = [(f"{c.name()} {c.arguments}".rstrip(), c.summary) for c in commands]
    head, tail = ([_HEAD], [_STATUS]) if every else ([], [])
    return "\n".join([*head, *_rows(rows), "", _TAIL, *tail, ""])


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
    """Two columns, the second one filled."""
    wide = max(len(left) for left, _ in rows) + 4
    return [
        f"  {left:{wide - 2}}" + f"\n{'':{wide}}".join(_filled(right, _WIDTH - wide))
        for left, right in rows
    ]


def _filled(text: str, width: int = _WIDTH) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
