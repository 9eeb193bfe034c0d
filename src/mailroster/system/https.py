"""Reads one small file of a web server, which other people run: limited in time and size, no
redirects."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    import ssl

TOTAL_S = 10.0
BYTES_MAX = 1 << 16
_PORT = 443
_OK = 200


def fetch(
    host: str,
    addresses: Sequence[str],
    path: str,
    *,
    port: int = _PORT,
    context: "ssl.SSLContext | None" = None,
    total_s: float = TOTAL_S,
) -> str:
    """The content of `https://HOST/PATH`, read at the first of `addresses` that answers. The
    certificate must be valid for the host; `context` says which authorities are trusted, by default
    those of the system. Raises OSError with the reason."""
    import ssl

    context = context or ssl.create_default_context()
    reason = OSError("there is no address")
    for address in addresses:
        try:
            return _fetch(host, (address, port), path, context, total_s)
        except OSError as error:
            reason = error
    raise reason


def _fetch(
    host: str, server: tuple[str, int], path: str, context: "ssl.SSLContext", total_s: float
) -> str:
    import http.client
    import socket
    import ssl
    import threading

    with socket.create_connection(server, total_s) as raw:
        # The timeout of a socket is for each read; a server may send one octet at a time.
        watched = raw.dup()  # wrap_socket detaches the other
        watchdog = threading.Timer(total_s, _shut_down, [watched])
        watchdog.daemon = True
        watchdog.start()
        try:
            with context.wrap_socket(raw, server_hostname=host) as session:
                connection = http.client.HTTPConnection(host)
                connection.sock = session
                connection.request("GET", path, headers={"User-Agent": "mailroster"})
                response = connection.getresponse()
                content = response.read(BYTES_MAX + 1)
        except ssl.SSLCertVerificationError as error:
            raise OSError(f"the certificate is not valid ({error.verify_message})") from None
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"the reply is not valid ({type(error).__name__})") from None
        finally:
            watchdog.cancel()
            watchdog.join()
            watched.close()
    if response.status != _OK:
        raise OSError(f"the web server replies with status {response.status}")
    if response.length and len(content) <= BYTES_MAX:  # what is missing of Content-Length
        raise OSError("the reply is cut off")
    if len(content) > BYTES_MAX:
        raise OSError(f"it has more than {BYTES_MAX} octets")
    return content.decode("utf-8", "backslashreplace")


def _shut_down(connection: "socket.socket") -> None:
    """Ends all reads and writes of a connection."""
    import socket

    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
