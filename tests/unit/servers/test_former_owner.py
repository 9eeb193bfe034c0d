"""An address that is given again: what a former owner has left, and how it is cleared."""

import json

from mailroster.base.address import Address
from mailroster.base.settings import Sources, load
from mailroster.servers.former_owner import with_leftovers
from tests.support.folder import ACCOUNTS, Folder, H, folder
from tests.support.mailboxes import give_to_mail_user

__all__ = ["folder"]  # the fixture

SCRIPT = "A@X.com.dovecot.sieve"


def fill(folder: Folder) -> None:
    """Mail, a script of ManageSieve and one of the config folder, of a@x.com."""
    home = folder.mail / "x.com" / "a" / "home"
    home.mkdir(parents=True)
    (home / ".dovecot.sieve").symlink_to("sieve/spy.sieve")
    give_to_mail_user(folder.mail)
    folder.write(SCRIPT, 'redirect "spy@y.org";\n')


def test_an_account_that_is_added_where_somebody_was_before_gets_a_warning(folder: Folder) -> None:
    fill(folder)
    ran = folder.setup("email", "add", "a@x.com", "pw")
    assert ran.code == 0
    place = folder.mail / "x.com" / "a"
    assert f"mail in {place}, an active Sieve script, {place}/home/.dovecot.sieve" in ran.err
    assert f"a Sieve script, {folder.config}/{SCRIPT}" in ran.err
    assert "setup email del -y a@x.com && setup email add a@x.com" in ran.err
    assert folder.setup("email", "del", "-y", "a@x.com").code == 0
    ran = folder.setup("email", "add", "a@x.com", "pw")
    assert (ran.code, ran.err) == (0, ""), "what the warning says clears it"


def test_only_what_lies_there_is_named(folder: Folder) -> None:
    folder.write("b@x.com.dovecot.sieve", "keep;\n")
    (folder.mail / "x.com" / "c").mkdir(parents=True)
    give_to_mail_user(folder.mail)
    assert "mail in" not in folder.setup("email", "add", "b@x.com", "pw").err
    assert folder.setup("email", "add", "c@x.com", "pw").err == "", "an empty folder is nothing"
    assert folder.setup("email", "add", "d@x.com", "pw").err == ""


def test_an_import_names_the_accounts_that_were_there_before(folder: Folder) -> None:
    fill(folder)
    rows = folder.home / "rows.csv"
    rows.write_text(f"address,hash\na@x.com,{H}\nb@x.com,{H}\n")
    ran = folder.setup("import", str(rows))
    assert ran.code == 0
    assert "get mail or a Sieve script of a former owner: a@x.com. To delete it" in ran.err
    assert folder.setup("import", str(rows), "--update").err == "", "they are accounts already"


def test_of_many_accounts_an_import_names_five_and_a_command_that_works(folder: Folder) -> None:
    names = [f"{letter}@x.com" for letter in "abcdefg"]
    for name in names:
        folder.write(f"{name}.dovecot.sieve", "keep;\n")
    rows = folder.home / "rows.csv"
    rows.write_text("".join(["address,hash\n", *(f"{name},{H}\n" for name in names)]))
    err = folder.setup("import", str(rows)).err
    first = " ".join(names[:5])
    assert f": {first} and 2 more. To delete it: setup email del -y {first}, then" in err


def test_a_deletion_with_the_mail_takes_the_script_and_undo_brings_it_back(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    fill(folder)
    text = folder.read(SCRIPT)
    shown = folder.setup("email", "del", "-y", "--dry-run", "a@x.com").out
    assert f"{folder.config}/{SCRIPT}" in shown
    assert folder.read(SCRIPT) == text
    assert folder.setup("email", "del", "-y", "a@x.com").code == 0
    assert not (folder.config / SCRIPT).exists()
    assert "sieve" not in folder.setup("check").out, "it is no script of an account any more"
    ran = folder.setup("undo")
    assert ran.code == 0
    assert f"{folder.config}/{SCRIPT} is restored" in ran.err
    assert folder.read(SCRIPT) == text
    assert [path.name for path in folder.config.iterdir() if "deleted" in path.name] == []


def test_undo_of_a_later_deletion_brings_back_nothing_of_an_earlier_owner(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    folder.write(SCRIPT, "keep;\n")
    folder.setup("email", "del", "-y", "a@x.com")
    first = json.loads(folder.setup("log", "--json").out)[0]["id"]
    folder.setup("email", "add", "a@x.com", "pw")
    folder.setup("email", "del", "-y", "a@x.com")
    assert "is restored" not in folder.setup("undo").err
    assert not (folder.config / SCRIPT).exists()
    folder.setup("undo")
    assert "is restored" in folder.setup("undo", str(first)).err
    assert folder.read(SCRIPT) == "keep;\n"


def test_undo_replaces_no_script_that_came_later(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    fill(folder)
    folder.setup("email", "del", "-y", "a@x.com")
    folder.write("a@x.com.dovecot.sieve", "keep;\n")
    assert "is restored" not in folder.setup("undo").err
    assert folder.read("a@x.com.dovecot.sieve") == "keep;\n"


def test_a_deletion_that_keeps_the_mail_keeps_the_script(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"a@x.com|{H}\nb@x.com|{H}\n")
    fill(folder)
    assert folder.setup("email", "del", "-n", "a@x.com").code == 0
    assert (folder.config / SCRIPT).exists()
    assert "sieve-without-account" in folder.setup("check").out


def test_a_rename_never_takes_over_what_a_former_owner_has_left(folder: Folder) -> None:
    folder.write(ACCOUNTS, f"b@x.com|{H}\n")
    fill(folder)
    ran = folder.setup("email", "rename", "b@x.com", "a@x.com")
    assert ran.code == 1
    assert "is there already; move its mail away first" in ran.err
    (folder.mail / "x.com" / "a").rename(folder.mail / "x.com" / "elsewhere")
    ran = folder.setup("email", "rename", "b@x.com", "a@x.com")
    assert ran.code == 1
    assert f"{SCRIPT} is there already; move it away first" in ran.err
    (folder.config / SCRIPT).unlink()
    assert folder.setup("email", "rename", "b@x.com", "a@x.com").code == 0


def test_many_addresses_are_asked_at_once(folder: Folder) -> None:
    fill(folder)
    given = {"home": str(folder.home)}
    settings = load(Sources(given, {}, lambda path: b"", lambda path: True))
    addresses = [Address("a@x.com"), Address("b@x.com")]
    assert with_leftovers(settings, addresses) == ["a@x.com"]
