"""The port for reports of logins: requests with and without Dovecot's key, and their limits."""

import asyncio
import json
from contextlib import suppress

import pytest

from mailroster.daemons import login_reports
from mailroster.daemons.login_reports import HEADER, LoginReport, listen

FIELDS = {
    "login": "a@x.com", "protocol": "imap", "pwhash": "0a3", "remote": "::1",
    "app": "0123456789abcdef", "success": True,
}  # fmt: skip
REPORT = LoginReport("a@x.com", "imap", "::1", True, "0123456789abcdef", "0a3")
KEY = "0123456789abcdef" * 3
BODY = json.dumps(FIELDS).encode()
ACCEPTED, REFUSED = b"HTTP/1.1 200 OK", b"HTTP/1.1 403 Forbidden"


def request(body: bytes = BODY, key: str = KEY, length: str | None = None) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{HEADER}: {key}\r\nContent-Length: "
    return f"{head}{len(body) if length is None else length}\r\n\r\n".encode() + body


def served(*requests: bytes) -> tuple[bytes, list[LoginReport]]:
    """What a client gets that sends all requests on one connection and waits for its end, and the
    reports."""
    reports = list[LoginReport]()

    async def run() -> bytes:
        stop = asyncio.Event()
        probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = probe.sockets[0].getsockname()[1]
        probe.close()
        await probe.wait_closed()
        listener = asyncio.ensure_future(listen(port, KEY, reports.append, stop))
        for _ in range(400):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.02)
        writer.write(b"".join(requests))
        writer.write_eof()
        answer = b""
        with suppress(ConnectionResetError):  # it closes the connection with data left to read
            while data := await asyncio.wait_for(reader.read(1 << 16), 20):
                answer += data
        stop.set()
        await asyncio.wait_for(listener, 20)
        return answer

    return asyncio.run(run()), reports


def test_one_connection_may_have_many_reports() -> None:
    answer, reports = served(request(), request(b"no report"), request())
    assert answer.count(ACCEPTED) == 3
    assert reports == [REPORT, REPORT]


@pytest.mark.parametrize("key", ["", "x" * 48, KEY[:-1], f"{KEY}0", KEY.upper()])
def test_without_the_key_the_connection_ends(key: str) -> None:
    answer, reports = served(request(key=key), request())
    assert answer.startswith(REFUSED)
    assert ACCEPTED not in answer
    assert reports == []


@pytest.mark.parametrize("length", ["-1", "x", "999999999", "", "1e3"])
def test_a_wrong_length_ends_the_connection(length: str) -> None:
    answer, reports = served(request(length=length), request())
    assert (answer, reports) == (b"", [])


def test_a_request_without_a_length_has_no_body() -> None:
    head = f"GET / HTTP/1.1\r\n{HEADER.lower()}:{KEY}\r\n\r\n".encode()
    answer, reports = served(head, request())
    assert answer.count(ACCEPTED) == 2
    assert reports == [REPORT]


def test_the_sizes_of_a_request_are_limited() -> None:
    most = login_reports._BODY_MAX_BYTES
    answer, reports = served(request(BODY + b" " * (most - len(BODY))))
    assert (answer.count(ACCEPTED), reports) == (1, [REPORT])
    answer, reports = served(request(BODY + b" " * (most - len(BODY) + 1)))
    assert (answer, reports) == (b"", [])
    answer, reports = served(f"POST / HTTP/1.1\r\nX: {'x' * 9000}\r\n".encode() + request())
    assert (answer, reports) == (b"", [])


def test_the_end_of_the_listener_ends_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_reports, "_REQUEST_S", 600.0)

    async def run() -> None:
        stop = asyncio.Event()
        probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = probe.sockets[0].getsockname()[1]
        probe.close()
        listener = asyncio.ensure_future(listen(port, KEY, lambda report: None, stop))
        for _ in range(400):
            try:
                reader, _ = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.wait_for(listener, 20)
        assert await asyncio.wait_for(reader.read(), 20) == b""

    asyncio.run(run())


def test_a_port_that_is_in_use_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, reports = list[str](), list[LoginReport]()
    monkeypatch.setattr(login_reports, "log", lines.append)
    monkeypatch.setattr(login_reports, "_BIND_AGAIN_S", 0.02)

    async def run() -> None:
        stop = asyncio.Event()
        other = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        listener = asyncio.ensure_future(listen(port, KEY, reports.append, stop))
        while not lines:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        other.close()
        await other.wait_closed()
        while not reports:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request())
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(listener, 20)
        assert lines[0].startswith(f"no reports of logins: port {port}: ")
        assert len(lines) == 1, "the same reason is logged once"

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_fields_for_blocks() -> None:
    """Dovecot's configuration names them, and the header (servers/config/dovecot)."""
    assert HEADER == "X-Mailroster-Key"
    more = {"user": "admin", "master": "Chief", "blocked": "Y"}
    report = login_reports.parsed(json.dumps({**FIELDS, **more}).encode())
    assert report == REPORT._replace(name="admin", master="Chief", is_blocked=True)
    for blocked in ("", "N", "y", None, True):
        fields = {**FIELDS, **more, "blocked": blocked}
        report = login_reports.parsed(json.dumps(fields).encode())
        assert report is not None
        assert not report.is_blocked


def test_a_field_of_the_longest_length_counts() -> None:
    """A longer one may be a mistake of somebody who guesses."""
    most = login_reports._TEXT_MAX
    for size, remote in ((most, "x" * most), (most + 1, "")):
        fields = {**FIELDS, "remote": "x" * size}
        report = login_reports.parsed(json.dumps(fields).encode())
        assert report is not None
        assert report.remote == remote
