"""Ports of 127.0.0.1 between the servers: any user of the machine can connect to them, and can open
one in the place of a server that does not run, unless only root may."""

import pytest

from mailroster.base.settings import Sources, load

#: ip_unprivileged_port_start (ip(7)).
_FIRST_OF_ALL_USERS = 1024


@pytest.mark.parametrize("name", ["login_reports", "srs_forward", "srs_reverse"])
def test_no_other_user_can_open_a_port_in_the_place_of_its_server(name: str) -> None:
    settings = load(Sources({"home": "/srv"}, {}, lambda path: b"", lambda path: True))
    settings = settings._replace(block_guessing=True, enable_srs=True)
    port = settings.reports_port() if name == "login_reports" else getattr(settings, f"{name}_port")
    assert 0 < port < _FIRST_OF_ALL_USERS
