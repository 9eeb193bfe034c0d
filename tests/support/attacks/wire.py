"""SMTP by hand: octets as an attacker sends them, and what the server answers."""

import socket
import ssl

from tests.support.instance import trusting


class Wire:
    """One connection to an SMTP port."""

    def __init__(
        self,
        port: int,
        *,
        source: str = "127.0.0.1",
        server: str = "127.0.0.1",
        timeout_s: float = 30,
    ) -> None:
        self._socket = socket.create_connection((server, port), timeout_s, (source, 0))

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def reply(self) -> str:
        """The next reply with all its lines; "" if the server has closed the connection."""
        lines = b""
        while not lines or lines.splitlines()[-1][3:4] == b"-":
            line = b""
            while not line.endswith(b"\n"):
                octet = self._read(1)
                if not octet:
                    return lines.decode("utf-8", "replace")
                line += octet
            lines += line
        return lines.decode("utf-8", "replace")

    def say(self, command: str) -> str:
        """The reply to one command."""
        self.send(f"{command}\r\n".encode())
        return self.reply()

    def start_tls(self) -> None:
        """TLS on this connection from now on."""
        assert self.say("STARTTLS").startswith("220")
        self.wrap()

    def wrap(self) -> None:
        self._socket = trusting().wrap_socket(self._socket)

    def rest(self) -> str:
        """All that the server still says until it closes the connection."""
        text = b""
        while part := self._read(4096):
            text += part
        return text.decode("utf-8", "replace")

    def _read(self, count: int) -> bytes:
        try:
            return self._socket.recv(count)
        except (ConnectionError, ssl.SSLError):
            return b""
