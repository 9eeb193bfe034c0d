"""The addresses from which the machine sends."""

from ipaddress import ip_address

from mailroster.system.routes import has_route, public_addresses


def test_the_addresses_of_the_machine_are_public() -> None:
    assert all(ip_address(address).is_global for address in public_addresses())


def test_there_is_a_route_to_the_machine_itself_and_none_to_no_address() -> None:
    assert has_route("127.0.0.1")
    assert not has_route("256.0.0.1")
