"""The attackers are what they claim to be."""

import os

import pytest

from tests.support.attacks.parties import MAIL_UID, PYTHON, python_as, run_as


@pytest.mark.parametrize("user", ["nobody", "dovecot", "postfix", MAIL_UID])
def test_an_attacker_has_no_rights_of_root(user: str | int) -> None:
    done = run_as(user, PYTHON, "-c", "import os; print(os.getresuid(), os.getgroups())")
    assert "(0" not in done.stdout and "[0]" not in done.stdout, done
    assert run_as(user, "cat", "/etc/shadow").returncode != 0


def test_an_attacker_beside_the_test_ends_with_the_block() -> None:
    with python_as("nobody", "print('ready', flush=True); import time; time.sleep(60)") as process:
        assert os.stat(f"/proc/{process.pid}").st_uid == 65534
    assert process.returncode is not None
