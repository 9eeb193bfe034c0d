"""Reports of logins: what counts as one."""

import asyncio
import json
import socket

import pytest

from mailroster.daemons import login_reports
from mailroster.daemons.login_reports import LoginReport, parsed

FIELDS = {
    "device_id": "", "login": "a@x.com", "protocol": "imap", "pwhash": "0a3", "remote": "::1",
    "app": "0123456789abcdef", "success": True, "policy_reject": False, "tls": True,
}  # fmt: skip
REPORT = LoginReport("a@x.com", "imap", "::1", True, "0123456789abcdef", "0a3")


@pytest.mark.parametrize(
    ("changes", "report"),
    [
        ({}, REPORT),
        ({"success": False}, REPORT._replace(success=False)),
        ({"app": ""}, REPORT._replace(app="")),
        ({"app": None, "pwhash": 7}, REPORT._replace(app="", password_hash="")),
        ({"login": "ü@müller.example"}, REPORT._replace(login="ü@müller.example")),
        ({"remote": "x" * 600}, REPORT._replace(remote="")),
        ({"remote": "a\x1b[2Jb"}, REPORT._replace(remote="")),
        ({"login": ""}, None),
        ({"login": "a\nb"}, REPORT._replace(login="a?b")),
        ({"login": "x" * 6000}, REPORT._replace(login="x" * 512)),
        ({"login": "", "user": "admin"}, REPORT._replace(login="", name="admin")),
        ({"protocol": ["imap"]}, None),
        ({"success": "true"}, None),
        ({"success": None}, None),
    ],
)
def test_the_fields_of_a_report(changes: dict[str, object], report: LoginReport | None) -> None:
    assert parsed(json.dumps(FIELDS | changes).encode()) == report


def test_octets_that_are_no_text_hide_no_report() -> None:
    body = json.dumps(FIELDS | {"login": "LOGIN"}).encode().replace(b"LOGIN", b"\xff\x01@x.com")
    assert parsed(body) == REPORT._replace(login="\ufffd?@x.com")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b"[" * 16000, b"\xff", b'{"success": true}', b"\0"]
)
def test_anything_else_is_no_report(body: bytes) -> None:
    assert parsed(body) is None


def test_a_port_in_use_is_logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(login_reports, "_BIND_AGAIN_S", 0.01)

    async def is_opened() -> None:
        stop = asyncio.Event()
        other = socket.create_server(("127.0.0.1", 0))
        port = other.getsockname()[1]
        listening = asyncio.create_task(
            login_reports.listen(port, "key", lambda report: None, stop)
        )
        await asyncio.sleep(0.1)
        other.close()
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.01)
        writer.close()
        stop.set()
        await listening

    asyncio.run(is_opened())
    assert capfd.readouterr().err.count(": another program uses it") == 1
