"""The note of what running servers use: who may write it, what is believed of it, what beats it."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import SETTINGS, Settings, Sources, load
from mailroster.servers import running
from mailroster.servers.config.endpoints import endpoints
from mailroster.servers.in_force import NOT_STORED, apply_running, ports, read, remove, write
from mailroster.servers.listening import inet_listeners


def settings(folder: Path, options: Mapping[str, str] | None = None) -> Settings:
    given = {"home": str(folder), "hostname": "mail.example.test", **(options or {})}
    return load(Sources(given, {}, lambda path: b"", lambda path: False))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose servers run."""
    for name in ("config", "mail-state"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(running, "is_running", lambda layout: True)
    return tmp_path


TURNED = {
    "spoof_protection": "1", "enable_quotas": "0", "imap_port": "0", "smtp_port": "2525",
    "listen": "127.0.0.1, ::1", "proxy_protocol": "smtp", "mail": "/srv/my mail", "logs": "/srv/l",
    "postmaster_address": "pm@x.test", "log_level": "warn", "hostname": "other.test",
    "password_scheme": "BLF-CRYPT", "settle_seconds": "3",
}  # fmt: skip


def test_a_command_uses_what_the_servers_use(home: Path) -> None:
    turned, plain = settings(home, TURNED), settings(home)
    layout = Layout(plain.state)
    write(turned, layout, endpoints(turned))
    found = apply_running(plain, layout, {})
    assert found == turned._replace(password_scheme=plain.password_scheme)
    assert ports(plain, layout) == endpoints(turned)
    # An option of the command comes first.
    mine = apply_running(settings(home, {"smtp_port": "26"}), layout, {"smtp_port": "26"})
    assert (mine.smtp_port, mine.spoof_protection) == (26, True)
    remove(layout)
    remove(layout)
    assert apply_running(plain, layout, {}) == plain
    assert ports(plain, layout) == endpoints(plain)


def test_every_setting_is_noted_but_those_of_a_command(home: Path) -> None:
    plain = settings(home)
    layout = Layout(plain.state)
    write(plain, layout, ())
    found = read(plain, layout)
    assert found is not None
    known = {setting.name for setting in SETTINGS}
    assert known >= NOT_STORED
    assert set(found.settings) == (known - NOT_STORED) | {"mail", "logs"}
    assert "\nset password" not in Path(layout.in_force).read_text()


def test_what_is_no_note_of_these_servers_does_not_count(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, turned = settings(home), settings(home, TURNED)
    layout = Layout(plain.state)
    note = Path(layout.in_force)

    def counts() -> bool:
        return apply_running(plain, layout, {}) != plain

    write(turned, layout, ())
    assert counts()
    assert (
        apply_running(settings(home, {"config": "/elsewhere"}), layout, {}).spoof_protection
        is False
    )
    text = note.read_text()
    for damaged in ("", "\n", "boot x\n" + text, text.replace("boot ", "boot 0"), "set a b\n"):
        note.write_text(damaged)
        assert not counts()
    note.write_text(text.replace("smtp_port 2525", "smtp_port 70000").replace("warn", "loud"))
    found = apply_running(plain, layout, {})
    assert (found.smtp_port, found.log_level) == (plain.smtp_port, plain.log_level)
    note.write_text(text)
    note.chmod(0o660)
    assert not counts()
    note.chmod(0o640)
    os.chown(note, 5000, 0)
    assert not counts()
    os.chown(note, 0, 0)
    assert counts()
    note.rename(f"{note}.real")
    note.symlink_to(f"{note}.real")
    assert not counts()
    note.unlink()
    os.mkfifo(note)
    assert not counts()
    note.unlink()
    write(turned, layout, ())
    monkeypatch.setattr(running, "is_running", lambda layout: False)
    assert not counts()
    monkeypatch.setattr(os, "geteuid", lambda: 5000)  # who can't ask for processes
    assert counts()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "service imap-login {\n  inet_listener imap {\n    address = \n    haproxy = yes\n"
            "    port = 143\n    ssl = no\n  }\n  inet_listener imaps {\n    port = 0\n  }\n}\n",
            id="2.3",
        ),
        pytest.param(
            'service imap-login {\n  inet_listener imap {\n    haproxy = yes\n    port = 143\n  }\n'
            '  inet_listener imaps {\n    port = 0\n  }\n  unix_listener "srv/%{pid}" {\n'
            "    type = admin\n  }\n}\n",
            id="2.4",
        ),
    ],
)  # fmt: skip
def test_the_listeners_that_doveconf_prints_are_read(text: str) -> None:
    found = inet_listeners(text)
    assert set(found) == {"imap", "imaps"}
    assert (found["imap"]["haproxy"], found["imap"]["port"]) == ("yes", "143")
    assert found["imaps"]["port"] == "0"
