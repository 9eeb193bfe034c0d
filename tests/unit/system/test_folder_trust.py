"""Which folders are safe: owner, mode and links of every step, on real folders of other users."""

import grp
import os
import pwd
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.system.folder_trust import in_container, judge, sudo_user

NOBODY = 65534
ROOT = 0
#: What changes about `base/home/config`; and which words say so, "" for safe.
Case = Callable[[Path], object]


def link_elsewhere(base: Path, owner: int) -> None:
    """`home` is a link that somebody owns to a folder of root's."""
    (base / "home").rename(base / "real")
    (base / "home").symlink_to(base / "real")
    os.chown(base / "home", owner, 0, follow_symlinks=False)


def link_to_unsafe(base: Path) -> None:
    """`config` is root's link to a folder that anybody can write."""
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    (base / "home/config").rmdir()
    (base / "home/config").symlink_to("../open")


def link_to_itself(base: Path) -> None:
    (base / "home/config").rmdir()
    (base / "home/config").symlink_to("config")


def open_to_a_group(base: Path) -> None:
    os.chown(base / "home/config", 0, 8)
    (base / "home/config").chmod(0o2775)


def user_group() -> int:
    """The private group of a user that has one, such as `backup`."""
    for user in pwd.getpwall():
        sharing = [other for other in pwd.getpwall() if other.pw_gid == user.pw_gid]
        if len(sharing) == 1 and user.pw_uid and not set(grp.getgrgid(user.pw_gid).gr_mem):
            return user.pw_uid
    raise AssertionError("no user has a group of its own")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "home/config").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda b: None, "", id="root's"),
        pytest.param(
            lambda b: os.chown(b / "home/config", NOBODY, 0),
            "config belongs to nobody; chown",
            id="the folder is another's",
        ),
        pytest.param(
            lambda b: os.chown(b / "home", NOBODY, 0),
            "home belongs to nobody",
            id="a folder above is another's",
        ),
        pytest.param(
            lambda b: (b / "home/config").chmod(0o777),
            "every user can write to",
            id="others can write",
        ),
        pytest.param(
            lambda b: (b / "home/config").chmod(0o1777),
            "(mode 1777); chmod o-w",
            id="others can write, sticky",
        ),
        pytest.param(
            lambda b: (b / "home").chmod(0o777), "home (mode 0777)", id="others can write above"
        ),
        pytest.param(lambda b: (b / "home").chmod(0o1777), "", id="a sticky folder above, as /tmp"),
        pytest.param(
            lambda b: (b / "home").chmod(0o1775), "", id="a sticky folder of a group above"
        ),
        pytest.param(
            lambda b: (b / "home/config").chmod(0o2775), "", id="root's own group can write"
        ),
        pytest.param(open_to_a_group, "a group can write to", id="a group can write"),
        pytest.param(
            lambda b: link_elsewhere(b, NOBODY),
            "home belongs to nobody; chown -h",
            id="another's link",
        ),
        pytest.param(lambda b: link_elsewhere(b, ROOT), "", id="a link of root's"),
        pytest.param(
            link_to_unsafe, "open (mode 0777)", id="a link that leads to what others write"
        ),
        pytest.param(link_to_itself, "too many symlinks", id="a link to itself"),
    ],
)
def test_every_step_down_to_a_folder_is_judged(base: Path, change: Case, said: str) -> None:
    change(base)
    fault = judge(str(base / "home/config"), ROOT).fault
    assert said in fault
    assert bool(said) == bool(fault)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda b: None, "", id="where only root can make it"),
        pytest.param(
            lambda b: (b / "home").chmod(0o1777),
            "every user can write to",
            id="where all can, sticky",
        ),
        pytest.param(
            lambda b: (b / "home").chmod(0o777), "every user can write to", id="where all can"
        ),
        pytest.param(
            lambda b: os.chown(b / "home", NOBODY, 0), "belongs to nobody", id="where another can"
        ),
    ],
)
def test_a_missing_folder_is_as_safe_as_the_place_for_it(
    base: Path, change: Case, said: str
) -> None:
    change(base)
    judged = judge(str(base / "home/new/config"), ROOT)
    assert said in judged.fault
    assert (bool(judged.fault), judged.exists) == (bool(said), False)


def test_a_user_has_own_folders_and_those_of_root(base: Path) -> None:
    config = base / "home/config"
    os.chown(config, 33, 33)
    assert judge(str(config), 33).fault == ""
    assert "belongs to www-data" in judge(str(config), ROOT).fault
    os.chown(config, ROOT, ROOT)
    assert judge(str(config), 33).fault == ""


def test_root_by_sudo_works_in_folders_of_the_user_who_called_it(base: Path) -> None:
    config = base / "home/config"
    os.chown(config, 33, 33)
    assert sudo_user(ROOT, {"SUDO_UID": "33"}) == (33,)
    assert judge(str(config), ROOT, also=sudo_user(ROOT, {"SUDO_UID": "33"})).fault == ""
    assert judge(str(config), ROOT, also=sudo_user(ROOT, {"SUDO_UID": "34"})).fault


@pytest.mark.parametrize(
    ("uid", "environment"),
    [
        pytest.param(ROOT, {}, id="no sudo"),
        pytest.param(ROOT, {"SUDO_UID": "-1"}, id="no number"),
        pytest.param(ROOT, {"SUDO_UID": "³"}, id="a digit that is no number"),
        pytest.param(1000, {"SUDO_UID": "33"}, id="an ordinary user can't borrow another"),
    ],
)
def test_only_root_has_a_user_of_sudo(uid: int, environment: dict[str, str]) -> None:
    assert sudo_user(uid, environment) == ()


def test_a_group_with_its_owner_as_the_only_member_is_no_other_user(base: Path) -> None:
    uid, config = user_group(), base / "home/config"
    os.chown(config, uid, pwd.getpwuid(uid).pw_gid)
    config.chmod(0o775)
    assert judge(str(config), uid).fault == ""
    os.chown(config, uid, 8)  # `mail`, which is the group of others
    assert "a group can write to" in judge(str(config), uid).fault


def test_the_mail_folder_may_belong_to_anybody_and_no_folder_above_it(base: Path) -> None:
    """Who owns it got it from root: nobody else could put it there."""
    mail = base / "home/config"
    os.chown(mail, 5000, 5000)
    mail.chmod(0o770)
    assert judge(str(mail), ROOT, owned=False).fault == ""
    assert judge(str(mail), ROOT).fault
    os.chown(base / "home", 5000, 5000)
    assert judge(str(mail), ROOT, owned=False).fault
    mail.rmdir()
    assert judge(str(mail), ROOT, owned=False).fault


def test_a_container_is_known_by_what_only_root_can_make(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert not in_container((str(mark),))
    mark.touch()
    assert in_container((str(mark),))


def test_an_access_list_gives_a_right_that_the_mode_shows_as_the_groups(base: Path) -> None:
    """acl(5): the group bits of such a folder are the mask of the list."""
    config = base / "home/config"
    os.chown(config, 0, 0)
    # Of the owner, of nobody, of the group, the mask, of others: rwx, rwx, r-x, rwx, r-x.
    entries = [(1, 7, -1), (2, 7, NOBODY), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    raw = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, number & 0xFFFFFFFF) for tag, rights, number in entries
    )
    os.setxattr(config, "system.posix_acl_access", raw)
    assert config.stat().st_mode & 0o777 == 0o775
    assert "a group can write to" in judge(str(config), ROOT).fault
