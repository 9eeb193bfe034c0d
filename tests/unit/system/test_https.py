"""One file of a web server, on a test server with a certificate of its own."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.system.https import BYTES_MAX, fetch

HOST = "mta-sts.example.com"
PATH = "/.well-known/mta-sts.txt"


class WebServer:
    """Replies with `reply` to each request; `pause_s` between the octets."""

    def __init__(self, folder: Path) -> None:
        self.reply, self.pause_s, self.requests = b"", 0.0, [b""]
        key, certificate = folder / "key.pem", folder / "cert.pem"
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9"]
        argv += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
        argv += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(argv, check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                session, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(session, server_side=True) as tls:
                    self.requests.append(tls.recv(4096))
                    if not self.pause_s:
                        tls.sendall(self.reply)
                    for octet in self.reply if self.pause_s else b"":
                        tls.sendall(bytes([octet]))
                        time.sleep(self.pause_s)
            except OSError:
                continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    server = WebServer(tmp_path)
    try:
        yield server
    finally:
        server.close()


def get(web: WebServer, host: str = HOST, total_s: float = 5.0) -> str:
    return fetch(
        host, ["127.0.0.1"], PATH, port=web.port, context=web.trust, total_s=total_s
    )  # fmt: skip


def reply(body: bytes, status: str = "200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (
        status.encode(), len(body), more, body,
    )  # fmt: skip


def test_the_content_of_the_file(web: WebServer) -> None:
    web.reply = reply("version: STSv1\nä".encode() + b"\xff")
    assert get(web) == "version: STSv1\nä\\xff"
    assert web.requests[-1].startswith(f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n".encode())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(b"", "404 Not Found"), "status 404"),
        (reply(b"", "301 Moved", b"Location: https://127.0.0.1/x\r\n"), "status 301"),
        (reply(b"x" * (BYTES_MAX + 1)), "more than 65536 octets"),
        (b"no HTTP\r\n\r\n", "the reply is not valid (BadStatusLine)"),
        (b"", "the reply is not valid (RemoteDisconnected)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", "the reply is cut off"),
    ],
)  # fmt: skip
def test_another_reply_is_no_file(web: WebServer, answer: bytes, words: str) -> None:
    web.reply = answer
    with pytest.raises(OSError) as error:
        get(web)
    assert words in str(error.value)
    assert len(web.requests) == 2  # no redirect was followed


def test_a_certificate_for_another_name_is_refused(web: WebServer) -> None:
    web.reply = reply(b"x")
    with pytest.raises(OSError, match="the certificate is not valid"):
        get(web, "mta-sts.other.example")


def test_a_certificate_of_an_unknown_authority_is_refused(web: WebServer) -> None:
    with pytest.raises(OSError, match="the certificate is not valid"):
        fetch(HOST, ["127.0.0.1"], PATH, port=web.port)


def test_a_server_that_sends_one_octet_at_a_time_is_left(web: WebServer) -> None:
    web.reply, web.pause_s = reply(b"x" * 5000), 0.05
    start = time.monotonic()
    with pytest.raises(OSError):
        get(web, total_s=0.5)
    assert time.monotonic() - start < 60  # all of it would take 250 s


def test_the_next_address_is_tried(web: WebServer) -> None:
    web.reply = reply(b"x")
    addresses = ["127.0.0.2", "127.0.0.1"]
    assert fetch(HOST, addresses, PATH, port=web.port, context=web.trust) == "x"
    with pytest.raises(OSError):
        fetch(HOST, addresses[:1], PATH, port=web.port, context=web.trust)
