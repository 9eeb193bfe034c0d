"""The command line's grammar."""

import pytest

from mailroster.base.findings import UsageError
from mailroster.cli.commands import COMMANDS
from mailroster.cli.grammar import Invocation, find, parse
from mailroster.cli.hints import _PROGRAMS, _SYNONYMS, ELSEWHERE

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
        ("email del -Y a@x", "email del", ["a@x"], {"-y": ""}, {}),
        ("dovecot-master del a -N", "dovecot-master del", ["a"], {"-n": ""}, {}),
        ("email update a@x -Y", "email update", ["a@x", "-Y"], {}, {}),
        ("debug login", "debug login", [], {}, {}),
        ("debug login ls -la --help", "debug login", ["ls", "-la", "--help"], {}, {}),
        ("debug login doveadm -- --json", "debug login", ["doveadm", "--", "--json"], {}, {}),
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
    ],
)
def test_other_lines_are_not_understood(line: str) -> None:
    with pytest.raises(UsageError) as refused:
        understood(line)
    assert str(refused.value)


def refusal(line: str) -> str:
    with pytest.raises(UsageError) as refused:
        understood(line)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("emial add a@x pw", "'setup email add'"),
        ("email ad a@x", "'setup email add'"),
        ("satus", "'setup status'"),
        ("alias ls", "'setup alias list'"),
        ("email remove a@x", "'setup email del'"),
        ("email rm a@x", "'setup email del'"),
        ("Email Add a@x", "'setup email add'"),
        ("add email a@x pw", "'setup email add'"),
        ("email-add a@x pw", "'setup email add'"),
        ("email restrict ad send a@x", "'setup email restrict add'"),
        ("email restict add send a@x", "'setup email restrict add'"),
        ("email password a@x", "'setup email update'"),
        ("dovecot-masters list", "'setup dovecot-master list'"),
        ("user del a@x", "'setup email del'"),
        ("addmailuser a@x pw", "'setup email add'"),
        ("excluderelaydomain x", "'setup relay exclude-domain'"),
        ("chek", "'setup check'"),
        ("stat", "'setup status'"),
        (
            "list",
            "'setup email list', 'setup email app-password list', 'setup email restrict list', "
            "'setup alias list'",
        ),
        ("delete a@x", "'setup email del'"),
        ("help emial", "'setup email'"),
        ("emial help", "'setup email'"),
        ("debug show-logs", "'setup debug show-mail-logs'"),
        ("email --json list", "'setup email list'"),
    ],
)
def test_a_typo_is_answered_by_the_command_that_was_meant(line: str, meant: str) -> None:
    if "help" in line.split():
        from mailroster.cli.help import show

        about = understood(line)
        assert isinstance(about, str)
        with pytest.raises(UsageError) as refused:
            show(about)
        said = str(refused.value)
    else:
        said = refusal(line)
    assert f"did you mean {meant}" in said
    first = said.partition("did you mean ")[2].split("'")[1].removeprefix("setup ").split()
    assert any(tuple(first) == command.words[: len(first)] for command in COMMANDS)


def test_a_word_like_no_command_gets_no_suggestion() -> None:
    assert "did you mean" not in refusal("e" * 100_000)
    with pytest.raises(UsageError, match="there is no command ''"):
        understood([""])
    assert "did you mean" in refusal("\x1b[2J emial"[5:])
    assert refusal("xyzzy") == "there is no command 'xyzzy'; see 'setup help'"


def test_a_word_that_may_be_a_password_is_not_repeated() -> None:
    for line in ("emailadd a@x Secret1", "a@x Secret1", "email addd a@x Secret1",
                 "email add a@x Secret1 Secret2", "quota del a@x Secret1"):  # fmt: skip
        assert "Secret" not in refusal(line)


@pytest.mark.parametrize("words", [*ELSEWHERE])
def test_a_command_of_docker_mailserver_that_is_not_here_says_what_to_do(
    words: tuple[str, ...],
) -> None:
    said = refusal(" ".join((*words, "more")))
    assert said == f"{ELSEWHERE[words]}; see docs/guide/migrate.md"
    assert find(words, COMMANDS) is None, "the command is here"


def test_suggestions_lead_to_commands_that_exist() -> None:
    names = {command.name() for command in COMMANDS}
    nouns = {command.words[:n] for command in COMMANDS for n in (1, 2)}
    for meant in _PROGRAMS.values():
        assert meant in names or tuple(meant.split()) in nouns
    words = {word for command in COMMANDS for word in command.words}
    assert set(_SYNONYMS.values()) <= words


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("email add", "ADDRESS is missing; usage: setup email add ADDRESS [PASSWORD]"),
        ("alias add", "ALIAS and RECIPIENT[,RECIPIENT…] are missing"),
        ("alias add a@x", "RECIPIENT[,RECIPIENT…] is missing"),
        ("quota set a@x", "SIZE is missing; usage: setup quota set ADDRESS SIZE"),
        ("email del", "ADDRESS is missing"),
        ("email restrict add a@x", "send|receive is missing"),
        ("email restrict add send", "ADDRESS is missing"),
        ("email list a@x", "'email list' takes no arguments"),
        ("quota del a@x 1G", "'quota del' takes 1 argument;"),
        ("email list --josn", "unknown option '--josn'; did you mean --json?"),
        ("email add a@x pw --no-wiat", "did you mean --no-wait?"),
        ("--cofnig /c email list", "did you mean --config?"),
        ("--json email list", "comes after the command: setup COMMAND --json"),
        ("email", "use one of: add, update,"),
    ],
)
def test_what_is_missing_or_unknown_is_named(line: str, said: str) -> None:
    assert said in refusal(line)


def test_a_last_argument_that_is_missing_is_asked_for() -> None:
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return "5G"

    for line in ("quota set a@x", "email restrict add send", "email restrict del receive"):
        found = parse(line.split(), COMMANDS, SETTINGS, ask)
        assert isinstance(found, Invocation)
        assert found.arguments[-1] == found.typed[-1] == "5G"
    assert asked == ["Size (5G, 500M, 0 for unlimited): ", "Address: ", "Address: "]
    for line in ("quota set", "quota del", "alias add a@x", "email add"):
        with pytest.raises(UsageError, match="missing"):
            parse(line.split(), COMMANDS, SETTINGS, ask)
    assert len(asked) == 3


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
    with pytest.raises(UsageError, match="--config comes before the command"):
        parse(["email", "list", "--config", "x"], COMMANDS, ("home", "config"))
