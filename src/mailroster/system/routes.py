"""The addresses from which this machine sends. Nothing is sent: the kernel only looks up routes."""

#: Addresses of the internet (RFC 5737, RFC 3849), and any port.
IPV4_TARGET, IPV6_TARGET, _PORT = "192.0.2.1", "2001:db8::1", 9


def public_addresses() -> list[str]:
    """The addresses of this machine that the internet can reach, as the routes of the kernel choose
    them. Sends nothing."""
    import ipaddress

    found = [_source_address(target) for target in (IPV4_TARGET, IPV6_TARGET)]
    return [address for address in found if address and ipaddress.ip_address(address).is_global]


def has_route(target: str) -> bool:
    """Whether the kernel has a route to an IP address. Sends nothing."""
    return bool(_source_address(target))


def _source_address(target: str) -> str:
    """The address from which this machine would send to an IP address; "" without a route. A UDP
    socket only looks up the route."""
    import socket

    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, _PORT))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""
