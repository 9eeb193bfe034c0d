"""Whose sessions end: what is made of anvil's list."""

import pytest

from mailroster.sessions import pids_of

DUMP = """\
imap/127.0.0.1/a@x.com\t1234\t1
pop3/::1/a@x.com\t99\t2
imap/127.0.0.1/b@x.com\t77\t1

"""


def test_the_processes_of_some_users_are_found() -> None:
    assert list(pids_of(DUMP, {"a@x.com", "nobody@x.com"})) == [1234, 99]
    assert list(pids_of(DUMP, ())) == []


@pytest.mark.parametrize("pid", ["0", "1", "-1", "²", "", "99999999999", "9" * 5000, "1e3"])
def test_what_is_no_process_of_a_session_is_left_alone(pid: str) -> None:
    """0 would be ourselves, with all that we started."""
    assert list(pids_of(f"imap/::1/a@x.com\t{pid}\t1\n", {"a@x.com"})) == []
