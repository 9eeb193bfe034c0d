"""Whose sessions end: what is made of anvil's list."""

import pytest

from mailroster.sessions import pids_of, users_of

DUMP = """\
imap/127.0.0.1/a@x.com\t1234\t1
pop3/::1/a@x.com\t99\t2
imap/127.0.0.1/b@x.com\t77\t1

"""


def test_the_processes_of_some_users_are_found() -> None:
    assert list(pids_of(DUMP, {"a@x.com", "nobody@x.com"})) == [1234, 99]
    assert list(pids_of(DUMP, ())) == []


def test_who_has_a_session_by_the_list_of_a_newer_dovecot() -> None:
    said = (
        "VERSION\tanvil-server\t2\t0\n\n212\ta@x.com\timap\t127.0.0.1\t2f86\t\n"
        "217\tb@x.com\tpop3\t::1\t1247\t\n\n"
    )
    assert users_of(said) == {"a@x.com", "b@x.com"}
    assert users_of("VERSION\tanvil-server\t2\t0\n\n\n") == set()


@pytest.mark.parametrize("pid", ["0", "1", "-1", "²", "", "99999999999", "9" * 5000, "1e3"])
def test_what_is_no_process_of_a_session_is_left_alone(pid: str) -> None:
    """0 would be ourselves, with all that we started."""
    assert list(pids_of(f"imap/::1/a@x.com\t{pid}\t1\n", {"a@x.com"})) == []
