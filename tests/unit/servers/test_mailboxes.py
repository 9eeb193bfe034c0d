"""The deletion of a mailbox, its own folder and nothing else; and the locks that a crash leaves."""

import os
from pathlib import Path

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.servers.mail_user import MailUser
from mailroster.servers.mail_work import UIDLIST_LOCK
from mailroster.servers.mailboxes import MailFolder
from tests.support.mailboxes import MAIL_USER, give_to_mail_user, mail_folder

A = Address("a@x.com")


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    for name in ("x.com/a", "x.com/a-a", "x.com.au/a", "y.org/a"):
        (tmp_path / "mail" / name / "cur").mkdir(parents=True)
        (tmp_path / "mail" / name / "cur" / "1").write_text("mail")
    return give_to_mail_user(tmp_path / "mail")


def left(mail: Path) -> list[str]:
    return sorted(str(path.relative_to(mail)) for path in mail.glob("*/*"))


def delete(mail: MailFolder, *addresses: Address) -> None:
    """As `setup email del -y` does once the accounts are gone."""
    mail.announce_deletion(addresses)
    mail.set_aside(addresses)
    mail.purge({address.rpartition("@")[2] for address in addresses})
    mail.withdraw(addresses)


def test_only_the_one_folder_goes(mail: Path) -> None:
    delete(mail_folder(mail), A)
    assert left(mail) == ["x.com.au/a", "x.com/a-a", "y.org/a"]


@pytest.mark.parametrize("address", ["b@z.net", "b@x.com"])
def test_a_mailbox_that_does_not_exist_is_no_error(mail: Path, address: str) -> None:
    delete(mail_folder(mail), Address(address))
    assert len(left(mail)) == 4


def test_there_is_no_mail_folder_at_all(tmp_path: Path) -> None:
    delete(mail_folder(tmp_path / "none"), A)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "address", ["@x.com", "..@x.com", "a/cur@x.com", "../a@x.com", "a@..", "a@.", "a@", "a@x.com/a"]
)
def test_what_is_not_two_levels_below_is_refused(mail: Path, address: str) -> None:
    with pytest.raises(Refused, match="leads out of the mail folder"):
        mail_folder(mail).announce_deletion([Address(address)])
    assert len(left(mail)) == 4


def test_a_link_is_not_followed_out(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "b").mkdir(parents=True)
    (mail / "z.net").symlink_to(tmp_path / "other")
    (mail / "x.com" / "link").symlink_to(mail / "y.org" / "a")
    for address in ("b@z.net", "link@x.com"):
        with pytest.raises(Refused, match="leads out of the mail folder"):
            delete(mail_folder(mail), Address(address))
    assert (tmp_path / "other" / "b").is_dir()
    assert (mail / "y.org" / "a").is_dir()


def test_the_mail_folder_itself_may_be_a_link(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mail)
    delete(mail_folder(tmp_path / "link"), A)
    assert "x.com/a" not in left(mail)


def test_a_link_inside_a_mailbox_goes_and_what_it_leads_to_stays(mail: Path) -> None:
    (mail / "x.com" / "a" / "shared").symlink_to(mail / "y.org" / "a")
    delete(mail_folder(mail), A)
    assert "x.com/a" not in left(mail)
    assert (mail / "y.org" / "a" / "cur" / "1").read_text() == "mail"


def test_what_its_owner_has_closed_to_himself_is_deleted(mail: Path) -> None:
    deep = mail / "x.com/a/closed/deeper"
    deep.mkdir(parents=True)
    (deep / "1").write_text("mail")
    give_to_mail_user(mail)
    for folder in (deep, deep.parent, mail / "x.com/a"):
        folder.chmod(0)
    delete(mail_folder(mail), A)
    assert os.listdir(mail / "x.com") == ["a-a"]


@pytest.mark.parametrize("name", ["x.com/a", "x.com"])
def test_a_mailbox_of_roots_is_left_alone_and_the_message_says_what_to_do(
    mail: Path, name: str
) -> None:
    os.chown(mail / name, 0, 0)
    (mail / name).chmod(0o755)
    with pytest.raises(Refused, match=r"chown -R 5000"):
        mail_folder(mail).announce_deletion([A])
    assert len(left(mail)) == 4
    assert not mail_folder(mail).is_announced(A)


def test_a_mailbox_of_roots_in_a_folder_that_was_set_aside_is_named(mail: Path) -> None:
    (mail / "x.com/a/of-root").mkdir()
    (mail / "x.com/a/of-root/1").write_text("mail")
    folder = mail_folder(mail)
    with pytest.raises(Exception, match=r"1: Permission denied .* chown -R 5000:5000"):
        delete(folder, A)
    give_to_mail_user(mail)
    assert folder.finish_deletions(lambda _: False, lambda _: False) == 1
    assert os.listdir(mail / "x.com") == ["a-a"]


