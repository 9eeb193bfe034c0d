"""The network that stands for one client: an IPv4 address, or the /64 of an IPv6 address, which one
customer of a provider has as a whole (RFC 6177)."""

#: The prefix of an IPv6 client.
_PREFIX = 64


def network(text: str) -> str:
    """The network of an address as people write it: `192.0.2.1`, `2001:db8:0:1::/64`. An IPv4
    address in an IPv6 address (RFC 4291, 2.5.5.2) is that IPv4 address. Raises ValueError."""
    import ipaddress  # 4 ms: only if there are clients

    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> _PREFIX << _PREFIX, _PREFIX)))
        address = address.ipv4_mapped
    return str(address)


def key(network: str) -> str:
    """The key of a network in the database of blocks: `192.0.2.1:`, `2001:db8:0:1:`. `expanded_sql`
    begins with it for every address of the network, except for `::/16`, which has no clients."""
    address, slash, _ = network.partition("/")
    if not slash:
        return f"{address}:"
    import ipaddress

    groups = ipaddress.IPv6Address(address).exploded.split(":")[:4]
    return "".join(f"{int(group, 16):x}:" for group in groups)


def expanded_sql(variable: str) -> str:
    """The SQL of an address with a `:` at its end, where the zeros that `::` stands for are
    written. An IPv4 address in an IPv6 address is that IPv4 address, as in `network`: load
    balancers with one socket for both send it so. `variable`: Dovecot's variable for the address,
    as inet_ntop(3) writes it."""
    text = f"'{variable}'"
    zeros = (
        f"substr('0:0:0:0:0:0:0:', 1, 2 * (8 - length({text}) + length(replace({text}, ':', ''))))"
    )
    is_mapped = f"substr({text}, 1, 7) = '::ffff:' AND instr({text}, '.')"
    expanded = f"replace({text}, '::', ':' || {zeros})"
    return f"CASE WHEN {is_mapped} THEN substr({text}, 8) ELSE {expanded} END || ':'"


class Networks:
    """A set of networks, as a setting lists them."""

    def __init__(self, words: list[str]) -> None:
        import ipaddress

        self._networks = [ipaddress.ip_network(word) for word in words]

    def contain(self, network: str) -> bool:
        """Whether a network of `network` is in one of these, or contains one."""
        import ipaddress

        other = ipaddress.ip_network(network)
        return any(
            other.version == each.version and other.overlaps(each) for each in self._networks
        )
