"""The deletion of a mailbox, its own folder and nothing else; and the locks that a crash leaves."""

from pathlib import Path

import pytest

from mailroster import mailstore
from mailroster.address import Address
from mailroster.finding import Refused

A = Address("a@x.com")


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    for name in ("x.com/a", "x.com/a-a", "x.com.au/a", "y.org/a"):
        (tmp_path / "mail" / name / "cur").mkdir(parents=True)
        (tmp_path / "mail" / name / "cur" / "1").write_text("mail")
    return tmp_path / "mail"


def left(mail: Path) -> list[str]:
    return sorted(str(path.relative_to(mail)) for path in mail.glob("*/*"))


def test_only_the_one_folder_goes(mail: Path) -> None:
    mailstore.delete(str(mail), mailstore.folder(str(mail), A))
    assert left(mail) == ["x.com.au/a", "x.com/a-a", "y.org/a"]


def test_a_folder_that_does_not_exist_is_no_error(mail: Path) -> None:
    mailstore.delete(str(mail), mailstore.folder(str(mail), Address("b@z.net")))
    assert len(left(mail)) == 4


@pytest.mark.parametrize("name", ["x.com", "x.com/a/cur", "x.com/..", "x.com/../..", "..", "", "."])
def test_what_is_not_two_levels_below_is_refused(mail: Path, name: str) -> None:
    with pytest.raises(Refused, match="leads out of the mail folder"):
        mailstore.delete(str(mail), f"{mail}/{name}")
    assert len(left(mail)) == 4


def test_a_link_is_not_followed_out(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "b").mkdir(parents=True)
    (mail / "z.net").symlink_to(tmp_path / "other")
    (mail / "x.com" / "link").symlink_to(mail / "y.org" / "a")
    for address in ("b@z.net", "link@x.com"):
        with pytest.raises(Refused):
            mailstore.delete(str(mail), mailstore.folder(str(mail), Address(address)))
    assert (tmp_path / "other" / "b").is_dir()
    assert (mail / "y.org" / "a").is_dir()


def test_the_mail_folder_itself_may_be_a_link(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mail)
    mailstore.delete(str(tmp_path / "link"), mailstore.folder(str(tmp_path / "link"), A))
    assert "x.com/a" not in left(mail)


def test_a_link_inside_a_mailbox_goes_and_what_it_leads_to_stays(mail: Path) -> None:
    (mail / "x.com" / "a" / "shared").symlink_to(mail / "y.org" / "a")
    mailstore.delete(str(mail), mailstore.folder(str(mail), A))
    assert "x.com/a" not in left(mail)
    assert (mail / "y.org" / "a" / "cur" / "1").read_text() == "mail"


def test_locks_of_every_folder_of_a_mailbox_go_and_nothing_else(mail: Path) -> None:
    (mail / "x.com/a/.Sent").mkdir()
    folders = ("x.com/a", "x.com/a/.Sent", "y.org/a")
    locks = [mail / folder / mailstore.UIDLIST_LOCK for folder in folders]
    kept = [mail / "x.com/a/cur" / mailstore.UIDLIST_LOCK, mail / "x.com/a/dovecot-uidlist"]
    for path in (*locks, *kept):
        path.write_text("1:mail")
    assert mailstore.unlock(str(mail)) == 3
    assert [path for path in (*locks, *kept) if path.exists()] == kept
    assert mailstore.unlock(str(mail)) == 0
    assert mailstore.unlock(str(mail / "nowhere")) == 0