@pytest.mark.parametrize("user", [MailUser(0, 5000), MailUser(5000, 0), MailUser(0, 0)])
def test_the_mail_never_belongs_to_root(mail: Path, user: MailUser) -> None:
    with pytest.raises(Refused, match="can't belong to root"):
        MailFolder(str(mail), user).announce_deletion([A])


# -- cut short


def test_what_was_announced_and_is_an_account_yet_stays(mail: Path) -> None:
    folder = mail_folder(mail)
    folder.announce_deletion([A])
    assert folder.is_announced(A)
    assert folder.finish_deletions(lambda address: address == A, lambda _: True) == 0
    assert not folder.is_announced(A)
    assert len(left(mail)) == 4


@pytest.mark.parametrize("aside", [False, True], ids=["announced", "set aside"])
def test_what_was_announced_and_is_no_account_is_deleted(mail: Path, aside: bool) -> None:
    folder = mail_folder(mail)
    folder.announce_deletion([A])
    if aside:
        folder.set_aside([A])
    assert folder.finish_deletions(lambda _: False, lambda _: False) == 1
    assert sorted(os.listdir(mail / "x.com")) == ["a-a"]


def test_what_is_still_served_is_deleted_again_later(mail: Path) -> None:
    folder = mail_folder(mail)
    folder.announce_deletion([A])
    folder.finish_deletions(lambda _: False, lambda _: True)
    (mail / "x.com/a").mkdir()  # mail that arrived before the deletion was live
    give_to_mail_user(mail)
    assert folder.finish_deletions(lambda _: False, lambda _: False, ["x.com"]) == 1
    assert os.listdir(mail / "x.com") == ["a-a"]


def test_what_is_announced_no_more_is_not_set_aside(mail: Path) -> None:
    folder = mail_folder(mail)
    folder.announce_deletion([A])
    folder.withdraw([A])  # as 'email add' of the same address does
    assert folder.set_aside([A]) == 0
    assert len(left(mail)) == 4


@pytest.mark.parametrize(
    "name", [".deleting:..", ".deleting:", ".deleting:a/b", ".deleting:A", ".deleting:a b"]
)
def test_a_name_that_is_no_address_means_nothing(mail: Path, name: str) -> None:
    if "/" not in name:
        (mail / "x.com" / name).write_text("")
    assert (
        mail_folder(give_to_mail_user(mail)).finish_deletions(lambda _: False, lambda _: False) == 0
    )
    assert len(left(mail)) >= 4


# -- locks


def test_locks_of_every_folder_of_a_mailbox_go_and_nothing_else(mail: Path) -> None:
    (mail / "x.com/a/.Sent").mkdir()
    folders = ("x.com/a", "x.com/a/.Sent", "y.org/a")
    locks = [mail / folder / UIDLIST_LOCK for folder in folders]
    kept = [mail / "x.com/a/cur" / UIDLIST_LOCK, mail / "x.com/a/dovecot-uidlist"]
    for path in (*locks, *kept):
        path.write_text("1:mail")
    give_to_mail_user(mail)
    assert mail_folder(mail).unlock() == 3
    assert [path for path in (*locks, *kept) if path.exists()] == kept
    assert mail_folder(mail).unlock() == 0
    assert mail_folder(mail / "nowhere").unlock() == 0


def test_who_is_not_root_works_as_himself(mail: Path) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(mail)
            os.setgroups([])
            os.setresgid(*[MAIL_USER.gid] * 3)
            os.setresuid(*[MAIL_USER.uid] * 3)
            delete(MailFolder(".", MailUser(0, 0)), A)  # the user that is set does not count
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert "x.com/a" not in left(mail)


def test_folders_with_a_tilde_are_renamed_once_and_nothing_else(mail: Path) -> None:
    box = mail / "x.com/a"
    for name in (".Lists.~x", ".~y", ".a~b", ".c.~d", ".c.\x7f7ed", "~e.~f"):
        (box / name / "cur").mkdir(parents=True)
    (box / ".file.~g").write_text("")
    (box / ".link.~h").symlink_to(mail / "y.org")
    (box / "subscriptions").write_bytes(b"V\t2\n\nLists\t~x\n~y\na~b\nLists\tx\n")
    (mail / "y.org/a/.o.~p").mkdir()
    (mail / "y.org/a/subscriptions").write_bytes(b"o.~p\n")
    give_to_mail_user(mail)
    assert mail_folder(mail).escape_tildes() == 3
    assert {path.name for path in box.iterdir()} == {
        "cur", "subscriptions", ".Lists.\x7f7ex", ".\x7f7ey", ".a~b", ".c.~d", ".c.\x7f7ed",
        "~e.~f", ".file.~g", ".link.~h",
    }  # fmt: skip
    kept = b"V\t2\n\nLists\t\x7f7ex\n\x7f7ey\na~b\nLists\tx\n"
    assert (box / "subscriptions").read_bytes() == kept
    assert (mail / "y.org/a/subscriptions").read_bytes() == b"o.\x7f7ep\n"
    assert mail_folder(mail).escape_tildes() == 0
    assert (box / "subscriptions").read_bytes() == kept
