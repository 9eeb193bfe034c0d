"""The command line's grammar."""

import pytest

from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Invocation, parse
from mailroster.finding import NotUnderstood

SETTINGS = ("home", "config", "mail", "state", "logs")


def understood(line: str | list[str]) -> Invocation | str:
    return parse(line.split() if isinstance(line, str) else line, COMMANDS, SETTINGS)


@pytest.mark.parametrize(
    ("line", "name", "arguments", "options", "settings"),
    [
        ("email add a@x pw", "email add", ["a@x", "pw"], {}, {}),
        ("email add a@x", "email add", ["a@x"], {}, {}),
        ("email add a@x -dash", "email add", ["a@x", "-dash"], {}, {}),
        ("email add a@x --double-dash", "email add", ["a@x", "--double-dash"], {}, {}),
        ("email add a@x -- --hash", "email add", ["a@x", "--hash"], {}, {}),
        ("email add a@x -y", "email add", ["a@x", "-y"], {}, {}),
        ("email add a@x --", "email add", ["a@x"], {}, {}),
        ("email add --hash {S}h a@x", "email add", ["a@x"], {"--hash": "{S}h"}, {}),
        ("email add a@x --hash={S}h=", "email add", ["a@x"], {"--hash": "{S}h="}, {}),
        ("email add a@x --password-stdin --no-wait", "email add", ["a@x"],
         {"--password-stdin": "", "--no-wait": ""}, {}),
        ("email del -y a@x b@x", "email del", ["a@x", "b@x"], {"-y": ""}, {}),
        ("email del a@x b@x -n", "email del", ["a@x", "b@x"], {"-n": ""}, {}),
        ("email restrict list send", "email restrict list", ["send"], {}, {}),
        ("--config /c --state=/s email list --json", "email list", [], {"--json": ""},
         {"config": "/c", "state": "/s"}),
        ("quota set a@x -1", "quota set", ["a@x", "-1"], {}, {}),
        ("alias add a@x b@x,c@x", "alias add", ["a@x", "b@x,c@x"], {}, {}),
    ],
)  # fmt: skip
def test_a_line_is_understood(
    line: str, name: str, arguments: list[str], options: dict[str, str], settings: dict[str, str]
) -> None:
    found = understood(line)
    assert isinstance(found, Invocation)
    assert found.command.name() == name
    assert found[1:4] == (arguments, options, settings)


def test_the_version_may_be_asked_for_as_of_other_programs() -> None:
    said = parse(["--version"], COMMANDS, ())
    assert isinstance(said, Invocation)
    assert said.command.name() == "version"


def test_an_argument_may_be_empty_or_have_blanks() -> None:
    found = understood(["email", "add", "a@x", ""])
    assert isinstance(found, Invocation)
    assert found.arguments == ["a@x", ""]
    found = understood(["email", "add", "a@x", " two words "])
    assert isinstance(found, Invocation)
    assert found.arguments == ["a@x", " two words "]


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("", ""),
        ("help", ""),
        ("--help", ""),
        ("-h", ""),
        ("--config /c help", ""),
        ("help email", "email"),
        ("help email add", "email add"),
        ("email help", "email"),
        ("email --help", "email"),
        ("email restrict --help", "email restrict"),
        ("email add help", "email add"),
        ("email add --help", "email add"),
        ("email add -h", "email add"),
        ("email add a@x --help", "email add"),
        ("email add a@x pw --help", "email add"),
        ("email del -y --help", "email del"),
        ("alias list help", "alias list"),
    ],
)
def test_help_has_its_spellings(line: str, about: str) -> None:
    assert understood(line) == about


@pytest.mark.parametrize(
    "line",
    [
        "emial add a@x pw",
        "email",
        "email restrict",
        "email remove a@x",
        "email add",
        "email add a@x pw more",
        "email del",
        "email list a@x",
        "alias add a@x",
        "alias del a@x b@x c@x",
        "quota set a@x",
        "quota del",
        "email restrict add send",
        "--colour email list",
        "-c /c email list",
        "--config",
        "email list --config /c",
        "email list --josn",
        "email add a@x --hash",
        "email del --yes a@x",
        "email add --pasword-stdin a@x",
        "nothing help",
    ],
)
def test_other_lines_are_not_understood(line: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        understood(line)
    assert str(refused.value)


def test_every_command_has_a_function_and_can_be_found_by_its_words() -> None:
    from importlib import import_module

    for command in COMMANDS:
        module, _, name = command.run.partition(":")
        assert callable(getattr(import_module(f"mailroster.cli.{module}"), name))
        assert understood([*command.words, "help"]) == command.name()
        least, most = command.arity()
        assert least <= most
        assert command.summary
        assert command.summary[0].islower()
        assert command.summary[-1] != "."


def test_a_folder_named_behind_the_command_is_told_where_it_belongs() -> None:
    with pytest.raises(NotUnderstood, match="--config stands before the command"):
        parse(["email", "list", "--config", "x"], COMMANDS, ("home", "config"))
