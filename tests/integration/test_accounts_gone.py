"""The accounts file is gone, or emptied, by accident: no command makes a new one on top, so that
nobody's mailbox goes, however few they are."""

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, until

ACCOUNTS = "postfix-accounts.cf"
CSV = f"address,password\nnew@x.com,{PASSWORD}\n"
#: Each makes an accounts file where there is none.
MAKING = {
    "email add": (("email", "add", "new@x.com", PASSWORD), ""),
    "import": (("import", "--format", "csv", "-"), CSV),
}


def fill(server: Instance, count: int) -> list[str]:
    """An accounts file with some accounts that are in force, and no other ones."""
    names = [f"user{number}of{count}@x.com" for number in range(count)]
    server.file(ACCOUNTS).write_text("".join(f"{name}|{HASH}\n" for name in names))
    server.setup("apply", "--removals")
    assert all(map(server.can_log_in, (names[0], names[-1])))
    return names


@pytest.mark.parametrize("emptied", [False, True], ids=["gone", "emptied"])
@pytest.mark.parametrize("count", [1, 5, 12])
def test_no_command_makes_a_new_file_while_accounts_of_the_old_one_are_served(
    server: Instance, count: int, emptied: bool
) -> None:
    names = fill(server, count)
    if emptied:
        server.file(ACCOUNTS).write_text("# empty\n")
    else:
        server.file(ACCOUNTS).unlink()
    for words, stdin in MAKING.values():
        for more in ((), ("--dry-run",), ("--no-wait",)):
            refused = server.run(*words, *more, stdin=stdin)
            assert refused.returncode == 1, refused
            assert f"has lost all of its accounts (still served: {count})" in refused.stderr
            assert "restore the file, or add --removals" in refused.stderr
    server.setup("alias", "add", "info@x.com", names[0])  # makes no accounts file
    server.setup("alias", "del", "info@x.com", names[0])
    assert emptied or not server.file(ACCOUNTS).exists()
    assert all(map(server.can_log_in, (names[0], names[-1])))
    assert server.rcpt(names[-1])[0] == 250
    assert "in step: no" in server.run("status").stdout


@pytest.mark.parametrize("count", [1, 5, 12])
@pytest.mark.parametrize("way", MAKING)
def test_with_removals_it_is_meant(server: Instance, count: int, way: str) -> None:
    names = fill(server, count)
    server.file(ACCOUNTS).unlink()
    words, stdin = MAKING[way]
    done = server.run(*words, "--removals", stdin=stdin)
    assert done.returncode == 0, done
    assert server.can_log_in("new@x.com")
    assert not server.can_log_in(names[0])
    assert server.rcpt(names[-1])[0] == 550
    assert "in step: yes" in server.run("status").stdout


def test_an_import_and_an_undo_that_bring_all_of_them_back_restore_the_file(
    server: Instance,
) -> None:
    names = fill(server, 5)
    rows = "".join(f"{name},{PASSWORD}\n" for name in names)
    server.file(ACCOUNTS).unlink()
    done = server.run("import", "--format", "csv", "-", stdin=f"address,password\n{rows}")
    assert done.returncode == 0, done
    assert all(map(server.can_log_in, names))
    assert "in step: yes" in server.run("status").stdout


def test_neither_is_a_folder_made_that_was_unmounted(server: Instance) -> None:
    names = fill(server, 5)
    away = server.home / "unmounted"
    server.config.rename(away)
    try:
        refused = server.run("email", "add", "new@x.com", PASSWORD)
        assert refused.returncode in (1, 2), refused
        assert not server.file(ACCOUNTS).exists()
    finally:
        if server.config.exists():
            server.config.rmdir()
        away.rename(server.config)
    assert all(map(server.can_log_in, names))


def test_who_deletes_the_last_account_by_a_command_may_add_the_next(server: Instance) -> None:
    (name,) = fill(server, 1)
    server.setup("email", "del", "-y", "--no-wait", name)
    server.setup("email", "add", "next@x.com", PASSWORD)
    until(lambda: server.can_log_in("next@x.com"))
    assert not server.can_log_in(name)
