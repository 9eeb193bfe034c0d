"""A mail server of a test's own that takes everything but mail for refuse@: what Postfix sends
elsewhere ends here."""

import socketserver
import threading
from typing import NamedTuple


class Taken(NamedTuple):
    """One message and the recipients it came for."""

    recipients: tuple[str, ...]
    content: bytes
    sender: str = ""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Sink:
    """SMTP (or LMTP) on a free port of 127.0.0.1, in threads of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.taken: list[Taken] = []
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                sink._talk(self)

        self._server = _Server((host, port), Session)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, session: socketserver.StreamRequestHandler) -> None:
        def say(line: str) -> None:
            session.wfile.write(f"{line}\r\n".encode())

        say("220 sink")
        recipients: list[str] = []
        sender = ""
        lmtp = False
        while line := session.rfile.readline().decode("utf-8", "replace").strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO", "LHLO"):
                lmtp = verb == "LHLO"
                say("250-sink")
                say("250-PIPELINING")
                say("250 8BITMIME")
            elif verb == "RCPT" and "<refuse@" in line:
                say("550 5.1.1 no such user")
            elif verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                content = b""
                while (part := session.rfile.readline()) not in (b".\r\n", b""):
                    content += part
                self.taken.append(Taken(tuple(recipients), content, sender))
                for _ in recipients if lmtp else "1":
                    say("250 ok")
                recipients = []
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                if verb == "MAIL":
                    sender = line.partition("<")[2].partition(">")[0]
                recipients = [] if verb in ("RSET", "MAIL") else recipients
                say("250 ok")
