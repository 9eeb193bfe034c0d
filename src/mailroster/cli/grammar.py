"""The grammar of the command line: the types of the table of commands, and its parser.

It does not use argparse, for which a password that begins with a dash is an unknown option, and
which takes 10 ms to build its parsers.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mailroster.base.findings import UsageError

#: Replaces a secret.
HIDDEN = "…"
#: An argument that takes all following words unchanged, options too.
VERBATIM = "[COMMAND…]"
#: Options that docker-mailserver also accepts in upper case.
_CAPITALS = {"-Y": "-y", "-N": "-n"}


class Option(NamedTuple):
    """`--name` or `-n`. `value` is the name of its value, "" for none."""

    name: str
    help: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value}" if self.value else self.name


#: How a command uses the folders: it needs them; it works without them if the default folders are
#: not safe; it never uses them.
NEEDED, OPTIONAL, UNUSED = "needed", "optional", "unused"


class Command(NamedTuple):
    """One command. `arguments` is its usage: `ADDRESS [PASSWORD]`, `ADDRESS…` for one or more,
    `[ADDRESS…]` for zero or more.

    `run` is its function, as `module:function` in mailroster.cli. `folders` is NEEDED, OPTIONAL or
    UNUSED. `question` is the prompt for a missing last argument.
    """

    words: tuple[str, ...]
    arguments: str
    summary: str
    run: str
    options: tuple[Option, ...] = ()
    detail: str = ""
    folders: str = NEEDED
    question: str = ""

    def name(self) -> str:
        return " ".join(self.words)

    def usage(self) -> str:
        options = " ".join(f"[{option}]" for option in self.options)
        return " ".join(filter(None, ("setup", self.name(), options, self.arguments)))

    def brief_usage(self) -> str:
        """The usage without the options."""
        return " ".join(filter(None, ("setup", self.name(), self.arguments)))

    def arity(self) -> tuple[int, int]:
        """The minimum and the maximum number of arguments."""
        names = self.arguments.split()
        required = sum(1 for name in names if name[0] != "[")
        return required, 1 << 30 if any(map(is_repeatable, names)) else len(names)


def is_repeatable(name: str) -> bool:
    """Whether an argument may be repeated: `ADDRESS…`, `[ADDRESS…]`."""
    return name.endswith("…") or (name[0] == "[" and name.endswith("…]"))


class Invocation(NamedTuple):
    """A parsed command line."""

    command: Command
    arguments: list[str]
    options: dict[str, str]  # by name; the value is "" for an option without one
    settings: dict[str, str]  # the options before the command
    typed: list[str]  # all words as typed, secrets hidden


def parse(
    argv: Sequence[str],
    commands: Sequence[Command],
    settings: Sequence[str],
    ask: Callable[[str], str] = lambda question: "",
) -> Invocation | str:
    """The invocation of a command line; for a request for help the words that it is about.

    `settings` are the names of the options before the command. `ask` asks the user a question and
    returns the answer, "" if that is not possible. Raises UsageError.
    """
    words = list(argv)
    values: dict[str, str] = {}
    while words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        option, equals, value = words.pop(0).partition("=")
        if option[2:] not in settings or option[:2] != "--":
            raise UsageError(_unknown_before(option, commands, settings))
        if not equals and not words:
            raise UsageError(f"option {option} needs a value")
        values[option[2:]] = value if equals else words.pop(0)
    if words == ["--version"]:
        words = ["version"]
    if not words or words[0] in ("help", "-h", "--help"):
        return " ".join(words[1:])
    command = find(words, commands)
    if command is None:
        return _incomplete(words, commands)
    rest = words[len(command.words) :]
    if rest == ["help"] or rest[:1] in (["--help"], ["-h"]):
        return command.name()
    typed = [*command.words]
    arguments, options = _split(rest, command, settings, typed)
    if "--help" in options:
        return command.name()
    least, most = command.arity()
    if len(arguments) == least - 1 and command.question and (answer := ask(command.question)):
        arguments.append(answer)
        typed.append(answer)
    if not least <= len(arguments) <= most:
        raise UsageError(_wrong_number(command, arguments))
    return Invocation(command, arguments, options, values, typed)


def find(words: Sequence[str], commands: Sequence[Command]) -> Command | None:
    """The command with which a line begins."""
    for command in commands:
        if tuple(words[: len(command.words)]) == command.words:
            return command
    return None


def _split(
    rest: list[str], command: Command, settings: Sequence[str], typed: list[str]
) -> tuple[list[str], dict[str, str]]:
    """The arguments and the options. An unknown `--word` is an error, except in the place of a
    password; `--` ends the options. Adds each word to `typed`, secrets hidden.
    """
    known = {option.name: option for option in command.options}
    arguments: list[str] = []
    options: dict[str, str] = {}
    while rest:
        word = rest.pop(0)
        if arguments and command.arguments == VERBATIM:
            arguments.append(word)
            typed.append(word)
            continue
        if word in _CAPITALS and word not in known and _CAPITALS[word] in known:
            word = _CAPITALS[word]
        name, equals, value = word.partition("=")
        if word == "--":
            typed.append(word)
            for argument in rest:
                typed.append(_hide_secret(command, arguments, argument))
                arguments.append(argument)
            return arguments, options
        if word == "--help" or (word in known and not known[word].value):
            options[word] = ""
            typed.append(word)
        elif name in known and known[name].value:
            if not equals and not rest:
                raise UsageError(f"option {name} needs a value: {known[name]}")
            options[name] = value if equals else rest.pop(0)
            shown = HIDDEN if _is_secret(known[name].value) else options[name]
            typed += [f"{name}={shown}"] if equals else [name, shown]
        elif word.startswith("--") and not _may_be_password(command, arguments):
            if name[2:] in settings:
                line = f"setup {name} DIR {command.name()}"
                raise UsageError(f"{name} comes before the command: {line}")
            raise UsageError(_unknown_option(name, command))
        else:
            typed.append(_hide_secret(command, arguments, word))
            arguments.append(word)
    return arguments, options


def _may_be_password(command: Command, arguments: list[str]) -> bool:
    """Whether the next argument is a password."""
    return command.arguments.split()[len(arguments) :][:1] == ["[PASSWORD]"]


def _is_secret(name: str) -> bool:
    """Whether an argument or a value with this name is a password or a hash."""
    return "PASSWORD" in name or "HASH" in name


def _hide_secret(command: Command, arguments: list[str], word: str) -> str:
    """The next argument, hidden if it is a secret. An extra argument may be part of a password that
    has blanks but no quotes."""
    names = command.arguments.split()
    last = names[min(len(arguments), len(names) - 1)] if names else ""
    return HIDDEN if _is_secret(last) else word


def _wrong_number(command: Command, arguments: Sequence[str]) -> str:
    """The message for too few or too many arguments, without words that may be a password."""
    names = command.arguments.split()
    most = command.arity()[1]
    usage = f"usage: {command.brief_usage()}"
    if len(arguments) > most:
        takes = f"{most} argument{'s' if most > 1 else ''}" if most else "no arguments"
        return f"too many arguments: {command.name()!r} takes {takes}; {usage}"
    needed = [name for name in names if name[0] != "["]
    missing = needed[len(arguments) :]
    if arguments and "|" in needed[0] and arguments[0].lower() not in needed[0].split("|"):
        missing = needed[:1]  # `restrict add a@x.example`
    subject = " and ".join(name.rstrip("…") for name in missing)
    verb = "are" if len(missing) > 1 else "is"
    return f"too few arguments: {subject} {verb} missing; {usage}"


def _unknown_option(name: str, command: Command) -> str:
    from mailroster.cli.hints import did_you_mean

    known = [option.name for option in command.options]
    hint = did_you_mean(name, [*known, "--help"])
    return f"unknown option {name!r}{hint or ';'} usage: {command.usage()}"


def _unknown_before(option: str, commands: Sequence[Command], settings: Sequence[str]) -> str:
    from mailroster.cli.hints import did_you_mean

    if any(option == known.name for command in commands for known in command.options):
        return f"option {option!r} comes after the command: setup COMMAND {option}"
    hint = did_you_mean(option, [f"--{name}" for name in settings])
    return f"unknown option {option!r} before the command{hint}"


def _incomplete(words: Sequence[str], commands: Sequence[Command]) -> str:
    """The words of a help request such as `email help`. Raises UsageError for any other line."""
    nouns = [word for word in words if word not in ("help", "--help", "-h")]
    matches = [c for c in commands if c.words[: len(nouns)] == tuple(nouns)]
    if len(nouns) < len(words):
        return " ".join(nouns)
    if matches:
        verbs = ", ".join(dict.fromkeys(c.words[len(nouns)] for c in matches))
        raise UsageError(f"'setup {' '.join(nouns)}' is not complete; use one of: {verbs}")
    from mailroster.cli.hints import unknown_command

    raise UsageError(unknown_command(nouns or words, [c.words for c in commands]))
