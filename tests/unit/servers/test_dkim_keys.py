"""Private keys in a config folder: read, created, and never written through a link."""

import base64
import os
import stat
import subprocess
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.servers import dkim_keys, new_keys
from mailroster.servers.config import dkim
from mailroster.store.links import ConfigFolder


def pem(kind: str = dkim.ED25519) -> bytes:
    return dkim_keys.generate(kind, 1024)


def load(folder: Path, file: str) -> dkim.Key:
    return dkim_keys.load(ConfigFolder(str(folder)), dkim.KeyFile("x.com", "mail", file))


@pytest.mark.parametrize("kind", dkim.KINDS)
def test_a_new_key_is_read_with_its_record(tmp_path: Path, kind: str) -> None:
    raw = pem(kind)
    assert new_keys.write_key(str(tmp_path), "x.com", "mail", raw, "a record")
    (file,) = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    key = dkim_keys.load(ConfigFolder(str(tmp_path)), file)
    assert (key.domain, key.selector, key.kind, key.pem) == ("x.com", "mail", kind, raw)
    assert dkim_keys.public_part(key).text().startswith(f"v=DKIM1; h=sha256; k={kind}; p=")
    assert stat.S_IMODE((tmp_path / file.file).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path / "opendkim/keys/x.com")) == ["mail.private", "mail.txt"]


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    first = pem()
    assert new_keys.write_key(str(tmp_path), "x.com", "mail", first, "")
    assert not new_keys.write_key(str(tmp_path), "x.com", "mail", pem(), "")
    assert (tmp_path / "opendkim/keys/x.com/mail.private").read_bytes() == first


@pytest.mark.parametrize("place", ["opendkim", "opendkim/keys", "opendkim/keys/x.com"])
def test_no_key_is_written_through_a_link(tmp_path: Path, place: str) -> None:
    outside, config = tmp_path / "outside", tmp_path / "config"
    outside.mkdir()
    link = config / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(Refused, match="is a link or not a folder"):
        new_keys.write_key(str(config), "x.com", "mail", pem(), "")
    assert not os.listdir(outside)


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, fd: int, content: bytes) -> None:
        os.write(fd, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mailroster.system.files.Disk.write", fail)
    with pytest.raises(Refused, match="No space left"):
        new_keys.write_key(str(tmp_path), "x.com", "mail", b"a key of some length", "")
    assert not os.listdir(tmp_path / "opendkim/keys/x.com")


def test_the_formats_of_rspamd_are_read(tmp_path: Path) -> None:
    """Base64 of the seed of an Ed25519 key, alone or with the public key behind it; DER of RSA."""
    raw = pem()
    der = base64.b64decode(b"".join(raw.split(b"\n")[1:-2]))
    expected = dkim_keys.public_part(dkim.Key("x.com", "mail", "", dkim.ED25519, raw, "")).text()
    for more in (b"", bytes(32)):
        (tmp_path / "key").write_bytes(base64.b64encode(der[-32:] + more) + b"\n")
        key = load(tmp_path, "key")
        assert (key.kind, dkim_keys.public_part(key).text()) == (dkim.ED25519, expected)
    argv = ["openssl", "pkey", "-outform", "DER"]
    rsa = subprocess.run(argv, input=pem(dkim.RSA), capture_output=True, check=True).stdout
    (tmp_path / "key").write_bytes(base64.b64encode(rsa))
    assert load(tmp_path, "key").kind == dkim.RSA


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\0", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n", base64.b64encode(bytes(40)), b"A" * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_key_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(dkim_keys.KeyFault):
        load(tmp_path, "key")


def test_a_key_with_a_passphrase_and_one_of_another_algorithm_are_faults(tmp_path: Path) -> None:
    for argv in (
        ["openssl", "genpkey", "-algorithm", "ED25519", "-aes128", "-pass", "pass:x"],
        ["openssl", "genpkey", "-algorithm", "X25519"],
    ):
        (tmp_path / "key").write_bytes(subprocess.run(argv, capture_output=True, check=True).stdout)
        with pytest.raises(dkim_keys.KeyFault):
            load(tmp_path, "key")


def test_a_link_that_leads_out_of_the_folder_is_a_fault(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (tmp_path / "secret").write_bytes(pem())
    (config / "key").symlink_to(tmp_path / "secret")
    with pytest.raises(dkim_keys.KeyFault, match="outside of the config folder"):
        load(config, "key")
