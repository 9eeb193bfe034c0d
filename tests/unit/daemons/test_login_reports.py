"""Reports of logins: what counts as one."""

import json

import pytest

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
        ({"login": "a\nb"}, None),
        ({"protocol": ["imap"]}, None),
        ({"success": "true"}, None),
        ({"success": None}, None),
    ],
)
def test_the_fields_of_a_report(changes: dict[str, object], report: LoginReport | None) -> None:
    assert parsed(json.dumps(FIELDS | changes).encode()) == report


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b"[" * 16000, b"\xff", b'{"success": true}', b"\0"]
)
def test_anything_else_is_no_report(body: bytes) -> None:
    assert parsed(body) is None
