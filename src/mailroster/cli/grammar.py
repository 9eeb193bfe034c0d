"""The command line's grammar: a table of commands, read by the parser, the help, the completions
and the docs alike.

Not argparse: a password that begins with a dash is an argument here, not an unknown option, and
building argparse's parsers would cost every edit 10 ms.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mailroster.base.findings import UsageError

#: Stands in the place of a secret.
HIDDEN = "…"
#: An argument that takes all words behind it as they stand, options too.
VERBATIM = "[COMMAND…]"
#: Options that docker-mailserver takes in upper case as well.
_CAPITALS = {"-Y": "-y", "-N": "-n"}


class Option(NamedTuple):
    """`--name` or `-n`; with a value where `value` names it."""

    name: str
    help: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value}" if self.value else self.name


#: How a command uses the folders of the settings: it can't do without; it can, where the default
#: ones are not safe; it never reads them.
NEEDED, OPTIONAL, UNUSED = "needed", "optional", "unused"


class Command(NamedTuple):
    """One command. `arguments` is its usage: `ADDRESS [PASSWORD]`, `ADDRESS…` for one or more,
    `[ADDRESS…]` for any number.

    `run` names the function that does it, as `module:function` below mailroster.cli. `folders` is
    NEEDED, OPTIONAL or UNUSED. `question` asks on a terminal for a last argument that is missing.
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
        """The fewest and the most arguments."""
        names = self.arguments.split()
        least = sum(1 for name in names if name[0] != "[")
        return least, 1 << 30 if any(map(may_be_many, names)) else len(names)


def may_be_many(name: str) -> bool:
    """Whether an argument of a usage stands for any number: `ADDRESS…`, `[ADDRESS…]`."""
    return name.endswith("…") or (name[0] == "[" and name.endswith("…]"))


class Invocation(NamedTuple):
    """A command line that was understood."""

    command: Command
    arguments: list[str]
    options: dict[str, str]  # of the command, by name; "" for one without a value
    settings: dict[str, str]  # given before the command
    typed: list[str]  # all its words as typed, but for secrets


def parse(
    argv: Sequence[str],
    commands: Sequence[Command],
    settings: Sequence[str],
    ask: Callable[[str], str] = lambda question: "",
) -> Invocation | str:
    """What a command line says; or, where it asks for help, the words of the command it is about.

    `settings` are the options that may stand before the command. `ask` puts a question to the user
    and returns the answer, "" where that is not possible. Raises UsageError.
    """
    words = list(argv)
    given: dict[str, str] = {}
    while words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        option, equals, value = words.pop(0).partition("=")
        if option[2:] not in settings or option[:2] != "--":
            raise UsageError(_unknown_before(option, commands, settings))
        if not equals and not words:
            raise UsageError(f"option {option} wants a value")
        given[option[2:]] = value if equals else words.pop(0)
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
    return Invocation(command, arguments, options, given, typed)


def find(words: Sequence[str], commands: Sequence[Command]) -> Command | None:
    """The command that a line begins with."""
    for command in commands:
        if tuple(words[: len(command.words)]) == command.words:
            return command
    return None


def _split(
    rest: list[str], command: Command, settings: Sequence[str], typed: list[str]
) -> tuple[list[str], dict[str, str]]:
    """Arguments and options. Only what is an option of this command is one; `--` ends them.

    Adds to `typed` every word as it may be shown.
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
                typed.append(_shown(command, arguments, argument))
                arguments.append(argument)
            return arguments, options
        if word == "--help" or (word in known and not known[word].value):
            options[word] = ""
            typed.append(word)
        elif name in known and known[name].value:
            if not equals and not rest:
                raise UsageError(f"option {name} wants a value: {known[name]}")
            options[name] = value if equals else rest.pop(0)
            shown = HIDDEN if _is_secret(known[name].value) else options[name]
            typed += [f"{name}={shown}"] if equals else [name, shown]
        elif word.startswith("--") and not _may_be_password(command, arguments):
            if name[2:] in settings:
                line = f"setup {name} DIR {command.name()}"
                raise UsageError(f"{name} stands before the command: {line}")
            raise UsageError(_unknown_option(name, command))
        else:
            typed.append(_shown(command, arguments, word))
            arguments.append(word)
    return arguments, options


def _may_be_password(command: Command, arguments: list[str]) -> bool:
    names = command.arguments.split()
    place = len(arguments)
    return place < len(names) and names[place] == "[PASSWORD]"


def _is_secret(name: str) -> bool:
    """Whether what stands in the place of this word of a usage is a password or a hash."""
    return "PASSWORD" in name or "HASH" in name


def _shown(command: Command, arguments: list[str], word: str) -> str:
    """The next argument, as others may see it. One too many may be a password with blanks that
    nobody has quoted."""
    names = command.arguments.split()
    last = names[min(len(arguments), len(names) - 1)] if names else ""
    return HIDDEN if _is_secret(last) else word


def _wrong_number(command: Command, arguments: Sequence[str]) -> str:
    """What to say of too few or too many arguments, without a word that may be a password."""
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
    names_them = " and ".join(name.rstrip("…") for name in missing)
    are = "are" if len(missing) > 1 else "is"
    return f"too few arguments: {names_them} {are} missing; {usage}"


def _unknown_option(name: str, command: Command) -> str:
    from mailroster.cli.hints import did_you_mean

    known = [option.name for option in command.options]
    hint = did_you_mean(name, [*known, "--help"])
    return f"unknown option {name!r}{hint or ';'} usage: {command.usage()}"


def _unknown_before(option: str, commands: Sequence[Command], settings: Sequence[str]) -> str:
    from mailroster.cli.hints import did_you_mean

    if any(option == known.name for command in commands for known in command.options):
        return f"option {option!r} belongs behind the command: setup COMMAND {option}"
    hint = did_you_mean(option, [f"--{name}" for name in settings])
    return f"unknown option {option!r} before the command{hint}"


def _incomplete(words: Sequence[str], commands: Sequence[Command]) -> str:
    """Help on a noun without a verb, if it was asked for; raises UsageError otherwise."""
    nouns = [word for word in words if word not in ("help", "--help", "-h")]
    matches = [c for c in commands if c.words[: len(nouns)] == tuple(nouns)]
    if matches and len(nouns) < len(words):
        return " ".join(nouns)
    if matches:
        verbs = ", ".join(dict.fromkeys(c.words[len(nouns)] for c in matches))
        raise UsageError(f"'setup {' '.join(nouns)}' is not complete; use one of: {verbs}")
    from mailroster.cli.hints import unknown_command

    raise UsageError(unknown_command(nouns or words, [c.words for c in commands]))
