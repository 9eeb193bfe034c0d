"""The warning about a config folder that is probably not the one that was meant."""

from pathlib import Path

import pytest

from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]

ADD = ("email", "add", "a@x.com", "pw")
ALL_READ = (("email", "list"), ("alias", "list"), ("check",), ("quota", "list"), ("map", "--dot"))


def test_a_folder_that_an_edit_makes_is_named_first(folder: Folder) -> None:
    folder.config.rmdir()
    assert folder.setup(*ADD, "--dry-run").err == ""
    assert "exists already" not in folder.setup("alias", "add", "bad alias", "x@y.z").err
    assert not folder.config.exists(), "no warning where nothing is made"
    ran = folder.setup(*ADD)
    words = "does not exist and is created; --config sets another"
    assert (ran.code, ran.err) == (0, f"setup: warning: {folder.config} {words}\n")
    assert folder.keys(ACCOUNTS) == ["a@x.com"]
    assert folder.setup("email", "add", "b@x.com", "pw").err == ""


@pytest.mark.parametrize("argv", [*ALL_READ, ADD], ids=" ".join)
def test_a_folder_of_something_else_gets_a_warning(folder: Folder, argv: tuple[str, ...]) -> None:
    folder.write("passwd", "root:x:0:0::/:/bin/sh\n")
    ran = folder.setup(*argv)
    assert ran.code == 0
    assert ran.err.count("none of mailroster's files, such as postfix-accounts.cf") == 1
    assert ran.err.startswith(f"setup: warning: {folder.config} has none")


@pytest.mark.parametrize("argv", ALL_READ, ids=" ".join)
def test_an_empty_folder_gets_one_from_commands_that_look(
    folder: Folder, argv: tuple[str, ...]
) -> None:
    ran = folder.setup(*argv)
    assert f"{folder.config} is empty; is it the config folder?" in ran.err
    assert ran.code == 0
    assert folder.setup(*ADD).err == ""


@pytest.mark.parametrize(
    "file",
    [ACCOUNTS, "postfix-virtual.cf", "dovecot.cf", "b@x.com.dovecot.sieve", "mailroster.toml",
     ".mailroster-history", "postfix-relaymap.cf"],
)  # fmt: skip
def test_one_file_of_ours_is_enough(folder: Folder, file: str) -> None:
    folder.write(file, "")
    folder.write("passwd", "root:x:0:0::/:/bin/sh\n")
    assert folder.setup("alias", "list") == (0, "", "")
    assert folder.setup(*ADD).err == ""


def test_a_folder_that_is_not_there_or_not_readable_is_refused_as_before(
    folder: Folder, tmp_path: Path
) -> None:
    folder.config.rmdir()
    ran = folder.setup("email", "list")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "there is no config folder" in ran.err
    folder.config.mkdir()
    folder.write(ACCOUNTS, f"a@x.com|{H}\n")
    assert folder.setup("email", "list").err == ""
