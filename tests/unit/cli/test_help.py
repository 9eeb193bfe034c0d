"""`setup help`: a screen of groups, a line for each command of a group, and all of one command."""

from collections import Counter

import pytest

from mailroster.cli import help
from mailroster.cli.commands import COMMANDS
from mailroster.cli.completion import candidates
from mailroster.cli.groups import GROUPS, HEADINGS, Group
from mailroster.cli.help import commands_of
from mailroster.roster.roster import Roster
from tests.support.folder import Folder, folder

__all__ = ["folder"]

LINES, COLUMNS = 24, 80


def fits_a_screen(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) < LINES and max(map(len, lines)) < COLUMNS


@pytest.mark.parametrize("line", ["help", "--help", "-h", ""])
def test_the_overview_has_every_group_and_fits_a_screen(folder: Folder, line: str) -> None:
    ran = folder.setup(*line.split())
    assert (ran.code, ran.err) == (0, "")
    assert fits_a_screen(ran.out)
    for heading, below in HEADINGS.items():
        assert f"\n{heading}\n" in ran.out
        for group in below:
            assert ran.out.count(f"\n  {group.name} ") == 1


@pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)
def test_a_group_has_a_line_for_each_command_and_fits_a_screen(
    folder: Folder, group: Group
) -> None:
    ran = folder.setup("help", group.name)
    assert (ran.code, ran.err) == (0, "")
    assert fits_a_screen(ran.out)
    commands = commands_of(group)
    if len(commands) == 1:
        assert ran.out == help.text(commands[0])
        return
    lines = ran.out.splitlines()
    for line, command in zip(lines, commands, strict=False):
        assert line.startswith(f"  {command.name()} ")
        assert line.endswith(f"  {command.summary}")
    assert lines[len(commands) :] == ["", "More: setup help COMMAND"]


def test_every_command_is_in_one_group() -> None:
    listed = Counter(command.name() for group in GROUPS.values() for command in commands_of(group))
    assert listed == {command.name(): 1 for command in COMMANDS}


def test_a_group_has_the_name_of_its_commands_or_of_no_command() -> None:
    firsts = {command.words[0] for command in COMMANDS}
    for group in GROUPS.values():
        assert (group.name in firsts) == (not group.words)
    assert help.OPTIONS not in firsts | {*GROUPS}


def test_the_options_before_a_command_and_the_exit_statuses_are_a_page(folder: Folder) -> None:
    ran = folder.setup("help", "options")
    assert ran.code == 0
    assert "\n  --config DIR " in ran.out
    assert "Exit status: 0 done" in ran.out
    assert fits_a_screen(ran.out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "nothing",
            "there is no command 'nothing'; see 'setup help'; the groups are: email, alias,",
        ),
        ("emial", "did you mean 'setup email'? The groups are: email, alias,"),
        (
            "inspct",
            "there is no group 'inspct'; did you mean inspect? The groups are: email, alias,",
        ),
        ("email ad", "did you mean 'setup email add'? The groups are: email, alias,"),
    ],
)
def test_an_unknown_group_is_an_error_with_the_groups(
    folder: Folder, words: str, message: str
) -> None:
    ran = folder.setup("help", *words.split())
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.endswith("server, host, debug, shell\n")


def test_a_group_in_the_place_of_a_command_leads_to_its_commands(folder: Folder) -> None:
    for line in ("server", "server status"):
        ran = folder.setup(*line.split())
        assert ran.code == 2
        assert "'server' is a group of the help, not a command; use one of: 'setup up'," in ran.err
    for name in ("server", "nothing"):
        assert folder.setup(name, "help") == folder.setup("help", name)


def test_the_groups_are_completed() -> None:
    def no_roster(given: object) -> Roster:
        raise AssertionError

    proposed = candidates("setup help ", no_roster)
    assert {*GROUPS, "options", "check"} <= {*proposed}
    assert len(proposed) == len({*proposed})
    assert candidates("setup help se", no_roster) == ["sender", "server"]
    assert "server" not in candidates("setup ", no_roster)


@pytest.mark.parametrize(
    ("called", "name"),
    [("/usr/bin/mailroster", "mailroster"), ("setup", "setup"), ("/usr/bin/pytest", "setup")],
)
def test_a_message_begins_with_the_name_of_the_program_as_called(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, called: str, name: str
) -> None:
    monkeypatch.setattr("sys.argv", [called])
    warning, error = folder.setup("email", "show", "eve@x.com").err.splitlines()
    assert warning.startswith(f"{name}: warning: {folder.config} is empty")
    assert error == f"{name}: there is no account 'eve@x.com'"
