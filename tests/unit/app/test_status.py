"""The state of the servers, as `status` reports it."""

import pytest

from mailroster.servers import signer
from mailroster.servers.config import dkim
from tests.support.folder import Folder, folder

__all__ = ["folder"]  # the fixture


def test_keys_without_a_program_are_a_process_that_does_not_run(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.setup("email", "add", "jane@x.com", "secret")
    assert '"opendkim"' not in folder.setup("status", "--json").out
    folder.setup("config", "dkim", "--keysize", "1024")
    monkeypatch.setattr(signer, "PROGRAM", "/nonexistent/opendkim")
    ran = folder.setup("status")
    assert "\nopendkim: not running\n" in ran.out
    assert ran.code == 1
    folder.write("mailroster.toml", "enable_opendkim = false\n")
    assert "opendkim" not in folder.setup("status").out


@pytest.mark.parametrize(
    ("kind", "name"), [(dkim.RSA, "opendkim"), (dkim.ED25519, "opendkim-ed25519")]
)
def test_each_signer_has_a_name(kind: str, name: str) -> None:
    assert signer.process_name(kind) == name


def test_blocks_that_are_not_known_are_named(folder: Folder) -> None:
    folder.write("mailroster.toml", "block_guessing = true\n")
    ran = folder.setup("status")
    assert "blocked: not known; there is no database of blocks yet" in ran.out
    assert '"blocked": {\n    "clients": null,\n    "accounts": null\n  }' in (
        folder.setup("status", "--json").out
    )
