"""Asks DNS for TXT records, by dnspython. It is an optional package, and takes 60 ms to import."""

from mailroster.base.findings import ServerError, printable

#: The time for one question, with all tries.
PATIENCE_S = 5.0
#: A long record comes by TCP; a hostile server may not answer there either.
_PORT = 53


def txt(name: str, server: str = "") -> list[str]:
    """The TXT records of a name, each as one string; none if the name does not exist.

    `server`: an address or ADDRESS:PORT, "" for those of /etc/resolv.conf. Raises ServerError if
    there is no answer, or no dnspython.
    """
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        hint = "install Debian's python3-dnspython, or mailroster[dns]"
        raise ServerError(f"DNS can't be asked without the package dnspython; {hint}") from None
    try:
        resolver = dns.resolver.Resolver(configure=not server)
        if server:
            address, port = split_server(server)
            resolver.nameservers, resolver.port = [address], port
        answer = resolver.resolve(f"{name}.", "TXT", lifetime=PATIENCE_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError, ValueError) as error:
        reason = printable(str(error) or type(error).__name__).partition(";")[0]
        raise ServerError(f"DNS does not answer for {name}: {reason}") from None
    return [b"".join(each.strings).decode("utf-8", "replace") for each in answer]


def split_server(server: str) -> tuple[str, int]:
    """The address and the port of `192.0.2.1`, `192.0.2.1:5353`, `::1` or `[::1]:53`."""
    address, _, port = server.rpartition(":")
    if server.startswith("["):
        address, _, port = server[1:].partition("]")
        return address, int(port.removeprefix(":") or _PORT)
    if not address or ":" in address:
        return server, _PORT
    return address, int(port)
